#!/bin/bash
# Everything that can be wrong without running: formatting, clippy, documentation, licences and sources, scripts.
# Runs all of it and fails at the end if any failed. What the rules are: rustfmt.toml, deny.toml, Cargo.toml.
set -u

failed=()
check() {
    echo "-- $*" >&2
    "$@" </dev/null || failed+=("$*")
}

lab/need.sh build lint || exit 1
check cargo fmt --check
check cargo clippy --locked --quiet --all-targets -- -D warnings
# The journeys are no default target (see Cargo.toml), and named beside --all-targets they are passed over.
check cargo clippy --locked --quiet --test vm -- -D warnings
check env RUSTDOCFLAGS=-Dwarnings cargo doc --locked --quiet --no-deps
if ! cargo deny --version >/dev/null 2>&1; then
    echo "installing cargo-deny (for the check of licences and sources)" >&2
    check cargo install cargo-deny --locked --quiet
fi
# No advisories: they need a network, and change without the tree changing.
check cargo deny --locked --log-level error check bans licenses sources
for script in lab/*.sh .ci/run $(grep -rlE '^#!/bin/(ba)?sh' tests/bench initrd 2>/dev/null); do
    check shellcheck --severity=warning "$script"
done

[ ${#failed[@]} = 0 ] && exit 0
printf 'lint failed: %s\n' "${failed[@]}" >&2
exit 1
