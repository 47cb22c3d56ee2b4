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
FOREIGN := $(shell find initrd/dracut initrd/initramfs-tools -type f)
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

# Where distributions look for what is installed; PREFIX=/usr/local hides it from dracut and initramfs-tools.
PREFIX ?= /usr
SBIN := $(DESTDIR)$(PREFIX)/sbin
DRACUT := $(DESTDIR)$(PREFIX)/lib/dracut/modules.d/90bootjack
TOOLS := $(DESTDIR)$(PREFIX)/share/initramfs-tools
DOC := $(DESTDIR)$(PREFIX)/share/doc/bootjack
MAN := $(DESTDIR)$(PREFIX)/share/man/man8
BASH := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
FISH := $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
# Debian's zsh looks for what packages bring in a place of its own.
ZSH := $(DESTDIR)$(PREFIX)/share/zsh/$(if $(wildcard /etc/debian_version),vendor-completions,site-functions)
PAGES := $(notdir $(wildcard docs/man/*.8))

install: $(BIN) ## the binary, man pages, completions, dracut's module, initramfs-tools' hook and scripts, documentation (DESTDIR, PREFIX=/usr)
	install -D -m 755 -t $(SBIN) $(BIN)
	install -D -m 755 -t $(DRACUT) initrd/dracut/90bootjack/*
	install -D -m 755 -t $(TOOLS)/hooks initrd/initramfs-tools/hooks/bootjack
	install -D -m 755 -t $(TOOLS)/scripts/init-premount initrd/initramfs-tools/scripts/init-premount/bootjack
	install -D -m 644 -t $(TOOLS)/scripts initrd/initramfs-tools/scripts/bootjack
	install -D -m 644 -t $(DOC) docs/*.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT
	install -D -m 644 -t $(DOC)/screens docs/screens/*
	install -D -m 644 -t $(DOC)/menus menus/*
	install -D -m 644 -t $(MAN) docs/man/*.8
	install -D -m 644 docs/completions/bootjack.bash $(BASH)/bootjack
	install -D -m 644 -t $(FISH) docs/completions/bootjack.fish
	install -D -m 644 -t $(ZSH) docs/completions/_bootjack

uninstall: ## takes away what `make install` put there
	rm -rf $(DRACUT) $(DOC)
	rm -f $(SBIN)/bootjack $(TOOLS)/hooks/bootjack $(TOOLS)/scripts/init-premount/bootjack $(TOOLS)/scripts/bootjack
	rm -f $(addprefix $(MAN)/,$(PAGES)) $(BASH)/bootjack $(FISH)/bootjack.fish $(ZSH)/_bootjack

# What the virtual machines need.
lab-vm: $(BIN) $(LAB)/cloud/vmlinuz $(LAB)/generic/vmlinuz
	@lab/need.sh vm
lab-journeys: lab-vm $(LAB)/debian.tar.zst $(LAB)/busybox.tar.zst $(LAB)/bootjack-gnu \
	$(LAB)/initramfs-tools $(LAB)/dracut

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

# Other people's initrds, with bootjack in them as `make install` puts it there, so they are made anew with it.
# $(LAB)/dracut-systemd comes with the second.
$(LAB)/initramfs-tools: lab/initramfs-tools.sh lab/foreign.sh $(FOREIGN) $(LAB)/generic/vmlinuz $(BIN)
	lab/need.sh root
	lab/initramfs-tools.sh $@ $(LAB)/generic/lib/modules $(BIN)
$(LAB)/dracut: lab/dracut.sh lab/foreign.sh $(FOREIGN) $(LAB)/cloud/vmlinuz $(BIN)
	lab/need.sh root
	lab/dracut.sh $@ $(LAB)/cloud/lib/modules $(BIN)

# The other way to link statically is booted once too.
$(LAB)/bootjack-gnu: $(SOURCES)
	@mkdir -p $(@D)
	lab/build.sh $@ quick x86_64-unknown-linux-gnu

screens: ## pictures of all screens, and the recording of a boot, from real machines into docs/screens
	@JOURNEY="screens pxe_rom_to_login framebuffer a_password" lab/test.sh vm
	@mkdir -p docs/screens && cp target/screens/*.svg target/screens/*.png docs/screens && ls -l docs/screens

bench: $(BIN) $(LAB)/cloud/vmlinuz $(LAB)/generic/vmlinuz $(LAB)/debian.tar ## measures what docs/performance.md says (BENCH_RUNS=n rounds)
	@lab/need.sh vm bench
	tests/bench/run

# Not one of CI's: it takes as long as it is given. Versions are those of the program.
SECONDS := 600
fuzz: ## feeds a parser with what nobody thought of (TARGET=tar, see fuzz/fuzz_targets; SECONDS=600)
	@lab/need.sh build fuzz
	lab/fuzz.sh $(TARGET) $(SECONDS)

clean: ## removes everything made
	rm -rf target

.PHONY: help build install uninstall test test-unit test-loopback test-vm lint demo lab-vm lab-journeys screens bench fuzz clean
.DELETE_ON_ERROR:
