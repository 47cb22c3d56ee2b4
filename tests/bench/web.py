"""nginx on loopback while something is measured: one worker, sendfile, and nothing outside of its directory.

What it costs is left out of every figure: a boot's server is another machine.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time

# Everything nginx would write elsewhere is named; as root its worker stays root, to read below any directory.
CONFIG = """daemon off; worker_processes 1; user root; pid {prefix}/pid; error_log {prefix}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
    client_body_temp_path {prefix}/tmp; proxy_temp_path {prefix}/tmp; fastcgi_temp_path {prefix}/tmp;
    uwsgi_temp_path {prefix}/tmp; scgi_temp_path {prefix}/tmp;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""

# Seconds until it listens.
PATIENCE = 10


class Web:
    """A server that runs: `base` is its URL."""

    def __init__(self, process, port):
        self.process = process
        self.base = f"http://127.0.0.1:{port}"

    def pids(self):
        """The process and its worker."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            return [self.process.pid, *map(int, file.read().split())]

    def cpu(self):
        """Seconds of processor time it has had so far."""
        ticks = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                user, system = file.read().rsplit(")", 1)[1].split()[11:13]
            ticks += int(user) + int(system)
        return ticks / os.sysconf("SC_CLK_TCK")

    def stay_on(self, processors):
        """Leaves it these processors and no others."""
        for pid in self.pids():
            os.sched_setaffinity(pid, processors)


@contextlib.contextmanager
def serving(root, prefix):
    """A Web that serves the files below `root`; what it needs for itself lies in `prefix`."""
    root, prefix = os.path.abspath(root), os.path.abspath(prefix)
    os.makedirs(f"{prefix}/tmp", exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(f"{prefix}/nginx.conf", "w", encoding="utf-8") as file:
        file.write(CONFIG.format(prefix=prefix, port=port, root=root))
    words = ["nginx", "-e", f"{prefix}/error.log", "-p", prefix, "-c", f"{prefix}/nginx.conf"]
    process = subprocess.Popen(words)
    try:
        listens(process, port, f"{prefix}/error.log")
        yield Web(process, port)
    finally:
        process.terminate()
        process.wait()


def listens(process, port, log):
    """Waits until it does."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"web.py: nginx does not listen: see {log}")
            time.sleep(0.02)
