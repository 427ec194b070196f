#!/usr/bin/env python3
"""A gateway that cannot keep up: one greedy peer loses its own packets, and not its neighbours'.  And the limits of a peer
are what they say."""
import socket
import threading
import time

from lab import PATIENCE, main, test, wait_until
from parent import inside
from preload import library
from wires import Side, figures, hexadecimal, ours, pair, uapi

SLOW_US = 20            # more for each frame that the gateway writes
MODEST_RATE = 200       # datagrams a second
MANY = 100_000          # of a flood
LATE = 5                # seconds; what did not come then is lost
SECONDS = 3
TRIES = 4               # on a busy machine a program may not run for longer than its socket can wait

FLOOD = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK: a datagram without a checksum is merged with no other
s.connect((sys.argv[1], int(sys.argv[2])))
data = bytes(36)
print("flooding", flush=True)
while True:
    try:
        s.send(data)
    except OSError:
        pass
"""


class Clients:
    """A slow gateway of one worker, and two clients that know it."""

    def __init__(self, lab):
        env = {"LD_PRELOAD": library(lab, "slow"), "SLOW_US": str(SLOW_US), "WARREN_WORKERS": "1"}
        self.gateway = Side(lab, "g", 1, ours(), env)
        self.greedy, self.modest = Side(lab, "a", 2, ours()), Side(lab, "b", 3, "wireguard-go")
        self.gateway.start()
        for client in (self.greedy, self.modest):
            lab.veth(self.gateway.ns, "to" + client.name, f"198.18.{client.number}.1/24", client.ns, "v" + client.name,
                     f"198.18.{client.number}.2/24")
            client.start()
            self.gateway.set("peer", client.public, "allowed-ips", client.inner4 + "/32")
            client.set("peer", self.gateway.public, "allowed-ips", "10.9.0.0/24", "endpoint", f"198.18.{client.number}.1:51820")
            client.ns.ping(self.gateway.inner4)

    def flood(self):
        """Datagrams from the greedy one, as fast as they can be sent, to nobody."""
        process = self.greedy.ns.start("python3", self.gateway.lab.file("flood.py", FLOOD), self.gateway.inner4, 9)
        process.wait_for("flooding")
        came = lambda: figures(self.gateway.ifname)["warren_datagrams"]
        before = came()
        wait_until(lambda: came() > before + 1000, "the flood at the gateway")
        return process


def counting(ns, address, port):
    """A socket in @ns that counts what comes."""
    s = inside(ns.name, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.bind((address, port))
    return s


def drain(s):
    """How many datagrams wait, and their bytes."""
    s.setblocking(False)
    n = size = 0
    while True:
        try:
            size += len(s.recv(65536))
            n += 1
        except BlockingIOError:
            return n, size


class Stream:
    """Datagrams of the modest one at an even pace, until it is told to end."""

    def __init__(self, clients):
        self.sink = counting(clients.gateway.ns, clients.gateway.inner4, 5001)
        self.socket = inside(clients.modest.ns.name, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.to, self.sent, self.got, self.stop = (clients.gateway.inner4, 5001), 0, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        wait_until(lambda: self.arrived() > 0, "the first datagram")

    def run(self):
        begin = time.monotonic()
        while not self.stop.is_set():
            time.sleep(max(0, begin + self.sent / MODEST_RATE - time.monotonic()))
            self.socket.sendto(bytes(200), self.to)
            self.sent += 1

    def arrived(self):
        self.got += drain(self.sink)[0]
        return self.got

    def end(self):
        """How many were lost, of how many."""
        self.stop.set()
        self.thread.join()
        try:
            wait_until(lambda: self.arrived() == self.sent, "all of them", LATE)
        except AssertionError:
            pass
        return self.sent - self.got, self.sent


def shed_of(clients):
    now = figures(clients.gateway.ifname)
    return now.get("warren_drop_shed", 0), now["warren_datagrams"]


def flooded(clients, stream):
    """Of a flood: datagrams shed, all that came; of what the modest one sent meanwhile: lost, all."""
    flood = clients.flood()
    before = shed_of(clients)
    wait_until(lambda: shed_of(clients)[1] > before[1] + MANY, "a long flood", 3 * PATIENCE)
    shed, datagrams = (b - a for a, b in zip(before, shed_of(clients)))
    flood.stop()
    lost, sent = stream.end()
    return shed, datagrams, lost, sent


@test
def a_modest_peer_loses_nothing_to_a_greedy_one(lab):
    clients = Clients(lab)
    for _ in range(TRIES):
        shed, datagrams, lost, sent = flooded(clients, Stream(clients))
        print(f"# the greedy one lost {shed} of {datagrams} datagrams that came; the modest one {lost} of {sent}", flush=True)
        if shed > datagrams / 10 and lost / sent < shed / datagrams / 10:
            return
    raise AssertionError("the modest one loses too, or nobody does")


TRANSFER = 16 << 20

RECEIVE = """
import socket, sys
s = socket.create_server((sys.argv[1], 5003))
print("listening", flush=True)
while True:
    c, _ = s.accept()
    while c.recv(1 << 20):
        pass
    c.close()
"""

SEND = """
import socket, sys, time
begin = time.monotonic()
s = socket.create_connection((sys.argv[1], 5003))
s.sendall(bytes(int(sys.argv[2])))
s.shutdown(socket.SHUT_WR)
s.recv(1)
print(time.monotonic() - begin)
"""


@test
def tcp_has_its_share_beside_a_flood(lab):
    """The flood came first, and fills whatever the kernel has for the gateway."""
    clients = Clients(lab)
    clients.gateway.ns.start("python3", lab.file("receive.py", RECEIVE), clients.gateway.inner4).wait_for("listening")
    transfer = lambda: float(clients.modest.ns.run("python3", lab.file("send.py", SEND), clients.gateway.inner4, TRANSFER,
                                                   timeout=300).stdout)
    alone = min(transfer() for _ in range(3))
    flood = clients.flood()
    before = shed_of(clients)
    beside = min(transfer() for _ in range(3))
    shed, datagrams = (b - a for a, b in zip(before, shed_of(clients)))
    flood.stop()
    print(f"# alone {alone:.2f} s, beside the flood {beside:.2f} s; the flood lost {shed} of {datagrams}", flush=True)
    assert shed > 0, "the gateway carried it all"
    assert beside < 20 * alone, f"{beside:.2f} s where alone it takes {alone:.2f} s"


def paced(side, other, rate, seconds):
    """Datagrams of 1,000 bytes from @side at twice the rate; bytes of messages a second that reached @other, after the burst
    that a limit allows at once."""
    sink = counting(other.ns, other.inner4, 5002)
    message = 32 + (1028 + 15) // 16 * 16
    stop = threading.Event()
    s = inside(side.ns.name, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def send():
        with s:
            begin, n = time.monotonic(), 0
            while not stop.is_set():
                time.sleep(max(0, begin + n * message / (2 * rate) - time.monotonic()))
                for _ in range(8):
                    s.sendto(bytes(1000), (other.inner4, 5002))
                    n += 1
    thread = threading.Thread(target=send)
    thread.start()
    wait_until(lambda: drain(sink)[0] > 0, "the first datagram")
    time.sleep(.5)
    drain(sink)
    begin = time.monotonic()
    got = 0
    while time.monotonic() - begin < seconds:
        time.sleep(.05)
        got += drain(sink)[0]
    took = time.monotonic() - begin
    stop.set()
    thread.join()
    sink.close()
    return got * message / took


@test
def a_rate_is_kept_within_a_tenth_in_each_direction(lab):
    a, b = pair(lab, ours(), "wireguard-go")
    a.ns.ping(b.inner4)
    rate = 2_000_000
    key = hexadecimal(b.public)
    for direction, source, sink in (("tx", a, b), ("rx", b, a)):
        assert uapi(a.ifname, f"set=1\npublic_key={key}\nwarren_rate_rx={rate if direction == 'rx' else 0}\n"
                              f"warren_rate_tx={rate if direction == 'tx' else 0}\n\n") == "errno=0\n\n"
        for _ in range(TRIES):
            before = figures(a.ifname).get("warren_drop_rate", 0)
            limited = paced(source, sink, rate, SECONDS)
            dropped = figures(a.ifname).get("warren_drop_rate", 0) - before
            print(f"# {direction}: {limited / rate:.3f} of the rate, {dropped} datagrams beyond it", flush=True)
            assert dropped > 0 and limited <= 1.1 * rate
            if limited >= .9 * rate:
                break
        else:
            raise AssertionError("less than the rate passes")
    assert uapi(a.ifname, f"set=1\npublic_key={key}\nwarren_rate_rx=0\nwarren_rate_tx=0\n\n") == "errno=0\n\n"
    before = figures(a.ifname)["warren_drop_rate"]
    assert paced(a, b, rate, 1) > 0 and figures(a.ifname)["warren_drop_rate"] == before, "a limit that was taken away still holds"


main()
