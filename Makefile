# bootjack: building, testing and showing it. `make help` lists what there is; everything made lies below target/.
# How each thing is made is in lab/; what a test promises is in its name.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash

# Where cargo leaves things; the static binary always comes to target/bootjack.
CARGO_TARGET_DIR ?= $(CURDIR)/target
PROFILE ?= release
export CARGO_TARGET_DIR PROFILE TARGET JOURNEY
LAB := target/lab
BIN := target/bootjack
SOURCES := Cargo.toml Cargo.lock build.rs $(shell find src initrd -type f)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

build: $(BIN) ## the static binary, target/bootjack (PROFILE=quick: faster to make; TARGET=triple chooses)
$(BIN): $(SOURCES) $(LAB)/profile-$(PROFILE)-$(TARGET)
	lab/need.sh build
	lab/build.sh $@ $(PROFILE) $(TARGET)

# Another profile or target is another binary.
$(LAB)/profile-$(PROFILE)-$(TARGET):
	@mkdir -p $(LAB) && rm -f $(LAB)/profile-* && touch $@

test: ## everything it needs, then all three floors; ends with `N passed, N failed`
	@lab/test.sh unit loopback vm

test-unit: ## the first floor: pure functions, at the foot of each file
	@lab/test.sh unit

test-loopback: ## the second floor: the real binary on loopback, temporary directories and ptys
	@lab/test.sh loopback

test-vm: ## the third floor: journeys in QEMU (JOURNEY=name for some of them)
	@lab/test.sh vm

lint: ## formatting, clippy, documentation, licences and sources, shell scripts
	lab/lint.sh

demo: $(LAB)/cloud/vmlinuz $(LAB)/generic/vmlinuz $(LAB)/debian.tar.zst $(LAB)/initrd ## a machine boots from its PXE ROM to a Debian in memory, in this terminal
	@lab/need.sh vm
	lab/demo.sh $(LAB) $(BIN)

# What the virtual machines need.
lab-vm: $(BIN) $(LAB)/cloud/vmlinuz $(LAB)/generic/vmlinuz
	@lab/need.sh vm
lab-journeys: lab-vm $(LAB)/debian.tar.zst $(LAB)/busybox.tar.zst $(LAB)/bootjack-gnu \
	$(LAB)/initramfs-tools

$(LAB)/%/vmlinuz: lab/kernel.sh
	lab/need.sh vm
	lab/kernel.sh $* $(@D)
	@touch $@

# The demo's: what the cloud kernel needs for the network, and a shell.
$(LAB)/initrd: $(BIN) $(LAB)/cloud/vmlinuz
	$(BIN) initrd -o $@ --kernel $(LAB)/cloud/vmlinuz --modules $(LAB)/cloud/lib/modules/* --drivers net --busybox

$(LAB)/debian.tar: lab/debian-root.sh
	@mkdir -p $(@D)
	lab/need.sh root
	lab/debian-root.sh $@

$(LAB)/debian.tar.zst: $(LAB)/debian.tar $(BIN)
	$(BIN) pack $< -o $@ --level 3 --json > $@.json

$(LAB)/busybox.tar.zst: lab/busybox-root.sh $(BIN)
	@mkdir -p $(@D)
	lab/need.sh vm
	lab/busybox-root.sh $@ $(BIN)

# Somebody else's initrd, with bootjack in it.
$(LAB)/initramfs-tools: lab/initramfs-tools.sh $(shell find initrd/initramfs-tools -type f) $(LAB)/generic/vmlinuz | $(BIN)
	lab/need.sh root
	lab/initramfs-tools.sh $@ $(LAB)/generic/lib/modules $(BIN)

# The other way to link statically is booted once too.
$(LAB)/bootjack-gnu: $(SOURCES)
	@mkdir -p $(@D)
	lab/build.sh $@ quick x86_64-unknown-linux-gnu

screens: ## captures of the screens at 80x24 and 200x60 into target/screens
	@JOURNEY=screens lab/test.sh vm
	@ls target/screens

bench: $(BIN) $(LAB)/cloud/vmlinuz $(LAB)/debian.tar ## measures what docs/performance.md says (BENCH_RUNS=n rounds)
	@lab/need.sh vm bench
	tests/bench/run

clean: ## removes everything made
	rm -rf target

.PHONY: help build test test-unit test-loopback test-vm lint demo lab-vm lab-journeys screens bench clean
.DELETE_ON_ERROR:
