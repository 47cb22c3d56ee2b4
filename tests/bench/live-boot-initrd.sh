#!/bin/bash
# Makes Debian's initrd with live-boot, which fetches a squashfs image and boots it below an overlay.
# usage: tests/bench/live-boot-initrd.sh OUT MODULES     (needs root)
# Timing it is inits.py's.
set -eu

out=$1 modules=$(realpath "$2")
release=$(basename "$modules")
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
site=$(apt-get indextargets --format '$(SITE)' "Codename: $suite" "Created-By: Packages" "Component: main" | head -n 1)
[ -n "$site" ] || { echo "$0: apt knows no source of $suite main" >&2; exit 1; }
proxy=$(apt-config shell p Acquire::http::Proxy | sed -n "s/^p='\(.*\)'$/\1/p")
trap 'rm -f "$out.part" "$out.list"' EXIT

# MODULES=netboot: network cards without the disks, the smallest that boots any machine from its network. It fetches by
# wget, and compresses by zstd if the kernel's configuration knows it.
mmdebstrap --quiet --variant=minbase ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
    --aptopt='APT::Install-Recommends "false"' \
    --include=live-boot,live-boot-initramfs-tools,initramfs-tools,busybox,kmod,udev,wget,zstd \
    --customize-hook="mkdir -p \"\$1/lib/modules\" && cp -a '$modules' \"\$1/lib/modules/\"" \
    --customize-hook='printf "MODULES=netboot\nCOMPRESS=zstd\n" >"$1/etc/initramfs-tools/conf.d/bench"' \
    --customize-hook="echo CONFIG_RD_ZSTD=y >\"\$1/boot/config-$release\"" \
    --customize-hook="chroot \"\$1\" mkinitramfs -o /initrd $release" \
    --customize-hook='chroot "$1" lsinitramfs /initrd >"$1/initrd.list"' \
    --customize-hook="download /initrd $out.part" --customize-hook="download /initrd.list $out.list" \
    "$suite" /dev/null "deb $site $suite main" </dev/null >&2
for needed in scripts/live virtio_net.ko squashfs.ko overlay.ko bin/wget; do
    grep -q "$needed" "$out.list" || { echo "$0: no $needed in $out" >&2; exit 1; }
done
mv "$out.part" "$out"
echo "$out: $(stat -c %s "$out") bytes" >&2
