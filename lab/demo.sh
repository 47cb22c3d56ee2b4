#!/bin/bash
# Boots a virtual machine from its network card's PXE ROM to a Debian in memory, in this terminal.
# usage: lab/demo.sh LAB BOOTJACK     (LAB: where make left kernel, initrd and root)
# Making these is the Makefile's; the machine and the terminal are `bootjack vm`'s; the rest is bootjack in the machine.
set -eu

lab=$1 bootjack=$2
demo=target/demo
rm -rf "$demo"
mkdir -p "$demo/www" "$demo/tftp"

# Hard links, or copies where they cannot be: the server never follows a link out of its directory.
put() { ln "$(realpath "$1")" "$demo/www/$2" 2>/dev/null || cp "$1" "$demo/www/$2"; }
put "$lab/debian.tar.zst" root.tar.zst
put "$lab/cloud/vmlinuz" vmlinuz
put "$lab/generic/vmlinuz" vmlinuz-generic
put "$lab/initrd" initrd

fact() { sed -n "s/.*\"$1\": *\"\{0,1\}\([0-9a-f]*\).*/\1/p" "$lab/debian.tar.zst.json" | head -n 1; }
sizes="size = $(fact size), unpacked = $(fact unpacked), entries = $(fact entries)"
kernel=$(sha256sum "$lab/generic/vmlinuz") kernel=${kernel%% *}
sed -e "/^root/ { s/0\{64\}/$(fact sha256)/; s/ }\$/, $sizes }/ }" \
    -e "/^kernel/ { s/0\{64\}/$kernel/; s/ }\$/, size = $(stat -c %s "$lab/generic/vmlinuz") }/ }" \
    menus/demo.toml >"$demo/www/catalog.toml"
"$bootjack" check "$demo/www/catalog.toml" >&2

coproc server { exec "$bootjack" serve "$demo/www" --listen 127.0.0.1:0 2>"$demo/serve.log"; }
# shellcheck disable=SC2154 # coproc sets it
trap 'kill "$server_PID" 2>/dev/null || true' EXIT
read -r url <&"${server[0]}" || { cat "$demo/serve.log" >&2; exit 1; }
port=$(sed 's/.*:\([0-9]*\).*/\1/' <<<"$url")

# Seen from the machine, this host's loopback is 10.0.2.2.
base=http://10.0.2.2:$port
cat >"$demo/tftp/boot.ipxe" <<IPXE
#!ipxe
kernel $base/vmlinuz initrd=initrd console=ttyS0 bootjack.catalog=$base/catalog.toml
initrd $base/initrd
boot
IPXE
echo "Serving $demo/www at $url; the machine starts from its network card's PXE ROM." >&2
"$bootjack" vm --pxe "$demo/tftp" --memory 1024 --smp 2 --accel "${ACCEL:-tcg}"
