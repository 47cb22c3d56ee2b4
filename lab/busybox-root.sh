#!/bin/sh
# Packs a root of less than 5 MB whose init prints facts about where it woke up and switches the machine off.
# usage: lab/busybox-root.sh OUT.tar.zst BOOTJACK
# What the facts should be is the journeys' to say; packing is `bootjack pack`'s.
set -eu

out=$1 bootjack=$2
tree=$(mktemp -d "${TMPDIR:-/tmp}/busybox-root.XXXXXX")
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

mkdir -p "$tree/bin" "$tree/sbin" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/run" "$tree/tmp" "$tree/etc"
cp /bin/busybox "$tree/bin/busybox"
for applet in sh cat mount df stat uname grep cut poweroff ls sleep; do ln -s busybox "$tree/bin/$applet"; done
echo "the root that was packed" >"$tree/etc/marker"
# Systemd's initrds switch to no root without it.
echo 'NAME=specimen' >"$tree/etc/os-release"
cat >"$tree/sbin/init" <<'INIT'
#!/bin/sh
# One line a fact; init_args come after the script's name.
fact() { echo "FACT $*"; }
fact pid $$
fact args "$@"
fact kernel "$(uname -r)"
fact cmdline "$(cat /proc/cmdline)"
fact root "$(grep ' / ' /proc/mounts)"
while read -r _ place type _; do fact mounted "$place" "$type"; done </proc/mounts
fact available "$(grep MemAvailable /proc/meminfo)"
fact rootsize "$(df -m / | grep ' /$')"
fact marker "$(cat /etc/marker)"
fact owner "$(stat -c '%u:%g %a' /etc/marker)"
fact modules "$(ls /lib/modules 2>/dev/null)"
fact left "$(ls -a /)"
ls /run/bootjack >/dev/null 2>&1 && fact report "$(ls /run/bootjack)"
[ -e /run/bootjack/report.json ] && fact jobs $(grep -o '"success": [a-z]*' /run/bootjack/report.json)
fact privileges $(grep -e CapEff -e CapBnd -e NoNewPrivs /proc/1/status)
fact modes $(stat -c '%a %n' /run/bootjack /run/bootjack/* 2>/dev/null)
[ -e /etc/stay ] && exec sh
echo "FACT end"
poweroff -f
INIT
chmod 755 "$tree/sbin/init"
chown 1234:5678 "$tree/etc/marker" 2>/dev/null || echo "not root: owners in $out are yours" >&2
chmod 640 "$tree/etc/marker"
"$bootjack" pack "$tree" -o "$out" --level 3 --json >"$out.json"
