#!/usr/bin/env python3
"""nginx, HAProxy, Penstock on epoll and Penstock on io_uring, side by side.

All four proxy to the same upstream, run in one go and interleaved, one pinned worker
each, on one processor; the upstream and the load share the other. Reported are medians
over the rounds: requests per second, CPU microseconds per request (of the proxy's
process alone, user and system), p50 and p99 in microseconds as the load generator saw
them, and resident memory; for streams the CPU per token and how much later than due
the first token came.

    cargo build --release -p penstock
    cargo build --release -p penstock-simulator --example streams
    apt-get install nginx-light haproxy wrk
    python3 loadtest/compare.py [--rounds 3] [--seconds 4] [--bin target/release]

Needs two processors. Everything listens on 127.0.0.1 and ends with the script.
"""

import argparse
import contextlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import processes
from processes import free_port, wait_for

TICKS = os.sysconf("SC_CLK_TCK")
PROXY_CPU, LOAD_CPU = "1", "0"
STREAM_PACE_MS, STREAM_TOKENS = 20, 100


class Server:
    """A process of ours, and the one process in it that does the work."""

    def __init__(self, name, command, port, cpu, child=False):
        self.name, self.port = name, port
        self.process = processes.start(["taskset", "-c", cpu, *command], PENSTOCK_LOG="error")
        wait_for(port)
        self.pid = self.process.pid
        if child:
            time.sleep(0.2)
            found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            self.pid = int(found[0]) if found else self.pid

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def cpu_us(self):
        """From the scheduler, which counts nanoseconds where /proc/stat counts ticks."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1000

    def memory_mib(self):
        return processes.resident(self.pid) / 2**20

    def stop(self):
        processes.stop(self.process)


def nginx(folder, port, upstream):
    file = folder / f"nginx-{port}.conf"
    file.write_text(f"""
worker_processes 1; daemon off; pid {folder}/nginx-{port}.pid; error_log /dev/null crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000000; client_body_buffer_size 1m; client_max_body_size 16m;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_buffering off; }} }}
}}""")
    return ["nginx", "-c", str(file), "-p", str(folder)]


def nginx_upstream(folder, port):
    file = folder / f"upstream-{port}.conf"
    answer = '{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"' + "word " * 40 + '"}}]}'
    file.write_text(f"""
worker_processes 1; daemon off; pid {folder}/upstream.pid; error_log /dev/null crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {folder}/ub; proxy_temp_path {folder}/up;
  fastcgi_temp_path {folder}/uf; uwsgi_temp_path {folder}/uu; scgi_temp_path {folder}/us;
  keepalive_requests 1000000000; client_body_buffer_size 1m; client_max_body_size 16m;
  default_type application/json;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{answer}'; }} }}
}}""")
    return ["nginx", "-c", str(file), "-p", str(folder)]


def haproxy(folder, port, upstream):
    file = folder / f"haproxy-{port}.cfg"
    file.write_text(f"""
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option http-no-delay
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{upstream} pool-max-conn 1024
""")
    return ["haproxy", "-f", str(file), "-db"]


def penstock(folder, binary, port, upstream, transport):
    file = folder / f"penstock-{port}.yaml"
    file.write_text(f"""
server:
  listen: [{{ address: 127.0.0.1:{port} }}]
  admin: off
  transport: {transport}
  workers: 1
  log: {{ access: off }}
upstreams:
  up: {{ endpoints: ["127.0.0.1:{upstream}"] }}
routes:
  - {{ name: all, split: [{{ upstream: up }}] }}
""")
    return [str(binary), "run", "-c", str(file)]


def proxies(folder, binary, upstream):
    made = []
    for name, command, child in [
        ("nginx", lambda p: nginx(folder, p, upstream), True),
        ("HAProxy", lambda p: haproxy(folder, p, upstream), False),
        ("Penstock epoll", lambda p: penstock(folder, binary, p, upstream, "epoll"), False),
        ("Penstock io_uring", lambda p: penstock(folder, binary, p, upstream, "io_uring"), False),
    ]:
        port = free_port()
        made.append(Server(name, command(port), port, PROXY_CPU, child))
    return made


def wrk_script(folder, size):
    file = folder / f"post-{size}.lua"
    head = '{"model":"m","messages":[{"role":"user","content":"'
    tail = '"}]}'
    file.write_text(f"""
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{head}' .. string.rep("a", {size - len(head) - len(tail)}) .. '{tail}'
""")
    return file


def micros(text):
    number, unit = re.match(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def requests(server, connections, script, seconds):
    url = f"http://127.0.0.1:{server.port}/v1/chat/completions"
    command = ["taskset", "-c", LOAD_CPU, "wrk", "-t1", f"-c{connections}", "--latency", "-s", str(script)]
    subprocess.run([*command, "-d1s", url], capture_output=True, timeout=60)
    before = server.cpu_us()
    out = subprocess.run([*command, f"-d{seconds}s", url], capture_output=True, text=True, timeout=60).stdout
    used = server.cpu_us() - before
    count = int(re.search(r"(\d+) requests in", out).group(1))
    if failed := re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)", out):
        print(f"  {server.name}: {failed.group(0)}", file=sys.stderr)
    return {
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
        "cpu": used / max(count, 1),
        "p50": micros(re.search(r"^\s+50%\s+(\S+)", out, re.M).group(1)),
        "p99": micros(re.search(r"^\s+99%\s+(\S+)", out, re.M).group(1)),
        "memory": server.memory_mib(),
    }


def streams(server, count, client):
    before = server.cpu_us()
    out = subprocess.run(
        ["taskset", "-c", LOAD_CPU, str(client), f"127.0.0.1:{server.port}", str(count), str(STREAM_TOKENS),
         str(STREAM_PACE_MS)], capture_output=True, text=True, timeout=120).stdout
    used = server.cpu_us() - before
    found = re.search(r"(\d+) of (\d+) streams complete, (\d+) tokens; first token later than due by "
                      r"(\d+) us \(median\), (\d+) us", out)
    if not found or found.group(1) != found.group(2):
        print(f"  {server.name}: {out.strip()}", file=sys.stderr)
    return {"cpu": used / max(int(found.group(3)), 1), "p50": float(found.group(4)), "p99": float(found.group(5)),
            "memory": server.memory_mib()}


def medians(rounds):
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


def table(title, results, columns):
    print(f"\n{title}\n")
    print("| | " + " | ".join(label for _, label, _ in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name, result in results.items():
        print(f"| {name} | " + " | ".join(form.format(result[key]) for key, _, form in columns) + " |")
    sys.stdout.flush()


def measure(servers, rounds, one):
    seen = {server.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            seen[server.name].append(one(server))
    return {name: medians(results) for name, results in seen.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--bin", type=Path, default=Path("target/release"))
    parser.add_argument("--connections", default="1,32,128,256")
    parser.add_argument("--streams", default="16,256")
    parser.add_argument("--only", default="", help="names of proxies to run, separated by commas")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run(arguments, folder, stack)


def run(arguments, folder, stack):
    binary, client = arguments.bin / "penstock", arguments.bin / "examples" / "streams"
    only = [name for name in arguments.only.split(",") if name]

    def start(upstream):
        servers = proxies(folder, binary, upstream)
        for server in servers:
            stack.callback(server.stop)
        return [server for server in servers if not only or server.name in only]

    port = free_port()
    upstream = Server("upstream", nginx_upstream(folder, port), port, LOAD_CPU)
    stack.callback(upstream.stop)
    servers = start(port)
    full = [("rate", "requests/s", "{:.0f}"), ("cpu", "CPU µs/request", "{:.1f}"), ("p50", "p50 µs", "{:.0f}"),
            ("p99", "p99 µs", "{:.0f}"), ("memory", "memory MiB", "{:.0f}")]
    small, large = wrk_script(folder, 1024), wrk_script(folder, 16 * 1024)
    for connections in [int(n) for n in arguments.connections.split(",") if n]:
        results = measure(servers, arguments.rounds,
                          lambda s, c=connections: requests(s, c, small, arguments.seconds))
        table(f"1 KiB chat request, {connections} connections", results, full)
    results = measure(servers, arguments.rounds, lambda s: requests(s, 32, large, arguments.seconds))
    table("16 KiB chat request, 32 connections", results, full)

    port = free_port()
    simulator = Server("simulator", [str(binary), "simulate", "--listen", f"127.0.0.1:{port}"], port, LOAD_CPU)
    stack.callback(simulator.stop)
    servers = start(port)
    for count in [int(n) for n in arguments.streams.split(",") if n]:
        results = measure(servers, arguments.rounds, lambda s, n=count: streams(s, n, client))
        table(f"{count} streams of {STREAM_TOKENS} tokens, {STREAM_PACE_MS} ms apart", results,
              [("cpu", "CPU µs/token", "{:.1f}"), ("p50", "first token late by, p50 µs", "{:.0f}"),
               ("p99", "p99 µs", "{:.0f}"), ("memory", "memory MiB", "{:.0f}")])


if __name__ == "__main__":
    main()
