#!/bin/sh
# Leaves a Debian kernel in DIR: vmlinuz and lib/modules/RELEASE with its dependency tables, not installed.
# usage: lab/kernel.sh cloud|generic DIR
# The newest one the machine's own package sources have; what goes into an initrd of it is `bootjack initrd`'s.
set -eu

case $1 in
cloud) meta=linux-image-cloud-amd64 ;;
generic) meta=linux-image-amd64 ;;
*) echo "usage: lab/kernel.sh cloud|generic DIR" >&2 && exit 2 ;;
esac
dir=$2
work=$(mktemp -d "${TMPDIR:-/tmp}/kernel.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The lists may be older than what the mirror still has.
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
mkdir -p target
exec 9>target/apt.lock
flock 9
$sudo apt-get update -qq </dev/null >&2

# The metapackage depends on the one image of the current version.
image=$(apt-cache depends "$meta" | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
[ -n "$image" ] || { echo "lab/kernel.sh: $meta names no kernel image" >&2; exit 1; }
echo "fetching $image ($meta)" >&2
(cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$image" </dev/null >&2)
dpkg-deb -x "$work"/*.deb "$work/tree"

release=$(basename "$work"/tree/boot/vmlinuz-*)
release=${release#vmlinuz-}
# /lib is a link to usr/lib on some suites; depmod wants lib/modules.
[ -d "$work/tree/lib" ] || mv "$work/tree/usr/lib" "$work/tree/lib"
PATH=$PATH:/sbin:/usr/sbin depmod -b "$work/tree" "$release"

rm -rf "$dir"
mkdir -p "$dir/lib"
mv "$work/tree/lib/modules" "$dir/lib/modules"
mv "$work/tree/boot/vmlinuz-$release" "$dir/vmlinuz"
echo "$dir: $release" >&2
