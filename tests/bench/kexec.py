#!/usr/bin/env python3
"""Times another kernel: an entry chosen to its init through a kexec, and the least memory that does it.

usage: kexec.py RUNS LAB WORK BOOTJACK
The peer is a busybox initrd with Debian's kexec-tools (kexec/init) that starts dracut's lean initrd. Both carry the
archive through the kexec, or fetch it again after it. LAB has the kernel, WORK what run made (initrds, dracut/, www/).
Each round boots every case once, one after the other; ratios are of boots of the same round. Beside the host's clock
counts what QEMU computed, which says something on a busy host too; waiting is not in it.
"""

import hashlib
import operator
import os
import subprocess
import sys
import threading

import machine
import table

# Two kernels, on a host that is slow today; what takes longer than this hangs.
LIMIT = 240

# Memory is looked for from here to there in these steps, in MiB.
LEAST, MOST, STEP = 192, 672, 16

CATALOG = """version = 1
[[entry]]
id = "bench"
title = "bench-entry"
boot = "kexec"
carry = "{carry}"
kernel = {kernel}
root = {root}
init = "/bench-init"
"""

CHOICE = """way={way} from={base}
words='console=ttyS0 panic=-1 init=/bench-init {root}'
"""

# The second kernel's first line, and the new init's.
SECOND = ("second kernel", rb"Linux version [0-9]", b"")
INIT = ("new init", rb"NEW-INIT-RUNS", b"")

# A failure is for a person, who is not here: each says so in its own words.
GIVES_UP = rb"BENCH-FAILS|benchroot: |Powering off in|Kernel panic|Refusing to continue|Warning: dracut"

WAYS = ("carried", "again")
WHO = {"bootjack": "bootjack", "tools": "kexec-tools, then dracut (lean)"}


class Log:
    """When the server answered what, by its log: read as it is written, each line dated by `clocks`."""

    def __init__(self, stream, kept):
        self.at = {}
        # The machine that runs: none yet.
        self.qemu = None
        self.thread = threading.Thread(target=self.read, args=(stream, kept), daemon=True)
        self.thread.start()

    def read(self, stream, kept):
        """Until the server is gone. A line is `PEER METHOD TARGET STATUS BYTES`."""
        with open(kept, "w", encoding="utf-8") as file:
            for line in stream:
                self.at[line.split()[2]] = machine.clocks(self.qemu)
                file.write(line)

    def clock(self, qemu):
        """As `clocks`; it is this machine that asks the server from now on."""
        self.qemu = qemu
        return machine.clocks(qemu)


def cases(lab, work, base):
    """Name of a case: (initrd, further words of the kernel command line, what is asked for when it is chosen)."""
    write(work, lab, base)
    found = {}
    for way in WAYS:
        words = f"bootjack.catalog={base}/kexec-{way}.toml bootjack.entry=bench"
        words += " bootjack.retry_for=1s bootjack.on_failure=poweroff"
        found["bootjack", way] = (f"{work}/bootjack.initrd", words, f"/kexec-{way}.toml")
        choice = f"/kexec-{way}.choice"
        found["tools", way] = (f"{work}/kexec.initrd", f"bench.choice={base}{choice}", choice)
    return found


def write(work, lab, base):
    """What there is to choose: a catalog for ours, a text for the peer's script, which fetches as much."""
    www = f"{work}/www"
    for name, target in (("vmlinuz", f"{lab}/cloud/vmlinuz"), ("initrd", f"{work}/dracut/initrd-lean")):
        with open(target, "rb") as source, open(f"{www}/{name}", "wb") as file:
            file.write(source.read())
    kernel, root = artifact(www, "vmlinuz"), artifact(www, "root.tar.zst")
    again = f"root=bench:{base}/root.tar.zst ip=dhcp rd.neednet=1"
    for way, carry, where in (("carried", "yes", "root=bench:/root.tar.zst"), ("again", "no", again)):
        with open(f"{www}/kexec-{way}.toml", "w", encoding="utf-8") as file:
            file.write(CATALOG.format(carry=carry, kernel=kernel, root=root))
        with open(f"{www}/kexec-{way}.choice", "w", encoding="utf-8") as file:
            file.write(CHOICE.format(way=way, base=base, root=where))


def artifact(www, name):
    """A file as the catalog has it, with its size: what is known is computed before anything is fetched."""
    path = f"{www}/{name}"
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f'{{ url = "{name}", sha256 = "{digest}", size = {os.path.getsize(path)} }}'


class Bench:
    """The cases, and the machine to boot them in."""

    def __init__(self, lab, work, base, log):
        self.kernel, self.work, self.log = f"{lab}/cloud/vmlinuz", work, log
        self.found = cases(lab, work, base)

    def command(self, case, mib):
        """The command that boots a case."""
        initrd, append, _ = self.found[case]
        return machine.command(self.kernel, initrd, append, mib)

    def kept(self, case):
        """Where what a case says is kept."""
        return f"{self.work}/kexec-{'-'.join(case)}.log"

    def boot(self, case, mib):
        """From the choice to the second kernel's first line, and to the new init: seconds that passed, and seconds that
        were computed. Raises DidNotBoot."""
        chosen = self.found[case][2]
        self.log.at.pop(chosen, None)
        marks = [machine.KERNEL_START, SECOND, INIT]
        words, kept = self.command(case, mib), self.kept(case)
        came = machine.dated(words, marks, LIMIT, kept, GIVES_UP, self.log.clock)
        return {name: tuple(map(operator.sub, came[name], self.log.at[chosen])) for name, _, _ in (SECOND, INIT)}

    def times(self, runs):
        """For each case and mark the seconds of each round."""
        times = {}
        for round_ in range(1, runs + 1):
            for case in self.found:
                try:
                    came = self.boot(case, 2048)
                except machine.DidNotBoot as why:
                    log = self.kept(case)
                    sys.exit(f"kexec.py: {case}: {why}\n{machine.last_lines(log)}\n(all of it: {log})")
                print(f"round {round_}: {case}: {came}", file=sys.stderr)
                for mark, after in came.items():
                    times.setdefault((*case, mark), []).append(after)
        return times

    def least(self, case):
        """The smallest machine that boots a case, in MiB; None if the largest that is tried does not."""
        fails, boots = LEAST - STEP, MOST + STEP
        while boots - fails > STEP:
            mib = (fails + boots) // 2 // STEP * STEP
            try:
                self.boot(case, mib)
                boots, said = mib, "boots"
            except machine.DidNotBoot as why:
                fails, said = mib, str(why)
                os.replace(self.kept(case), f"{self.kept(case)}.fails")
            print(f"{case}: {mib} MiB: {said}", file=sys.stderr)
        return boots if boots <= MOST else None


def in_time(times):
    """An entry chosen to the second kernel's first line, and to the new init."""
    rows = []
    for way in WAYS:
        for who, name in WHO.items():
            cells = [way, name]
            # Passed, then computed.
            for kind in (0, 1):
                jump, init, ours = (
                    [came[kind] for came in times[of, way, mark]]
                    for of, mark in ((who, SECOND[0]), (who, INIT[0]), ("bootjack", INIT[0]))
                )
                cells += [table.seconds(jump, 1), table.seconds(init, 1), f"{table.ratio(init, ours):.2f}"]
            rows.append(cells)
    head = ["chosen → second kernel, s", "chosen → new init, s", "× ours"]
    return table.markdown(["root", "", *head, "computed → second kernel, s", "→ new init, s", "× ours"], rows)


def in_memory(least):
    """The smallest machines."""
    rows = [
        [way, name, f"more than {MOST}" if least[who, way] is None else least[who, way]]
        for way in WAYS
        for who, name in WHO.items()
    ]
    return table.markdown(["root", "", f"smallest machine that boots it, MiB (to {STEP})"], rows)


def main():
    """Serves, measures, prints."""
    runs, lab, work, bootjack = int(sys.argv[1]), *sys.argv[2:5]
    words = [bootjack, "serve", f"{work}/www", "--listen", "127.0.0.1:0"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = Log(server.stderr, f"{work}/kexec-serve.log")
    try:
        # Seen from the machine, this host's loopback is 10.0.2.2.
        base = f"http://10.0.2.2:{server.stdout.readline().strip().rstrip('/').rsplit(':', 1)[1]}"
        bench = Bench(lab, work, base, log)
        times = bench.times(runs)
        print(f"### Another kernel: entry chosen to the new init\n\n{in_time(times)}\n", flush=True)
        least = {case: bench.least(case) for case in bench.found}
    finally:
        server.kill()
        server.wait()
        log.thread.join()
    print(f"### Another kernel: memory\n\n{in_memory(least)}\n")
    print("Commands (PORT is the server's), a boot each, round robin:\n\n```")
    print(" ".join(words))
    for case in bench.found:
        print(f"# {' '.join(case)}\n{machine.shell(bench.command(case, 2048), base)}")
    print("```")


if __name__ == "__main__":
    main()
