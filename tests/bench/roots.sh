#!/bin/bash
# Makes the Debian roots that are unpacked on the host, each in every format, with the compressors everybody has.
# usage: tests/bench/roots.sh DIR BOOTJACK tiny|small|big...     (needs root: mmdebstrap)
# DIR/SIZE.tar, .tar.gz, .tar.zst (one frame), .pack.tar.zst (`bootjack pack`), .tar.xz (one block), .blocks.tar.xz; of
# the small one .squashfs, too; a .sha256 beside each. What is there and made by this script is kept; measuring is
# unpack.py's and inits.py's.
set -eu

dir=$1 bootjack=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"
# By content: a clone is younger than what it made yesterday.
maker=$(cat "$0" "$here/bench-init" | sha256sum | cut -d ' ' -f 1)
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

# The small one is what a rescue system is; the big one has compilers, a kernel, firmware.
packages() {
    echo systemd-sysv,udev,iproute2,kmod
    case $1 in
    small) echo dbus ;;
    big)
        echo build-essential,cmake,gdb,git,perl,python3,python3-numpy,vim,openssh-server
        echo linux-image-cloud-amd64,firmware-misc-nonfree,firmware-realtek
        ;;
    esac
}

# debian SIZE OUT: a whole root.
debian() {
    local size=$1 out=$2 variant=minbase site proxy
    [ "$size" = small ] || variant=standard
    site=$(apt-get indextargets --format '$(SITE)' "Codename: $suite" "Created-By: Packages" "Component: main" |
        head -n 1)
    [ -n "$site" ] || { echo "$0: apt knows no source of $suite main" >&2; exit 1; }
    proxy=$(apt-config shell p Acquire::http::Proxy | sed -n "s/^p='\(.*\)'$/\1/p")
    echo "making a Debian of variant $variant: $size" >&2
    mmdebstrap --quiet --variant=$variant ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
        --include="$(packages "$size" | paste -sd ,)" \
        --customize-hook="upload $here/bench-init /bench-init" --customize-hook='chmod 755 "$1/bench-init"' \
        "$suite" "$out" "deb $site $suite main non-free-firmware" </dev/null >&2
}

# tiny OUT: the programs of the small one, which has nothing but itself to keep memory for.
tiny() {
    root small
    (
        part=$(mktemp -d "${TMPDIR:-/tmp}/bench-tiny.XXXXXX")
        trap 'rm -rf "$part"' EXIT
        tar -xpf "$dir/small.tar" -C "$part" ./usr/bin
        tar -cf "$1" -C "$part" .
    )
}

# root SIZE: the tar, unless this script has made it.
root() {
    local out=$dir/$1.tar
    [ "$(cat "$out.maker" 2>/dev/null)" != "$maker" ] || return 0
    case $1 in
    tiny) tiny "$out.part.tar" ;;
    *) debian "$1" "$out.part.tar" ;;
    esac
    mv "$out.part.tar" "$out"
    told "$out"
    echo "$maker" >"$out.maker"
}

told() {
    sha256sum <"$1" | cut -d ' ' -f 1 >"$1.sha256"
    echo "$1: $(stat -c %s "$1") bytes" >&2
}

# packed OUT IN COMMAND...: what the command writes, unless it is younger than the tar.
packed() {
    local out=$1 in=$2
    shift 2
    [ ! "$out.sha256" -nt "$in" ] || return 0
    "$@" <"$in" >"$out.part"
    mv "$out.part" "$out"
    told "$out"
}

squashfs() { mksquashfs - "$1" -tar -comp zstd -noappend -quiet -no-progress >&2; }

for size in "$@"; do
    # xz -6 of the big one takes ten minutes.
    case $size in
    tiny | small) level=6 ;;
    big) level=1 ;;
    *) echo "$0: $size: tiny, small or big" >&2 && exit 2 ;;
    esac
    root "$size"
    tar=$dir/$size.tar
    packed "$tar.gz" "$tar" gzip -6 -n
    packed "$tar.zst" "$tar" zstd -q -3
    out=$dir/$size.squashfs
    [ "$size" != small ] || packed "$out" "$tar" squashfs "$out.part"
    # With another binary it is another archive.
    out=$dir/$size.pack.tar.zst
    if [ ! "$out.sha256" -nt "$tar" ] || [ ! "$out.sha256" -nt "$bootjack" ]; then
        "$bootjack" pack "$tar" -o "$out" >&2
        told "$out"
    fi
    packed "$dir/$size.blocks.tar.xz" "$tar" xz -$level -T2
    packed "$tar.xz" "$tar" xz -$level -T1
done
