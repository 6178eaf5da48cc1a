"""The simulator of a model server beside nginx with a fixed answer.

Load tests that use the simulator are bound by it. One worker each, alone on a processor;
the simulator makes no pauses, so that all its time is work. nginx reads the same requests
and answers a chat with one text, where the simulator reads the body, draws an answer and
counts tokens.
"""

import prompts
from measuring import measure, posts, requests, table
from servers import PROXY_CPU

CONNECTIONS, SIZE = 64, 1024


def compare(bench, arguments):
    """Prints the tables of this comparison."""
    servers = [bench.upstream(PROXY_CPU, "nginx"),
               bench.simulator("--first-token", "0ms", "--between-tokens", "0ms", cpu=PROXY_CPU)]
    bodies = [prompts.chat("simulator-small", SIZE, seed) for seed in range(prompts.TURNS)]
    script = posts(bench.folder, "simulated", bodies, prompts.HEADERS)
    for title, lua, path in [("1 KiB chat request", script, "/v1/chat/completions"), ("Plain GET", None, "/plain")]:
        results = measure(servers, arguments.rounds,
                          lambda s: requests(s, CONNECTIONS, lua, arguments.seconds, path))
        for result in results.values():
            result["core"] = 1e6 / result["cpu"]
        table(f"{title}, {CONNECTIONS} connections", results,
              [("requests/s", "{rate:,.0f}"), ("requests/s of a whole core", "{core:,.0f}"),
               ("CPU µs/request", "{cpu:.1f}"), ("times nginx", "{ratio:.2f}"), ("p50 µs", "{p50:.0f}"),
               ("p99 µs", "{p99:.0f}")])
