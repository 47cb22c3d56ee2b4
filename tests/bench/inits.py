#!/usr/bin/env python3
"""Times boots from the kernel's start to the first line of the new init, with Debian's generic kernel, a small root.

usage: inits.py RUNS LAB WORK
The peers are dracut with a hook that runs `curl | tar`, and live-boot, which boots a squashfs image below an overlay
and unpacks nothing. LAB has the kernel, WORK what run made (initrds, roots/). How a machine is run is machine.py's.
Each round boots every peer once, one after the other; ratios are of boots of the same round. Beside the host's clock
it counts what QEMU computed; waiting is not in it.
"""

import operator
import os
import sys

import machine
import table
import web

# Seconds; dracut takes 40 on a quiet machine.
LIMIT = 400

INIT = [("new init", rb"NEW-INIT-RUNS", b"")]

# Of which initrd, what is on the kernel's command line, and beside whom it may take how much of the time.
CASES = {
    "dracut, `curl \\| tar -xzp` in a hook: .tar.gz": (
        "dracut-generic/initrd",
        "root=bench:{base}/small.tar.gz ip=dhcp rd.neednet=1 init=/bench-init",
        [],
    ),
    "live-boot, `fetch=`: squashfs": (
        "live-boot.initrd",
        "boot=live fetch={base}/small.squashfs init=/bench-init",
        [],
    ),
    "bootjack: .tar.zst": (
        "generic.initrd",
        "root=tmpfs:{base}/small.tar.zst rd.tmpfs.sha256={sha256} init=/bench-init",
        [("dracut", 0.35), ("live-boot", 1.0)],
    ),
    "bootjack: squashfs": (
        "images.initrd",
        "root=tmpfs:{base}/small.squashfs rd.tmpfs.sha256={sha256} init=/bench-init",
        [("live-boot", 0.5)],
    ),
}


def commands(lab, work, base):
    """Name of a case: the command that boots it. Without an initrd that knows images there is none of them."""
    found = {}
    for name, (initrd, append, _) in CASES.items():
        if initrd == "images.initrd" and not os.path.exists(f"{work}/{initrd}"):
            continue
        archive = append.split("{base}/")[1].split()[0]
        with open(f"{work}/roots/{archive}.sha256", encoding="ascii") as file:
            append = append.format(base=base, sha256=file.read().strip())
        found[name] = machine.command(f"{lab}/generic/vmlinuz", f"{work}/{initrd}", append)
    return found


def measure(runs, work, found):
    """For each case the seconds of each round: of the host's clock, and what QEMU computed."""
    times = {name: [] for name in found}
    for round_ in range(1, runs + 1):
        for name, words in found.items():
            log = f"{work}/inits-{list(CASES).index(name)}.log"
            try:
                came = machine.dated(words, [machine.KERNEL_START, *INIT], LIMIT, log, clock=machine.clocks)
            except machine.DidNotBoot as why:
                sys.exit(f"inits.py: {name}: {why}\n{machine.last_lines(log)}\n(all of it: {log})")
            took = tuple(map(operator.sub, came["new init"], came["kernel start"]))
            times[name].append(took)
            print(f"round {round_}: {name}: {took[0]:.1f} s, computed {took[1]:.1f} s", file=sys.stderr)
    return times


def report(work, times):
    """A row a case, and of ours what is allowed."""
    rows = []
    for name, each in times.items():
        initrd, _, allowed = CASES[name]
        passed, computed = zip(*each, strict=True)
        told, busy = [], []
        for peer, most in allowed:
            clock, processor = next(zip(*taken, strict=True) for other, taken in times.items() if other.startswith(peer))
            told.append(f"{table.verdict(table.ratio(passed, clock), most)} of {peer}'s")
            busy.append(f"{table.ratio(computed, processor):.2f}")
        size = f"{os.path.getsize(f'{work}/{initrd}') / 1e6:.1f}"
        rows.append([name, size, table.seconds(passed, 1), "; ".join(told), table.seconds(computed, 1), "; ".join(busy)])
    head = ["", "initrd, MB", "kernel start → new init, s: median (min-max)", "ratio", "computed, s", "ratio"]
    return table.markdown(head, rows)


def main():
    """Serves, measures, prints."""
    runs, lab, work = int(sys.argv[1]), *sys.argv[2:4]
    with web.serving(f"{work}/roots", f"{work}/nginx") as server:
        # Seen from the machine, this host's loopback is 10.0.2.2.
        base = server.base.replace("127.0.0.1", "10.0.2.2")
        found = commands(lab, work, base)
        times = measure(runs, work, found)
    release = os.listdir(f"{lab}/generic/lib/modules")[0]
    print(f"### Kernel start to the new init, generic kernel\n\nOf {release}.\n\n{report(work, times)}\n")
    for name in CASES:
        if name not in found:
            print(f"{name}: not measured. This binary has no drivers for images and boots none.\n")
    print("Commands (nginx is at PORT), a boot each, round robin:\n\n```")
    for name, words in found.items():
        print(f"# {name}\n{machine.shell(words, base)}")
    print("```")


if __name__ == "__main__":
    main()
