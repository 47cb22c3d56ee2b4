"""How much memory a pipeline needs: its own pages, by looking at the process; all of it, by a memory cgroup.

What may be needed is unpack.py's. A machine without a memory cgroup to write to has no figures of the second kind.
"""

import collections
import os
import re
import subprocess
import sys
import time

import rounds

MIB = 1 << 20

# Between two looks at a process. What it keeps for long enough to matter is seen.
LOOK_EVERY = 0.002

# own: the most anonymous memory the process had at once; beyond: the group's most beyond the finished tree (its pages,
# not its inodes), of all processes; in bytes, and None where there is no group.
Need = collections.namedtuple("Need", "own beyond")


class Group:
    """A memory cgroup, of either version."""

    @staticmethod
    def possible():
        """The directory it would be made in and its file with the most it used, or None."""
        for base, peak in (("/sys/fs/cgroup/memory", "memory.max_usage_in_bytes"), ("/sys/fs/cgroup", "memory.peak")):
            path = f"{base}/bench-unpack"
            try:
                os.makedirs(path, exist_ok=True)
            except OSError:
                continue
            there = os.path.exists(f"{path}/{peak}") and os.access(f"{path}/cgroup.procs", os.W_OK)
            os.rmdir(path)
            if there:
                return path, peak
        return None

    def __init__(self, place):
        self.path, self.file = place
        # One that is new has nothing to forget.
        os.mkdir(self.path)

    def words(self):
        """What a command becomes part of the group by; its process id stays."""
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', f"{self.path}/cgroup.procs"]

    def peak(self):
        """The most it used, in bytes."""
        with open(f"{self.path}/{self.file}", encoding="ascii") as file:
            return int(file.read())

    def remove(self):
        """Ends it; the kernel may need a moment after the last process."""
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except OSError as why:
                last = why
                time.sleep(0.02)
        sys.exit(f"memory.py: removing {self.path}: {last}")


def need(words, place):
    """Runs a command with $ROOT as an empty tmpfs, once."""
    group = Group(place) if place else None
    try:
        with rounds.fresh_tmpfs() as root:
            own = watched([*(group.words() if group else []), *words(root)], root)
            if not group:
                return Need(own, None)
            used = os.statvfs(root)
            return Need(own, group.peak() - (used.f_blocks - used.f_bfree) * used.f_frsize)
    finally:
        if group:
            group.remove()


def watched(words, root):
    """The most anonymous memory that this very process had, in bytes. One that fails ends everything."""
    with subprocess.Popen(
        words, env={**os.environ, "ROOT": root}, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        most = 0
        end = time.monotonic() + float(rounds.LIMIT)
        with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
            while process.poll() is None:
                if time.monotonic() > end:
                    process.kill()
                    sys.exit(f"unpack.py: {words}: not done after {rounds.LIMIT} s")
                most = max(most, anonymous(status))
                time.sleep(LOOK_EVERY)
        said = process.stderr.read()
    if process.returncode:
        sys.exit(f"unpack.py: {words}: exit {process.returncode}\n{said}")
    return most


def anonymous(status):
    """RssAnon of an open /proc/PID/status; 0 of a process that has ended."""
    status.seek(0)
    try:
        found = re.search(r"^RssAnon:\s+(\d+) kB", status.read(), re.M)
    except ProcessLookupError:
        return 0
    return int(found[1]) * 1024 if found else 0


def window(path):
    """What the decoder of this file must keep at least, in bytes."""
    if path.endswith(".tar"):
        return 0
    if path.endswith(".gz"):
        return 32 << 10
    if path.endswith(".zst"):
        said = subprocess.run(["zstd", "-lv", path], capture_output=True, text=True, check=True).stdout
        return int(re.search(r"^Window Size:.*\((\d+) B\)", said, re.M)[1])
    said = subprocess.run(["xz", "--robot", "-lvv", path], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"dict=(\d+)MiB", said)[1]) * MIB
