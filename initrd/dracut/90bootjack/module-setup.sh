#!/bin/bash
# Puts bootjack into an initrd of dracut, so that root=tmpfs:…, rd.container.rootfs= and boot=ramdisk ramroot= boot:
# docs/foreign.md. With other roots nothing is changed.
# These functions are called by dracut.
# shellcheck disable=SC2154 # moddir is dracut's

# Only when asked for: `dracut --add bootjack`.
check() {
    require_binaries bootjack || return 1
    return 255
}

# With systemd and without NetworkManager `network` chooses systemd-networkd, which dracut 059 never waits for; unless it has
# chosen already, this is heard first.
depends() {
    local generator
    for generator in /usr/libexec /usr/lib /usr/lib/NetworkManager; do
        [ -x "${dracutsysrootdir-}$generator/nm-initrd-generator" ] && echo network && return 0
    done
    if require_binaries dhclient pgrep arping; then
        echo network-legacy network
    else
        dwarn "bootjack: the initrd will have no network: that needs dhclient, pgrep and arping, or NetworkManager"
    fi
    return 0
}

# Whatever this machine's own disks need, an image may lie on others and come over any card.
installkernel() {
    hostonly='' instmods ext4 xfs btrfs f2fs vfat exfat isofs squashfs erofs loop overlay nfs nfsv3 nfsv4 \
        nls_cp437 nls_ascii nls_iso8859-1 nls_utf8
}

install() {
    inst_simple "$(find_binary bootjack)" /usr/sbin/bootjack
    inst_hook cmdline 30 "$moddir/parse-bootjack.sh"
    inst_hook pre-mount 50 "$moddir/unpack-bootjack.sh"
    if dracut_module_included systemd-networkd && ! dracut_module_included network-legacy; then
        dwarn "bootjack: the network will not come up: dracut --add 'network-legacy bootjack'"
    fi
    local pem
    for pem in "${dracutsysrootdir-}"/etc/bootjack/ca/*.pem; do
        [ ! -e "$pem" ] || inst_simple "$pem"
    done
}
