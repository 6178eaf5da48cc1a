"""The servers that are compared: their configurations, and what they use of the machine."""

import contextlib
import os
import time
from pathlib import Path

import processes

TICKS = os.sysconf("SC_CLK_TCK")
# What is measured has one processor to itself; the load and the upstream share the other.
PROXY_CPU, LOAD_CPU = "1", "0"

# What nginx answers as an upstream, and the tokens that its answer states.
USAGE = {"prompt_tokens": 210, "completion_tokens": 40, "total_tokens": 250}
ANSWER = (
    '{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"'
    + "word " * 40 + '"},"finish_reason":"stop"}],"usage":{'
    + ",".join(f'"{name}":{tokens}' for name, tokens in USAGE.items()) + "}}")


class Server:
    """A process of ours, and the one process in it that does the work."""

    def __init__(self, name, command, port, cpu, child=False, admin=None):
        self.name, self.port, self.admin = name, port, admin
        # Answers that it has given, as the load generators counted them.
        self.answered = 0
        self.process = processes.start(["taskset", "-c", cpu, *command], PENSTOCK_LOG="error")
        processes.wait_for(port)
        self.pid = self.process.pid
        if child:
            time.sleep(0.2)
            found = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            self.pid = int(found[0]) if found else self.pid

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


class Bench:
    """Starts servers, each with files of its own, and ends them all with `stack`."""

    def __init__(self, binaries, folder, stack):
        self.binary, self.client = binaries / "penstock", binaries / "examples" / "streams"
        self.folder, self.stack = folder, stack

    def start(self, name, command, cpu=PROXY_CPU, **options):
        """Starts a server on a free port, which `command` gets."""
        port = processes.free_port()
        server = Server(name, command(port), port, cpu, **options)
        self.stack.callback(server.stop)
        return server

    def upstream(self, cpu=LOAD_CPU, name="upstream"):
        """nginx with a fixed answer."""
        return self.start(name, lambda port: nginx_upstream(self.folder, port), cpu, child=True)

    def simulator(self, *arguments, cpu=LOAD_CPU, name="simulator"):
        command = [str(self.binary), "simulate", "--workers", "1", *arguments, "--listen"]
        return self.start(name, lambda port: [*command, f"127.0.0.1:{port}"], cpu)

    def nginx(self, upstream):
        return self.start("nginx", lambda port: nginx(self.folder, port, upstream.port), child=True)

    def haproxy(self, upstream):
        return self.start("HAProxy", lambda port: haproxy(self.folder, port, upstream.port))

    def penstock(self, transport, upstream):
        return self.start(f"Penstock {transport}",
                          lambda port: penstock(self.folder, self.binary, port, upstream.port, transport))


def nginx(folder, port, upstream):
    return _nginx(folder, port, f"""
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
                  proxy_buffering off; }} }}""")


def nginx_upstream(folder, port):
    return _nginx(folder, port, f"""
  default_type application/json;
  server {{ listen 127.0.0.1:{port};
    location = /plain {{ default_type text/plain; return 200 'ok'; }}
    location / {{ return 200 '{ANSWER}'; }} }}""")


def _nginx(folder, port, servers):
    own = folder / f"nginx-{port}"
    own.mkdir()
    file = own / "nginx.conf"
    file.write_text(f"""
worker_processes 1; daemon off; pid {own}/pid; error_log /dev/null crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {own}/body; proxy_temp_path {own}/proxy;
  fastcgi_temp_path {own}/f; uwsgi_temp_path {own}/u; scgi_temp_path {own}/s;
  keepalive_requests 1000000000; client_body_buffer_size 1m; client_max_body_size 16m;
{servers}
}}""")
    return ["nginx", "-c", str(file), "-p", str(own)]


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


def penstock(folder, binary, port, upstream, transport, admin="off", chain="",
             routes="  - { name: all, split: [{ upstream: up }] }\n"):
    file = folder / f"penstock-{port}.yaml"
    file.write_text(f"""
server:
  listen: [{{ address: 127.0.0.1:{port} }}]
  admin: {admin}
  transport: {transport}
  workers: 1
  log: {{ access: off }}
upstreams:
  up: {{ endpoints: ["127.0.0.1:{upstream}"] }}
{chain}routes:
{routes}""")
    return [str(binary), "run", "-c", str(file)]
