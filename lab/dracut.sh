#!/bin/sh
# Makes two initrds with Debian's dracut that have bootjack in them, as its users would: OUT with dracut's own init,
# OUT-systemd with systemd.
# usage: lab/dracut.sh OUT MODULES BOOTJACK     (MODULES: …/lib/modules, with one release in it)
# How the chroot is made, is foreign.sh's.
set -eu

out=$1
. "$(dirname "$0")/foreign.sh"
release=$(basename "$2"/*)
trap 'rm -f "$out.part" "$out-systemd.part"' EXIT
# Not compressed: unpacking takes an emulated machine longer than reading.
dracut="chroot \"\$1\" dracut --quiet --force --no-hostonly --no-hostonly-cmdline --no-compress --add 'network-legacy bootjack'"

# A module whose needs are not met is left out without a word: procps and isc-dhcp-client are network-legacy's.
in_debian dracut-core,dracut-network,udev,kmod,procps,isc-dhcp-client,iputils-arping,iproute2,systemd-sysv,cpio,gzip \
    "$2" "$3" \
    "$dracut --omit 'systemd systemd-initrd dracut-systemd' /initrd $release" \
    "$dracut /initrd-systemd $release" \
    'chroot "$1" lsinitrd /initrd | grep -q dhclient && chroot "$1" lsinitrd /initrd-systemd | grep -q dhclient' \
    "download /initrd $out.part" "download /initrd-systemd $out-systemd.part"
came "$out-systemd"
came "$out"
