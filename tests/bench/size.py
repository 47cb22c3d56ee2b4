#!/usr/bin/env python3
"""Compares sizes of initrds that hold the same network drivers of the same kernel, all compressed by zstd.

usage: size.py DRIVERS OURS OURS-WITHOUT-SHELL DRACUT DRACUT-LEAN
DRIVERS names our modules, one a line; each dracut initrd has a list of its files beside it, INITRD.list. A dracut
initrd that lacks one of them is no peer: that ends it.
"""

import os
import re
import sys

import table

AIM = 1 / 3


def main():
    """Checks and prints."""
    drivers, ours, bare, *theirs = sys.argv[1:]
    with open(drivers, encoding="ascii") as file:
        wanted = set(file.read().split())
    for initrd in theirs:
        with open(f"{initrd}.list", encoding="utf-8") as file:
            missing = wanted - set(re.findall(r"([^/\s]+)\.ko", file.read()))
        if missing or not wanted:
            sys.exit(f"size.py: {initrd} has not all of our {len(wanted)} drivers: {sorted(missing)}")

    what = {
        ours: "bootjack, with busybox as its shell",
        bare: "bootjack, without a shell",
        theirs[0]: "dracut, as it comes",
        theirs[1]: "dracut, only what this needs",
    }
    size = {initrd: os.path.getsize(initrd) for initrd in what}
    rows = []
    for initrd in what:
        ratios = ["", ""]
        if initrd not in theirs:
            ratios = [table.verdict(size[initrd] / size[peer], AIM) for peer in theirs]
        rows.append([what[initrd], f"{size[initrd] / 1e6:.2f}", *ratios])
    head = ["initrd", "MB", "ratio to dracut as it comes", "ratio to the lean dracut"]
    print(f"### Size of the initrd\n\nEach holds our {len(wanted)} modules for networks.\n")
    print(table.markdown(head, rows))


if __name__ == "__main__":
    main()
