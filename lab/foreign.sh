#!/bin/sh
# Sourced by the scripts that make other people's initrds: a Debian of the fewest packages, with the modules of a kernel
# and what `make install` puts there. The chroot is thrown away; booting with what came of it is the journeys'.

# The suite of this machine, and where apt gets it.
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
site=$(apt-get indextargets --format '$(SITE)' "Codename: $suite" "Created-By: Packages" "Component: main" | head -n 1)
[ -n "$site" ] || { echo "$0: apt knows no source of $suite main" >&2; exit 1; }
proxy=$(apt-config shell p Acquire::http::Proxy | sed -n "s/^p='\(.*\)'$/\1/p")
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

# in_debian PACKAGES MODULES BOOTJACK HOOK...: each HOOK is run with the chroot as its $1 (mmdebstrap(1)).
in_debian() {
    packages=$1 modules=$(realpath "$2"/*) bootjack=$3
    shift 3
    for hook in "$@"; do
        set -- "$@" "--customize-hook=$hook"
        shift
    done
    # -o: the binary that is there is the one that is installed.
    $sudo mmdebstrap --quiet --variant=minbase ${proxy:+--aptopt="Acquire::http::Proxy \"$proxy\""} \
        --aptopt='APT::Install-Recommends "false"' --include="$packages" \
        --customize-hook="make --no-print-directory -o '$bootjack' install BIN='$bootjack' DESTDIR=\"\$1\"" \
        --customize-hook="mkdir -p \"\$1/lib/modules\" && cp -a '$modules' \"\$1/lib/modules/\"" \
        "$@" "$suite" /dev/null "deb $site $suite main" </dev/null >&2
}

# came OUT: it is whole, and ours.
came() {
    [ -z "$sudo" ] || $sudo chown "$(id -u)" "$1.part"
    mv "$1.part" "$1"
    echo "$1: $(stat -c %s "$1") bytes" >&2
}
