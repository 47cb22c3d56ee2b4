#!/bin/bash
# Packs an initrd that starts another kernel the way a script does it: the bare one and Debian's kexec-tools.
# usage: tests/bench/kexec-initrd.sh OUT MODULES CHROOT.tar    (CHROOT.tar: dracut-initrd.sh's; needs root)
# What it does in the machine is kexec/init's; timing it is kexec.py's.
set -eu

out=$1 modules=$2 chroot=$3
here=$(dirname "$0")
work=$(mktemp -d "${TMPDIR:-/tmp}/kexec-initrd.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{root,over}
tar -xpf "$chroot" -C "$work/root" --numeric-owner

# The program and its libraries, where the loader looks for them.
chroot "$work/root" ldd /sbin/kexec | grep -o '/[^ ]*' >"$work/libraries"
grep -q libc "$work/libraries" || { echo "$0: no libraries of kexec in $chroot" >&2; exit 1; }
while read -r file; do
    install -D "$(realpath "$work/root/$file")" "$work/over/$file"
done < <(echo /sbin/kexec && cat "$work/libraries")
install -m 755 "$here/kexec/init" "$work/over/init"
"$here/bare-initrd.sh" "$out" "$modules" "$work/over"
