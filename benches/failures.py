#!/usr/bin/env python3
"""What a failing origin costs the clients of Leeward: every kind of failure, again and again, under load.

    cargo build --release --examples && cargo build --release && benches/failures.py [--runs N] [--only WORD]
    benches/failures.py --defaults [--runs N]

The sick origin of the tests stands behind Leeward. Clients ask at a steady rate, half GET and half POST, each request with a
number of its own, which the origin writes into a ledger when it has read it. Then the origin fails, and that is waited
out; again and again, for each kind, several kinds side by side. A request that itself is the failure counts for nothing.

Printed, for each kind: detection (from the last sign of life to the verdict) and downtime (the longest time in which no
client got a good answer), each as median and worst; how many requests were asked, held and replayed; how many were lost,
that is answered badly or not within the clients' patience: idempotent ones, others that the origin had not begun with,
and others that it had, which nobody may send again; how many were processed twice; and the longest wait of a client.

With --defaults nothing of [hang], [restart] and [hold] is set, the origin is serial, and clients with 5 s of patience ask
20 times a second. Leeward is new for each failure, so that each is the first. The cable that is pulled is that of a client
who has asked the origin directly, past Leeward; it needs root.

Exit 1 if a promise is broken: a POST processed twice, an idempotent request lost, one lost that was provably unread, a hang
noticed later than `leeward check` said, and with --defaults a downtime of more than 2.5 s. Python's standard library alone.
"""
import argparse, json, multiprocessing, os, random, shutil, signal, socket, subprocess, sys, tempfile, threading, time
import urllib.request

from load import Account, Load, ask, free_port, spread, wait

HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = os.path.join(HERE, "..", "target", "release")
LEEWARD = os.environ.get("LEEWARD", os.path.join(TARGET, "leeward"))
AILING = os.environ.get("AILING", os.path.join(TARGET, "examples", "ailing"))
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
queries = true
[origin]
address = "127.0.0.1:{origin}"
{queue}
[origin.process]
command = {command}
"""
# A failure a second is not what the policy is made for; each is to be met like the first. And 50 requests a second for as
# long as a spinning origin takes to be judged are more than wait by default.
AGAIN = """
[hold]
requests = 2000
[hang]
silent = "{silent}"
[restart]
degraded_after = 1000
backoff = "10ms"
backoff_most = "10ms"
[quarantine]
after = "off"
"""
SHIELD = ["unshare", "-n"]


class Leeward:
    """One Leeward with its origin, in a directory of its own."""

    name = "Leeward"

    def __init__(self, threads, more="", host="127.0.0.1", start=False):
        self.place = tempfile.mkdtemp(prefix="failures-")
        self.ports = {name: free_port() for name in ("edge", "status", "origin")}
        self.door = ("127.0.0.1", self.ports["edge"], True)
        command = [AILING, "--listen", f"{host}:{{port}}", "--threads", str(threads), "--ledger", f"{self.place}/ledger"]
        # With this file there, the next start fails.
        self.flag = os.path.join(self.place, "fail")
        if start:
            script = f'if rm "{self.flag}" 2>/dev/null; then sleep 0.05; exit 3; fi; exec "$@"'
            command = ["sh", "-c", script, "sh", *command]
        config = os.path.join(self.place, "leeward.toml")
        with open(config, "w") as out:
            queue = "queue = 2000" if more else ""
            out.write(CONFIG.format(place=self.place, command=json.dumps(command), queue=queue, **self.ports) + more)
        with open(os.path.join(self.place, "log"), "w") as log:
            self.process = subprocess.Popen([LEEWARD, "run", "--config", config], stdout=log, stderr=log)
        self.wait(lambda: self.origin()["state"] == "ready", "an origin that is ready")

    def snapshot(self):
        return self.read("/status.json")

    def origin(self):
        return self.snapshot()["origin"]

    def read(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['status']}{path}", timeout=5) as answer:
            return json.load(answer)

    def wait(self, is_so, what):
        try:
            wait(is_so, what)
        except TimeoutError as late:
            self.process.kill()
            with open(os.path.join(self.place, "log")) as log:
                raise TimeoutError(f"{late}\n{log.read()[-3000:]}") from None

    def ledger(self):
        return os.path.join(self.place, "ledger")

    def promised(self, way):
        """How soon `leeward check` says that such a hang is noticed, in seconds."""
        file = os.path.join(self.place, "leeward.toml")
        said = subprocess.run([LEEWARD, "check", "--json", file], check=True, capture_output=True, text=True).stdout
        return next((it["seconds"] for it in json.loads(said)["detection"] if it["name"] == way), None)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def forget(self):
        shutil.rmtree(self.place, ignore_errors=True)


# ------------------------------------------------------------------ the failures

def signalled(which):
    return lambda leeward: os.kill(leeward.origin()["pid"], which)


def sent(method, path, times=1):
    def fails(leeward):
        for _ in range(times):
            threading.Thread(target=ask, args=(leeward.door, method, path, 60), daemon=True).start()
    return fails


def in_an_answer(leeward):
    threading.Thread(target=ask, args=(leeward.door, "GET", "/drip/50/100", 60), daemon=True).start()
    begun = lambda: any("/drip" in it["request"] and it["received_bytes"] for it in leeward.origin()["visits"])
    leeward.wait(begun, "an answer that has begun")
    os.kill(leeward.origin()["pid"], signal.SIGKILL)


def at_a_start(leeward):
    open(leeward.flag, "w").close()
    os.kill(leeward.origin()["pid"], signal.SIGKILL)


def planned(leeward):
    place = ["--socket", f"{leeward.place}/leeward.sock", "--url", f"http://127.0.0.1:{leeward.ports['status']}"]
    subprocess.run([LEEWARD, "restart", *place], check=True, stdout=subprocess.DEVNULL)


class Kind:
    """A way to fail: of an origin of so many threads, whether what it left unread can be proven, and what `check` calls it."""

    def __init__(self, threads, fails, way=None, proven=True, generations=1):
        self.threads, self.fails, self.way, self.proven, self.generations = threads, fails, way, proven, generations


KINDS = {
    "freeze": Kind(4, signalled(signal.SIGSTOP), "stopped"),
    "freeze, serial": Kind(1, signalled(signal.SIGSTOP), "stopped"),
    "deadlock": Kind(4, sent("POST", "/block/lock", 4), "silent"),
    "deadlock, serial": Kind(1, sent("POST", "/block/lock"), "silent"),
    # What a process had not read goes with it.
    "kill -9": Kind(4, signalled(signal.SIGKILL), proven=False),
    "kill -9, serial": Kind(1, signalled(signal.SIGKILL), proven=False),
    "exit during start": Kind(4, at_a_start, proven=False, generations=2),
    "orphan on the port": Kind(4, sent("POST", "/hand-over/child"), proven=False),
    "daemon on the port": Kind(4, sent("POST", "/hand-over/daemon"), proven=False),
    "crash in an answer": Kind(4, in_an_answer, proven=False),
    "planned restart": Kind(4, planned),
    "planned, serial": Kind(1, planned),
    # Last, and so beside few others: it takes a processor.
    "spin, serial": Kind(1, sent("POST", "/spin"), "spinning"),
}


def fail_once(leeward, load, kind):
    """Lets it fail, waits until it serves again; the incident's detection, and the downtime."""
    before = leeward.snapshot()
    generation = before["origin"]["generation"] + kind.generations
    since = time.monotonic()
    kind.fails(leeward)
    leeward.wait(lambda: (now := leeward.origin())["generation"] >= generation and now["state"] == "ready", "the next life")
    until = time.monotonic()
    wait(lambda: any(begun > until and status == 200 for *_, status, begun, _ in load.got[-200:]), "a good answer")
    seen = {it["id"] for it in before["incidents"]}
    new = [it["id"] for it in leeward.snapshot()["incidents"] if it["id"] not in seen]
    endings = [leeward.read(f"/incidents/{name}")["ending"] or {} for name in new]
    detections = [it["detection_seconds"] for it in endings if it.get("detection_seconds") is not None]
    return max(detections, default=None), load.outage(since, until)


def late(leeward, way, detections):
    """Those that were longer than promised."""
    within = leeward.promised(way)
    return [f"noticed after {it:.2f} s instead of {within} s" for it in detections if within and it and it > within]


def measured(name, options):
    """All failures of one kind; a row of the table, and what broke a promise."""
    kind = KINDS[name]
    leeward = Leeward(kind.threads, AGAIN.format(silent=options.silent), start=kind.generations > 1)
    load = Load(leeward.door, options.rate, options.patience, "/slow/15" if kind.threads > 1 else "/slow/4")
    time.sleep(1)
    marks = []
    for _ in range(options.runs):
        marks.append(fail_once(leeward, load, kind))
        time.sleep(options.pause)
    load.end()
    counted = leeward.snapshot()["traffic"]["exchanges"]
    leeward.end()
    account = Account(load.got, leeward.ledger())
    broken = ["processed twice"] * account.twice_post + account.idempotent
    broken += account.unbegun if kind.proven else []
    broken += late(leeward, kind.way, [detection for detection, _ in marks])
    return row(name, marks, counted, account), told(leeward, account, broken)


# ------------------------------------------------------------------ with default settings

class Cable:
    """A machine of its own at the end of a cable, where a client sits that asks the origin directly."""

    client = """
import socket, sys, time
sys.stdin.readline()
asks = socket.socket()
asks.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
asks.settimeout(10)
asks.connect(("10.213.8.1", int(sys.argv[1])))
asks.sendall(b"GET /bytes/50000000 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
asks.recv(1024)
print("in the middle", flush=True)
sys.stdin.readline()
"""

    def __init__(self, port):
        command = [*SHIELD, sys.executable, "-c", self.client, str(port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pid = str(self.process.pid)
        wait(lambda: os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"), "a machine of its own")
        for line in (f"link add c0 type veth peer name c0 netns {pid}", "addr add 10.213.8.1/24 dev c0", "link set c0 up"):
            subprocess.run(["ip", *line.split()], check=True)
        self.there("addr add 10.213.8.2/24 dev c0")
        self.there("link set c0 up")

    def there(self, line):
        subprocess.run(["nsenter", "-t", str(self.process.pid), "-n", "ip", *line.split()], check=True)

    def pull(self, _leeward):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        if "middle" not in self.process.stdout.readline():
            raise RuntimeError("the client at the cable was not served")
        self.there("link set c0 down")

    def end(self):
        self.process.kill()
        self.process.wait()


def measured_once(task):
    """One failure of one kind, behind a Leeward that has only just begun, on a machine that has no other."""
    name, number, options = task
    where = [*SHIELD, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] if name == "cable pulled" else []
    done = subprocess.run([*where, sys.executable, os.path.abspath(__file__), "--once", name, "--rate", str(options.rate),
                           "--patience", str(options.patience)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}, {number}: {done.stderr[-3000:]}")
    return name, json.loads(done.stdout)


def once(name, options):
    leeward = Leeward(1, host="0.0.0.0")
    cable = Cable(leeward.ports["origin"]) if name == "cable pulled" else None
    fails = {"cable pulled": cable and cable.pull, "frozen": signalled(signal.SIGSTOP), "killed": signalled(signal.SIGKILL)}[name]
    load = Load(leeward.door, options.rate, options.patience, "/slow/4")
    time.sleep(2 + random.random() / options.rate)
    marks = fail_once(leeward, load, Kind(1, fails))
    time.sleep(1)
    load.end()
    counted = leeward.snapshot()["traffic"]["exchanges"]
    leeward.end()
    if cable:
        cable.end()
    account = Account(load.got, leeward.ledger())
    broken = ["processed twice"] * account.twice_post + account.idempotent + account.unbegun
    ways = {"frozen": "stopped", "cable pulled": "held"}
    broken += late(leeward, ways.get(name), marks[:1])
    if marks[1] > 2.5:
        broken.append(f"served again after {marks[1]:.2f} s")
    said = told(leeward, account, broken)
    print(json.dumps({"marks": marks, "counted": counted, "account": vars(account), "told": said}))


def with_defaults(options):
    """Every failure the first of its Leeward's life."""
    kinds = [kind for kind in ("frozen", "killed", "cable pulled") if options.only in kind]
    if "cable pulled" in kinds and os.geteuid() != 0:
        print("no root: the pulled cable is left out")
        kinds.remove("cable pulled")
    tasks = [(kind, number, options) for kind in kinds for number in range(options.runs)]
    found = {kind: [] for kind in kinds}
    with multiprocessing.Pool(options.together) as pool:
        for kind, one in pool.imap_unordered(measured_once, tasks):
            found[kind].append(one)
    broken = []
    for kind, all_ in found.items():
        account = Account.__new__(Account)
        vars(account).update(all_[0]["account"])
        for one in all_[1:]:
            for key, value in one["account"].items():
                vars(account)[key] = max(vars(account)[key], value) if key == "longest" else vars(account)[key] + value
        counted = {key: sum(one["counted"][key] for one in all_) for key in ("held", "replayed")}
        print(row(kind, [one["marks"] for one in all_], counted, account))
        print(f"{'':20} downtimes: " + " ".join(f"{it:.2f}" for it in sorted(one["marks"][1] for one in all_)), flush=True)
        broken += [one["told"] for one in all_ if one["told"]]
    return broken


# ------------------------------------------------------------------ the table

def row(name, marks, counted, account):
    return (f"{name:20} {spread([it for it, _ in marks])}   {spread([it for _, it in marks])} {account.asked:>7} "
            f"{counted['held']:>6} {counted['replayed']:>8} {len(account.idempotent):>6} {len(account.unbegun):>7} "
            f"{len(account.begun):>5} {account.twice_get:>5} {account.twice_post:>5} {account.longest:>7.2f}")


HEAD = (f"{'':20} {'detection':>11}   {'downtime':>11} {'':>7} {'':>6} {'':>8} {'lost:':>6} {'unbegun':>7} {'begun':>5} "
        f"{'twice:':>5} {'':>4} {'longest':>7}\n"
        f"{'':20} {'med.':>4} {'worst':>6}   {'med.':>4} {'worst':>6} {'asked':>7} {'held':>6} {'replayed':>8} {'GET':>6} "
        f"{'POST':>7} {'POST':>5} {'GET':>5} {'POST':>5} {'wait':>7}")


def told(leeward, account, broken):
    """Where the log of a broken promise is to be found; all else is cleared away."""
    if not broken and not account.unbegun:
        leeward.forget()
        return None
    said = f"see {leeward.place}: {(broken + account.unbegun)[:5]}"
    return said if broken else None


def task(both):
    return measured(*both)


def with_all(options):
    broken = []
    kinds = [kind for kind in KINDS if options.only in kind]
    with multiprocessing.Pool(options.together, maxtasksperchild=1) as pool:
        for line, said in pool.imap(task, [(kind, options) for kind in kinds], chunksize=1):
            print(line, flush=True)
            if said:
                print(f"{'':20} BROKEN, {said}", flush=True)
                broken.append(said)
    return broken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, help="failures of each kind: 100, or 20 with --defaults")
    parser.add_argument("--rate", type=int, help="requests a second: 50, or 20 with --defaults")
    parser.add_argument("--patience", type=float, help="of a client, in seconds: 20, or 5 with --defaults")
    parser.add_argument("--silent", default="1500ms", help="hang.silent")
    parser.add_argument("--pause", type=float, default=0.3, help="between two failures, in seconds")
    parser.add_argument("--together", type=int, default=3, help="kinds side by side, each with a Leeward of its own")
    parser.add_argument("--only", default="", help="kinds with this word")
    parser.add_argument("--defaults", action="store_true", help="with default settings")
    parser.add_argument("--once", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        return once(options.once, options)
    usual = (20, 20, 5.0) if options.defaults else (100, 50, 20.0)
    for key, value in zip(("runs", "rate", "patience"), usual):
        setattr(options, key, getattr(options, key) or value)
    settings = "default settings" if options.defaults else f"hang.silent {options.silent}"
    print(f"{options.runs} failures of each kind, {options.rate} requests a second, patience {options.patience:.0f} s, {settings}")
    print(HEAD, flush=True)
    broken = with_defaults(options) if options.defaults else with_all(options)
    for said in broken if options.defaults else []:
        print("BROKEN,", said)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
