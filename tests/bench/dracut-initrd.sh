#!/bin/bash
# Makes Debian's dracut initrds of our kernel, with a module that fetches a root by `curl | tar`: DIR/initrd as dracut
# makes it for any machine, DIR/initrd-lean with the same network drivers as ours and no more dracut than that needs.
# usage: tests/bench/dracut-initrd.sh DIR CHROOT.tar MODULES [DRIVERS]     (needs root)
# DRIVERS: a file, one module name a line; without it there is no lean one. CHROOT.tar is made if need be, and kept.
# What happens in the machine is dracut's and dracut/*.sh's; timing it is boots.py's and inits.py's.
set -eu

dir=$1 chroot=$2 modules=$3 drivers=${4:-}
here=$(cd "$(dirname "$0")" && pwd)
release=$(basename "$modules")
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mkdir -p "$dir"

# No systemd, so dracut's own init; network-legacy needs procps and isc-dhcp-client, or is left out without a word.
if [ ! "$chroot" -nt "$0" ]; then
    site=$(apt-get indextargets --format '$(SITE)' "Codename: $suite" "Created-By: Packages" "Component: main" |
        head -n 1)
    [ -n "$site" ] || { echo "$0: apt knows no source of $suite main" >&2; exit 1; }
    proxy=$(apt-config shell p Acquire::http::Proxy | sed -n "s/^p='\(.*\)'$/\1/p")
    mmdebstrap --quiet --variant=minbase ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
        --aptopt='APT::Install-Recommends "false"' \
        --include=dracut-core,dracut-network,udev,kmod,procps,isc-dhcp-client,iputils-arping,iproute2 \
        --include=curl,ca-certificates,tar,gzip,zstd,cpio,kexec-tools \
        "$suite" "$chroot.part.tar" "deb $site $suite main" </dev/null >&2
    mv "$chroot.part.tar" "$chroot"
fi

root=$(mktemp -d "${TMPDIR:-/tmp}/dracut-root.XXXXXX")
trap 'rm -rf "$root"' EXIT
tar -xpf "$chroot" -C "$root" --numeric-owner
mkdir -p "$root/lib/modules"
cp -a "$modules" "$root/lib/modules/"
install -D -t "$root/usr/lib/dracut/modules.d/90bench-root" "$here"/dracut/*.sh

# dracut looks at /proc; in a mount namespace of its own nothing stays mounted.
make_initrd() {
    local name=$1
    shift
    unshare --mount sh -c 'mount -t proc proc "$1/proc" && root=$1 && shift && exec chroot "$root" "$@"' sh "$root" \
        dracut --quiet --force --no-hostonly --no-hostonly-cmdline --compress 'zstd -19 -T0' "$@" \
        "/$name" "$release" >"$dir/$name.log" 2>&1 || { cat "$dir/$name.log" >&2; exit 1; }
    # A module whose needs are not met is left out without a word.
    chroot "$root" lsinitrd "/$name" >"$dir/$name.list"
    local needed
    for needed in sbin/benchroot sbin/dhclient virtio_net.ko usr/bin/curl; do
        grep -q "$needed" "$dir/$name.list" || { echo "$0: no $needed in $dir/$name.list" >&2; exit 1; }
    done
    cp "$root/$name" "$dir/$name"
    echo "$dir/$name: $(stat -c %s "$dir/$name") bytes" >&2
}
make_initrd initrd --add bench-root
[ -n "$drivers" ] || exit 0
make_initrd initrd-lean --drivers "$(tr '\n' ' ' <"$drivers")" --modules \
    'bench-root network network-legacy url-lib base fs-lib udev-rules kernel-modules kernel-network-modules'
