#!/bin/bash
# Runs floors of tests one after the other, goes on after failures and ends with one line: N passed, N failed.
# usage: lab/test.sh unit|loopback|vm...     JOURNEY=name: only these of the third floor
# A floor that could not be built or run counts as one failure. What is tested is cargo's and the tests'.
set -u
# The makes and cargos below are their own, not parts of the make that may have called.
unset MAKEFLAGS MFLAGS MAKELEVEL

log=$(mktemp "${TMPDIR:-/tmp}/bootjack-test.XXXXXX")
trap 'rm -f "$log"' EXIT
broken=0

floor() {
    echo "== $1" >&2
    shift
    local before after
    before=$(grep -c '^test result: FAILED' "$log")
    "$@" </dev/null 2>&1 | tee -a "$log"
    local status=${PIPESTATUS[0]}
    after=$(grep -c '^test result: FAILED' "$log")
    # A failure that no result line tells of: it did not build, or died.
    if [ "$status" != 0 ] && [ "$before" = "$after" ]; then broken=$((broken + 1)); fi
}

# How many machines at once: one a core, four at most.
machines() { local cores; cores=$(nproc) && echo $((cores < 4 ? cores : 4)); }

for name in "$@"; do
    case $name in
    unit) floor unit eval 'lab/need.sh build && cargo test --locked --no-fail-fast --lib --bins --test layers' ;;
    loopback) floor loopback eval 'lab/need.sh build loopback && make build && cargo test --locked --test integration' ;;
    vm) floor vm eval 'make lab-journeys && cargo test --locked --test vm -- --test-threads=$(machines) ${JOURNEY:-}' ;;
    *) echo "lab/test.sh: unknown floor $name" >&2 && exit 2 ;;
    esac
done

# test result: ok. 12 passed; 0 failed; 0 ignored; …
passed=$(sed -n 's/^test result: [^ ]* \([0-9]*\) passed.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
failed=$(sed -n 's/^test result: .* \([0-9]*\) failed;.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
failed=$((failed + broken))
grep -E '^test .* \.\.\. FAILED$' "$log" >&2
[ "$broken" = 0 ] || echo "floors that could not be built or run: $broken" >&2
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
