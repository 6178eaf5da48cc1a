#!/usr/bin/env python3
"""Resident memory per idle keep-alive connection.

Opens connections to a Penstock of its own, sends one request on each so that all are
idle keep-alive connections, and divides the growth of the proxy's resident memory by
their number. The upstream is a simulator. Linux only.

    cargo build --release -p penstock
    python3 loadtest/idle.py [--connections 10000] [--bin target/release] [--transport io_uring]

Needs twice as many descriptors as connections (`ulimit -n`), half in each process.
"""

import argparse
import socket
import sys
import tempfile
import time
from pathlib import Path

from processes import free_port, resident, start, stop, wait_for


def ask(connection):
    connection.sendall(b"GET /plain HTTP/1.1\r\nhost: idle\r\n\r\n")
    answer = b""
    while b"\r\n\r\nok" not in answer:
        piece = connection.recv(4096)
        if not piece:
            sys.exit("the proxy closed a connection")
        answer += piece


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--bin", type=Path, default=Path("target/release"))
    parser.add_argument("--transport", default="io_uring")
    arguments = parser.parse_args()
    binary = str(arguments.bin / "penstock")
    upstream, port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "idle.yaml"
        config.write_text(f"""
server:
  listen: [{{ address: 127.0.0.1:{port} }}]
  admin: off
  transport: {arguments.transport}
  workers: 1
  log: {{ access: off }}
  limits: {{ keepalive_timeout: 10m }}
upstreams:
  up: {{ endpoints: ["127.0.0.1:{upstream}"] }}
routes:
  - {{ name: all, split: [{{ upstream: up }}] }}
""")
        simulator = start([binary, "simulate", "--listen", f"127.0.0.1:{upstream}"])
        wait_for(upstream)
        proxy = start([binary, "run", "-c", str(config)])
        try:
            wait_for(port)
            # What the first requests allocate for good is not a connection's.
            warm = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
            for _ in range(20):
                for connection in warm:
                    ask(connection)
            time.sleep(0.5)
            before = resident(proxy.pid)
            connections = []
            for _ in range(arguments.connections):
                connection = socket.create_connection(("127.0.0.1", port))
                ask(connection)
                connections.append(connection)
            time.sleep(1)
            grown = resident(proxy.pid) - before
            print(f"{arguments.connections} idle connections over {arguments.transport}: "
                  f"{grown / arguments.connections:.0f} bytes each, {grown / 2**20:.1f} MiB in all")
        finally:
            for process in (proxy, simulator):
                stop(process, wait_seconds=20)


if __name__ == "__main__":
    main()
