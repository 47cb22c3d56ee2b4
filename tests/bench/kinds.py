"""The formats of the roots, the pipelines people unpack them by, and what ours is allowed beside them.

Every pipeline is a line of bash that leaves the tree in $ROOT. Running them is rounds.py's and memory.py's.
"""

import collections
import hashlib
import os
import sys

# theirs: name of a peer in the tables: (what turns the fetched bytes into the tree, the ratio of wall time at most).
# limit: what two cores could do at best, as a ratio to the first peer; for orientation, from the times of the stages
# measured one by one (decoding, writing a tree, receiving).
Kind = collections.namedtuple("Kind", "suffix theirs limit")

KINDS = {
    "tar": Kind("tar", {"curl \\| tar -xp": ("tar -xp", 0.55)}, 0.40),
    "gz": Kind(
        "tar.gz",
        {"curl \\| tar -xzp": ("tar -xzp", 0.30), "curl \\| igzip -dc \\| tar -xp": ("igzip -dc | tar -xp", 0.60)},
        0.21,
    ),
    "zst": Kind("tar.zst", {"curl \\| zstd -dc \\| tar -xp": ("zstd -dc | tar -xp", 0.65)}, 0.50),
    "zst-pack": Kind("pack.tar.zst", {"curl \\| zstd -dc \\| tar -xp": ("zstd -dc | tar -xp", 0.60)}, 0.45),
    "zst-chunks": Kind("pack.tar.zst", {"curl \\| zstd -dc \\| tar -xp": ("zstd -dc | tar -xp", 0.60)}, 0.45),
    "xz-blocks": Kind("blocks.tar.xz", {"curl \\| xz -dc -T2 \\| tar -xp": ("xz -dc -T2 | tar -xp", 0.90)}, 0.80),
    "xz-one": Kind("tar.xz", {"curl \\| xz -dc \\| tar -xp": ("xz -dc | tar -xp", 0.95)}, 0.88),
}

# What they are called in the tables.
TITLES = {
    "tar": ".tar",
    "gz": ".tar.gz",
    "zst": ".tar.zst, one frame",
    "zst-pack": ".tar.zst by `bootjack pack`",
    "zst-chunks": "the same with its chunk list",
    "xz-blocks": ".tar.xz, many blocks",
    "xz-one": ".tar.xz, one block",
}

OURS = "bootjack unpack"


def archive(size, kind):
    """The name of a file in the directory of the roots."""
    return f"{size}.{KINDS[kind].suffix}"


def ours(base, roots, size, kind, bootjack):
    """The words of our command, without the directory."""
    name = archive(size, kind)
    with open(os.path.join(roots, f"{name}.sha256"), encoding="ascii") as file:
        words = [bootjack, "unpack", f"{base}/{name}", "--sha256", file.read().strip()]
    if kind == "zst-chunks":
        # Both, as `pack` prints them.
        with open(os.path.join(roots, f"{name}.chunks"), "rb") as file:
            words += ["--chunks", hashlib.sha256(file.read()).hexdigest()]
    return words


def theirs(base, size, kind):
    """The peers of a format, by their names in the tables."""
    url = f"{base}/{archive(size, kind)}"
    found = {}
    for name, (unpacked_by, _) in KINDS[kind].theirs.items():
        # tar stops at the end marker; what comes after it must be read, or the others end by SIGPIPE, now and then.
        pipe, _, tar = unpacked_by.rpartition("tar ")
        found[name] = f"curl -sSf {url} | {pipe}(tar {tar} -f - -C $ROOT && cat >/dev/null)"
    return found


def cases(base, roots, size, chosen, bootjack):
    """(size, format, who) to pipeline, peers first."""
    found = {}
    for kind in chosen:
        for name, pipeline in theirs(base, size, kind).items():
            found[size, kind, name] = pipeline
        words = ours(base, roots, size, kind, bootjack)
        found[size, kind, OURS] = " ".join([*words, "$ROOT"])
    return found


def chosen(variable, among):
    """What a variable of the environment names, in the order of `among`; all of it if it names nothing.

    `xz` is every format that begins with `xz-`, too.
    """
    words = os.environ.get(variable, "").replace(",", " ").split()
    meant = {word: {name for name in among if name == word or name.startswith(f"{word}-")} for word in words}
    for word, names in meant.items():
        if not names:
            sys.exit(f"{variable}: {word!r} is not one of {', '.join(among)}")
    return [name for name in among if not words or any(name in names for names in meant.values())]
