#!/bin/sh
# Makes a small but real Debian root as a tar: systemd, udev, a login prompt on the serial line, root without password.
# usage: lab/debian-root.sh OUT.tar
# Packing it is `bootjack pack`'s; the packages come from the sources this machine has.
set -eu

out=$1
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
site=$(apt-get indextargets --format '$(SITE)' "Codename: $suite" "Created-By: Packages" "Component: main" | head -n 1)
[ -n "$site" ] || { echo "lab/debian-root.sh: apt knows no source of $suite main" >&2; exit 1; }
proxy=$(apt-config shell p Acquire::http::Proxy | sed -n "s/^p='\(.*\)'$/\1/p")

# Device nodes and capabilities need root, or what stands for it.
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
trap 'rm -f "$out.part.tar"' EXIT

# Of each kind of attribute one specimen of our own below /srv/specimens, to be found again in the booted system.
$sudo mmdebstrap --quiet --variant=minbase ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
    --include=systemd-sysv,udev,dbus,iproute2,kmod,procps,login,libcap2-bin \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='chroot "$1" passwd -q -d root' \
    --customize-hook='echo demo > "$1/etc/hostname"; : > "$1/etc/machine-id"; rm -f "$1/etc/resolv.conf"' \
    --customize-hook='mkdir "$1/srv/specimens" && cd "$1/srv/specimens" && cp ../../bin/true capable \
        && chroot "$1" setcap cap_net_raw+ep /srv/specimens/capable && echo owned > owned && chown 1234:5678 owned \
        && chmod 4750 owned && mknod node c 1 7 && ln owned hardlink && mkfifo fifo' \
    "$suite" "$out.part.tar" "deb $site $suite main" </dev/null >&2
[ -z "$sudo" ] || $sudo chown "$(id -u)" "$out.part.tar"
mv "$out.part.tar" "$out"
echo "$out: Debian $suite, $(($(stat -c %s "$out") / 1048576)) MiB" >&2
