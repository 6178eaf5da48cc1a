#!/usr/bin/env python3
"""What retries and a shadow add to the first token of a healthy stream.

One proxy has four routes to one upstream: without another attempt; the same again, which
shows what the measurement itself is worth; with three attempts, a fallback and a time for
the first token, for which each request is kept and each stream is held back until it
says something; and without another attempt, but with a shadow whose server takes every
request and never answers. They are asked by turns, one stream at a time, and what is
compared are medians of the time that was not the upstream's (see the example `added`).

    cargo build --release -p penstock
    cargo build --release -p penstock-simulator --example added
    python3 loadtest/added.py           # a minute
    python3 loadtest/added.py --rounds 500 --bin target/debug

The exit code is 1 if holding adds more than --held-us microseconds, or the shadow more than
--shadow-us and more than what the route without anything differs from itself.

Needs two processors on which nothing else runs: one is the proxy's. Everything listens on
127.0.0.1 and ends with the script.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import free_port
from servers import LOAD_CPU, Bench

ROUTES = {
    "plain": "attempts: 1",
    "again": "attempts: 1",
    "held": "fallback: [{ upstream: other }], attempts: 3, retry: { first_token: 10s }",
    "shadow": "attempts: 1, shadow: { upstream: silent, percent: 100, concurrent: 1000, timeout: 2s }",
}


def configuration(port, transport, upstream, silent):
    routes = "".join(f"  - {{ name: {name}, match: {{ headers: {{ x-route: {name} }} }}, "
                     f"split: [{{ upstream: up }}], {route} }}\n" for name, route in ROUTES.items())
    return f"""server:
  listen: [{{ address: "127.0.0.1:{port}" }}]
  admin: off
  transport: {transport}
  workers: 1
  log: {{ access: off }}
upstreams:
  up: {{ endpoints: ["127.0.0.1:{upstream}"] }}
  other: {{ endpoints: ["127.0.0.1:{silent}"] }}
  # It stays in use, however silent it is.
  silent: {{ endpoints: ["127.0.0.1:{silent}"], ejection: off }}
routes:
{routes}"""


def measure(bench, transport, rounds):
    """By route, in microseconds: median and p99, and medians of the way there and back."""
    upstream, silent = free_port(), free_port()

    def command(port):
        file = bench.folder / f"added-{port}.yaml"
        file.write_text(configuration(port, transport, upstream, silent))
        return [str(bench.binary), "run", "-c", str(file)]

    proxy = bench.start(f"Penstock {transport}", command)
    addresses = [f"127.0.0.1:{port}" for port in (proxy.port, upstream, silent)]
    tool = str(bench.client.with_name("added"))
    done = subprocess.run(["taskset", "-c", LOAD_CPU, tool, *addresses, str(rounds), *ROUTES],
                          capture_output=True, text=True, timeout=60 + rounds * 0.1, check=False)
    proxy.stop()
    if done.returncode != 0:
        sys.exit(f"{transport}: {done.stdout}{done.stderr}")
    lines = (line.split() for line in done.stdout.splitlines())
    return {name: [int(time) / 1000 for time in times] for name, *times in lines}


def judge(transport, found, arguments):
    """Prints a table, and returns what is too much."""
    plain = found["plain"][0]
    print(f"\n{transport}, {arguments.rounds} streams on each route\n")
    print("| route | median µs | added µs | p99 µs | there µs | back µs |\n|---|---|---|---|---|---|")
    for name, (median, p99, there, back) in found.items():
        print(f"| {name} | {median:.1f} | {median - plain:+.1f} | {p99:.0f} | {there:.1f} | {back:.1f} |")
    sys.stdout.flush()
    added = {name: median - plain for name, (median, *_) in found.items()}
    harms = []
    if added["held"] > arguments.held_us:
        harms.append(f"{transport}: holding adds {added['held']:.1f} µs")
    if added["shadow"] > max(arguments.shadow_us, abs(added["again"])):
        harms.append(f"{transport}: a shadow adds {added['shadow']:.1f} µs")
    return harms


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=Path("target/release"),
                        help="folder with penstock and examples/added (default: target/release)")
    parser.add_argument("--rounds", type=int, default=3000, help="streams on each route (default: 3000)")
    parser.add_argument("--transport", choices=["epoll", "io_uring"], action="append", help="default: both")
    parser.add_argument("--held-us", type=float, default=20, help="what retries may add (default: 20)")
    parser.add_argument("--shadow-us", type=float, default=5, help="what a shadow may add (default: 5)")
    arguments = parser.parse_args()
    harms = []
    for transport in arguments.transport or ["epoll", "io_uring"]:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            found = measure(Bench(arguments.bin, folder, stack), transport, arguments.rounds)
            harms += judge(transport, found, arguments)
    for harm in harms:
        print(f"\n{harm}")
    return 1 if harms else 0


if __name__ == "__main__":
    sys.exit(main())
