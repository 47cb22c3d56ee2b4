#!/bin/sh
# Sourced by dracut, pre-mount hook 50: network and devices are there, and whoever mounts a root finds one that is mounted:
# the mount hooks, which would try again and again, and the sysroot.mount that systemd makes of root=tmpfs:…, which could
# only fail. A failure is the end: dracut's die, never half a root.
# shellcheck disable=SC2154 # dracut's variables

bootjack_has_release() {
    for bootjack_file in etc/os-release usr/lib/os-release; do
        if [ -e "$NEWROOT/$bootjack_file" ] || [ -h "$NEWROOT/$bootjack_file" ]; then return 0; fi
    done
    return 1
}

if [ "$root" = bootjack ]; then
    # Without its device nobody can ask the kernel for it; for an image.
    modprobe -q loop || :
    getcmdline | bootjack unpack --cmdline=/proc/self/fd/0 "$NEWROOT" >&2 ||
        die "bootjack: the root could not be unpacked, as said above"
    # switch-root of systemd's refuses it later, in words that help less (systemctl(1)).
    if [ -n "$DRACUT_SYSTEMD" ] && ! bootjack_has_release; then
        die "bootjack: the root has no /etc/os-release: a systemd initrd does not switch to it"
    fi
fi
