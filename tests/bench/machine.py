"""One boot of a virtual machine, dated by the host's clock: when which bytes came over its serial line.

What is booted and what the marks mean is boots.py's and kexec.py's. Nothing is left running, whatever happens.
"""

import os
import re
import select
import subprocess
import time

# The same machine for everybody. `max`: what processors of today have (AVX2 and so on), as far as TCG knows it.
MACHINE = (
    "qemu-system-x86_64 -accel tcg -cpu max -smp 1 -nodefaults -display none -no-reboot -serial stdio "
    "-netdev user,id=n0 -device virtio-net-pci,netdev=n0"
).split()

# A terminal says where its cursor is when it is asked (CSI 6n); ours is an 80x24 one, asked in its last corner.
ASKED, ANSWER = b"\x1b[6n", b"\x1b[24;80R"

# The kernel's first line. What comes before it (the firmware, the loader, unpacking the kernel) is nobody's merit.
KERNEL_START = ("kernel start", rb"Linux version [0-9]", b"")

# What is said on the console between two looks at it is far less.
RECENT = 65536


class DidNotBoot(Exception):
    """A mark did not come: the machine ended, gave up, or time was up."""


def command(kernel, initrd, append, mib=2048):
    """The command that boots it; `console=ttyS0` and a reboot on panic, which ends QEMU, included."""
    append = f"console=ttyS0 sysctl.kernel.panic=-1 {append}"
    return [*MACHINE, "-m", f"{mib}M", "-kernel", kernel, "-initrd", initrd, "-append", append]


def boot(words, marks, limit, log):
    """Runs the command until the last of `marks` came; the seconds from the kernel's start to each, by name.

    As `dated`, which has what is raised.
    """
    came = dated(words, [KERNEL_START, *marks], limit, log)
    start = came.pop(KERNEL_START[0])
    return {name: at - start for name, at in came.items()}


def dated(words, marks, limit, log, gives_up=None, clock=lambda qemu: time.monotonic()):
    """Runs the command until the last of `marks` came; when each came, by name: what `clock` says of the process id.

    A mark is (name, pattern of bytes, keys to type when it came). They come in this order. `log` keeps every byte.
    Raises DidNotBoot after `limit` seconds, when QEMU ends before, or when it says what matches `gives_up`.
    """
    pending = list(marks)
    came = {}
    end = time.monotonic() + limit
    qemu = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        with open(log, "wb") as kept:
            recent = b""
            while pending:
                recent = (recent + hear(qemu, end, pending[0][0], kept))[-RECENT:]
                now = clock(qemu.pid)
                for _ in range(recent.count(ASKED)):
                    say(qemu, ANSWER)
                recent = recent.replace(ASKED, b"")
                if gives_up and re.search(gives_up, recent):
                    raise DidNotBoot(f"the machine gave up while waiting for {pending[0][0]!r}")
                while pending and (found := re.search(pending[0][1], recent)):
                    name, _, keys = pending.pop(0)
                    came[name] = now
                    recent = recent[found.end():]
                    say(qemu, keys)
    finally:
        qemu.kill()
        qemu.wait()
    return came


def clocks(qemu):
    """Seconds: the host's clock, and what this process has computed, which says something on a busy host, too."""
    if qemu is None:
        return time.monotonic(), 0.0
    with open(f"/proc/{qemu}/stat", encoding="ascii") as file:
        # proc(5): utime and stime are the 14th and 15th field, the second ends with the last parenthesis.
        fields = file.read().rsplit(")", 1)[1].split()
    return time.monotonic(), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def hear(qemu, end, waiting_for, kept):
    """The next bytes the machine says."""
    ready, _, _ = select.select([qemu.stdout], [], [], max(0.0, end - time.monotonic()))
    said = os.read(qemu.stdout.fileno(), 65536) if ready else b""
    if not said:
        why = "the machine ended" if ready else "time is up"
        raise DidNotBoot(f"{why} while waiting for {waiting_for!r}")
    kept.write(said)
    return said


def say(qemu, keys):
    """Types keys on the serial line."""
    if keys:
        qemu.stdin.write(keys)
        qemu.stdin.flush()


def last_lines(log):
    """What it said last, without what only a terminal understands."""
    with open(log, "rb") as kept:
        said = kept.read().decode("utf-8", "replace")
    plain = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[()].|.)|\r", "", said)
    return "\n".join(plain.splitlines()[-15:])


def shell(words, base):
    """A command as it is typed, without the port of this run."""
    return " ".join(f"'{word}'" if " " in word else word for word in words).replace(base, "http://10.0.2.2:PORT")
