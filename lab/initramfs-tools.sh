#!/bin/sh
# Makes an initrd with Debian's initramfs-tools that has bootjack in it, as its users would: `make install`, mkinitramfs.
# usage: lab/initramfs-tools.sh OUT MODULES BOOTJACK     (MODULES: …/lib/modules, with one release in it)
# How the chroot is made, is foreign.sh's.
set -eu

out=$1
. "$(dirname "$0")/foreign.sh"
release=$(basename "$2"/*)
trap 'rm -f "$out.part"' EXIT

# MODULES=list and what QEMU's machines need, to start soon. Debian's kernels all know gzip; mkinitramfs wants to read it.
in_debian initramfs-tools,busybox,kmod,udev,gzip "$2" "$3" \
    'printf "MODULES=list\nCOMPRESS=gzip\n" > "$1/etc/initramfs-tools/conf.d/modules"' \
    'printf "%s\n" virtio_pci virtio_net virtio_blk > "$1/etc/initramfs-tools/modules"' \
    "echo CONFIG_RD_GZIP=y > \"\$1/boot/config-$release\"" \
    "chroot \"\$1\" mkinitramfs -o /initrd $release" \
    "download /initrd $out.part"
came "$out"
