#!/usr/bin/env python3
"""Asks twice as much as a proxy with 256 descriptors and 256 MiB can carry.

One proxy whose process may have 256 descriptors and an address space of 256 MiB (RLIMIT_NOFILE
and RLIMIT_AS, of which the second counts more than what is resident), and one upstream. First
it is found out how many clients, each of which asks for one streamed chat after the other on a
connection of its own, the proxy serves without refusing any. Then some long streams begin, and
twice as many clients ask, with prompts from 1 KiB to 2 MiB. When they have gone, as many as it
could serve at first ask once more, a second later.

    cargo build --release -p penstock
    python3 loadtest/overload.py            # about a minute: both transports
    python3 loadtest/overload.py --transport epoll --bin target/debug

The exit code is 1 if the proxy ends, if a long stream does not come to its end, if a request
gets no answer or one that is neither whole nor a refusal in the right shape (503, Retry-After,
`connection: close`, an error as OpenAI's SDKs read it), if nothing was refused, if an answer
took longer than --longest seconds, if accepting failed, or if one of those who ask at the end
is refused.

Everything listens on 127.0.0.1 and ends with the script.
"""

import argparse
import asyncio
import contextlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import processes

DESCRIPTORS, MEMORY = 256, 256 << 20
# A prompt of each size is as likely as it stands here often, in bytes.
PROMPTS = [1 << 10] * 16 + [64 << 10] * 3 + [2 << 20]
# Who was refused asks again after so long, in seconds, sooner than it is told.
AGAIN = 0.1
CONFIGURATION = """
server:
  listen: [{{ address: 127.0.0.1:{port} }}]
  admin: 127.0.0.1:{admin}
  transport: {transport}
  workers: 2
  log: {{ access: off }}
upstreams:
  up: {{ endpoints: ["127.0.0.1:{upstream}"] }}
routes:
  - {{ name: all, split: [{{ upstream: up }}] }}
"""


class Wrong(Exception):
    """An answer that is not as it should be."""


def body(size):
    prompt = "x" * size
    return json.dumps({"model": "simulator-small", "stream": True,
                       "messages": [{"role": "user", "content": prompt}]}).encode()


BODIES = {size: body(size) for size in set(PROMPTS)}


async def ask(port, prompt, began=None, tokens=None):
    """One streamed chat on a connection of its own. True if it was whole, False if refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        extra = f"x-simulate-tokens: {tokens}\r\nx-simulate-pace: 50ms\r\n" if tokens else ""
        writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nhost: overload\r\n{extra}"
                     f"content-type: application/json\r\ncontent-length: {len(prompt)}\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            # Who is refused may be before all was sent.
            writer.write(prompt)
            await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, headers = parse(head)
        if status == 200:
            if began:
                began.set()
            if not (await chunks(reader)).rstrip().endswith(b"data: [DONE]"):
                raise Wrong("a stream without an end")
            return True
        answer = await reader.readexactly(int(headers["content-length"]))
        check_refusal(status, headers, answer)
        return False
    finally:
        writer.close()


def parse(head):
    first, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    return int(first.split(" ")[1]), headers


async def chunks(reader):
    """The end of a chunked body."""
    last = b""
    while size := int(await reader.readline(), 16):
        last = (last + await reader.readexactly(size))[-64:]
        await reader.readexactly(2)
    return last


def check_refusal(status, headers, answer):
    if status != 503:
        raise Wrong(f"status {status}: {answer[:200]}")
    if not headers.get("retry-after", "").isdigit():
        raise Wrong(f"no Retry-After: {headers}")
    if headers.get("connection") != "close":
        raise Wrong(f"a refusal that leaves its connection open: {headers}")
    error = json.loads(answer)["error"]
    if error["code"] != "overloaded" or not error["message"] or "type" not in error:
        raise Wrong(f"a refusal in another shape: {error}")


class Tally:
    """What became of requests."""

    def __init__(self):
        self.whole, self.refused, self.wrong, self.longest = 0, 0, [], 0.0

    async def take(self, asking, longest):
        began = time.monotonic()
        try:
            if await asyncio.wait_for(asking, longest):
                self.whole += 1
            else:
                self.refused += 1
                await asyncio.sleep(AGAIN)
        except (OSError, EOFError, Wrong, ValueError, KeyError) as error:
            self.wrong.append(repr(error))
        self.longest = max(self.longest, time.monotonic() - began)

    async def asks(self, port, end, longest, seed):
        """One client."""
        drawn = random.Random(seed)
        while time.monotonic() < end:
            await self.take(ask(port, BODIES[drawn.choice(PROMPTS)]), longest)


async def load(port, clients, seconds, longest):
    tally, end = Tally(), time.monotonic() + seconds
    await asyncio.gather(*(tally.asks(port, end, longest, seed) for seed in range(clients)))
    return tally


async def capacity(port, longest):
    """As many clients as are served without a refusal."""
    carried = 0
    for clients in range(10, DESCRIPTORS, 10):
        tally = await load(port, clients, 1.5, longest)
        if tally.wrong:
            raise Wrong(tally.wrong[0])
        if tally.refused:
            break
        carried = clients
    # What was refused is to be over.
    await asyncio.sleep(2)
    return carried


def metrics(admin):
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")}


async def overload(port, arguments):
    """What was found, of which the most may be wrong."""
    carried = await capacity(port, arguments.longest)
    long, began = [], []
    for _ in range(arguments.streams):
        began.append(asyncio.Event())
        tokens = int(arguments.seconds / 0.05) + 40
        long.append(asyncio.create_task(
            ask(port, BODIES[1 << 10], began[-1], tokens)))
    await asyncio.gather(*(asyncio.wait_for(one.wait(), 10) for one in began))
    during = await load(port, carried * 2, arguments.seconds, arguments.longest)
    await asyncio.sleep(1)
    after = Tally()
    await asyncio.gather(*(after.take(ask(port, BODIES[1 << 10]), arguments.longest)
                           for _ in range(carried - arguments.streams)))
    ends = await asyncio.gather(*(asyncio.wait_for(one, 60) for one in long), return_exceptions=True)
    return {"carried": carried, "during": during, "after": after, "streams": [end for end in ends if end is not True]}


def limited():
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def judge(found, proxy, shown, arguments):
    """What is not as it should be."""
    during, after = found["during"], found["after"]
    harms = []
    if proxy.poll() is not None:
        harms.append(f"the proxy ended: {proxy.returncode}")
    if found["streams"]:
        harms.append(f"{len(found['streams'])} long streams did not end well: {found['streams'][0]!r}")
    if found["carried"] <= arguments.streams:
        harms.append(f"it carries {found['carried']} clients")
    for when, tally in (("during", during), ("after", after)):
        if tally.wrong:
            harms.append(f"{len(tally.wrong)} answers {when} the load: {tally.wrong[0]}")
    if not during.refused or not during.whole:
        harms.append(f"{during.whole} were served and {during.refused} refused")
    if after.refused:
        harms.append(f"{after.refused} of {after.refused + after.whole} were refused after the load had gone")
    if shown["penstock_accept_errors_total"]:
        harms.append(f"accepting failed {shown['penstock_accept_errors_total']:.0f} times")
    return harms


def run(transport, arguments, stack):
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    port, admin, upstream = (processes.free_port() for _ in range(3))
    file = folder / "penstock.yaml"
    file.write_text(CONFIGURATION.format(port=port, admin=admin, upstream=upstream, transport=transport))
    binary = str(arguments.bin / "penstock")
    simulator = processes.start([binary, "simulate", "--listen", f"127.0.0.1:{upstream}", "--first-token", "200ms",
                                 "--between-tokens", "20ms", "--tokens", "20"])
    stack.callback(processes.stop, simulator)
    processes.wait_for(upstream)
    proxy = subprocess.Popen([binary, "-c", str(file)], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, preexec_fn=limited)
    stack.callback(processes.stop, proxy)
    processes.wait_for(port)
    found = asyncio.run(overload(port, arguments))
    shown = metrics(admin) if proxy.poll() is None else {"penstock_accept_errors_total": 0}
    return found, judge(found, proxy, shown, arguments), shown


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=Path("target/release"),
                        help="folder with penstock (default: target/release)")
    parser.add_argument("--transport", choices=["epoll", "io_uring"], action="append", help="default: both")
    parser.add_argument("--seconds", type=float, default=10, help="of too much load (default: 10)")
    parser.add_argument("--streams", type=int, default=10, help="long ones (default: 10)")
    parser.add_argument("--longest", type=float, default=10, help="seconds that an answer may take (default: 10)")
    arguments = parser.parse_args()
    processes.end_as_after_ctrl_c()
    harms = []
    print("| | clients carried | whole under twice that | refused: descriptors, memory, bodies | longest, s | whole after it |")
    print("|---|---|---|---|---|---|")
    for transport in arguments.transport or ["epoll", "io_uring"]:
        with contextlib.ExitStack() as stack:
            found, wrong, shown = run(transport, arguments, stack)
        during, after = found["during"], found["after"]
        causes = ", ".join(f"{shown.get('penstock_shed_total{cause=%s}' % json.dumps(cause), 0):.0f}"
                           for cause in ("descriptors", "memory", "bodies"))
        print(f"| {transport} | {found['carried']} | {during.whole} | {during.refused}: {causes} | "
              f"{during.longest:.1f} | {after.whole} of {after.whole + after.refused + len(after.wrong)} |")
        sys.stdout.flush()
        harms += [f"{transport}: {harm}" for harm in wrong]
    for harm in harms:
        print(f"\n{harm}")
    return 1 if harms else 0


if __name__ == "__main__":
    sys.exit(main())
