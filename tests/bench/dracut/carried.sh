#!/bin/sh
# Sourced by dracut when it is time to mount the root: the archive that came in the initrd.
# shellcheck disable=SC2154 # dracut's variables
case $root in
bench:/*) ismounted "$NEWROOT" || /sbin/benchroot none "$root" "$NEWROOT" ;;
esac
