#!/usr/bin/env python3
"""For how long one dead client holds a serial origin: bare, behind HAProxy, behind nginx, behind Leeward.

    cargo build --release && benches/dead_client.py [--cap SECONDS] [--size BYTES] [--only WORD]

A serial origin (one connection at a time, blocking, without a timeout) stands alone and behind each proxy that is
installed. One client goes wrong in each of the ways below; a second asks for a small page a second later. Printed, for
each: for how long the first had the origin beyond what the origin itself needs for such a request, and how long the
second waited. Nobody waits longer than the cap; "> 30.0 s" says that the origin was still held then.

Root is needed for the pulled cable (two network namespaces of its own, joined by a cable); without it that row is left
out, and says so. Python's standard library, openssl, and nginx and haproxy where they are to be compared.
"""
import argparse, os, shutil, signal, socket, ssl, subprocess, sys, tempfile, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
LEEWARD = os.environ.get("LEEWARD", os.path.join(HERE, "..", "target", "release", "leeward"))
SERVER, CLIENT = "10.213.7.1", "10.213.7.2"
SPACES = ("leeward-bench-s", "leeward-bench-c")

WAYS = {
    "stops reading an answer": "unread",
    "cable pulled in an answer": "pulled",
    "stops in the middle of an upload": "half",
    "drips an upload, a byte a second": "drips",
    "stops in the middle of a head": "head",
    "HTTP/2, a window that never opens": "window",
}


# ------------------------------------------------------------------ the origin

def origin(port, size, log):
    """Serves one connection at a time, to its end, and writes down when it began and was done with each."""
    listener = socket.create_server((server_address(), port), backlog=128)
    block = b"x" * 65536
    while True:
        client, _ = listener.accept()
        begun = time.monotonic()
        path = b"?"
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                more = client.recv(65536)
                if not more:
                    raise OSError("gone")
                head += more
            head, body = head.split(b"\r\n\r\n", 1)
            path = head.split(b" ")[1]
            length = 0
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            left = length - len(body)
            while left > 0:
                more = client.recv(65536)
                if not more:
                    raise OSError("gone")
                left -= len(more)
            answer = size if path == b"/big" else 3
            client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % answer)
            while answer > 0:
                client.sendall(block[:min(answer, len(block))])
                answer -= len(block)
        except OSError:
            pass
        client.close()
        with open(log, "a") as out:
            out.write(f"{path.decode()} {begun} {time.monotonic()}\n")


def server_address():
    return os.environ.get("BENCH_SERVER", "127.0.0.1")


# ------------------------------------------------------------------ the clients

def connected(port, tls, alpn=None):
    raw = socket.create_connection((server_address(), port), timeout=10)
    if not tls:
        return raw
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([alpn or "http/1.1"])
    return context.wrap_socket(raw, server_hostname="localhost")


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def goes_wrong(way, port, tls):
    """Goes wrong, says so on standard output, and then only lives."""
    small = 4096 if way in ("unread", "pulled") else None
    if small:
        socket.socket = type("Small", (socket.socket,), {})
    client = connected(port, tls, "h2" if way == "window" else None)
    host = b"Host: localhost\r\n"
    if way in ("unread", "pulled"):
        client.sendall(b"GET /big HTTP/1.1\r\n" + host + b"\r\n")
        client.recv(1024)
    elif way == "half":
        client.sendall(b"POST /half HTTP/1.1\r\n" + host + b"Content-Length: 100000\r\n\r\n" + b"x" * 50000)
    elif way == "drips":
        client.sendall(b"POST /drips HTTP/1.1\r\n" + host + b"Content-Length: 100000\r\n\r\n")
    elif way == "head":
        client.sendall(b"GET /head HTTP/1.1\r\n" + host)
    elif way == "window":
        # Settings with a window of nothing; then GET /big, in literals without an index (RFC 7541, section 6.2.2).
        settings = frame(4, 0, 0, (4).to_bytes(2, "big") + (0).to_bytes(4, "big"))
        fields = b"\x82\x87\x04\x04/big\x01\x09localhost"
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + frame(1, 5, 1, fields))
        client.recv(1024)
    print("wrong", flush=True)
    while True:
        time.sleep(1)
        if way == "drips":
            try:
                client.sendall(b"x")
            except OSError:
                pass


def asks(port, tls, cap):
    """Asks for a small page and prints how long that took."""
    begun = time.monotonic()
    took = None
    try:
        raw = connected(port, tls)
        raw.settimeout(cap)
        raw.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        if b" 200 " in raw.recv(65536):
            took = time.monotonic() - begun
    except OSError:
        pass
    print(took, flush=True)


# ------------------------------------------------------------------ the proxies

def found(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")


def bare(folder, port, behind):
    return None


def nginx(folder, port, behind):
    config = write(folder, "nginx.conf", f"""
        daemon off; user root; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1;
        events {{ worker_connections 256; }}
        http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
          fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          server {{ listen {server_address()}:{port} ssl http2; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
            location / {{ proxy_pass http://{server_address()}:{behind}; }} }} }}""")
    return [found("nginx"), "-c", config]


def haproxy(folder, port, behind):
    with open(f"{folder}/both.pem", "w") as both:
        both.write(open(f"{folder}/cert.pem").read() + open(f"{folder}/key.pem").read())
    config = write(folder, "haproxy.cfg", f"""
defaults
  mode http
  timeout client 50s
  timeout server 50s
  timeout connect 5s
  timeout http-request 10s
frontend f
  bind {server_address()}:{port} ssl crt {folder}/both.pem alpn h2,http/1.1
  default_backend b
backend b
  server s {server_address()}:{behind} maxconn 1
""")
    return [found("haproxy"), "-q", "-db", "-f", config]


def leeward(folder, port, behind):
    # The origin is on the address of the cable; Leeward forwards over loopback only, so it is given a second door.
    config = write(folder, "leeward.toml", f"""
[edge]
listen = "{server_address()}:{port}"
[edge.tls]
certificate = "{folder}/cert.pem"
key = "{folder}/key.pem"
[status]
listen = "off"
[log]
level = "warn"
access = false
[incidents]
directory = "{folder}/incidents"
[spool]
directory = "{folder}"
[origin]
address = "127.0.0.1:{behind}"
[origin.probe]
every = "1h"
""")
    return [LEEWARD, "run", "--config", config]


PEERS = {"bare": bare, "haproxy": haproxy, "nginx": nginx, "leeward": leeward}


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as out:
        out.write(text)
    return path


# ------------------------------------------------------------------ one case

class Case(threading.Thread):
    """One peer and one way to go wrong, with an origin of its own."""

    def __init__(self, number, peer, way, options, inside):
        super().__init__(daemon=True)
        self.peer, self.way, self.options, self.inside = peer, way, options, inside
        self.folder = tempfile.mkdtemp(prefix=f"{peer}-{way}-", dir=options.folder)
        self.behind, self.port = 20000 + 2 * number, 20001 + 2 * number
        self.children, self.told = [], None

    def start_child(self, command, where="s", **more):
        child = subprocess.Popen(self.inside(where) + command, stdin=subprocess.DEVNULL,
                                 start_new_session=True, env=self.environment, **more)
        self.children.append(child)
        return child

    def is_installed(self):
        if self.peer == "leeward":
            return os.path.exists(LEEWARD)
        return self.peer == "bare" or found(self.peer) is not None

    def run(self):
        try:
            self.told = self.measured()
        except Exception as error:  # a row that could not be measured must not take the others with it
            self.told = f"not measured: {error}"
        for child in self.children:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except OSError:
                pass

    def measured(self):
        if not self.is_installed():
            return "not installed"
        options, me = self.options, [sys.executable, os.path.abspath(__file__)]
        for name in ("cert.pem", "key.pem"):
            shutil.copy(os.path.join(options.folder, name), self.folder)
        log = os.path.join(self.folder, "origin.log")
        address = "127.0.0.1" if self.peer == "leeward" else options.server
        self.environment = dict(os.environ, BENCH_SERVER=address)
        self.start_child(me + ["--origin", str(self.behind), "--size", str(options.size), "--log", log])
        self.environment = dict(os.environ, BENCH_SERVER=options.server)
        command = PEERS[self.peer](self.folder, self.port, self.behind)
        door, tls = (self.behind, []) if self.peer == "bare" else (self.port, ["--tls"])
        if command:
            quiet = open(os.path.join(self.folder, "said"), "w")
            self.start_child(command, stderr=quiet, stdout=quiet)
        ask = me + ["--asks", str(door), "--cap", str(options.cap)] + tls
        self.first_answer(ask)
        begun = time.monotonic()
        wrong = self.start_child(me + ["--wrong", self.way, str(door)] + tls, "c", stdout=subprocess.PIPE)
        wrong.stdout.readline()
        # The cable is one for all, and pulled when every client has got that far.
        if self.way == "pulled" and self.together.wait(60) == 0:
            subprocess.run(["ip", "-n", SPACES[1], "link", "set", "dev", "eth0", "down"], check=True)
        time.sleep(1)
        took = self.output(ask)
        time.sleep(max(0.0, begun + 1 + options.cap - time.monotonic()))
        return self.held(log, begun, took)

    def first_answer(self, ask):
        """Waits until it serves, so that nothing of its start is measured."""
        for _ in range(100):
            if self.output(ask) is not None:
                return
            time.sleep(0.1)
        raise RuntimeError("it does not serve")

    def output(self, command):
        done = subprocess.run(self.inside("s") + command, capture_output=True, text=True, env=self.environment)
        said = done.stdout.strip()
        return None if said in ("", "None") else float(said)

    def held(self, log, begun, took):
        path = {"unread": "/big", "pulled": "/big", "window": "/big"}.get(self.way, "/" + self.way)
        with open(log) as lines:
            visits = [line.split() for line in lines]
        ends = [(float(from_), float(to)) for what, from_, to in visits
                if what in (path, "?") and float(from_) >= begun]
        if took is None:
            held = f"> {self.options.cap:.1f} s"
        elif not ends:
            held = "never asked"
        else:
            held = f"{max(to - from_ for from_, to in ends):.2f} s"
        return held, ("not served" if took is None else f"{took:.2f} s")


# ------------------------------------------------------------------ the whole

def namespaces():
    """Two network namespaces and a cable; a prefix for commands in each."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return None
    server, client = SPACES
    remove_namespaces()
    for command in (f"netns add {server}", f"netns add {client}",
                    f"-n {server} link set lo up", f"-n {client} link set lo up",
                    f"-n {server} link add eth0 type veth peer name eth0 netns {client}",
                    f"-n {server} addr add {SERVER}/24 dev eth0", f"-n {client} addr add {CLIENT}/24 dev eth0",
                    f"-n {server} link set eth0 up", f"-n {client} link set eth0 up"):
        if subprocess.run(["ip"] + command.split(), stderr=subprocess.DEVNULL).returncode != 0:
            remove_namespaces()
            return None
    return lambda where: ["ip", "netns", "exec", SPACES[0 if where == "s" else 1]]


def remove_namespaces():
    for name in SPACES:
        subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


def compare(options):
    inside = namespaces()
    options.server = os.environ["BENCH_SERVER"] = SERVER if inside else "127.0.0.1"
    ways = {told: way for told, way in WAYS.items() if options.only in told}
    if not inside:
        print("no root, or no network namespaces: the pulled cable is left out")
        ways = {told: way for told, way in ways.items() if way != "pulled"}
        inside = lambda where: []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", f"{options.folder}/key.pem", "-out", f"{options.folder}/cert.pem", "-days", "30",
                    "-subj", "/CN=localhost"], check=True, stderr=subprocess.DEVNULL)
    number, rows = 0, []
    for told, way in ways.items():
        cases = []
        for peer in PEERS:
            # The bare origin speaks no HTTP/2.
            if peer != "bare" or way != "window":
                cases.append(Case(number, peer, way, options, inside))
                number += 1
        rows.append((told, cases))
    for told, cases in rows:
        together = threading.Barrier(sum(case.is_installed() for case in cases))
        for case in cases:
            case.together = together
            case.start()
        for case in cases:
            case.join()
        subprocess.run(["ip", "-n", SPACES[1], "link", "set", "dev", "eth0", "up"], stderr=subprocess.DEVNULL)
    print(f"one dead client, a serial origin, {options.size} bytes an answer, nobody waits longer than {options.cap:.0f} s")
    print(f"{'the client':36}" + "".join(f"{peer:>24}" for peer in PEERS))
    print(f"{'':36}" + f"{'origin held / next waits':>24}" * len(PEERS))
    for told, cases in rows:
        cells = {case.peer: case.told if isinstance(case.told, str) else " / ".join(case.told) for case in cases}
        print(f"{told:36}" + "".join(f"{cells.get(peer, '-'):>24}" for peer in PEERS))


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--cap", type=float, default=30.0, help="seconds")
    parse.add_argument("--size", type=int, default=20_000_000, help="bytes of the large answer")
    parse.add_argument("--only", default="", help="only the ways that hold this word")
    parse.add_argument("--origin", type=int, help=argparse.SUPPRESS)
    parse.add_argument("--log", help=argparse.SUPPRESS)
    parse.add_argument("--wrong", nargs=2, help=argparse.SUPPRESS)
    parse.add_argument("--asks", type=int, help=argparse.SUPPRESS)
    parse.add_argument("--tls", action="store_true", help=argparse.SUPPRESS)
    options = parse.parse_args()
    if options.origin:
        return origin(options.origin, options.size, options.log)
    if options.wrong:
        return goes_wrong(options.wrong[0], int(options.wrong[1]), options.tls)
    if options.asks:
        return asks(options.asks, options.tls, options.cap)
    with tempfile.TemporaryDirectory(prefix="dead-client-") as options.folder:
        os.chmod(options.folder, 0o755)
        try:
            compare(options)
        finally:
            remove_namespaces()


if __name__ == "__main__":
    main()
