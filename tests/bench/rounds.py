"""Runs pipelines round robin, each into a fresh tmpfs, and says what each took and whether the machine was quiet.

What is compared and what it means is unpack.py's.
"""

import collections
import contextlib
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

# Seconds; the slowest run takes 20 on a quiet machine.
LIMIT = "300"

# huge=never is the default of tmpfs, said because it decides everything; the size is far from being reached.
TMPFS = f"mode=0755,size=4g,huge={os.environ.get('BENCH_HUGE', 'never')}"

# A run is disturbed when others had more than this share of the processors; then it is tried again, so often in all. On
# a machine that was busy while it warmed up this would only take longer.
DISTURBED = 0.08
TRIES = 3

# Seconds, seconds of processor time, the share that others had, and what is in the tree.
Run = collections.namedtuple("Run", "wall cpu others entries")


@contextlib.contextmanager
def fresh_tmpfs():
    """The path of an empty tmpfs that is gone afterwards."""
    root = tempfile.mkdtemp(prefix="bench-unpack.")
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", TMPFS, "bench", root], check=True)
        try:
            yield root
        finally:
            subprocess.run(["umount", root], check=True)
    finally:
        os.rmdir(root)


def checked(words, pipeline, root):
    """Runs a pipeline below `words`; what it said. One that fails ends everything."""
    words = [*words, "timeout", LIMIT, "bash", "-o", "pipefail", "-c", pipeline]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    done = subprocess.run(words, env={**os.environ, "ROOT": root}, text=True, check=False, **pipes)
    if done.returncode:
        sys.exit(f"unpack.py: {pipeline}: exit {done.returncode}\n{done.stderr}")
    return done.stderr


def once(pipeline, web, pinned):
    """One run; the server's share is in none of its figures."""
    with fresh_tmpfs() as root:
        # time(1) starts the shell from a process of its own small size: a child of ours would begin with our size.
        words = [*pinned, "/usr/bin/time", "-f", "SPENT %U %S"]
        busy, served, mine = busy_for(), web.cpu(), children_for()
        begin = time.monotonic()
        said = checked(words, pipeline, root)
        wall = time.monotonic() - begin
        others = (busy_for() - busy) - (web.cpu() - served) - (children_for() - mine)
        user, system = re.search(r"SPENT (\S+) (\S+)", said).groups()
        entries = sum(len(below) + len(inside) for _, below, inside in os.walk(root))
        return Run(wall, float(user) + float(system), max(0.0, others) / (os.cpu_count() * wall), entries)


def busy_for():
    """Seconds of processor time that anybody has had, the host of this machine included."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def children_for():
    """Seconds of processor time that our children have had."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def quietest(pipeline, web, pinned, tries):
    """The first undisturbed run, or the least disturbed."""
    tried = []
    for _ in range(tries):
        tried.append(once(pipeline, web, pinned))
        if tried[-1].others <= DISTURBED:
            break
    return min(tried, key=lambda run: run.others)


def measure(runs, found, web, pinned=()):
    """For each case its run of each round, after a round to warm up."""
    taken = {case: [] for case in found}
    tries = 1
    for round_ in range(runs + 1):
        for case, pipeline in found.items():
            taken[case].append(quietest(pipeline, web, pinned, tries))
        walls = {" ".join(case): round(each[-1].wall, 2) for case, each in taken.items()}
        print(f"round {round_ or 'to warm up'}: {walls}", file=sys.stderr)
        if not round_ and statistics.median(each[0].others for each in taken.values()) <= DISTURBED:
            tries = TRIES
    counts = {run.entries for each in taken.values() for run in each}
    if len(counts) != 1:
        sys.exit(f"unpack.py: trees of different numbers of files: {counts}")
    return {case: each[1:] for case, each in taken.items()}


def regular_files(pipeline):
    """How many of them a pipeline leaves."""
    with fresh_tmpfs() as root:
        checked([], pipeline, root)
        words = ["find", root, "-type", "f", "-printf", "."]
        return len(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
