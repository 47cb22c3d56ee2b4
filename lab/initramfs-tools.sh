#!/bin/sh
# Makes an initrd with Debian's initramfs-tools that has bootjack in it, as its users would: hook and script of initrd/.
# usage: lab/initramfs-tools.sh OUT MODULES BOOTJACK     (MODULES: …/lib/modules, with one release in it)
# The chroot it is made in is thrown away; booting with it is the journeys'.
set -eu

out=$1 bootjack=$(realpath "$3")
modules=$(realpath "$2"/*)
release=$(basename "$modules")
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
site=$(apt-get indextargets --format '$(SITE)' "Codename: $suite" "Created-By: Packages" "Component: main" | head -n 1)
[ -n "$site" ] || { echo "$0: apt knows no source of $suite main" >&2; exit 1; }
proxy=$(apt-config shell p Acquire::http::Proxy | sed -n "s/^p='\(.*\)'$/\1/p")

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
trap 'rm -f "$out.part"' EXIT

# MODULES=list with an empty list: a carried root needs no driver at all. Debian's kernels all know gzip; mkinitramfs wants
# to read it.
$sudo mmdebstrap --quiet --variant=minbase ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
    --aptopt='APT::Install-Recommends "false"' --include=initramfs-tools,busybox,kmod,gzip \
    --customize-hook="copy-in initrd/initramfs-tools /etc" \
    --customize-hook="upload $bootjack /usr/sbin/bootjack" \
    --customize-hook='chmod 755 "$1/usr/sbin/bootjack" "$1/etc/initramfs-tools/hooks/bootjack"' \
    --customize-hook='echo MODULES=list > "$1/etc/initramfs-tools/conf.d/modules"; echo COMPRESS=gzip >> "$1/etc/initramfs-tools/conf.d/modules"' \
    --customize-hook="mkdir -p \"\$1/lib/modules\" && cp -a '$modules' \"\$1/lib/modules/\"" \
    --customize-hook="echo CONFIG_RD_GZIP=y > \"\$1/boot/config-$release\"" \
    --customize-hook="chroot \"\$1\" mkinitramfs -o /initrd $release" \
    --customize-hook="download /initrd $out.part" \
    "$suite" /dev/null "deb $site $suite main" </dev/null >&2
[ -z "$sudo" ] || $sudo chown "$(id -u)" "$out.part"
mv "$out.part" "$out"
echo "$out: $(stat -c %s "$out") bytes" >&2
