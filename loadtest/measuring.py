"""The load, what it costs a server, and tables of that.

A run in which an answer is missing or is not one of success ends the comparison: how fast
a server refuses is another question.
"""

import re
import statistics
import subprocess
import sys

from servers import LOAD_CPU

STREAM_PACE_MS, STREAM_TOKENS = 20, 100
STREAMS_LINE = re.compile(r"(\d+) of (\d+) streams complete, (\d+) tokens; first token later than due by "
                          r"(\d+) us \(median\), (\d+) us")


def posts(folder, name, bodies, headers):
    """A script with which wrk sends these bodies in turn."""
    for n, body in enumerate(bodies):
        (folder / f"{name}-{n}.json").write_bytes(body)
    file = folder / f"{name}.lua"
    lines = "\n".join(f'wrk.headers["{header}"] = "{value}"' for header, value in headers.items())
    file.write_text(f"""
wrk.method = "POST"
{lines}
local ready, at = {{}}, 0
init = function()
  for n = 0, {len(bodies) - 1} do
    local file = assert(io.open("{folder}/{name}-" .. n .. ".json", "rb"))
    ready[n + 1] = wrk.format(nil, nil, nil, file:read("*a"))
    file:close()
  end
end
request = function()
  at = at % #ready + 1
  return ready[at]
end
""")
    return file


def same_post(folder, size):
    """A script with which wrk sends one body of `size` bytes, which is hardly more than a letter."""
    file = folder / f"post-{size}.lua"
    head = '{"model":"m","messages":[{"role":"user","content":"'
    tail = '"}]}'
    file.write_text(f"""
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{head}' .. string.rep("a", {size - len(head) - len(tail)}) .. '{tail}'
""")
    return file


def requests(server, connections, script, seconds, path="/v1/chat/completions"):
    command = ["taskset", "-c", LOAD_CPU, "wrk", "-t1", f"-c{connections}", "--latency",
               *(["-s", str(script)] if script else [])]
    url = f"http://127.0.0.1:{server.port}{path}"
    _wrk(server, [*command, "-d1s", url])
    before = server.cpu_us()
    count, out = _wrk(server, [*command, f"-d{seconds}s", url])
    used = server.cpu_us() - before
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
        "cpu": used / count,
        "p50": micros(re.search(r"^\s+50%\s+(\S+)", out, re.M).group(1)),
        "p99": micros(re.search(r"^\s+99%\s+(\S+)", out, re.M).group(1)),
        "memory": server.memory_mib(),
    }


def _wrk(server, command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = re.search(r"(\d+) requests in", done.stdout)
    if not found or found.group(1) == "0":
        sys.exit(f"{server.name}: no answer\n{done.stdout}{done.stderr}")
    if failed := re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)", done.stdout):
        sys.exit(f"{server.name}: {failed.group(0)}")
    count = int(found.group(1))
    server.answered += count
    return count, done.stdout


def micros(text):
    number, unit = re.match(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def streams(server, count, client, request=None):
    """`request` is a file with the headers and the body that `client` sends on each stream."""
    before = server.cpu_us()
    done = subprocess.run(
        ["taskset", "-c", LOAD_CPU, str(client), f"127.0.0.1:{server.port}", str(count), str(STREAM_TOKENS),
         str(STREAM_PACE_MS), *([str(request)] if request else [])], capture_output=True, text=True, timeout=120)
    used = server.cpu_us() - before
    found = STREAMS_LINE.search(done.stdout)
    if not found or found.group(1) != found.group(2) or int(found.group(3)) != count * STREAM_TOKENS:
        sys.exit(f"{server.name}: {done.stdout}{done.stderr}")
    server.answered += count
    return {"cpu": used / int(found.group(3)), "p50": float(found.group(4)), "p99": float(found.group(5)),
            "memory": server.memory_mib()}


def measure(servers, rounds, one):
    """Medians over the rounds, in each of which the servers take turns.

    `ratio` is the processor time as a multiple of the first server's in the same round,
    which drifts less than either.
    """
    seen = {server.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            seen[server.name].append(one(server))
        first = seen[servers[0].name][-1]["cpu"]
        for results in seen.values():
            results[-1]["ratio"] = results[-1]["cpu"] / first
    return {name: medians(results) for name, results in seen.items()}


def medians(rounds):
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


def table(title, results, columns):
    """Prints a table in Markdown; a column is a form for the result of a row, and a label."""
    print(f"\n{title}\n")
    print("| | " + " | ".join(label for label, _ in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name, result in results.items():
        print(f"| {name} | " + " | ".join(form.format(**result) for _, form in columns) + " |")
    sys.stdout.flush()
