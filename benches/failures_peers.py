#!/usr/bin/env python3
"""The same failures behind nginx and HAProxy with monit, behind a script that probes and kills, and behind Leeward.

    cargo build --release --examples && cargo build --release && benches/failures_peers.py [--runs N] [--only WORD] [--stacks WORD,...]

One origin: the sick one of the tests, serial, with the manners of GoAhead (one that hangs does not hear TERM). One load: 20
requests a second, half GET and half POST, each client with 5 s of patience. Each failure meets a stack of its own, ten
seconds after its beginning, and at any moment of monit's cycle. Side by side, so that nothing of the machine favours one.

Tuned is what an expert would do: nginx asks the origin twice and never repeats a POST; HAProxy lets requests wait in its
queue instead of the origin's, tries again three times, and never repeats a POST that may have arrived; monit looks each
second, calls two looks of 2 s without an answer a failure, and restarts with KILL. Usual is what most have: a cycle of
30 s, and TERM. The bare script asks each half second and kills after two waits of a second; nothing stands before it.
Leeward has its default settings; impatient, it takes 4 s of silence for a hang whatever the cause, as the tuned monit does.
Connections of one address are not counted there, since all clients have the same.

Printed, for each stack and kind: downtime (the longest time in which no client got a good answer; median and worst),
requests lost in all runs (answered badly or not within the patience), POSTs processed twice, and how often the origin was
replaced. A slow page is no failure: nothing should be replaced or lost. In its row clients have 20 s of patience.

Python's standard library, openssl, nginx, haproxy and monit; what is not installed is left out.
"""
import argparse, http.client, json, multiprocessing, os, random, shutil, signal, socket, statistics, subprocess, sys, tempfile, threading, time

from load import Account, Load, ask, free_port, wait
from failures import AILING, LEEWARD

RATE = 20
CAP = 100
SLOW = 8000


def found(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")


class Stack:
    """What stands before the origin and what looks after it, in a directory of its own."""

    # From its beginning to a failure, at the least, and by so much more by chance.
    settles, phase = 10, 1

    def __init__(self, certificate):
        self.place = tempfile.mkdtemp(prefix="peers-")
        os.chmod(self.place, 0o755)
        self.certificate = certificate
        self.port, self.behind = free_port(), free_port()
        self.door = ("127.0.0.1", self.port, True)
        self.children = []
        self.command = [AILING, "--listen", f"127.0.0.1:{self.behind}", "--manners", "goahead", "--ledger", self.ledger()]
        try:
            self.begin()
            wait(lambda: ask(self.door, "GET", "/", 2)[0] == 200, "an answer")
        except BaseException:
            self.end()
            raise

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.place, name)
        with open(path, "w") as out:
            out.write(text)
        os.chmod(path, mode)
        return path

    def start(self, command):
        said = open(os.path.join(self.place, "said"), "a")
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
        self.children.append(child)
        return child

    def ledger(self):
        return os.path.join(self.place, "ledger")

    def end(self):
        for child in reversed(self.children):
            child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
        try:
            os.kill(self.pid(), signal.SIGKILL)
        except (OSError, TypeError, ValueError, AttributeError):
            pass
        shutil.rmtree(self.place, ignore_errors=True)


class Monitored(Stack):
    """The origin is started by monit, which asks it by HTTP."""

    # Between two looks, its limit for one, how many must fail, and how the origin is asked to end.
    cycle, limit, failures, asked = 1, 2, 2, "KILL"

    def begin(self):
        pid_file = os.path.join(self.place, "origin.pid")
        begin = self.write("begin", f'#!/bin/sh\nsetsid {" ".join(self.command)} >/dev/null 2>&1 </dev/null &\necho $! > {pid_file}\n', 0o755)
        end = self.write("end", f"#!/bin/sh\nkill -{self.asked} $(cat {pid_file})\n", 0o755)
        self.monitrc = self.write("monitrc", f"""
set daemon {self.cycle}
set log {self.place}/monit.log
set pidfile {self.place}/monit.pid
set idfile {self.place}/monit.id
set statefile {self.place}/monit.state
set httpd unixsocket {self.place}/monit.sock allow user:pass
check process origin with pidfile {pid_file}
  start program = "{begin}" with timeout 5 seconds
  stop program = "{end}" with timeout 5 seconds
  if failed host 127.0.0.1 port {self.behind} protocol http request "/" with timeout {self.limit} seconds for {self.failures} cycles then restart
""", 0o600)
        subprocess.run([begin], check=True)
        self.proxy()
        self.start([found("monit"), "-I", "-c", self.monitrc])
        wait(lambda: os.path.exists(f"{self.place}/monit.sock"), "monit")

    def pid(self):
        with open(os.path.join(self.place, "origin.pid")) as number:
            return int(number.read())

    def restart(self):
        subprocess.run([found("monit"), "-c", self.monitrc, "restart", "origin"], check=True, stdout=subprocess.DEVNULL)


class Nginx(Monitored):
    name = "nginx, monit, tuned"
    needs = ("nginx", "monit")
    how = "proxy_connect_timeout 1s; proxy_read_timeout 30s; proxy_next_upstream error timeout; proxy_request_buffering on;"
    # Named twice, or there would be no next one to ask.
    times = 2

    def proxy(self):
        self.start([found("nginx"), "-c", self.write("nginx.conf", f"""
daemon off; user root; pid {self.place}/nginx.pid; error_log {self.place}/nginx.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {self.place}/b; proxy_temp_path {self.place}/p;
  fastcgi_temp_path {self.place}/f; uwsgi_temp_path {self.place}/u; scgi_temp_path {self.place}/s;
  upstream origin {{ {f"server 127.0.0.1:{self.behind} max_fails=0; " * self.times} }}
  server {{
    listen 127.0.0.1:{self.port} ssl; ssl_certificate {self.certificate}; ssl_certificate_key {self.certificate};
    location / {{ proxy_pass http://origin; {self.how} }}
  }}
}}""")])


class UsualNginx(Nginx):
    name = "nginx, monit, usual"
    cycle, limit, failures, asked, phase = 30, 5, 2, "TERM", 30
    how, times = "", 1


class HAProxy(Monitored):
    name = "HAProxy, monit, tuned"
    needs = ("haproxy", "monit")
    how = """
  option redispatch
  retries 3
  retry-on all-retryable-errors
  http-request disable-l7-retry if !METH_GET
  option http-buffer-request
  timeout queue 20s
"""
    # One at a time, and the others wait in its own queue.
    most = "maxconn 1"

    def proxy(self):
        self.start([found("haproxy"), "-q", "-db", "-f", self.write("haproxy.cfg", f"""
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 30s
  timeout http-request 10s
frontend f
  bind 127.0.0.1:{self.port} ssl crt {self.certificate}
  default_backend b
backend b
  {self.how}
  server s 127.0.0.1:{self.behind} {self.most}
""")])


class UsualHAProxy(HAProxy):
    name = "HAProxy, monit, usual"
    cycle, limit, failures, asked, phase = 30, 5, 2, "TERM", 30
    how, most = "", ""


class Script(Stack):
    """Asks, and kills whoever does not answer; clients meet the origin itself."""

    name = "a script alone"
    needs = ()

    def begin(self):
        self.door = ("127.0.0.1", self.behind, False)
        self.process = self.spawned = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look_after, daemon=True)
        self.thread.start()

    def spawn(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def look_after(self):
        self.spawn()
        missed = 0
        while not self.over.wait(0.5):
            if self.process.poll() is None:
                missed = 0 if ask(self.door, "GET", "/", 1)[0] == 200 else missed + 1
                if missed < 2:
                    continue
                self.process.kill()
                self.process.wait()
            missed = 0
            self.spawn()

    def pid(self):
        return self.process.pid

    def restart(self):
        self.process.terminate()

    def end(self):
        self.over.set()
        self.thread.join()
        if self.process:
            self.process.kill()
            self.process.wait()
        super().end()


class Leeward(Stack):
    name = "Leeward"
    needs = ()
    more = ""

    def begin(self):
        self.status = free_port()
        command = [word.replace(str(self.behind), "{port}") for word in self.command]
        self.start([LEEWARD, "run", "--config", self.write("leeward.toml", f"""
[edge]
listen = "127.0.0.1:{self.port}"
[edge.limits]
connections_per_address = "off"
[edge.tls]
certificate = "{self.certificate}"
key = "{self.certificate}"
[status]
listen = "127.0.0.1:{self.status}"
socket = "{self.place}/leeward.sock"
[incidents]
directory = "{self.place}/incidents"
[log]
access = false
[origin]
address = "127.0.0.1:{self.behind}"
[origin.process]
command = {json.dumps(command)}
{self.more}""")])

    def pid(self):
        line = http.client.HTTPConnection("127.0.0.1", self.status, timeout=5)
        line.request("GET", "/status.json")
        return json.load(line.getresponse())["origin"]["pid"]

    def restart(self):
        place = ["--socket", f"{self.place}/leeward.sock", "--url", f"http://127.0.0.1:{self.status}"]
        subprocess.run([LEEWARD, "restart", *place], check=True, stdout=subprocess.DEVNULL)


class ImpatientLeeward(Leeward):
    """As impatient as the tuned monit: it takes a page of 4 s for a hang."""

    name = "Leeward, impatient"
    more = '[hang]\nsilent = "4s"\n[restart]\ngrace = "300ms"\n'


STACKS = [Nginx, UsualNginx, HAProxy, UsualHAProxy, Script, Leeward, ImpatientLeeward]


# ------------------------------------------------------------------ the failures

def killed(stack):
    os.kill(stack.pid(), signal.SIGKILL)


def frozen(stack):
    os.kill(stack.pid(), signal.SIGSTOP)


def held(stack):
    """A client that goes past whatever stands there, and stops reading."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(("127.0.0.1", stack.behind))
    client.sendall(b"GET /bytes/50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
    client.recv(1024)
    return client


def deadlocked(stack):
    threading.Thread(target=ask, args=(stack.door, "POST", "/block/lock", CAP), daemon=True).start()


def slowed(stack):
    answer = []
    thread = threading.Thread(target=lambda: answer.append(ask(stack.door, "GET", f"/slow/{SLOW}?n=slow", CAP)[0]), daemon=True)
    thread.start()
    return thread, answer


KINDS = {
    "killed": killed,
    "frozen": frozen,
    "held by a client": held,
    "deadlocked": deadlocked,
    "planned restart": lambda stack: stack.restart(),
    "a page of 8 s": slowed,
}


def origin(stack):
    try:
        return stack.pid()
    except (OSError, ValueError):
        return None


def measured(task):
    """One failure of one kind, behind one stack."""
    which, kind, certificate = task
    stack = STACKS[which](certificate)
    is_slow = kind == "a page of 8 s"
    try:
        time.sleep(stack.settles + random.random() * stack.phase)
        load = Load(stack.door, RATE, 20.0 if is_slow else 5.0, "/slow/4")
        time.sleep(2 + random.random() / RATE)
        replaced, last = 0, origin(stack)
        since = time.monotonic()
        kept = KINDS[kind](stack)
        # Until it serves again and went on doing so for three seconds, or the cap.
        while time.monotonic() < since + CAP:
            time.sleep(0.05)
            now = origin(stack)
            replaced += now is not None and now != last
            last = now or last
            good = [it for it in load.got[-3 * RATE:] if it[2] == 200 and it[3] > max(since + 1, time.monotonic() - 3)]
            is_over = not is_slow or kept[1] or not kept[0].is_alive()
            if is_over and len(good) > 2 * RATE:
                break
        until = time.monotonic()
        is_capped = until >= since + CAP
        if is_capped:
            time.sleep(0.2)
        downtime = CAP if is_capped else load.outage(since, until - 2)
        load.end()
        account = Account(load.got, stack.ledger())
        lost = account.lost()
        if is_slow:
            lost += kept[1] != [200]
        return which, kind, {"downtime": downtime, "lost": lost, "twice": account.twice_post, "replaced": replaced}
    finally:
        stack.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="failures of each kind behind each stack")
    parser.add_argument("--only", default="", help="kinds with this word")
    parser.add_argument("--stacks", default="", help="a comma list of words: stacks with one of them")
    parser.add_argument("--together", type=int, default=6, help="how many at once")
    options = parser.parse_args()
    words = options.stacks.split(",")
    stacks = [at for at, stack in enumerate(STACKS) if any(word in stack.name for word in words)]
    for at in list(stacks):
        missing = [program for program in STACKS[at].needs if not found(program)]
        if missing:
            print(f"left out, without {' and '.join(missing)}: {STACKS[at].name}")
            stacks.remove(at)
    kinds = [kind for kind in KINDS if options.only in kind]
    got = {}
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        key, chain = f"{folder}/key.pem", f"{folder}/chain.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                        "-out", chain, "-days", "30", "-subj", "/CN=localhost"], check=True, stderr=subprocess.DEVNULL)
        both = f"{folder}/both.pem"
        with open(both, "w") as out:
            out.write(open(chain).read() + open(key).read())
        os.chmod(folder, 0o755)
        tasks = [(at, kind, both) for _ in range(options.runs) for kind in kinds for at in stacks]
        with multiprocessing.Pool(options.together, maxtasksperchild=1) as pool:
            for at, kind, one in pool.imap_unordered(measured, tasks):
                got.setdefault((kind, at), []).append(one)
    print(f"a serial origin, {RATE} requests a second, 5 s of patience, {options.runs} runs each; nobody waits longer than {CAP} s")
    print(f"{'':18}{'':24}{'downtime':>16}{'lost':>8}{'POSTs twice':>13}{'replaced':>10}")
    for kind in kinds:
        for at in stacks:
            all_ = got[(kind, at)]
            down = [it["downtime"] for it in all_]
            told = lambda it: f"> {CAP}" if it >= CAP else f"{it:.2f}"
            sums = [sum(it[key] for it in all_) for key in ("lost", "twice", "replaced")]
            print(f"{kind:18}{STACKS[at].name:24}{told(statistics.median(down)):>8}{told(max(down)):>8}{sums[0]:>8}{sums[1]:>13}{sums[2]:>10}")


if __name__ == "__main__":
    main()
