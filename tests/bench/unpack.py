#!/usr/bin/env python3
"""Times `bootjack unpack` on this host against the pipelines people use, each into a fresh tmpfs.

usage: unpack.py RUNS WORK BOOTJACK     (needs root: owners, device nodes, mounts)
WORK/www has root.tar.gz and root.tar.zst, served on loopback by one server for all. After a round to warm up, each
round runs every case once; ratios are of runs of the same round. CPU and memory are without the server.
"""

import os
import re
import subprocess
import sys
import tempfile
import time

import table

# Seconds; a run takes one or two.
LIMIT = "120"

# huge=never is the default of tmpfs, said because it decides everything; the size is far from being reached.
TMPFS = "mode=0755,size=4g,huge=never"

PEER = {"gz": "curl \\| tar -xzp", "zst": "curl \\| zstd -dc \\| tar -xp"}
AIMS = {"gz": 1 / 1.5, "zst": 1.0}


def cases(base, bootjack, work):
    """Name of a case: shell pipeline into $ROOT."""
    found = {}
    for kind, unpacked_by in (("gz", "tar -xzp -f -"), ("zst", "zstd -dc | tar -xp -f -")):
        url = f"{base}/root.tar.{kind}"
        with open(f"{work}/www/root.tar.{kind}.sha256", encoding="ascii") as file:
            sha256 = file.read().strip()
        # tar stops at the end marker; what comes after it must still be read, or the others end by SIGPIPE, now and then.
        pipe, _, tar = unpacked_by.rpartition("tar ")
        found[kind, "theirs"] = f"curl -sSf {url} | {pipe}(tar {tar} -C $ROOT && cat >/dev/null)"
        found[kind, "ours"] = f"{bootjack} unpack {url} $ROOT --sha256 {sha256}"
    return found


def run(pipeline, root):
    """Wall seconds, CPU seconds, MiB of the largest process, and files in the tree."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", TMPFS, "bench", root], check=True)
    try:
        # time(1) starts the shell from a process of its own small size: a child of ours would begin with our size.
        words = ["/usr/bin/time", "-f", "SPENT %U %S %M"]
        words += ["timeout", LIMIT, "bash", "-o", "pipefail", "-c", pipeline]
        environment = {**os.environ, "ROOT": root}
        begin = time.monotonic()
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        done = subprocess.run(words, env=environment, text=True, check=False, **pipes)
        wall = time.monotonic() - begin
        if done.returncode:
            sys.exit(f"unpack.py: {pipeline}: exit {done.returncode}\n{done.stderr}")
        user, system, rss = re.search(r"SPENT (\S+) (\S+) (\d+)", done.stderr).groups()
        files = sum(len(inside) + len(below) for _, below, inside in os.walk(root))
        return {"wall": wall, "cpu": float(user) + float(system), "rss": int(rss) / 1024, "files": files}
    finally:
        subprocess.run(["umount", root], check=True)


def measure(runs, found):
    """For each case what each round took, without the first."""
    taken = {case: [] for case in found}
    root = tempfile.mkdtemp(prefix="bench-unpack.")
    try:
        for round_ in range(runs + 1):
            for case, pipeline in found.items():
                taken[case].append(run(pipeline, root))
            walls = {" ".join(case): round(each[-1]["wall"], 2) for case, each in taken.items()}
            print(f"round {round_ or 'to warm up'}: {walls}", file=sys.stderr)
    finally:
        os.rmdir(root)
    counts = {each[0]["files"] for each in taken.values()}
    if len(counts) != 1:
        sys.exit(f"unpack.py: trees of different numbers of files: {counts}")
    return {case: each[1:] for case, each in taken.items()}


def report(taken):
    """A row a case."""
    rows = []
    for (kind, who), each in taken.items():
        column = {key: [one[key] for one in each] for key in ("wall", "cpu", "rss")}
        wall = table.ratio(column["wall"], [one["wall"] for one in taken[kind, "theirs"]])
        cpu = table.ratio(column["cpu"], [one["cpu"] for one in taken[kind, "theirs"]])
        name = "bootjack unpack" if who == "ours" else PEER[kind]
        told = "1.00" if who == "theirs" else table.verdict(wall, AIMS[kind])
        spent = [table.seconds(column["wall"]), told, table.seconds(column["cpu"]), f"{cpu:.2f}"]
        rows.append([kind, name, *spent, f"{max(column['rss']):.0f}"])
    head = ["archive", "", "wall s: median (min-max)", "ratio", "CPU s: median (min-max)", "ratio"]
    return table.markdown([*head, "largest process, MiB"], rows)


def main():
    """Serves, measures, prints."""
    runs, work, bootjack = int(sys.argv[1]), *sys.argv[2:4]
    words = [bootjack, "serve", f"{work}/www", "--listen", "127.0.0.1:0"]
    with open(f"{work}/serve.log", "w", encoding="utf-8") as log:
        server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        base = server.stdout.readline().strip().rstrip("/")
        found = cases(base, bootjack, work)
        taken = measure(runs, found)
    finally:
        server.kill()
        server.wait()
    print(f"### Fetching and unpacking on the host\n\n{report(taken)}\n")
    shell = "\n".join(found.values()).replace(base, "http://127.0.0.1:PORT")
    print(f"Commands (PORT is the server's), each into a fresh tmpfs ({TMPFS}) at $ROOT:\n")
    print(f"```\n{' '.join(words)}\n{shell}\n```")


if __name__ == "__main__":
    main()
