#!/usr/bin/env python3
"""Deals out heads and bodies and does not read answers, on 500 connections, beside good traffic.

One proxy with the limits that it has by itself, one upstream, and what slowhttptest does in
its modes -H, -B and -X: on each connection a header line or a few bytes of a body now and
then, or an answer of which five bytes are read every five seconds through the smallest
window that the system allows. A connection that the proxy closes is opened again, until the
time is over. Beside that, ordinary chats are asked for at a set rate, and before it too.

    cargo build --release -p penstock
    python3 loadtest/slow.py            # four minutes: both transports
    python3 loadtest/slow.py --mode read --transport epoll --bin target/debug

Huge pages are off for the proxy: with them its resident memory has much that nobody touched.

The exit code is 1 if an ordinary chat failed, if the 99th percentile of their times is more
than --factor times what it was before (below --floor-ms any is as good as another), if a slow
connection lived longer than --life seconds, if none was closed by the proxy, or if it held
more than --kib KiB of resident memory for each.

Needs two processors on which nothing else runs: one is the proxy's. Everything listens on
127.0.0.1 and ends with the script.
"""

import argparse
import contextlib
import http.client
import multiprocessing
import os
import select
import socket
import sys
import tempfile
import time
from pathlib import Path

from processes import resident
from servers import LOAD_CPU, Bench

CHAT = b'{"model":"simulator-small","messages":[{"role":"user","content":"Hello"}]}'
# Good traffic: how many ask in turn, and how often each of them, in seconds.
ASKING, PAUSE = 8, 0.05
# The smallest that Linux gives, however little is asked for (tcp(7)).
WINDOW = 1
BEGINNINGS = {
    "head": b"GET /v1/models HTTP/1.1\r\nhost: slow\r\n",
    "body": b"POST /v1/chat/completions HTTP/1.1\r\nhost: slow\r\ncontent-type: application/json\r\n"
            b"content-length: 1000000\r\n\r\n{\"model\":",
    "read": b"GET /bytes/400000 HTTP/1.1\r\nhost: slow\r\n\r\n",
}
# What is sent or read, and how often, in seconds.
DRIPS = {"head": (b"x-drip: 1\r\n", 3), "body": (b" " * 10, 3), "read": (5, 5)}


class Slow:
    """One connection."""

    def __init__(self, port, mode):
        self.mode, self.opened, self.answer = mode, time.monotonic(), b""
        self.due = self.opened + DRIPS[mode][1]
        self.socket = socket.socket()
        if mode == "read":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.socket.send(BEGINNINGS[mode])

    def drip(self, now):
        """Does a little, if it is time."""
        if now < self.due:
            return
        what, every = DRIPS[self.mode]
        self.due = now + every
        with contextlib.suppress(OSError):
            if self.mode == "read":
                self.socket.recv(what)
            else:
                self.socket.send(what)

    def ended(self, event):
        """Whether the proxy has closed."""
        if event & (select.POLLERR | select.POLLHUP):
            return True
        try:
            piece = self.socket.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self.answer += piece
        return not piece


class Attack:
    """Slow connections, each of which is replaced when the proxy has closed it."""

    def __init__(self, port, mode, count):
        self.port, self.mode = port, mode
        self.poll, self.open = select.poll(), {}
        self.lives, self.statuses = [], {}
        for _ in range(count):
            self.connect()

    def connect(self):
        slow = Slow(self.port, self.mode)
        self.open[slow.socket.fileno()] = slow
        # Errors and hang-ups are told in any case; of an answer nothing more is to be read.
        self.poll.register(slow.socket, 0 if self.mode == "read" else select.POLLIN)

    def run(self, seconds, again):
        """Goes on for so long, or without replacements until none is left."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.open:
            for number, event in self.poll.poll(200):
                if self.open[number].ended(event):
                    self.close(number)
                    if again:
                        self.connect()
            now = time.monotonic()
            for slow in self.open.values():
                slow.drip(now)

    def close(self, number):
        slow = self.open.pop(number)
        self.lives.append(time.monotonic() - slow.opened)
        status = slow.answer[9:12].decode(errors="replace") or "none"
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.poll.unregister(slow.socket)
        slow.socket.close()


def asks(port, seconds, told):
    """One of those who ask for ordinary chats: tells how long each took, and what went wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    times, problems, end = [], [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        try:
            connection.request("POST", "/v1/chat/completions", CHAT, {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                problems.append(f"status {answer.status}")
        except (OSError, http.client.HTTPException) as error:
            problems.append(repr(error))
            connection.close()
        times.append((time.perf_counter() - began) * 1000)
        time.sleep(PAUSE)
    told.put((times, problems))


def begin_asking(port, seconds):
    told = multiprocessing.Queue()
    for _ in range(ASKING):
        multiprocessing.Process(target=asks, args=(port, seconds, told), daemon=True).start()
    return told


def heard(told, seconds):
    """The 99th percentile in milliseconds, how many asked, and what went wrong."""
    times, problems = [], []
    for _ in range(ASKING):
        more, wrong = told.get(timeout=seconds + 30)
        times += more
        problems += wrong
    times.sort()
    return times[int(len(times) * 0.99)], len(times), problems


def attack(bench, transport, mode, arguments):
    """What was measured under one attack."""
    upstream = bench.simulator("--first-token", "20ms", "--between-tokens", "1ms")
    proxy = bench.penstock(transport, upstream)
    before, _, problems = heard(begin_asking(proxy.port, arguments.before), arguments.before)
    memory = resident(proxy.pid)
    told = begin_asking(proxy.port, arguments.seconds)
    slow = Attack(proxy.port, mode, arguments.connections)
    slow.run(4, again=True)
    each = (resident(proxy.pid) - memory) / arguments.connections
    slow.run(arguments.seconds - 4, again=True)
    slow.run(arguments.life + 5, again=False)
    during, asked, wrong = heard(told, 0)
    left = [time.monotonic() - one.opened for one in slow.open.values()]
    for number in list(slow.open):
        slow.close(number)
    for server in (proxy, upstream):
        server.stop()
    return {"before": before, "during": during, "asked": asked, "problems": problems + wrong, "each": each / 1024,
            "closed": len(slow.lives) - len(left), "left": len(left), "life": max(slow.lives),
            "statuses": ", ".join(f"{status}: {count}" for status, count in sorted(slow.statuses.items()))}


def judge(name, found, arguments):
    """What is not as it should be."""
    harms = []
    if found["problems"]:
        harms.append(f"{len(found['problems'])} of {found['asked']} ordinary chats failed: {found['problems'][0]}")
    if found["during"] > max(arguments.floor_ms, arguments.factor * found["before"]):
        harms.append(f"the 99th percentile went from {found['before']:.1f} to {found['during']:.1f} ms")
    if found["life"] > arguments.life or found["left"]:
        harms.append(f"a slow connection lived {found['life']:.1f} s, and {found['left']} were left")
    if not found["closed"]:
        harms.append("no slow connection was closed")
    if found["each"] > arguments.kib:
        harms.append(f"each held {found['each']:.1f} KiB")
    return [f"{name}: {harm}" for harm in harms]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=Path("target/release"),
                        help="folder with penstock (default: target/release)")
    parser.add_argument("--transport", choices=["epoll", "io_uring"], action="append", help="default: both")
    parser.add_argument("--mode", choices=list(BEGINNINGS), action="append", help="default: all")
    parser.add_argument("--connections", type=int, default=500, help="slow ones at once (default: 500)")
    parser.add_argument("--before", type=float, default=5, help="seconds without an attack (default: 5)")
    parser.add_argument("--seconds", type=float, default=25, help="seconds with one (default: 25)")
    parser.add_argument("--life", type=float, default=15, help="longest life of a slow connection (default: 15)")
    parser.add_argument("--factor", type=float, default=2, help="what p99 may grow by (default: 2)")
    parser.add_argument("--floor-ms", type=float, default=30, help="a p99 that is always good (default: 30)")
    parser.add_argument("--kib", type=float, default=32, help="KiB that a slow connection may cost (default: 32)")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {int(LOAD_CPU)})
    os.environ["MIMALLOC_ALLOW_THP"] = "0"
    harms = []
    print("| | p99 before, ms | p99 during, ms | asked | slow ones closed | answers | longest life, s | KiB each |")
    print("|---|---|---|---|---|---|---|---|")
    for transport in arguments.transport or ["epoll", "io_uring"]:
        for mode in arguments.mode or BEGINNINGS:
            with contextlib.ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                found = attack(Bench(arguments.bin, folder, stack), transport, mode, arguments)
            name = f"{mode}, {transport}"
            print(f"| {name} | {found['before']:.1f} | {found['during']:.1f} | {found['asked']} | {found['closed']} | "
                  f"{found['statuses']} | {found['life']:.1f} | {found['each']:.1f} |")
            sys.stdout.flush()
            harms += judge(name, found, arguments)
    for harm in harms:
        print(f"\n{harm}")
    return 1 if harms else 0


if __name__ == "__main__":
    sys.exit(main())
