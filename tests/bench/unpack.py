#!/usr/bin/env python3
"""Measures `bootjack unpack` on this host against the pipelines people use: time, one core, memory, system calls.

usage: unpack.py RUNS WORK BOOTJACK     (needs root: owners, device nodes, mounts, a memory cgroup)
WORK/roots is what roots.sh makes. The environment chooses: BENCH_ONLY (formats: tar gz zst zst-pack zst-chunks xz-blocks xz-one),
BENCH_SIZE (small big), BENCH_PARTS (time one-core memory calls); BENCH_HUGE is the tmpfs's huge=.
What is measured, and how, is kinds.py's, rounds.py's, memory.py's and calls.py's.
"""

import os
import statistics
import sys

import calls
import kinds
import memory
import rounds
import table
import web

SIZES = ("small", "big")
PARTS = ("time", "one-core", "memory", "calls")

# MiB: what our process may have of its own beyond the decoder's window; with threads that decode blocks of xz; how much
# more than `curl | tar` everything may need; and by how much a root forty times larger may change the first.
OWN, OWN_XZ, MORE, GROWTH = 48, 160, 16, 4

# Of memory there are this many rounds: it hardly varies.
MEMORY_RUNS = 3

# Which of the verdicts were missed, and how many there were.
missed, held = [], []


def verdict(name, value, most, digits=2):
    """A value, what is allowed, and whether it holds; kept for the end."""
    (held if value <= most else missed).append(name)
    return table.verdict(value, most, digits)


def timed(taken, part, most):
    """A row a case; `most` says what is allowed beside which peer of a format."""
    rows = []
    for (size, kind, who), runs in taken.items():
        wall, cpu = [run.wall for run in runs], [run.cpu for run in runs]
        told = "1.00" if who == next(iter(kinds.KINDS[kind].theirs)) else ""
        shares = "1.00" if told else ""
        if who == kinds.OURS:
            told, shares = [], []
            for peer in kinds.KINDS[kind].theirs:
                beside = taken[size, kind, peer]
                ratio = table.ratio(wall, [run.wall for run in beside])
                name = f"{part}: {size} {kinds.TITLES[kind]} beside {peer}"
                told.append(verdict(name, ratio, most(kind, peer)))
                shares.append(f"{table.ratio(cpu, [run.cpu for run in beside]):.2f}")
            told, shares = "; ".join(told), "; ".join(shares)
        limit = f"{kinds.KINDS[kind].limit:.2f}" if who == kinds.OURS and part == "time" else ""
        rows.append([size, kinds.TITLES[kind], who, table.seconds(wall), told, limit, table.seconds(cpu), shares])
    head = ["root", "archive", "", "wall s: median (min-max)", "ratio", "limit", "CPU s: median (min-max)", "ratio"]
    return table.markdown(head, rows)


def disturbed(taken):
    """How quiet it was, in words."""
    shares = [run.others for runs in taken.values() for run in runs]
    many = sum(share > rounds.DISTURBED for share in shares)
    return (
        f"In {many} of {len(shares)} runs something else had more than {rounds.DISTURBED:.0%} of the processors "
        f"(median of all: {statistics.median(shares):.0%})."
    )


def time_part(server, roots, runs, sizes, chosen, bootjack):
    """A table for each size, and the commands."""
    print("### Fetching and unpacking on the host\n")
    for size in sizes:
        found = kinds.cases(server.base, roots, size, chosen, bootjack)
        taken = rounds.measure(runs, found, server)
        print(timed(taken, "time", lambda kind, peer: kinds.KINDS[kind].theirs[peer][1]))
        print(f"\n{disturbed(taken)}\n", flush=True)
        if size == sizes[-1]:
            shell = "\n".join(found.values()).replace(server.base, "http://127.0.0.1:PORT")
            print(f"Commands (nginx is at PORT), each into a fresh tmpfs ({rounds.TMPFS}) at $ROOT:\n")
            print(f"```\n{shell}\n```\n")


def one_core_part(server, roots, runs, chosen, bootjack):
    """The same on one core, which must not lose."""
    processors = sorted(os.sched_getaffinity(0))
    # The server is another machine: it has the other cores, where there are some.
    server.stay_on(processors[1:] or processors)
    found = kinds.cases(server.base, roots, "small", chosen, bootjack)
    taken = rounds.measure(runs, found, server, ("taskset", "-c", str(processors[0])))
    server.stay_on(processors)
    print(f"### On one core\n\nAs above below `taskset -c {processors[0]}`; the server is on another core.\n")
    print(f"{timed(taken, 'one core', lambda *_: 1.0)}\n\n{disturbed(taken)}\n", flush=True)


def memory_part(server, roots, sizes, chosen, bootjack):
    """Our own memory for roots of all sizes, and everybody's beyond the tree."""
    place = memory.Group.possible()
    reference = {}
    needs = {(size, kind): [] for size in ("tiny", *sizes) for kind in chosen}
    for size in ("tiny", *sizes):
        # What everything is compared with: the leanest pipe, of the plain tar.
        (name, pipe), = kinds.theirs(server.base, size, "tar").items()
        for _ in range(MEMORY_RUNS):
            need = memory.need(lambda _, pipe=pipe: ["bash", "-o", "pipefail", "-c", pipe], place)
            reference.setdefault(size, []).append(need.beyond)
            for kind in chosen:
                words = kinds.ours(server.base, roots, size, kind, bootjack)
                needs[size, kind].append(memory.need(lambda root, words=words: [*words, root], place))
    print(f"### Memory\n\n{memory_table(roots, needs, reference, name)}\n")
    if not place:
        print("There is no memory cgroup here that could be written to: nothing beyond the tree was measured.\n")
    for kind in chosen:
        own = {size: max(need.own for need in needs[size, kind]) for size in ("tiny", *sizes)}
        growth = (max(own.values()) - own["tiny"]) / memory.MIB
        told = f"{growth:.1f}"
        # The tiny one has too few blocks for all threads.
        if kind != "xz-blocks":
            told = verdict(f"memory: growth, {kinds.TITLES[kind]}", growth, GROWTH, 1)
        print(f"- {kinds.TITLES[kind]}: from tiny to {sizes[-1]} own memory grows by {told} MiB")
    print(flush=True)


def memory_table(roots, needs, reference, name):
    """A row a size and format."""
    rows = []
    for (size, kind), runs in needs.items():
        title = kinds.TITLES[kind]
        path = os.path.join(roots, kinds.archive(size, kind))
        window = memory.window(path)
        most = OWN_XZ if kind.startswith("xz") else OWN + window / memory.MIB
        own = verdict(f"memory: own, {size} {title}", max(run.own for run in runs) / memory.MIB, most, 1)
        beyond, theirs, more = "–", "–", "–"
        if runs[0].beyond is not None:
            middle = statistics.median(run.beyond for run in runs)
            pipe = statistics.median(reference[size])
            beyond, theirs = f"{middle / memory.MIB:.1f}", f"{pipe / memory.MIB:.1f}"
            more = f"{(middle - pipe) / memory.MIB:.1f}"
            # Blocks of xz that are decoded at once are the one thing that may be bought with memory.
            if kind != "xz-blocks":
                more = verdict(f"memory: group, {size} {title}", (middle - pipe) / memory.MIB, MORE, 1)
        bytes_, window = f"{os.path.getsize(path) / 1e6:.1f}", f"{window / memory.MIB:.1f}"
        rows.append([size, title, bytes_, window, own, beyond, theirs, more])
    head = ["root", "archive", "MB", "window, MiB", "own, MiB", "beyond the tree, MiB"]
    return table.markdown([*head, f"`{name}` of the tar", "more, MiB"], rows)


def calls_part(server, roots, bootjack):
    """How many system calls a regular file takes."""
    ours = kinds.ours(server.base, roots, "small", "tar", bootjack)
    pipe = next(iter(kinds.theirs(server.base, "small", "tar").values()))
    regular = rounds.regular_files(pipe)
    lines = {
        "tar -xp": lambda strace: pipe.replace("(tar ", f"({strace} tar "),
        kinds.OURS: lambda strace: " ".join([strace, *ours, "$ROOT"]),
    }
    rows = []
    for who, line in lines.items():
        total, most = calls.counted(line, regular)
        named = ", ".join(f"{name} {count:.2f}" for count, name in most)
        rows.append([who, f"{total:.2f}", named])
    print("### System calls\n")
    print(f"Calls per regular file of the small .tar ({regular} of them):\n")
    print(table.markdown(["", "all", "the most frequent"], rows) + "\n", flush=True)


def main():
    """Serves, measures, prints."""
    runs, work, bootjack = int(sys.argv[1]), *sys.argv[2:4]
    roots = f"{work}/roots"
    chosen = kinds.chosen("BENCH_ONLY", kinds.KINDS)
    sizes = kinds.chosen("BENCH_SIZE", SIZES)
    parts = kinds.chosen("BENCH_PARTS", PARTS)
    with web.serving(roots, f"{work}/nginx") as server:
        if "time" in parts:
            time_part(server, roots, runs, sizes, chosen, bootjack)
        if "one-core" in parts:
            one_core_part(server, roots, runs, chosen, bootjack)
        if "memory" in parts:
            memory_part(server, roots, sizes, chosen, bootjack)
        if "calls" in parts:
            calls_part(server, roots, bootjack)
    print(f"{len(held)} of {len(held) + len(missed)} limits hold.")
    print("".join(f"- MISSED: {name}\n" for name in missed))


if __name__ == "__main__":
    main()
