#!/usr/bin/env python3
"""Changes a proxy's configuration, and its binary, under full load, and looks for harm.

Starts two simulators, a Penstock in front of them and k6 with k6/reload.js: clients over
connections that they keep and over new ones, over TLS, and with live streams. Meanwhile it
replaces the configuration (routes, chains, keys, certificates; by rename, in place and as
Kubernetes swaps a ConfigMap) and reloads it by signal and over the admin listener, puts
wrong files in between, which must change nothing, and starts new processes that take over.

    cargo build --release -p penstock
    python3 loadtest/reload.py           # less than a minute, to see that it works
    python3 loadtest/reload.py --full    # 200 reloads, 5 upgrades, 1,000 routes, 10,000 keys, 200 streams

Where there are two processors or more, one half is the proxy's and the other half the load's:
how long a reload takes is to tell of the proxy, not of how the kernel shares a processor with
k6. Memory is taken while the load pauses, so that it tells what is kept, not what is in use.

The exit code is 1 if anything was harmed: a connection error, an unexpected status, a cut
stream, an answer that two generations had a part in, a wrong file that was taken, a reload
over --reload-ms, memory over --memory-percent above what it was before, an error in a log.

Everything listens on 127.0.0.1 and ends with the script. Needs k6 and openssl.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from generations import LASTING_KEYS, WAYS, Files, wrong_files
from processes import end_as_after_ctrl_c, fill_in, free_port, resident, start, stop, wait_for

HERE = Path(__file__).resolve().parent
SHORT = {"reloads": 20, "upgrades": 1, "routes": 50, "keys": 0, "streams": 20, "kept": 4, "fresh": 2, "tls": 2,
         "warm": 10, "settle": 2}
FULL = {"reloads": 200, "upgrades": 5, "routes": 1000, "keys": 10000, "streams": 200, "kept": 16, "fresh": 8,
        "tls": 4, "warm": 20, "settle": 10}
WAIT_SECONDS = 60
CPUS = sorted(os.sched_getaffinity(0))
HALF = len(CPUS) // 2


def only_on(cpus):
    """What comes before a command that is to use these processors alone."""
    return ["taskset", "-c", ",".join(map(str, cpus))] if HALF else []


LOAD_CPUS, PROXY_CPUS = only_on(CPUS[:HALF]), only_on(CPUS[HALF:])
VERDICT = re.compile("configuration reloaded|reload refused")


class Harm(Exception):
    """What ends the run at once: nothing after it would mean anything."""


class Proxy:
    """One process of the proxy, with its log."""

    def __init__(self, binary, files, log, upgrade=False):
        self.files, self.log = files, log
        command = [*PROXY_CPUS, str(binary), "run", "-c", str(files.config), *(["--upgrade"] if upgrade else [])]
        with log.open("wb") as output:
            # Huge pages make the figure of memory move by 2 MiB, whatever was allocated.
            self.process = start(command, output, MIMALLOC_ALLOW_THP="0")

    def await_log(self, text):
        deadline = time.monotonic() + WAIT_SECONDS
        while text not in self.log.read_text():
            if self.process.poll() is not None:
                end = self.log.read_text()[-2000:]
                raise Harm(f"the proxy ended with exit code {self.process.returncode}: {end}")
            if time.monotonic() > deadline:
                raise Harm(f"no “{text}” in the proxy's log within {WAIT_SECONDS} s")
            time.sleep(0.01)

    def admin(self, method, path):
        if self.process.poll() is not None:
            raise Harm(f"the proxy ended with exit code {self.process.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", self.files.ports[2], timeout=WAIT_SECONDS)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError as error:
            raise Harm(f"the admin listener does not answer: {error}") from error
        finally:
            connection.close()

    def metric(self, name):
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.admin("GET", "/metrics")[1], re.M)
        return float(found.group(1)) if found else 0.0

    def reload(self, by_signal):
        """Reloads and returns what the proxy logs of it. Its log is asked, not its metrics:
        with thousands of routes those are megabytes, and reading them would be a load too."""
        before = self.log.stat().st_size
        if by_signal:
            self.process.send_signal(signal.SIGHUP)
        else:
            self.admin("POST", "/reload")
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            with self.log.open("rb") as log:
                log.seek(before)
                lines = log.read().split(b"\n")[:-1]
            for line in map(json.loads, lines):
                if VERDICT.match(line["message"]):
                    return line
            if self.process.poll() is not None:
                raise Harm(f"the proxy ended with exit code {self.process.returncode}")
            time.sleep(0.005)
        raise Harm(f"no reload within {WAIT_SECONDS} s")

    def memory(self):
        """Bytes that the process has in use, when nothing runs on an old generation any more:
        the least over a while, since what was freed goes back to the kernel when a thread
        of the allocator ends, and by no clock. The one that compares the files on disk does
        so after ten idle seconds, and with it goes the text of the metrics that were asked
        for before."""
        deadline = time.monotonic() + WAIT_SECONDS
        # The one that serves, and the one before, which is kept for a rollback.
        while self.metric("penstock_generations_alive") > 2:
            if time.monotonic() > deadline:
                raise Harm(f"old generations are still alive after {WAIT_SECONDS} s")
            time.sleep(0.5)
        self.admin("GET", "/generations")
        samples = []
        for _ in range(140):
            samples.append(resident(self.process.pid, "RssAnon"))
            time.sleep(0.1)
        return min(samples)


class Run:
    """The proxy that serves now, what was done to it, and what went wrong."""

    def __init__(self, arguments, folder, files):
        self.arguments, self.folder, self.files = arguments, folder, files
        self.binary = arguments.bin / "penstock"
        self.harms, self.times, self.drained = [], [], []
        self.generation, self.changes, self.refusals, self.upgrades = 1, 0, 0, 0
        files.write(1, "rename")
        self.proxy = Proxy(self.binary, files, folder / "proxy-0.log")
        self.proxies = [self.proxy]
        self.proxy.await_log('"listening"')

    def change(self, judged=True):
        """Makes a generation, puts it in force and looks at the certificate."""
        self.generation += 1
        self.changes += 1
        way = list(WAYS)[self.changes % len(WAYS)]
        self.files.write(self.generation, way)
        verdict = self.proxy.reload(by_signal=self.changes % 2 == 0)
        if "generation" not in verdict:
            self.harm(f"generation {self.generation} ({way}): {verdict['message'][:500]}")
            return
        if judged:
            self.times.append(verdict["took_ms"])
        if self.presented() != self.files.certificate_of(self.generation):
            self.harm(f"generation {self.generation} is in force, but an old certificate is presented")
        if self.files.keys:
            statuses = [self.status_for(self.files.own_key(n)) for n in (self.generation, self.generation - 1)]
            if statuses != [200, 401]:
                self.harm(f"the keys of this generation and of the last are answered with {statuses}, not 200 and 401")

    def break_files(self):
        """Puts a wrong file in place: it must be refused and change nothing."""
        kinds = wrong_files(self.files)
        name, spoil = kinds[self.refusals % len(kinds)]
        self.refusals += 1
        spoil()
        verdict = self.proxy.reload(by_signal=self.refusals % 2 == 0)
        if "generation" in verdict:
            self.harm(f"a wrong file was taken: {name}")
        if self.presented() != self.files.certificate_of(self.generation):
            self.harm(f"a wrong file changed the certificate: {name}")
        self.files.write(self.generation, "rename")

    def upgrade(self):
        """Starts a process that takes over; the old one must end by itself and well."""
        self.upgrades += 1
        old = self.proxy
        new = Proxy(self.binary, self.files, self.folder / f"proxy-{self.upgrades}.log", upgrade=True)
        self.proxies.append(new)
        new.await_log("waiting for the running process")
        started = time.monotonic()
        old.process.send_signal(signal.SIGQUIT)
        new.await_log('"listening"')
        new.await_log('"admin listener"')
        self.proxy = new
        try:
            code = old.process.wait(150)
        except subprocess.TimeoutExpired:
            raise Harm("an old process does not end") from None
        self.drained.append(time.monotonic() - started)
        if code != 0:
            self.harm(f"an old process ended with exit code {code}")

    def presented(self):
        """The certificate of a new connection, in DER."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.files.ports[1]), 10) as plain:
            with context.wrap_socket(plain) as wrapped:
                return wrapped.getpeercert(binary_form=True)

    def status_for(self, key):
        """How a request with a key is answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.files.ports[0], timeout=WAIT_SECONDS)
        body = json.dumps({"model": "any", "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]})
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        try:
            connection.request("POST", "/v1/chat/completions", body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def sabotage(self, how):
        """Does harm on purpose, to see that it is found."""
        if how == "kill":
            self.proxy.process.kill()
        elif how == "mix":
            self.generation += 1
            self.files.write(self.generation, "rename", route_tells=self.generation - 1)
            self.proxy.reload(by_signal=False)
        time.sleep(1)

    def harm(self, what):
        if what in self.harms:
            return
        self.harms.append(what)
        print(f"  HARM: {what}", flush=True)


def expected_seconds(arguments):
    """How long the run takes on an idle machine, for the charts over time."""
    changes = arguments.warm + 1.4 * arguments.reloads
    return round(30 + arguments.settle + changes * (arguments.pause + 0.1) + 3 * arguments.upgrades)


@contextlib.contextmanager
def stopped(process):
    """Stops a process for a while. What waits for it must not run out of time meanwhile."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def load(arguments, folder, files):
    """k6, which runs until it is told to stop."""
    environment = {
        "TARGET": f"http://127.0.0.1:{files.ports[0]}",
        "TLS_TARGET": f"https://127.0.0.1:{files.ports[1]}",
        "DURATION": f"{arguments.seconds_max}s",
        "EXPECTED_SECONDS": str(expected_seconds(arguments)),
        "STREAMS": str(arguments.streams),
        "STREAM_TOKENS": str(arguments.stream_tokens),
        "KEPT": str(arguments.kept),
        "FRESH": str(arguments.fresh),
        "TLS": str(arguments.tls),
        "REPORT": str(arguments.page.resolve() if arguments.page else "off"),
        "SUMMARY_JSON": str(folder / "k6.json"),
        "API_KEYS": ",".join(LASTING_KEYS) if arguments.keys else "",
    }
    command = [*LOAD_CPUS, arguments.k6, "run", "--quiet", "--no-usage-report", str(HERE / "k6" / "reload.js")]
    with (folder / "k6.log").open("wb") as output:
        return start(command, output, **environment)


def drive(arguments, run, k6):
    """Everything that happens while k6 runs. Returns memory before and after the reloads."""

    def pause():
        time.sleep(arguments.pause)
        if k6.poll() is not None:
            raise Harm("the load ended before its time: see its report below")

    time.sleep(arguments.settle)
    print(f"{arguments.warm} reloads to warm up", flush=True)
    for _ in range(arguments.warm):
        run.change(judged=False)
        pause()
    with stopped(k6):
        before = run.proxy.memory()
    each = f"{arguments.routes} routes and {arguments.keys} keys each"
    print(f"{arguments.reloads} reloads, {each}, wrong files in between", flush=True)
    for n in range(arguments.reloads):
        if arguments.sabotage and n == arguments.reloads // 2:
            run.sabotage(arguments.sabotage)
        run.change()
        pause()
        if n % 3 == 1:
            run.break_files()
            pause()
    with stopped(k6):
        after = run.proxy.memory()
    for n in range(arguments.upgrades):
        print(f"upgrade {n + 1} of {arguments.upgrades}", flush=True)
        run.upgrade()
        run.change(judged=False)
        run.break_files()
        pause()
    return before, after


def finish(run, k6, folder):
    """Stops the load, then the proxy, and judges what both have to say."""
    if k6.poll() is None:
        k6.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            k6.wait(WAIT_SECONDS)
    stop(k6)
    print((folder / "k6.log").read_text())
    summary = folder / "k6.json"
    if not summary.exists():
        run.harm("k6 left no summary")
        return {}
    found = json.loads(summary.read_text())
    for kind, count in found["errors"].items():
        run.harm(f"{count} answers: {kind}")
    for threshold in found["thresholds"]:
        if not threshold["ok"]:
            run.harm(f"{threshold['metric']} {threshold['condition']} does not hold")
    code = stop(run.proxy.process, WAIT_SECONDS)
    if code != 0:
        run.harm(f"the proxy ended with exit code {code}")
    for proxy in run.proxies:
        for line in proxy.log.read_text().splitlines():
            if '"level":"ERROR"' in line or "panicked" in line:
                run.harm(f"{proxy.log.name}: {line[:300]}")
    return found


def report(arguments, run, memory, found):
    """The figures, and the limits that are on them."""
    rows = [("requests", f"{found.get('requests', 0):,.0f}"), ("generations", f"{run.changes:,}"),
            ("wrong files refused", f"{run.refusals:,}"), ("upgrades", f"{run.upgrades:,}")]
    if run.times:
        times = sorted(run.times)
        p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
        rows.append(("reload", f"p50 {statistics.median(times):.0f} ms, p99 {p99} ms, longest {times[-1]} ms "
                               f"(limit {arguments.reload_ms:g} ms)"))
        if times[-1] > arguments.reload_ms:
            late = sum(1 for took in times if took > arguments.reload_ms)
            run.harm(f"{late} of {len(times)} reloads took longer than {arguments.reload_ms:g} ms")
    if memory:
        before, after = memory
        grown = 100 * (after - before) / before
        rows.append(("memory", f"{before / 2**20:.1f} MiB before, {after / 2**20:.1f} MiB after: {grown:+.1f} % "
                               f"(limit {arguments.memory_percent:+g} %)"))
        if grown > arguments.memory_percent:
            run.harm(f"memory grew by {grown:.1f} %")
    if run.drained:
        rows.append(("old process gone after", ", ".join(f"{seconds:.1f} s" for seconds in run.drained)))
    for name, value in rows:
        print(f"{name:>24}  {value}")
    print("\nharmed:" if run.harms else "\nno harm was done")
    for harm in run.harms:
        print(f"  {harm}")


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=Path("target/release"), help="the folder of the binary")
    parser.add_argument("--k6", default="k6")
    parser.add_argument("--transport", default="auto")
    parser.add_argument("--full", action="store_true", help="large numbers where none are given")
    parser.add_argument("--reloads", type=int)
    parser.add_argument("--upgrades", type=int)
    parser.add_argument("--routes", type=int, help="of each generation")
    parser.add_argument("--keys", type=int, help="of each generation; 0 for a chain without authentication")
    parser.add_argument("--streams", type=int, help="live at every moment")
    parser.add_argument("--stream-tokens", type=int, default=60, help="of each, 20 ms apart")
    parser.add_argument("--kept", type=int, help="clients that keep their connection")
    parser.add_argument("--fresh", type=int, help="clients with a new connection for each request")
    parser.add_argument("--tls", type=int, help="clients over TLS")
    parser.add_argument("--warm", type=int, help="reloads before memory is measured")
    parser.add_argument("--settle", type=float, help="seconds of load before the first reload")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds after each reload")
    parser.add_argument("--reload-ms", type=float, default=50, help="the longest that a reload may take")
    parser.add_argument("--memory-percent", type=float, default=2, help="how much memory may grow")
    parser.add_argument("--seconds-max", type=int, default=1800, help="when the load ends in any case")
    parser.add_argument("--page", type=Path, help="where k6's page is written")
    parser.add_argument("--sabotage", choices=["kill", "mix"], help="do harm on purpose: the run must then fail")
    arguments = parser.parse_args()
    return fill_in(arguments, FULL if arguments.full else SHORT)


def main():
    arguments = parsed()
    end_as_after_ctrl_c()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-reload-")))
        upstreams = free_port(), free_port()
        for name, port in zip(("even", "odd"), upstreams):
            command = [*LOAD_CPUS, str(arguments.bin / "penstock"), "simulate", "--listen", f"127.0.0.1:{port}", "--name", name]
            pace = ["--first-token", "20ms", "--between-tokens", "20ms", "--tokens", str(arguments.stream_tokens)]
            stack.callback(stop, start([*command, *pace]))
            wait_for(port)
        files = Files(folder, [free_port() for _ in range(3)], arguments.transport, upstreams, arguments.routes,
                      arguments.keys)
        run = Run(arguments, folder, files)
        stack.callback(lambda: [proxy.process.kill() for proxy in run.proxies])
        k6 = load(arguments, folder, files)
        stack.callback(k6.kill)
        memory = None
        try:
            memory = drive(arguments, run, k6)
        except (Harm, OSError) as harm:
            run.harm(str(harm))
        found = finish(run, k6, folder)
        report(arguments, run, memory, found)
    return 1 if run.harms else 0


if __name__ == "__main__":
    sys.exit(main())
