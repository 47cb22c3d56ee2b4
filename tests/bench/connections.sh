#!/bin/bash
# What several connections give on a server that sends so much over each and no more: the time of `bootjack unpack` over
# 1, 2, 4 and 8. nginx on loopback stands for the server, its `limit_rate` for the link.
# usage: tests/bench/connections.sh BOOTJACK [RATE]     (needs root and nginx; RATE as nginx takes it: 4m)
set -eu

bootjack=$1 rate=${2:-4m}
work=$(mktemp -d)
nginx=
# Its own server alone, and its own files.
trap '[ -z "$nginx" ] || kill "$nginx"; rm -rf "$work"' EXIT

mkdir -p "$work/tree" "$work/www" "$work/tmp"
# Bytes that nothing makes smaller: what is waited for is the link.
for n in $(seq 16); do head -c 4M /dev/urandom >"$work/tree/$n"; done
"$bootjack" pack --json "$work/tree" -o "$work/www/root.tar.zst" >"$work/packed" 2>/dev/null
chunks=$(sed 's/.*"chunks":"\([0-9a-f]*\)".*/\1/' "$work/packed")

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/nginx.conf" <<END
daemon off; worker_processes 1; user root; pid $work/pid; error_log $work/error.log;
events { worker_connections 64; }
http {
    access_log off; sendfile on; limit_rate $rate;
    client_body_temp_path $work/tmp; proxy_temp_path $work/tmp; fastcgi_temp_path $work/tmp;
    uwsgi_temp_path $work/tmp; scgi_temp_path $work/tmp;
    server { listen 127.0.0.1:$port; root $work/www; }
}
END
nginx -c "$work/nginx.conf" 2>/dev/null &
nginx=$!
url=http://127.0.0.1:$port/root.tar.zst
for _ in $(seq 100); do curl -sfI "$url" >/dev/null && break; sleep 0.1; done

echo "$(stat -c %s "$work/www/root.tar.zst") bytes, $rate a second over each connection"
for connections in 1 2 4 8; do
    "$bootjack" unpack --chunks "$chunks" --connections "$connections" --json "$url" "$work/root" \
        2>/dev/null >"$work/done"
    seconds=$(sed 's/.*"seconds":\([0-9.]*\).*/\1/' "$work/done")
    diff -r "$work/tree" "$work/root"
    rm -rf "$work/root"
    printf '%s connections: %.1f s\n' "$connections" "$seconds"
done
