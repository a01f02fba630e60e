#!/usr/bin/env python3
"""Runs the real server for a while under clients that stream, leave early and come back, kills its runner now and then, and
checks that every request is answered or told why, that no slot stays taken, and that memory stays level."""
import argparse
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

CLIENTS = 8
KILL_EVERY_SECONDS = 20
# Memory of the parent may grow by this much after the first tenth of the run (allocator noise), not more.
GROWTH_MIB_MAX = 24


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


class Server:
    def __init__(self, binary):
        self.data = tempfile.mkdtemp(prefix="fornax-soak-")
        self.log = open(os.path.join(self.data, "log"), "wb")
        self.process = subprocess.Popen([binary, "--data-dir", self.data, "serve", "--bind", "127.0.0.1:0"],
                                        stdout=self.log, stderr=self.log)
        address = pathlib.Path(self.data, "run/address")
        until = time.time() + 30
        while time.time() < until and not (address.exists() and address.read_text().strip()):
            time.sleep(0.05)
        self.host, _, port = address.read_text().strip().rpartition(":")
        self.port = int(port)
        self.key = pathlib.Path(self.data, "admin.key").read_text().strip()

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"})
        return connection, connection.getresponse()

    def runners(self):
        connection, reply = self.call("GET", "/fornax/v1/runners")
        answer = json.loads(reply.read())
        connection.close()
        return answer.get("data") or answer.get("runners") or []


def client(server, seed, until, tally, lock):
    rng = random.Random(seed)
    while time.time() < until:
        outcome = "answered"
        try:
            connection, reply = server.call("POST", "/v1/completions", {
                "model": "fornax-nano", "prompt": f"scene {rng.randrange(40)} " * rng.randrange(1, 30),
                "max_tokens": rng.randrange(1, 120), "stream": True, "seed": rng.randrange(10**6)})
            if reply.status != 200:
                outcome = f"status {reply.status}"
                reply.read()
            else:
                leave_after = rng.randrange(1, 60) if rng.random() < 0.3 else 10**9
                ended = False
                for number, line in enumerate(reply):
                    if line.startswith(b"data: [DONE]"):
                        ended = True
                    elif b'"error"' in line:
                        outcome, ended = "error event", True
                    if number > leave_after:
                        outcome, ended = "left", True
                        break
                if not ended:
                    outcome = "silent end"
            connection.close()
        except OSError as error:
            outcome = f"connection {type(error).__name__}"
        with lock:
            tally[outcome] = tally.get(outcome, 0) + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    server = Server(arguments.binary)
    began = time.time()
    until = began + 60 * arguments.minutes
    tally, lock, samples, kills = {}, threading.Lock(), [], 0
    threads = [threading.Thread(target=client, args=(server, arguments.seed + index, until, tally, lock)) for index in range(CLIENTS)]
    for thread in threads:
        thread.start()
    next_kill = began + KILL_EVERY_SECONDS
    while time.time() < until:
        time.sleep(1)
        samples.append((time.time() - began, resident_mib(server.process.pid)))
        if time.time() > next_kill:
            next_kill += KILL_EVERY_SECONDS
            for runner in server.runners():
                if runner.get("pid"):
                    os.kill(runner["pid"], signal.SIGSEGV if kills % 2 else signal.SIGKILL)
                    kills += 1
        if len(samples) % 10 == 0:
            with lock:
                print(f"\r{samples[-1][0]:5.0f} s  {samples[-1][1]:6.1f} MiB  {kills} kills  {tally}", end="", flush=True)
    for thread in threads:
        thread.join(90)
    print()
    time.sleep(2)
    busy = sum(runner.get("in_flight", 0) for runner in server.runners())
    server.process.send_signal(signal.SIGTERM)
    code = server.process.wait(60)
    settled = [mib for seconds, mib in samples if seconds > 6 * arguments.minutes]
    growth = max(settled[-10:]) - min(settled[:10]) if len(settled) > 20 else 0.0
    failures = [
        message for failed, message in (
            (tally.get("silent end"), f"{tally.get('silent end')} streams ended without [DONE] or an error event"),
            (busy, f"{busy} requests still in flight after every client left"),
            (code != 0, f"the server ended with {code}"),
            (growth > GROWTH_MIB_MAX, f"memory of the parent grew by {growth:.1f} MiB"),
            (not tally.get("answered"), "nothing was answered"),
        ) if failed
    ]
    print(json.dumps({"tally": tally, "kills": kills, "growth_mib": round(growth, 1), "exit": code, "failures": failures}, indent=1))
    server.log.close()
    shutil.rmtree(server.data, ignore_errors=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
