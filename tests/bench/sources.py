#!/usr/bin/env python3
"""Times `bootjack unpack` in a virtual machine from a disk, from NFS 4.2 and over HTTP, against busybox and the kernel.

usage: sources.py RUNS LAB WORK BOOTJACK     (needs root: nfs-ganesha)
WORK/www has root.tar.gz, WORK/sources.initrd the programs, the modules and sources/guest.sh. After a round to warm up,
each round runs every case once, within one boot; ratios are of runs of the same round.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time

import machine
import table

# Seconds for one boot with all rounds of it.
LIMIT = 1200

# Ganesha serves one directory, version 4 alone, to loopback (where the guest's packets come from).
GANESHA = """
NFS_CORE_PARAM {{ Bind_addr = 127.0.0.1; NFS_Port = {port}; Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false; }}
NFS_KRB5 {{ Active_krb5 = false; }}
NFSV4 {{ RecoveryBackend = fs; Graceless = true; }}
EXPORT {{ Export_Id = 1; Path = {path}; Pseudo = /export; Access_Type = RO; Squash = None; SecType = sys; FSAL {{ Name = VFS; }} }}
"""

# What each of the peers is.
PEER = "busybox zcat \\| tar, and mount or wget"


def free_port():
    """A port of loopback nobody uses now: the socket that found it is closed again."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def ganesha(work, port, directory):
    """A running server of WORK/www; its own files are in `directory`."""
    config = f"{directory}/ganesha.conf"
    with open(config, "w", encoding="utf-8") as written:
        written.write(GANESHA.format(port=port, path=os.path.abspath(f"{work}/www")))
    words = ["ganesha.nfsd", "-F", "-f", config, "-L", f"{work}/ganesha.log", "-p", f"{directory}/ganesha.pid"]
    server = subprocess.Popen(words)
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                server.kill()
                server.wait()
                sys.exit(f"sources.py: ganesha.nfsd does not answer: see {work}/ganesha.log")
            time.sleep(0.1)


def disk(work):
    """An ext4 image labelled `bench` with the archive on it."""
    image = f"{work}/sources.ext4"
    with tempfile.TemporaryDirectory(dir=work) as inside:
        os.link(f"{work}/www/root.tar.gz", f"{inside}/root.tar.gz")
        megabytes = os.stat(f"{inside}/root.tar.gz").st_size // (1 << 20) + 64
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "bench", "-d", inside, image, f"{megabytes}M"], check=True)
    return image


def measure(runs, lab, work, http, nfs):
    """What each case took: (source, who) to a list of (seconds, KiB), without the first round."""
    words = machine.command(f"{lab}/cloud/vmlinuz", f"{work}/sources.initrd", "bootjack.shell ip=dhcp quiet", 3072)
    words += ["-drive", f"file={disk(work)},format=raw,if=virtio,readonly=on"]
    typed = f"sh /guest.sh {runs} {http} 10.0.2.2 {nfs}\r".encode()
    marks = [("shell", rb"# ", typed), ("end", rb"ALL DONE", b"")]
    log = f"{work}/sources.log"
    try:
        machine.dated(words, marks, LIMIT, log, gives_up=rb"FAILED ")
    except machine.DidNotBoot as why:
        sys.exit(f"sources.py: {why}\n{machine.last_lines(log)}")
    taken = {}
    with open(log, "rb") as said:
        for line in re.findall(rb"TOOK (\d+) (\w+) (\w+) ([\d.]+) (\d+)", said.read()):
            round_, source, who, seconds, kib = (word.decode() for word in line)
            if int(round_):
                taken.setdefault((source, who), []).append((float(seconds), int(kib)))
    return taken


def report(taken):
    """A row a case."""
    rows = []
    for (source, who), each in taken.items():
        seconds = [one for one, _ in each]
        ratio = table.ratio(seconds, [one for one, _ in taken[source, "theirs"]])
        name = "bootjack unpack" if who == "ours" else PEER
        mib = max(kib for _, kib in each) / 1024
        rows.append([source, name, table.seconds(seconds), f"{ratio:.2f}", f"{mib:.0f}"])
    return table.markdown(["source", "", "s: median (min-max)", "ratio", "largest process, MiB"], rows)


def main():
    """Serves, measures, prints."""
    runs, lab, work, bootjack = int(sys.argv[1]), *sys.argv[2:5]
    words = [bootjack, "serve", f"{work}/www", "--listen", "127.0.0.1:0"]
    with open(f"{work}/serve.log", "w", encoding="utf-8") as log:
        web = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
    nfs = None
    with tempfile.TemporaryDirectory() as directory:
        try:
            port = free_port()
            nfs = ganesha(work, port, directory)
            http = web.stdout.readline().strip().rstrip("/").replace("127.0.0.1", "10.0.2.2")
            taken = measure(runs, lab, work, http, port)
        finally:
            for server in filter(None, (web, nfs)):
                server.kill()
                server.wait()
    print(f"### From a disk, from NFS and over HTTP, in a virtual machine\n\n{report(taken)}\n")
    print("Commands: tests/bench/sources/guest.sh.")


if __name__ == "__main__":
    main()
