#!/bin/sh
# Sourced by dracut: root=bench:URL is a root that needs the network; netroot then runs `benchroot`. root=bench:/PATH
# needs none.
# shellcheck disable=SC2034,SC2154 # dracut's variables
[ -n "$root" ] || root=$(getarg root=)
case $root in
bench:/*) rootok=1 ;;
bench:*)
    netroot=$root
    root=bench
    rootok=1
    echo '[ -e /run/bench-root ]' >"$hookdir/initqueue/finished/bench-root.sh"
    ;;
esac
