"""What Penstock's chain costs: keys, limits, firewall, routes by model, usage.

nginx proxies and does nothing else. Penstock does so too, and in another process the whole
chain that an operator would have: API keys from a file of a thousand, limits on requests,
tokens and concurrency that are far away, the firewall, twenty routes by the body's model,
and usage read from each answer. All get the same requests, with the key and a chat of
mixed prose. Before the load each part of the chain must refuse what it is there to refuse,
and afterwards the metrics must show that it saw every request.
"""

import hashlib
import http.client
import json
import re
import sys

import prompts
from measuring import STREAM_PACE_MS, STREAM_TOKENS, measure, posts, requests, streams, table
from processes import free_port
from servers import USAGE, penstock

KEYS, KEY = 1_000, "key-of-client-617"
ROUTES, ROUTE = 20, 13
MODEL = f"vendor/model-{ROUTE}-instruct"
CONNECTIONS, STREAMS = 128, 256
SIZES = {"1 KiB": 1024, "16 KiB": 16 * 1024}
HEADERS = {**prompts.HEADERS, "authorization": f"Bearer {KEY}"}
# Of an hour, so that what is counted in a run is still there at its end.
CHAIN = """
chain:
  - authenticate: {{ keys: {{ file: "{keys}" }} }}
  - limits:
      - {{ name: requests, requests: 1000000000, per: 1h, by: [key] }}
      - {{ name: tokens, tokens: 1000000000000, per: 1h, by: [tenant] }}
      - {{ name: concurrent, concurrent: 100000, by: [key] }}
  - waf:
      profile: inference
      fields: {{ max_tokens: 16384, n: 4, messages: 2000, tools: 128, depth: 32 }}
"""
ATTACK = "1 union select password from users--"


def compare(bench, arguments):
    """Prints the tables of this comparison."""
    columns = [("CPU µs/request", "{cpu:.1f}"), ("times nginx", "{ratio:.2f}"), ("requests/s", "{rate:,.0f}"),
               ("p50 µs", "{p50:.0f}"), ("p99 µs", "{p99:.0f}"), ("memory MiB", "{memory:.0f}")]
    servers = _servers(bench, bench.upstream())
    for label, size in SIZES.items():
        bodies = [prompts.chat(MODEL, size, seed) for seed in range(prompts.TURNS)]
        script = posts(bench.folder, f"chat-{size}", bodies, HEADERS)
        results = measure(servers, arguments.rounds, lambda s: requests(s, CONNECTIONS, script, arguments.seconds))
        table(f"{label} chat request, {CONNECTIONS} connections", results, columns)
    tokens = USAGE["total_tokens"]
    for server in servers:
        _see(server, tokens)

    file = bench.folder / "stream.http"
    body = prompts.chat(MODEL, 1024, 0, stream=True, stream_options={"include_usage": True})
    file.write_bytes("".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode() + b"\r\n" + body)
    servers = _servers(bench, bench.simulator())
    results = measure(servers, arguments.rounds, lambda s: streams(s, STREAMS, bench.client, file))
    table(f"{STREAMS} streams of {STREAM_TOKENS} tokens, {STREAM_PACE_MS} ms apart", results,
          [("CPU µs/token", "{cpu:.1f}"), ("times nginx", "{ratio:.2f}"), ("first token late by, p50 µs", "{p50:.0f}"),
           ("p99 µs", "{p99:.0f}"), ("memory MiB", "{memory:.0f}")])
    for server in servers:
        _see(server, STREAM_TOKENS)


def _servers(bench, upstream):
    """nginx, then Penstock without and with the chain on each transport; all checked."""
    plain = [bench.nginx(upstream), *(bench.penstock(transport, upstream) for transport in ("epoll", "io_uring"))]
    chained = [_chained(bench, transport, upstream) for transport in ("epoll", "io_uring")]
    for server in plain:
        _expect(server, 200)
    for server in chained:
        _try(server)
    return plain + chained


def _chained(bench, transport, upstream):
    keys, admin = bench.folder / "keys.yaml", free_port()
    hashes = [hashlib.sha256(f"key-of-client-{n}".encode()).hexdigest() for n in range(KEYS)]
    keys.write_text("".join(f'- {{ hash: "sha256:{digest}", consumer: client-{n}, tenant: tenant-{n % 100} }}\n'
                            for n, digest in enumerate(hashes)))
    routes = "".join(f'  - {{ name: model-{n}, match: {{ path: {{ prefix: /v1 }}, models: [model-{n}, '
                     f'"vendor/model-{n}-*"] }}, split: [{{ upstream: up }}] }}\n' for n in range(ROUTES))
    return bench.start(
        f"Penstock {transport}, chain",
        lambda port: penstock(bench.folder, bench.binary, port, upstream.port, transport, f"127.0.0.1:{admin}",
                              CHAIN.format(keys=keys), routes),
        admin=admin)


def _try(server):
    """Asks for what each part of the chain must refuse, and for what all must let through."""
    without = {name: value for name, value in HEADERS.items() if name != "authorization"}
    _expect(server, 401, headers=without)
    _expect(server, 401, headers={**without, "authorization": "Bearer key-of-nobody"})
    _expect(server, 403, user=ATTACK)
    _expect(server, 403, query="?q=" + ATTACK.replace(" ", "%20"))
    _expect(server, 400, n=5)
    _expect(server, 404, model="vendor/unknown")
    limits = {name for name, value in _expect(server, 200) if name.startswith("x-ratelimit-limit-")}
    if limits != {"x-ratelimit-limit-requests", "x-ratelimit-limit-tokens"}:
        sys.exit(f"{server.name}: limits {limits}")
    server.answered += 1
    # No header tells of the third limit; that the key has a counter there does.
    if _metrics(server).get('penstock_limit_keys{limit="concurrent"}') != 1:
        sys.exit(f"{server.name}: concurrency is not counted")


def _expect(server, status, headers=HEADERS, model=MODEL, query="", **fields):
    """Asks once, and gives the answer's headers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("POST", f"/v1/chat/completions{query}", prompts.chat(model, 1024, 0, **fields), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    if answer.status != status:
        sys.exit(f"{server.name}: {answer.status} where {status} was due: {text}")
    if status == 200 and "usage" not in json.loads(text):
        sys.exit(f"{server.name}: an answer without usage: {text}")
    return [(name.lower(), value) for name, value in answer.getheaders()]


def _metrics(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.admin, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return {name: float(value) for name, value in re.findall(r"^([^#\s]\S*) (\S+)$", text, re.M)}


def _see(server, tokens):
    """Whether all that was answered went through the chain: the route, the limits, the usage.

    wrk leaves with requests under way, which the proxy counts and wrk does not; so the
    proxy's numbers may be higher.
    """
    if server.admin is None:
        return
    found, asked = _metrics(server), server.answered
    spent = {limit: found.get(f'penstock_limit_spent{{limit="{limit}"}}', 0) for limit in ("requests", "tokens")}
    routes = {name: count for name, count in found.items()
              if name.startswith('penstock_requests_total{code="2xx"') and count}
    refused = sum(count for name, count in found.items() if name.startswith("penstock_limit_refusals_total"))
    blocked = sum(count for name, count in found.items() if name.startswith("penstock_waf_matches_total"))
    right = {
        "the route": list(routes) == [f'penstock_requests_total{{code="2xx",route="model-{ROUTE}"}}'],
        "requests by route": sum(routes.values()) >= asked,
        "requests limited": spent["requests"] >= asked,
        "tokens limited": spent["tokens"] >= asked * tokens,
        "no limit reached": refused == 0,
        "the firewall": blocked == 3,
    }
    if wrong := [what for what, holds in right.items() if not holds]:
        sys.exit(f"{server.name}: the metrics do not show {', '.join(wrong)} for {asked:,} answers")
    print(f"{server.name}: {asked:,} answers, all on route model-{ROUTE}; spent {spent['requests']:,.0f} requests, "
          f"{spent['tokens']:,.0f} tokens", file=sys.stderr)
