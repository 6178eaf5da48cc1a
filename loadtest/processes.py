"""Processes that the load tests start: ports, waiting, memory, the end."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    """Waits until something listens on a port of this machine."""
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    sys.exit(f"nothing listens on {port}")


def start(command, output=subprocess.DEVNULL, **environment):
    """Starts a process that writes its log to `output`."""
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)


def stop(process, wait_seconds=5):
    """Ends a process: with SIGTERM, and when that does not help, with SIGKILL."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def end_as_after_ctrl_c():
    """Has SIGTERM end the script so that everything that it started ends as well."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))


def fill_in(arguments, defaults):
    """Gives each argument that is not there its default."""
    for name, value in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return arguments


def resident(pid, field="VmRSS"):
    """Resident memory in bytes; `RssAnon` is what a process allocated, without its binary."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+)", status, re.M).group(1)) * 1024
