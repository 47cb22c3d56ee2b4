#!/usr/bin/env python3
"""Times boots: kernel start to the menu, and an entry chosen to its init, against a bare busybox and dracut.

usage: boots.py RUNS LAB WORK BOOTJACK
LAB has the kernel, WORK what run made (initrds, dracut/, www/). How a machine is run is machine.py's.
Each round boots every peer once, one after the other; ratios are of boots of the same round.
"""

import subprocess
import sys

import machine
import table

# A boot takes seconds, dracut's a minute on a slow host; what takes longer than this hangs.
LIMIT = 180

CATALOG = """version = 1
[[entry]]
id = "bench"
title = "bench-entry"
boot = "switch-root"
init = "/bench-init"
root = {{ url = "{url}", sha256 = "{sha256}" }}
"""

# The first frame is there when its title line and, last, its line of keys are.
MENU = rb"(?s)bench-entry.*help"
INIT = ("new init", rb"NEW-INIT-RUNS", b"")


def cases(work, base):
    """Name of a case: (initrd, further words of the kernel command line, marks)."""
    ours, dracut = f"{work}/bootjack.initrd", f"{work}/dracut/initrd"
    enter = [("menu", MENU, b"\r"), INIT]
    hook = [("network", rb"NETWORK-HOOK-RUNS", b""), ("root", rb"ROOT-IS-READY", b""), INIT]
    found = {
        "bare": (f"{work}/bare.initrd", "", [("lease", rb"LEASE-IS-THERE", b"")]),
        "builtin": (ours, "", [("menu", MENU, b"")]),
    }
    for kind in ("zst", "gz"):
        url = f"{base}/root.tar.{kind}"
        sha256 = f"rd.tmpfs.sha256={digest(work, kind)}"
        found[f"menu {kind}"] = (ours, f"bootjack.catalog={base}/{kind}.toml", enter)
        found[f"straight {kind}"] = (ours, f"root=tmpfs:{url} {sha256} init=/bench-init", [INIT])
        found[f"dracut {kind}"] = (dracut, f"root=bench:{url} ip=dhcp rd.neednet=1 init=/bench-init", hook)
        found[f"lean {kind}"] = (f"{dracut}-lean", found[f"dracut {kind}"][1], hook)
    return found


def digest(work, kind):
    """The SHA-256 of the archive of this kind."""
    with open(f"{work}/www/root.tar.{kind}.sha256", encoding="ascii") as file:
        return file.read().strip()


def measure(runs, lab, work, found):
    """For each case and mark the seconds of each round."""
    times = {}
    for round_ in range(1, runs + 1):
        for name, (initrd, append, marks) in found.items():
            log = f"{work}/{name.replace(' ', '-')}.log"
            words = machine.command(f"{lab}/cloud/vmlinuz", initrd, append)
            try:
                came = machine.boot(words, marks, LIMIT, log)
            except machine.DidNotBoot as why:
                sys.exit(f"boots.py: {name}: {why}\n{machine.last_lines(log)}\n(all of it: {log})")
            print(f"round {round_}: {name}: {came}", file=sys.stderr)
            for mark, after in came.items():
                times.setdefault((name, mark), []).append(after)
    return times


def to_the_menu(times):
    """Kernel start to the first frame."""
    bare = times["bare", "lease"]
    rows = [
        ["bare busybox initrd: lease", table.seconds(bare), "1.00"],
    ]
    # With either archive the same boot up to here: the catalog names it, nothing more.
    fetched = times["menu zst", "menu"]
    for what, case in [("built in", times["builtin", "menu"]), ("fetched by HTTP", fetched)]:
        told = table.verdict(table.ratio(case, bare), 1.5)
        rows.append([f"bootjack, catalog {what}: first menu frame", table.seconds(case), told])
    for what in ("dracut", "lean"):
        case = times[f"{what} zst", "network"]
        rows.append([f"{PEER[what]}: network hook runs", table.seconds(case), f"{table.ratio(case, bare):.2f}"])
    return table.markdown(["kernel start →", "s: median (min-max)", "ratio to the bare one"], rows)


PEER = {"dracut": "dracut, as it comes", "lean": "dracut, only what this needs"}


def to_the_init(times):
    """An entry chosen, or a network there, to the first line of the new init; and all of it."""
    rows = []
    for kind in ("zst", "gz"):
        chosen = since(times, f"menu {kind}", "menu")
        straight = times[f"straight {kind}", "new init"]
        rows.append([kind, "bootjack", table.seconds(chosen), "1.00", table.seconds(straight), "1.00"])
        for what in ("dracut", "lean"):
            name = f"{what} {kind}"
            hook, whole = since(times, name, "network"), times[name, "new init"]
            ratios = [f"{table.ratio(theirs, ours):.2f}" for theirs, ours in ((hook, chosen), (whole, straight))]
            rows.append([kind, PEER[what], table.seconds(hook), ratios[0], table.seconds(whole), ratios[1]])
    chosen, whole = "chosen, or hook runs → new init, s", "kernel start → new init, nobody asked, s"
    return table.markdown(["archive", "", chosen, "× ours", whole, "× ours"], rows)


def since(times, name, mark):
    """From a mark to the new init, round by round."""
    return [init - there for init, there in zip(times[name, "new init"], times[name, mark], strict=True)]


def main():
    """Serves, measures, prints."""
    runs, lab, work, bootjack = int(sys.argv[1]), *sys.argv[2:5]
    for kind in ("zst", "gz"):
        with open(f"{work}/www/{kind}.toml", "w", encoding="utf-8") as file:
            file.write(CATALOG.format(url=f"root.tar.{kind}", sha256=digest(work, kind)))
    with open(f"{work}/serve.log", "w", encoding="utf-8") as log:
        words = [bootjack, "serve", f"{work}/www", "--listen", "127.0.0.1:0"]
        server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        # Seen from the machine, this host's loopback is 10.0.2.2.
        base = f"http://10.0.2.2:{server.stdout.readline().strip().rstrip('/').rsplit(':', 1)[1]}"
        found = cases(work, base)
        times = measure(runs, lab, work, found)
    finally:
        server.kill()
        server.wait()
    print(f"### Kernel start to the menu\n\n{to_the_menu(times)}\n")
    print(f"### Entry chosen to the new init\n\n{to_the_init(times)}\n")
    print("Commands (PORT is the server's), a boot each, round robin:\n\n```")
    print(" ".join(words))
    for name, (initrd, append, _) in found.items():
        print(f"# {name}\n{machine.shell(machine.command(f'{lab}/cloud/vmlinuz', initrd, append), base)}")
    print("```")


if __name__ == "__main__":
    main()
