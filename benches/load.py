"""Clients that ask at a steady rate, and what became of each of their requests. Used by failures.py and failures_peers.py."""
import collections, http.client, os, queue, random, socket, ssl, statistics, threading, time

ANYBODY = ssl._create_unverified_context()
# A connection that was unused for longer than this is not used again, so that no server has closed it by then.
KEPT = 1.0


def free_port():
    """A port where nobody listens, out of the range from which the kernel takes those of clients."""
    while True:
        port = random.randrange(10000, 32000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
            return port
        except OSError:
            pass


def wait(is_so, what, patience=60):
    """Waits until `is_so()` is true; an address that does not answer yet is not."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            if is_so():
                return
        except (OSError, TypeError, ValueError, KeyError, http.client.HTTPException):
            pass
        time.sleep(0.01)
    raise TimeoutError(f"not within {patience} s: {what}")


def connection(door, patience):
    host, port, tls = door
    if tls:
        return http.client.HTTPSConnection(host, port, timeout=patience, context=ANYBODY)
    return http.client.HTTPConnection(host, port, timeout=patience)


def ask(door, method, target, patience, kept=None):
    """The status of the answer, or what went wrong instead; and the connection, if it can be used again."""
    line = kept or connection(door, patience)
    try:
        line.request(method, target, body=b"x" * 100 if method == "POST" else None)
        answer = line.getresponse()
        answer.read()
        if not answer.will_close:
            return answer.status, line
        line.close()
        return answer.status, None
    except (OSError, http.client.HTTPException) as error:
        line.close()
        return type(error).__name__, None


class Load:
    """Asks at a steady rate, however long the answers take; each request bears a number of its own."""

    def __init__(self, door, rate, patience, page, run=0):
        self.door, self.rate, self.patience, self.page, self.run = door, rate, patience, page, run
        self.due, self.over, self.kept = queue.SimpleQueue(), threading.Event(), collections.deque()
        # Each: method, target, status, begun, ended.
        self.got = []
        self.number = 0
        self.clients = [threading.Thread(target=self.client, daemon=True) for _ in range(min(300, int(rate * patience) + 4))]
        self.clock = threading.Thread(target=self.tick, daemon=True)
        for thread in [*self.clients, self.clock]:
            thread.start()

    def tick(self):
        begun = time.monotonic()
        while not self.over.is_set():
            self.due.put(("GET" if self.number % 2 else "POST", f"{self.page}?n={self.run}.{self.number}"))
            self.number += 1
            time.sleep(max(0, begun + self.number / self.rate - time.monotonic()))

    def client(self):
        while (one := self.due.get()) is not None:
            begun = time.monotonic()
            status, line = ask(self.door, *one, self.patience, self.fresh_enough(begun))
            ended = time.monotonic()
            if line:
                self.kept.append((line, ended))
            self.got.append((*one, status, begun, ended))

    def fresh_enough(self, now):
        while True:
            try:
                line, since = self.kept.pop()
            except IndexError:
                return None
            if now - since < KEPT:
                return line
            line.close()

    def end(self):
        """Waits for all answers."""
        self.over.set()
        self.clock.join()
        for _ in self.clients:
            self.due.put(None)
        for client in self.clients:
            client.join()

    def outage(self, since, until):
        """The longest time between two good answers, from the last before `since` on to the first after `until`."""
        good = sorted(ended for *_, status, _, ended in list(self.got) if status == 200)
        before = [at for at in good if at <= since][-1:] or [since]
        after = [at for at in good if at > until][:1] or [time.monotonic()]
        marks = before + [at for at in good if since < at <= until] + after
        return max(later - earlier for earlier, later in zip(marks, marks[1:]))


class Account:
    """What became of the requests, by what their clients saw and what the origin wrote down."""

    def __init__(self, got, ledger):
        processed = collections.Counter()
        with open(ledger) as lines:
            for line in lines:
                method, target = line.split(" ")[:2]
                if "?n=" in target:
                    processed[(method, target)] += 1
        self.asked = len(got)
        self.longest = max((ended - begun for *_, begun, ended in got), default=0)
        # Lost: idempotent; not idempotent and never begun with; not idempotent and begun with.
        self.idempotent, self.unbegun, self.begun = [], [], []
        for method, target, status, begun, ended in got:
            if status == 200:
                continue
            lost = (method, target, status, round(ended - begun, 2))
            if method == "GET":
                self.idempotent.append(lost)
            elif processed[(method, target)]:
                self.begun.append(lost)
            else:
                self.unbegun.append(lost)
        twice = lambda wanted: sum(times - 1 for (method, _), times in processed.items() if method == wanted and times > 1)
        self.twice_get, self.twice_post = twice("GET"), twice("POST")

    def lost(self):
        return len(self.idempotent) + len(self.unbegun) + len(self.begun)


def spread(figures):
    """Median and worst."""
    known = [it for it in figures if it is not None]
    return f"{statistics.median(known):.2f} {max(known):6.2f}" if known else "-      -"
