#!/bin/bash
# Packs the root that all peers unpack: Debian and a last file, bench-init; as .tar.gz and .tar.zst.
# usage: tests/bench/archives.sh DIR DEBIAN.tar
# The compressors are the ones everybody has, at their usual levels; what is fetched from DIR is the measurers'.
set -eu

dir=$1 debian=$2
mkdir -p "$dir"
trap 'rm -f "$dir/root.tar"' EXIT

cp --dereference "$debian" "$dir/root.tar"
tar -rf "$dir/root.tar" --owner=0 --group=0 --mtime=@0 --mode=755 -C "$(dirname "$0")" ./bench-init
gzip -6 -n <"$dir/root.tar" >"$dir/root.tar.gz.part"
zstd -q -f -3 "$dir/root.tar" -o "$dir/root.tar.zst.part"
for kind in gz zst; do
    mv "$dir/root.tar.$kind.part" "$dir/root.tar.$kind"
    sha256sum <"$dir/root.tar.$kind" | cut -d ' ' -f 1 >"$dir/root.tar.$kind.sha256"
    echo "$dir/root.tar.$kind: $(stat -c %s "$dir/root.tar.$kind") bytes" >&2
done
