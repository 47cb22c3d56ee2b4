"""How many system calls a regular file costs: strace(1) counts them, over the whole run.

What the counts are of is unpack.py's.
"""

import re
import tempfile

import rounds

# The kinds of calls that are named, those made most often.
NAMED = 8


def counted(pipeline, regular):
    """Calls per regular file: all of them, and (calls, name) of the most frequent.

    `pipeline` makes the line of bash from the words that belong before the command that is looked at.
    """
    with tempfile.NamedTemporaryFile("r", prefix="bench-calls.") as said, rounds.fresh_tmpfs() as root:
        rounds.checked([], pipeline(f"strace -f -c -U calls,name -o {said.name}"), root)
        calls = {name: int(count) for count, name in re.findall(r"^ *(\d+) (\w+)$", said.read(), re.M)}
    total = calls.pop("total")
    most = sorted(calls.items(), key=lambda one: -one[1])[:NAMED]
    return total / regular, [(count / regular, name) for name, count in most]
