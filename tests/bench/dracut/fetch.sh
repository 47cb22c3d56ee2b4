#!/bin/bash
# Called by dracut's netroot once an interface is up: benchroot IFACE bench:URL NEWROOT; and by carried.sh with a path
# in place of the URL. Says when it begins and ends.
set -o pipefail
[ ! -e /run/bench-root ] || exit 0

url=${2#bench:}
case $url in
*.gz) tar=(tar -xzp) ;;
*.zst) tar=(tar --zstd -xp) ;;
*) echo "benchroot: $url: which compression?" >/dev/console && exit 1 ;;
esac
unpack() {
    case $url in
    /*) "${tar[@]}" -f "$url" -C "$1" ;;
    *) echo "NETWORK-HOOK-RUNS" >/dev/console && curl -sSf "$url" | "${tar[@]}" -f - -C "$1" ;;
    esac
}
mount -t tmpfs -o mode=0755,size=80%,nr_inodes=0 tmpfs "$3" || exit 1
unpack "$3" || { echo "benchroot: $url failed" >/dev/console; exit 1; }
: >/run/bench-root
echo "ROOT-IS-READY" >/dev/console
