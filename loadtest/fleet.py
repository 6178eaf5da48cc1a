#!/usr/bin/env python3
"""Kills, slows, stalls and revives one of three servers under load, and looks for harm.

Starts three simulators, a Penstock in front of them and k6 with k6/fleet.js: streams and
answers in one piece at a set rate. One of the servers is killed, comes back ten times as
slow, comes back as it was, falls silent (SIGSTOP), and goes on.

    cargo build --release -p penstock
    python3 loadtest/fleet.py           # less than a minute
    python3 loadtest/fleet.py --full    # three minutes, at five times the rate

The exit code is 1 if a client got anything but a whole answer, except for streams that the
killed or silenced server had begun, which must say that they broke; if that server was
ejected, or was back, later than the configuration says; if its share did not grow slowly
once it was back; or if requests that the others answered at once took longer than
--factor times what they took before, at their 99th percentile.

Everything listens on 127.0.0.1 and ends with the script. Needs k6.
"""

import argparse
import contextlib
import datetime
import http.client
import json
import re
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from processes import end_as_after_ctrl_c, fill_in, free_port, start, stop, wait_for

HERE = Path(__file__).resolve().parent
NAMES = ("one", "two", "three")
# How the simulators are set, in milliseconds, and how much slower one of them gets.
FIRST_TOKEN_MS, PACE_MS, TOKENS, SLOWER = 20, 5, 8, 10
# How the upstream is configured, in seconds.
FAILURES, EJECTED, EJECTED_MAX, FIRST_TOKEN, SILENCE, SLOW_START = 5, 1, 2, 1, 2, 4
# What the machine and the look at the metrics may add, in seconds.
SLACK = 1
# Below this a p99 is as good as any other: in milliseconds.
FLOOR_MS = 50
WAIT_SECONDS = 60
SHORT = {"rate": 100, "seconds": 6}
FULL = {"rate": 500, "seconds": 30}


class Answer:
    """What k6 told of one."""

    def __init__(self, point):
        tags = point["tags"]
        self.ms = point["value"]
        self.end = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", point["time"])).timestamp()
        self.begin = self.end - self.ms / 1000
        self.id, self.form, self.upstream, self.problem = (
            tags[name] for name in ("id", "form", "upstream", "problem"))


class Server:
    """A simulator whose process can be replaced by another one on its port."""

    def __init__(self, binary, name):
        self.binary, self.name, self.port = binary, name, free_port()
        self.process = None
        self.run()

    def run(self, slower=1):
        self.process = start([
            str(self.binary), "simulate", "--listen", f"127.0.0.1:{self.port}", "--name", self.name,
            "--tokens", str(TOKENS), "--first-token", f"{FIRST_TOKEN_MS * slower}ms",
            "--between-tokens", f"{PACE_MS * slower}ms"])
        wait_for(self.port)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        stop(self.process)


def metrics(admin):
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=5)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


class Watch:
    """Notes when an endpoint goes up and down, by the proxy's own word."""

    def __init__(self, admin, port):
        self.admin, self.changes = admin, []
        self.pattern = re.compile(rf'^penstock_endpoint_up{{endpoint="127\.0\.0\.1:{port}".*}} (\d)', re.M)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self):
        while not self.ended.wait(0.02):
            with contextlib.suppress(OSError, http.client.HTTPException):
                found = self.pattern.search(metrics(self.admin))
                is_up = found is not None and found.group(1) == "1"
                if not self.changes or self.changes[-1][1] != is_up:
                    self.changes.append((time.time(), is_up))

    def first(self, is_up, since):
        """When it was first like this after a moment, or None."""
        before = [was_up for when, was_up in self.changes if when < since]
        if before and before[-1] == is_up:
            return since
        after = [when for when, was_up in self.changes if was_up == is_up and when >= since]
        return after[0] if after else None

    def wait(self, is_up, since):
        """Waits until it is like this, for no longer than anything here should take."""
        deadline = time.monotonic() + EJECTED_MAX + FIRST_TOKEN + SLACK
        while self.first(is_up, since) is None and time.monotonic() < deadline:
            time.sleep(0.02)

    def end(self):
        self.ended.set()
        self.thread.join()


class Run:
    """What was done when, and what went wrong."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.phases, self.harms, self.rows = [], [], []

    def phase(self, name, seconds):
        begin = time.time()
        print(f"{name}: {seconds:g} s", flush=True)
        time.sleep(seconds)
        self.phases.append((name, begin, time.time()))
        return begin

    def harm(self, what):
        self.harms.append(what)
        print(f"  HARM: {what}", flush=True)


def configuration(arguments, port, admin, servers):
    endpoints = ", ".join(f'"127.0.0.1:{server.port}"' for server in servers)
    return f"""server:
  listen: [{{ address: "127.0.0.1:{port}" }}]
  admin: "127.0.0.1:{admin}"
  transport: {arguments.transport}
  workers: 2
  log: {{ format: json, access: on }}
upstreams:
  fleet:
    endpoints: [{endpoints}]
    slow_start: {SLOW_START}s
    ejection: {{ failures: {FAILURES}, time: {EJECTED}s, max_time: {EJECTED_MAX}s }}
    timeouts: {{ connect: 300ms, read: {SILENCE}s }}
    # A third of all requests is at the server that falls silent.
    retry_budget: 50
chain:
  - request_id: {{}}
routes:
  - {{ name: all, split: [{{ upstream: fleet }}], attempts: 3, retry: {{ first_token: {FIRST_TOKEN}s }} }}
"""


def drive(run, victim, watch):
    """Everything that is done to the third server. Returns when it began to fail, and how,
    and when it was well again."""
    seconds, broken, well = run.arguments.seconds, [], []
    # Long enough to be let back, to get its full share, and to show that it has it.
    revived = EJECTED_MAX + SLOW_START + max(3, seconds / 3)
    run.phase("settling", 3)
    run.phase("undisturbed", seconds)
    broken.append(("killed", time.time()))
    victim.kill()
    run.phase("killed", seconds)
    if run.arguments.sabotage:
        # That shows by now.
        watch.end()
        return broken, well
    victim.run(SLOWER)
    run.phase(f"back, {SLOWER} times as slow", EJECTED_MAX + seconds)
    broken.append(("killed again", time.time()))
    victim.kill()
    # One that comes back before anybody has noticed is in use all the time.
    watch.wait(False, broken[-1][1])
    victim.run()
    well.append(run.phase("back", revived))
    broken.append(("silent", time.time()))
    victim.process.send_signal(signal.SIGSTOP)
    run.phase("silent", seconds)
    victim.process.send_signal(signal.SIGCONT)
    well.append(run.phase("back again", revived))
    watch.end()
    return broken, well


def judge_errors(run, answers, broken):
    """Nothing but whole answers, and streams that broke at their server's end and say so."""
    excused, wrong = 0, Counter()
    for answer in answers:
        if answer.problem == "none":
            continue
        # k6 tells the time when it gets round to it: the answer may have begun, and ended, earlier.
        was_under_way = any(answer.begin - SLACK <= at <= answer.end for _, at in broken)
        if answer.problem == "broken" and answer.upstream == NAMES[-1] and was_under_way:
            excused += 1
        else:
            what, after = min(((what, answer.begin - at) for what, at in broken), key=lambda deed: abs(deed[1]))
            wrong[f"{answer.problem}, {answer.form}, from {answer.upstream}, begun {after:+.1f} s from {what}"] += 1
    run.rows.append(("answers", f"{len(answers):,}"))
    run.rows.append(("streams that it broke off", f"{excused}, all of them with an error at the end"))
    for what, count in wrong.items():
        run.harm(f"{count} answers: {what}")


def judge_ejections(run, watch, broken, well):
    """It is left alone, and let back, as soon as the configuration says."""
    for what, at in broken:
        # As many failures in a row, of every third request, each after what it takes to notice.
        notice = FIRST_TOKEN if what == "silent" else 0
        limit = notice + 3 * FAILURES / run.arguments.rate + SLACK
        ejected = watch.first(False, at)
        took = None if ejected is None else ejected - at
        shown = "never" if took is None else f"{took:.2f} s"
        run.rows.append((f"ejected when {what}", f"after {shown} (limit {limit:.2f} s)"))
        if took is None or took > limit:
            run.harm(f"ejected when {what} after {shown}")
    for at in well:
        back = watch.first(True, at)
        limit = EJECTED_MAX + FIRST_TOKEN + SLACK
        shown = "never" if back is None else f"{back - at:.2f} s"
        run.rows.append(("back", f"after {shown} (limit {limit:.2f} s)"))
        if back is None or back - at > limit:
            run.harm(f"let back after {shown}")


def judge_ramp(run, answers, watch, well):
    """Its share grows from a tenth of its due to all of it, from when it is back."""
    revived = [phase for phase in run.phases if phase[0] in ("back", "back again")]
    for (name, begin, end), at in zip(revived, well):
        back = watch.first(True, at)
        if back is None or back + SLOW_START > end:
            # That it is late is told already.
            continue
        third = SLOW_START / 3
        spans = [(back, back + third), (back + 2 * third, back + SLOW_START), (back + SLOW_START, end)]
        first, last, full = (share(answers, *span) for span in spans)
        run.rows.append((f"share when {name}", f"{first:.0%} in the first third of slow start, {last:.0%} in the "
                                               f"last, {full:.0%} then"))
        if first > 0.7 * last:
            run.harm(f"{name}: its share did not grow slowly")
        if full < 0.8 / len(NAMES):
            run.harm(f"{name}: its share stayed at {full:.0%}")


def share(answers, begin, end):
    """The third server's part of the good answers to requests of a time."""
    found = [answer.upstream for answer in answers if begin <= answer.begin < end and answer.problem == "none"]
    return found.count(NAMES[-1]) / len(found) if found else 0.0


def judge_times(run, answers, attempts):
    """Who is answered by the others at once does not feel anything; who was sent to the third
    server before is late by what it takes to notice."""
    p99s = {}
    usual = 0
    for name, begin, end in run.phases[1:]:
        for form in ("stream", "whole"):
            found = sorted(answer.ms for answer in answers
                           if begin <= answer.begin < end and answer.form == form and answer.problem == "none"
                           and answer.upstream != NAMES[-1] and attempts.get(answer.id) == 1)
            if not found:
                run.harm(f"{name}: no {form} was answered by the others")
                continue
            p99 = found[min(len(found) - 1, int(0.99 * len(found)))]
            limit = max(FLOOR_MS, run.arguments.factor * p99s.setdefault(form, p99))
            usual = max(usual, limit)
            run.rows.append((f"{name}, {form}", f"p99 of the others {p99:.0f} ms (limit {limit:.0f} ms), "
                                                f"{len(found):,} answers"))
            if p99 > limit:
                run.harm(f"{name}: p99 of the others' {form} is {p99:.0f} ms")
    again = [answer.ms for answer in answers if attempts.get(answer.id, 0) > 1 and answer.problem == "none"]
    limit = 2 * FIRST_TOKEN * 1000 + usual
    longest = max(again, default=0)
    run.rows.append(("tried again", f"{len(again)}, the longest {longest:.0f} ms (limit {limit:.0f} ms)"))
    if not again:
        run.harm("nothing was tried again: did the third server get any requests?")
    if longest > limit:
        run.harm(f"a request that was tried again took {longest:.0f} ms")


def read_attempts(run, log):
    """How many attempts each request took, by its identifier, from the access log."""
    attempts = {}
    for line in log.read_text().splitlines():
        if '"level":"ERROR"' in line or "panicked" in line:
            run.harm(f"the proxy: {line[:300]}")
        if '"message":"request"' in line and (found := re.search(r"request_id=(fleet-\d+)", line)):
            attempts[found.group(1)] = json.loads(line)["attempts"]
    return attempts


def read_samples(run, file):
    """The answers that k6 told, and how many requests it did not send."""
    answers, dropped = [], 0
    with file.open() as lines:
        for line in lines:
            if '"type":"Point"' not in line:
                continue
            if '"metric":"fleet_answer"' in line:
                answers.append(Answer(json.loads(line)["data"]))
            elif '"metric":"dropped_iterations"' in line:
                dropped += json.loads(line)["data"]["value"]
    if dropped:
        run.harm(f"{dropped:.0f} requests were not sent, since too many were under way")
    return answers


def load(arguments, folder, port, admin):
    """k6, which runs until it is told to stop, once it has got answers."""
    command = [arguments.k6, "run", "--quiet", "--no-usage-report", "--out", f"json={folder / 'samples.json'}",
               str(HERE / "k6" / "fleet.js")]
    with (folder / "k6.log").open("wb") as output:
        k6 = start(command, output, TARGET=f"http://127.0.0.1:{port}", RATE=str(arguments.rate), DURATION="30m",
                   TOKENS=str(TOKENS), FIRST_TOKEN_MS=str(FIRST_TOKEN_MS), PACE_MS=str(PACE_MS), REPORT="off",
                   FAILED_MAX="1", DROPPED_MAX="1", VUS=str(5 * arguments.rate))
    deadline = time.monotonic() + WAIT_SECONDS
    while not re.search(r'^penstock_requests_total{code="2xx".*} [1-9]', metrics(admin), re.M):
        if k6.poll() is not None or time.monotonic() > deadline:
            stop(k6)
            sys.exit(f"k6 gets no answers: {(folder / 'k6.log').read_text()[-2000:]}")
        time.sleep(0.1)
    return k6


def finish(run, k6, proxy, folder):
    """Stops the load, then the proxy; returns the answers, and attempts by request."""
    if k6.poll() is not None:
        run.harm(f"k6 ended with exit code {k6.returncode}: {(folder / 'k6.log').read_text()[-1000:]}")
    k6.send_signal(signal.SIGINT)
    stop(k6, 30)
    code = stop(proxy, 30)
    if code != 0:
        run.harm(f"the proxy ended with exit code {code}")
    return read_samples(run, folder / "samples.json"), read_attempts(run, folder / "proxy.log")


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=Path("target/release"), help="the folder of the binary")
    parser.add_argument("--k6", default="k6")
    parser.add_argument("--transport", default="auto")
    parser.add_argument("--full", action="store_true", help="larger numbers where none are given")
    parser.add_argument("--rate", type=int, help="requests a second")
    parser.add_argument("--seconds", type=float, help="of each phase")
    parser.add_argument("--factor", type=float, default=2, help="how much longer the others may take, at their p99")
    parser.add_argument("--sabotage", choices=["no-retry", "no-ejection"],
                        help="do harm on purpose, for the first phases: the run must then fail")
    arguments = parser.parse_args()
    return fill_in(arguments, FULL if arguments.full else SHORT)


def main():
    arguments = parsed()
    end_as_after_ctrl_c()
    binary, run = arguments.bin / "penstock", Run(arguments)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-fleet-")))
        servers = []
        for name in NAMES:
            servers.append(Server(binary, name))
            stack.callback(servers[-1].stop)
        port, admin = free_port(), free_port()
        text = configuration(arguments, port, admin, servers)
        if arguments.sabotage == "no-retry":
            text = text.replace("attempts: 3", "attempts: 1")
        elif arguments.sabotage == "no-ejection":
            text = re.sub("ejection: {.*}", "ejection: off", text)
        (folder / "penstock.yaml").write_text(text)
        with (folder / "proxy.log").open("wb") as output:
            proxy = start([str(binary), "run", "-c", str(folder / "penstock.yaml")], output)
        stack.callback(proxy.kill)
        wait_for(port)
        wait_for(admin)
        k6 = load(arguments, folder, port, admin)
        stack.callback(k6.kill)
        watch = Watch(admin, servers[-1].port)
        broken, well = drive(run, servers[-1], watch)
        answers, attempts = finish(run, k6, proxy, folder)
        judge_errors(run, answers, broken)
        judge_ejections(run, watch, broken, well)
        judge_ramp(run, answers, watch, well)
        judge_times(run, answers, attempts)
    for name, value in run.rows:
        print(f"{name:>36}  {value}")
    print("\nharmed:" if run.harms else "\nno harm was done")
    for harm in run.harms:
        print(f"  {harm}")
    return 1 if run.harms else 0


if __name__ == "__main__":
    sys.exit(main())
