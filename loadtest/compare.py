#!/usr/bin/env python3
"""nginx, HAProxy, Penstock on epoll and Penstock on io_uring, side by side.

Three comparisons, each run in one go with the servers taking turns:

  proxies    all four do nothing but proxy to the same upstream
  chain      nginx proxying, Penstock proxying, and Penstock with keys, limits, firewall,
             routes by model and accounting (128 connections, 256 streams)
  simulator  `penstock simulate` beside nginx with a fixed answer

What is measured has one worker, pinned to one processor; the upstream and the load share
the other. Reported are medians over the rounds: requests per second, CPU microseconds per
request (of the server's process alone, user and system), the same as a multiple of
nginx's, p50 and p99 in microseconds as the load generator saw them, and resident memory;
for streams the CPU per token and how much later than due the first token came. An answer
that is missing or no success ends the run with exit code 1.

    cargo build --release -p penstock
    cargo build --release -p penstock-simulator --example streams
    apt-get install nginx-light haproxy wrk
    python3 loadtest/compare.py [--only chain] [--rounds 3] [--seconds 4] [--bin target/release]

Needs two processors. Everything listens on 127.0.0.1 and ends with the script.
"""

import argparse
import contextlib
import tempfile
from pathlib import Path

import chain
import simulated
from measuring import STREAM_PACE_MS, STREAM_TOKENS, measure, requests, same_post, streams, table
from servers import Bench


def proxies(bench, arguments):
    """Prints the tables of the proxies that only proxy."""
    columns = [("requests/s", "{rate:.0f}"), ("CPU µs/request", "{cpu:.1f}"), ("times nginx", "{ratio:.2f}"),
               ("p50 µs", "{p50:.0f}"), ("p99 µs", "{p99:.0f}"), ("memory MiB", "{memory:.0f}")]
    small, large = same_post(bench.folder, 1024), same_post(bench.folder, 16 * 1024)
    servers = proxy_servers(bench, bench.upstream())
    loads = [("1 KiB", small, connections) for connections in arguments.connections]
    for size, script, connections in [*loads, ("16 KiB", large, 32)]:
        results = measure(servers, arguments.rounds, lambda s: requests(s, connections, script, arguments.seconds))
        table(f"{size} chat request, {connections} connections", results, columns)
    servers = proxy_servers(bench, bench.simulator())
    for count in arguments.streams:
        results = measure(servers, arguments.rounds, lambda s: streams(s, count, bench.client))
        table(f"{count} streams of {STREAM_TOKENS} tokens, {STREAM_PACE_MS} ms apart", results,
              [("CPU µs/token", "{cpu:.1f}"), ("times nginx", "{ratio:.2f}"),
               ("first token late by, p50 µs", "{p50:.0f}"), ("p99 µs", "{p99:.0f}"), ("memory MiB", "{memory:.0f}")])


def proxy_servers(bench, upstream):
    return [bench.nginx(upstream), bench.haproxy(upstream),
            *(bench.penstock(transport, upstream) for transport in ("epoll", "io_uring"))]


COMPARISONS = {"proxies": proxies, "chain": chain.compare, "simulator": simulated.compare}


def numbers(text):
    return [int(number) for number in text.split(",") if number]


def names(text):
    chosen = [name for name in text.split(",") if name]
    if unknown := set(chosen) - set(COMPARISONS):
        raise argparse.ArgumentTypeError(f"no comparison is named {', '.join(sorted(unknown))}")
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=names, default=list(COMPARISONS), metavar="NAMES",
                        help="comparisons to run, separated by commas (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement (default: 3)")
    parser.add_argument("--seconds", type=int, default=4,
                        help="seconds of each, after one that is not counted; not for streams (default: 4)")
    parser.add_argument("--bin", type=Path, default=Path("target/release"),
                        help="folder with penstock and examples/streams (default: target/release)")
    parser.add_argument("--connections", type=numbers, default=[1, 32, 128, 256], metavar="NUMBERS",
                        help="of `proxies` with 1 KiB (default: 1,32,128,256)")
    parser.add_argument("--streams", type=numbers, default=[16, 256], metavar="NUMBERS",
                        help="of `proxies` (default: 16,256)")
    arguments = parser.parse_args()
    for name in arguments.only:
        # A comparison ends its own servers before the next one starts.
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            COMPARISONS[name](Bench(arguments.bin, folder, stack), arguments)


if __name__ == "__main__":
    main()
