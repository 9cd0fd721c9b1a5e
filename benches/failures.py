#!/usr/bin/env python3
"""What a failing origin costs the clients of Leeward: every kind of failure, again and again, under load.

    cargo build --release --examples && cargo build --release && benches/failures.py [--runs N] [--only WORD] [--rate N]

The sick origin of the tests stands behind Leeward. Clients ask at a steady rate, half GET and half POST, each request with a
number of its own, which the origin writes into a ledger when it processes it. Then the origin fails, and that is waited
out; again and again, for each kind. Printed, for each kind: the medians of detection and downtime, and in all of its
runs how many requests were asked, held, replayed, answered badly or not within the clients' patience, and processed
twice. A request that itself is the failure counts for nothing.

Python's standard library alone. Exit 1 if a POST was processed twice.
"""
import argparse, http.client, json, os, queue, signal, socket, ssl, statistics, subprocess, sys, tempfile, threading, time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = os.path.join(HERE, "..", "target", "release")
LEEWARD = os.environ.get("LEEWARD", os.path.join(TARGET, "leeward"))
AILING = os.environ.get("AILING", os.path.join(TARGET, "examples", "ailing"))
ANYBODY = ssl._create_unverified_context()
CONFIG = """
[edge]
listen = "127.0.0.1:{edge}"
[edge.limits]
connections_per_address = "off"
[status]
listen = "127.0.0.1:{status}"
socket = "{place}/leeward.sock"
[incidents]
directory = "{place}/incidents"
keep = 10000
[log]
access = false
[hang]
silent = "{silent}"
[restart]
degraded_after = 1000
backoff = "10ms"
backoff_most = "10ms"
[origin]
address = "127.0.0.1:{origin}"
{concurrency}
[origin.process]
command = ["{ailing}", "--listen", "{{address}}", "--threads", "{threads}", "--ledger", "{place}/ledger"]
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Leeward:
    """One Leeward with its origin, in a directory of its own."""

    def __init__(self, threads, silent):
        self.directory = tempfile.TemporaryDirectory()
        self.place = self.directory.name
        self.edge, self.status, origin = free_port(), free_port(), free_port()
        concurrency = f"concurrency = {threads}"
        with open(os.path.join(self.place, "leeward.toml"), "w") as out:
            out.write(CONFIG.format(edge=self.edge, status=self.status, origin=origin, place=self.place, silent=silent,
                                    ailing=AILING, threads=threads, concurrency=concurrency))
        log = open(os.path.join(self.place, "log"), "w")
        self.process = subprocess.Popen([LEEWARD, "run", "--config", os.path.join(self.place, "leeward.toml")],
                                        stdout=log, stderr=log)
        self.wait(lambda: self.origin()["state"] == "ready", "an origin that is ready")

    def snapshot(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/status.json", timeout=5) as answer:
            return json.load(answer)

    def origin(self):
        return self.snapshot()["origin"]

    def incident(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/incidents/{name}", timeout=5) as answer:
            return json.load(answer)

    def wait(self, is_so, what, patience=90):
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                if is_so():
                    return
            except (OSError, TypeError):
                pass
            time.sleep(0.02)
        raise SystemExit(f"not within {patience} s: {what}\n" + open(os.path.join(self.place, "log")).read()[-3000:])

    def processed(self):
        with open(os.path.join(self.place, "ledger")) as ledger:
            return [tuple(line.split(" ")[:2]) for line in ledger]

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.directory.cleanup()


def ask(leeward, method, target, patience):
    """The status of the answer, or what went wrong instead."""
    connection = http.client.HTTPSConnection("127.0.0.1", leeward.edge, timeout=patience, context=ANYBODY)
    try:
        connection.request(method, target, body=b"x" * 100 if method == "POST" else None)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


class Load:
    """Clients that ask at a steady rate, however long the answers take."""

    def __init__(self, leeward, rate, patience):
        self.leeward, self.rate, self.patience = leeward, rate, patience
        self.due, self.got, self.over = queue.Queue(), [], threading.Event()
        self.number = 0
        self.clients = [threading.Thread(target=self.client, daemon=True) for _ in range(min(200, rate * 4))]
        self.clock = threading.Thread(target=self.tick, daemon=True)
        for thread in [*self.clients, self.clock]:
            thread.start()

    def tick(self):
        begun = time.monotonic()
        while not self.over.is_set():
            self.due.put(("GET" if self.number % 2 else "POST", f"/slow/2?n={self.number}"))
            self.number += 1
            time.sleep(max(0, begun + self.number / self.rate - time.monotonic()))

    def client(self):
        while (one := self.due.get()) is not None:
            begun = time.monotonic()
            got = ask(self.leeward, *one, self.patience)
            self.got.append((one, got, time.monotonic() - begun))

    def end(self):
        self.over.set()
        self.clock.join()
        for _ in self.clients:
            self.due.put(None)
        for client in self.clients:
            client.join()


# ------------------------------------------------------------------ the failures

def signalled(which):
    return lambda leeward: os.kill(leeward.origin()["pid"], which)


def sent(method, path):
    def fails(leeward):
        threading.Thread(target=ask, args=(leeward, method, path, 60), daemon=True).start()
    return fails


def in_an_answer(leeward):
    threading.Thread(target=ask, args=(leeward, "GET", "/drip/50/100", 60), daemon=True).start()
    leeward.wait(lambda: any("/drip" in it["request"] and it["received_bytes"] for it in leeward.origin()["visits"]),
                 "an answer that has begun")
    os.kill(leeward.origin()["pid"], signal.SIGKILL)


def at_a_start(leeward):
    first = leeward.origin()["pid"]
    os.kill(first, signal.SIGKILL)
    leeward.wait(lambda: leeward.origin()["pid"] not in (first, None), "the next process")
    try:
        os.kill(leeward.origin()["pid"], signal.SIGKILL)
    except (TypeError, ProcessLookupError):
        pass


def planned(leeward):
    place = ["--socket", f"{leeward.place}/leeward.sock", "--url", f"http://127.0.0.1:{leeward.status}"]
    subprocess.run([LEEWARD, "restart", *place], check=True, stdout=subprocess.DEVNULL)


KINDS = {
    "kill -9": (4, signalled(signal.SIGKILL)),
    "freeze": (4, signalled(signal.SIGSTOP)),
    "freeze, serial": (1, signalled(signal.SIGSTOP)),
    "deadlock, serial": (1, sent("POST", "/block/lock")),
    "spin, serial": (1, sent("POST", "/spin")),
    "exit during start": (4, at_a_start),
    "orphan on the port": (4, sent("POST", "/hand-over/child")),
    "crash in an answer": (4, in_an_answer),
    "planned restart": (4, planned),
}


def measure(kind, options):
    threads, fails = KINDS[kind]
    leeward = Leeward(threads, options.silent)
    load = Load(leeward, options.rate, options.patience)
    time.sleep(1)
    detections, downtimes = [], []
    for _ in range(options.runs):
        before = leeward.snapshot()
        generation = before["origin"]["generation"]
        fails(leeward)
        leeward.wait(lambda: (now := leeward.origin())["generation"] > generation and now["state"] == "ready", kind)
        time.sleep(0.5)
        newest = (leeward.snapshot()["incidents"] or [{}])[0].get("id")
        if newest and newest != (before["incidents"] or [{}])[0].get("id"):
            ending = leeward.incident(newest)["ending"] or {}
            detections.append(ending.get("detection_seconds"))
            downtimes.append(ending.get("downtime_seconds"))
    load.end()
    counted = leeward.snapshot()["traffic"]["exchanges"]
    processed = [one for one in leeward.processed() if "?n=" in one[1]]
    leeward.end()
    bad = {}
    for one, got, _ in load.got:
        if got != 200:
            bad[f"{one[0]} {got}"] = bad.get(f"{one[0]} {got}", 0) + 1
    twice = {method: len(all_ := [it for it in processed if it[0] == method]) - len(set(all_)) for method in ("GET", "POST")}
    median = lambda these: f"{statistics.median(it):.2f} s" if (it := [x for x in these if x is not None]) else "-"
    print(f"{kind:20} {median(detections):>9} {median(downtimes):>9} {len(load.got):>7} {counted['held']:>6} "
          f"{counted['replayed']:>8} {max(took for *_, took in load.got):>7.2f} s {twice['GET']:>5} {twice['POST']:>5}  "
          f"{bad or 'none'}", flush=True)
    return twice["POST"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="failures of each kind")
    parser.add_argument("--rate", type=int, default=50, help="requests a second")
    parser.add_argument("--patience", type=float, default=20, help="of a client, in seconds")
    parser.add_argument("--silent", default="2s", help="hang.silent")
    parser.add_argument("--only", default="", help="kinds with this word")
    options = parser.parse_args()
    print(f"{options.runs} failures of each kind, {options.rate} requests a second, patience {options.patience:.0f} s, "
          f"hang.silent {options.silent}")
    print(f"{'':20} {'detection':>9} {'downtime':>9} {'asked':>7} {'held':>6} {'replayed':>8} {'longest':>9} "
          f"{'twice GET':>5} {'POST':>5}  not served")
    twice = sum(measure(kind, options) for kind in KINDS if options.only in kind)
    sys.exit(1 if twice else 0)


main()
