#!/bin/sh
# Installs the Debian packages a group of make targets needs, and says what and why; silent when all are there.
# usage: lab/need.sh build|lint|loopback|vm|root|bench|fuzz...
# What is made with them is the Makefile's and the other scripts'.
set -eu

# Those that make the file systems bootjack reads from.
makers="e2fsprogs xfsprogs btrfs-progs dosfstools mtools exfatprogs xorriso squashfs-tools gdisk"

packages() {
    case $1 in
    build) echo "a C compiler for the static binary: gcc libc6-dev musl-tools" ;;
    lint) echo "a check of the shell scripts: shellcheck" ;;
    loopback)
        peers="cpio kmod tar libarchive-tools gzip bzip2 zstd xz-utils pixz lz4 busybox-static curl minisign"
        servers="python3-pyftpdlib atftpd tinyproxy-bin"
        more="erofs-utils f2fs-tools fdisk lvm2 mdadm cryptsetup-bin attr acl libcap2-bin iproute2 util-linux"
        shells="groff-base zsh fish dropbear-bin openssh-client"
        echo "peers to compare with in tests: $peers $more $makers $servers $shells"
        ;;
    vm)
        servers="python3-pyftpdlib nfs-ganesha nfs-ganesha-vfs rpcbind iproute2 lvm2 mdadm cryptsetup-bin erofs-utils"
        daemon=$(virtiofsd) ssh="dropbear-bin openssh-client"
        echo "machines to boot: qemu-system-x86 ipxe-qemu ovmf busybox-static kmod cpio zstd xz-utils minisign $makers $servers $daemon $ssh"
        ;;
    fuzz) echo "libFuzzer, which is C++: g++" ;;
    root) echo "a Debian root to boot into: mmdebstrap" ;;
    bench)
        pipes="curl zstd gzip isal xz-utils tar cpio nginx-light strace"
        echo "peers to measure against: mmdebstrap $pipes time python3 e2fsprogs nfs-ganesha nfs-ganesha-vfs"
        ;;
    *) echo "lab/need.sh: unknown group $1" >&2 && exit 2 ;;
    esac
}

# A part of QEMU up to Debian's bookworm, later a package of its own.
virtiofsd() {
    if apt-cache show virtiofsd >/dev/null 2>&1; then echo virtiofsd; fi
}

present() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'; }

# look GROUP...: what is missing of them, and what for.
look() {
    missing='' what_for=''
    for group in "$@"; do
        line=$(packages "$group")
        here=
        for package in ${line#*: }; do
            case " $missing " in *" $package "*) continue ;; esac
            present "$package" || here="$here $package"
        done
        [ -z "$here" ] || what_for="$what_for${what_for:+; }installing$here (for ${line%%:*})"
        missing="$missing$here"
    done
}

look "$@"
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "lab/need.sh: as root, please run: apt-get install$missing" >&2; exit 1; }
    sudo=sudo
fi
# make -j may ask for two groups at once, apt-get waits for nobody.
mkdir -p target
exec 9>target/apt.lock
flock 9
# shellcheck disable=SC2086
{
    $sudo apt-get update -qq
    # What there is to install is known now.
    look "$@"
    echo "$what_for"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
} </dev/null >&2
