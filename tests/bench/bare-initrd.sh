#!/bin/bash
# Packs the barest initrd that gets a lease: busybox, a script, and the modules of the interface of a virtual machine.
# usage: tests/bench/bare-initrd.sh OUT MODULES [TREE]     (MODULES: a kernel's lib/modules/RELEASE; TREE: laid over it)
# What it does in the machine is bare/init's, or that of TREE; timing it is boots.py's and kexec.py's.
set -eu

out=$1 modules=$2 over=${3:-}
here=$(dirname "$0")
tree=$(mktemp -d "${TMPDIR:-/tmp}/bare-initrd.XXXXXX")
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

mkdir -p "$tree"/{bin,dev,proc,sys,etc,modules}
cp /bin/busybox "$tree/bin/busybox"
ln -s busybox "$tree/bin/sh"
install -m 755 "$here/bare/init" "$tree/init"
install -m 755 "$here/bare/lease" "$tree/lease"
[ -z "$over" ] || cp -a "$over/." "$tree/"

# In the order in which they have to be loaded: what bootjack loads in the same machine.
base=$(dirname "$(dirname "$(dirname "$modules")")")
for name in virtio_pci virtio_net; do
    PATH=$PATH:/sbin:/usr/sbin modprobe -d "$base" -S "$(basename "$modules")" --show-depends "$name"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$tree/paths"
while read -r path; do
    cp "$path" "$tree/modules/"
    basename "$path" >>"$tree/modules/order"
done <"$tree/paths"
rm "$tree/paths"

(cd "$tree" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) | zstd -q -19 -T0 -o "$out.part" -f
mv "$out.part" "$out"
echo "$out: $(stat -c %s "$out") bytes, $(wc -l <"$tree/modules/order") modules" >&2
