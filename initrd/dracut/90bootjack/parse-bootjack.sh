#!/bin/sh
# Sourced by dracut, cmdline hook 30: before its own readers of the network's words (from 91) and of root= (95).
# Whose the root is, is said by bootjack; if it is not ours nothing is changed.
# shellcheck disable=SC2034,SC2154 # dracut's variables, and BOOTJACK_* from bootjack

command -v getcmdline >/dev/null || . /lib/dracut-lib.sh

bootjack_facts=$(getcmdline | bootjack unpack --cmdline=/proc/self/fd/0 --ask)
case $? in
0)
    eval "$bootjack_facts"
    # No device's name: whoever waits for the root's device, waits for ours alone.
    root=bootjack
    rootok=1
    if [ "$BOOTJACK_NETWORK" != no ]; then
        mkdir -p /etc/cmdline.d
        {
            # Another mirror may do without: then nobody waits for it.
            [ "$BOOTJACK_NETWORK" = maybe ] || echo rd.neednet=1
            getarg ip= >/dev/null || echo ip=dhcp
        } >/etc/cmdline.d/30-bootjack.conf
    fi
    if [ -n "$BOOTJACK_DEVICES" ]; then
        # Run again and again while udev, LVM and others work: over when there is one.
        {
            for bootjack_device in $BOOTJACK_DEVICES; do printf "[ -e '%s' ] || " "$bootjack_device"; done
            echo false
        } >"$hookdir/initqueue/finished/bootjack.sh"
        echo "warn 'bootjack: there is no $BOOTJACK_DEVICES'" >"$hookdir/emergency/80-bootjack.sh"
    fi
    ;;
1) die "bootjack: the root that the kernel command line asks for is refused, as said above" ;;
# Not ours; or bootjack itself is broken, and then every other root has to boot all the same.
*) ;;
esac
unset bootjack_facts
