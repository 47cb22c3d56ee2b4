#!/bin/bash
# Builds the static binary. usage: lab/build.sh OUT PROFILE [TARGET]
# Without TARGET: musl when rustup has or gets it, else gnu with the C library linked in. Its tools are need.sh's.
set -eu
# The jobserver of a calling make is not passed on to recipes like this one; cargo knows the cores itself.
unset MAKEFLAGS MFLAGS

out=$1 profile=$2 target=${3:-}
musl=x86_64-unknown-linux-musl
has_musl() { [ -d "$(rustc --print sysroot)/lib/rustlib/$musl/lib" ]; }

if [ -z "$target" ]; then
    target=$musl
    if ! has_musl && ! { command -v rustup >/dev/null && rustup target add $musl >&2; }; then
        target=x86_64-unknown-linux-gnu
        echo "no $musl here: linking statically against the GNU C library" >&2
    fi
fi

# With --target the flags reach only the binary, not build scripts and macros, which cannot be static.
case $target in
*-gnu) export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" ;;
esac
# No panic unwinds (the profiles abort): tables for it are dead weight.
RUSTFLAGS="${RUSTFLAGS:-} -C force-unwind-tables=no"
# The compiler makes most of them all the same, and the compiled libraries bring theirs along: left out, 580 KB.
# Without them there are no backtraces, and src/sys.rs takes the place of two functions of the unwinder.
case $target in
*-musl)
    RUSTFLAGS="$RUSTFLAGS -C link-arg=-Wl,--no-eh-frame-hdr -C link-arg=-Wl,-T,lab/no-unwinding.ld"
    RUSTFLAGS="$RUSTFLAGS --cfg no_unwinding -C link-arg=-Wl,-z,muldefs"
    ;;
esac
# Relocations packed: 230 KB less. musl undoes that at the start since 1.2.4, which Rust brings since 1.93.
minor=$(rustc --version | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
case $target in
*-musl) [ "${minor:-0}" -lt 93 ] || RUSTFLAGS="$RUSTFLAGS -C link-arg=-Wl,-z,pack-relative-relocs" ;;
esac
# Messages of panics name files: without where cargo keeps them here (the second is its name for crates.io), 31 KB less.
case $HOME${CARGO_HOME:-} in
*[[:space:]]*) ;;
*)
    sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
    RUSTFLAGS="$RUSTFLAGS --remap-path-prefix=$sources= --remap-path-prefix=$sources/index.crates.io-1949cf8c6b5b557f="
    ;;
esac
export RUSTFLAGS
cargo build --locked --profile "$profile" --target "$target" --bin bootjack
mkdir -p "$(dirname "$out")"
cp "${CARGO_TARGET_DIR:-target}/$target/$profile/bootjack" "$out.part"
mv "$out.part" "$out"
