#!/bin/bash
# Runs one fuzz target for so many seconds. A finding ends it and lies in fuzz/artifacts/TARGET; what a run learned on its
# way is in fuzz/found/TARGET, and the next one goes on from there. usage: lab/fuzz.sh TARGET SECONDS
# What a target does is fuzz/src/lib.rs'.
set -eu
unset MAKEFLAGS MFLAGS

target=${1:-} seconds=${2:-600}
if [ ! -f "fuzz/fuzz_targets/$target.rs" ]; then
    echo "lab/fuzz.sh: no target '$target'; make fuzz TARGET=name, one of:" >&2
    (cd fuzz/fuzz_targets && echo *.rs | sed 's/\.rs//g') >&2
    exit 2
fi
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "installing cargo-fuzz" >&2
    cargo install cargo-fuzz --locked --quiet
fi
# The versions that are in the program.
[ fuzz/Cargo.lock -nt Cargo.lock ] || cp Cargo.lock fuzz/Cargo.lock
mkdir -p "fuzz/found/$target"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
# Freed memory is kept away from reuse for a while: much of it, where each input takes some MiB.
export ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=64}
# No look for leaks after each input: a scope ends before the thread-locals of its threads are gone, and those are then
# taken for one. What is kept for ever meets rss_limit_mb.
exec cargo +nightly fuzz run "$target" "fuzz/found/$target" "fuzz/corpus/$target" -- \
    "-max_total_time=$seconds" -timeout=20 -detect_leaks=0 -rss_limit_mb=3072 -max_len=65536 -print_final_stats=1
