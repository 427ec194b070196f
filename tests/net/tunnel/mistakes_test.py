#!/usr/bin/env python3
"""Mistakes that other implementations shipped, each tried on ours as it runs."""
import base64
import ctypes
import ctypes.util
import hashlib
import os
import socket
import struct
import time

from crowd import Client, begin, last_line
from lab import main, need, skip, test, wait_until
from strangers import Attacker, dropped, drops, mac1
from wires import Side, cable, figures, iperf, ours, pair, socket_in

GO = "wireguard-go"
INITIATION, RESPONSE, COOKIE, DATA = 1, 2, 3, 4
TWO = {"WARREN_WORKERS": "2"}


class Relay:
    """Between two of ours: @us begins, and takes 192.0.2.1:7777 for the other end's address."""

    def __init__(self, lab):
        self.us, self.them = Side(lab, "a", 1, ours(), TWO), Side(lab, "b", 2, ours(), TWO)
        cable(self.us, self.them)
        self.us.start()
        self.them.start()
        self.socket = socket_in(self.us.ns, ("192.0.2.1", 7777))
        self.socket.settimeout(20)
        self.them.peer(self.us)
        self.us.peer(self.them, "192.0.2.1:7777")

    def next(self, *types):
        """The next message of one of these types, and whether it is theirs; others are passed on."""
        while True:
            message, source = self.socket.recvfrom(65536)
            theirs = source[0] == "192.0.2.2"
            if not types or message[0] in types:
                return message, theirs
            self.pass_on(message, theirs)

    def pass_on(self, message, theirs):
        self.socket.sendto(message, ("192.0.2.1" if theirs else "192.0.2.2", 51820))

    def established(self):
        """Shakes hands; returns a `ping` that runs for as long as messages are passed on."""
        ping = self.us.ns.start("ping", "-qn", "-i", ".1", self.them.inner4)
        for kind in (INITIATION, RESPONSE):
            self.pass_on(*self.next(kind))
        self.pass_on(*self.next(DATA))
        return ping


@test
def a_response_that_comes_late_is_taken(lab):
    relay = Relay(lab)
    ping = relay.us.ns.start("ping", "-qn", "-i", ".1", relay.them.inner4)
    relay.pass_on(*relay.next(INITIATION))
    response = relay.next(RESPONSE)
    time.sleep(3)  # others forgot the handshake after a quarter of a second; the next try comes after five
    relay.pass_on(*response)
    message, theirs = relay.next()
    assert message[0] == DATA and not theirs, message[:4]
    relay.pass_on(message, theirs)
    wait_until(lambda: relay.them.handshake() > 0, "the session to be used")
    ping.stop()


@test
def reserved_bytes_have_to_be_zero(lab):
    relay = Relay(lab)
    ping = relay.us.ns.start("ping", "-qn", "-i", ".1", relay.them.inner4)
    for kind, to in ((INITIATION, relay.them), (RESPONSE, relay.us), (DATA, relay.them)):
        message, theirs = relay.next(kind)
        before = dropped(to, "type")
        for at in (1, 2, 3):
            relay.pass_on(message[:at] + b"\1" + message[at + 1:], theirs)
        drops(to, "type", before + 3, f"messages of type {kind}")
        relay.pass_on(message, theirs)
    wait_until(lambda: relay.them.handshake() > 0, "the whole ones to be taken")
    ping.stop()


@test
def a_forged_cookie_reply_changes_nothing(lab):
    relay = Relay(lab)
    ping = relay.us.ns.start("ping", "-qn", "-i", ".1", relay.them.inner4)
    initiation, theirs = relay.next(INITIATION)
    stranger = socket_in(relay.us.ns, ("192.0.2.1", 7778))
    forged = struct.pack("<I", COOKIE) + initiation[4:8]
    for s in (relay.socket, stranger):
        for _ in range(5):
            s.sendto(forged + os.urandom(56), ("192.0.2.1", 51820))
        s.sendto(struct.pack("<I", COOKIE) + os.urandom(60), ("192.0.2.1", 51820))
    drops(relay.us, "cookie_reply", 12, "forged replies")
    assert relay.us.show("endpoints") == ["192.0.2.1:7777"]
    relay.pass_on(initiation, theirs)
    response, theirs = relay.next(RESPONSE)
    assert initiation[132:] == bytes(16), "a second MAC without a cookie"
    relay.pass_on(response, theirs)
    relay.pass_on(*relay.next(DATA))
    wait_until(lambda: relay.them.handshake() > 0, "the handshake to go on")
    for _ in range(5):  # and of a session that is there
        relay.socket.sendto(forged + os.urandom(56), ("192.0.2.1", 51820))
    drops(relay.us, "cookie_reply", 17, "forged replies for a session")
    ping.stop()


@test
def what_is_cut_short_or_made_longer_is_dropped(lab):
    relay = Relay(lab)
    ping = relay.established()
    message, theirs = relay.next(DATA)
    while theirs:
        relay.pass_on(message, theirs)
        message, theirs = relay.next(DATA)
    wrong = lambda: dropped(relay.them, "length") + dropped(relay.them, "type") + dropped(relay.them, "authentication")
    before = wrong()
    others = [message[:n] for n in range(len(message))] + \
        [message + bytes(n) for n in (1, 15, 16, 1000, 40000, 65507 - len(message))]
    for other in others:
        relay.pass_on(other, theirs)
    wait_until(lambda: wrong() == before + len(others), "every message of a wrong length to be dropped")
    received = int(relay.them.show("transfer")[0])
    relay.pass_on(message, theirs)
    wait_until(lambda: int(relay.them.show("transfer")[0]) > received, "the whole one to be taken")
    ping.stop()


@test
def part_of_somebody_elses_range_is_not_ones_own(lab):
    need("wg")
    a, b = pair(lab, ours(), ours(), left_env=TWO, right_env=TWO)
    a.ns.ping(b.inner4)
    b.set("peer", a.public, "allowed-ips", "10.9.0.0/16")
    b.set("peer", base64.b64encode(os.urandom(32)).decode(), "allowed-ips", "10.9.7.0/24,10.9.0.66/32")
    for mine, passes in (("10.9.0.1", True), ("10.9.7.7", False), ("10.9.0.66", False), ("10.9.8.8", True)):
        if mine != a.inner4:
            a.ns.ip("addr", "add", mine + "/32", "dev", a.ifname)
            b.ns.ip("route", "replace", mine, "dev", b.ifname)
        before = dropped(b, "source")
        assert a.ns.ping(b.inner4, check=False, wait=1, extra=("-I", mine)) == passes, mine
        assert (dropped(b, "source") > before) != passes, mine


@test
def hundreds_of_handshakes_without_a_backlog_get_no_cookie(lab):
    a, b = Side(lab, "a", 1, ours(), TWO), Side(lab, "b", 2, ours(), TWO)
    cable(a, b)
    b.start()
    b.process.wait_for("is up")
    s = socket_in(a.ns, ("192.0.2.1", 0))
    for n in range(600):
        body = struct.pack("<I", INITIATION) + os.urandom(112)
        s.sendto(body + mac1(b.public, body) + bytes(16), ("192.0.2.2", 51820))
        if n % 50 == 49:
            drops(b, "handshake", n + 1, "what is no handshake behind the right MAC")
    assert dropped(b, "cookie_wanted") == 0 and dropped(b, "rate_limited") == 0
    s.setblocking(False)
    try:
        raise AssertionError(f"an answer of {len(s.recv(2000))} bytes")
    except BlockingIOError:
        pass


@test
def a_flood_keeps_neither_newcomers_nor_established_peers_out(lab):
    need(GO, "wg")
    gateway = Side(lab, "g", 200, ours(), TWO).start()
    settled, newcomer = Client(lab, 1, ours()), Client(lab, 3, GO)
    settled.join(gateway)
    flows = settled.flows(gateway, 8, 1000, 8)
    attacker = Attacker(lab, gateway)
    drops(gateway, "cookie_wanted", 1000, "cookies")
    begin(flows)
    newcomer.link(gateway)
    newcomer.peer(gateway, f"{newcomer.net}.1:51820")
    gateway.peer(newcomer)
    wait_until(lambda: newcomer.ns.ping(gateway.inner4, check=False, wait=1), "the newcomer to get in", 60)
    before = dropped(gateway, "cookie_wanted")
    results = [last_line(flow) for flow in flows]
    drops(gateway, "cookie_wanted", before + 1000, "the flood to go on")
    assert attacker.process.running()
    for result in results:
        assert result["late"] == 0 and result["again"] == 0, result
        assert result["received"] > 0.9 * result["expected"] > 0, result
    attacker.process.stop()


JUNK = r"""
import os, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 51820))
noise = os.urandom(1 << 16)
messages = []
for n in range(2000):
    kind = (4, 4, 4, 1, 2, 3, 0, 77)[n % 8]
    length = (96, 1452, 32, 148, 92, 64, 1, 9000)[n % 8]
    messages.append((struct.pack("<II", kind, n * 2654435761 & 0xffffffff) + noise[n:n + length])[:length])
print("flooding", flush=True)
while True:
    for message in messages:
        try:
            s.send(message)
        except OSError:
            pass
"""


@test
def a_flood_of_junk_puts_nothing_out_of_order(lab):
    gateway = Side(lab, "g", 200, ours(), TWO).start()
    client = Client(lab, 1, ours())
    client.join(gateway)
    flows = client.flows(gateway, 8, 1000, 4)
    stranger = lab.ns("x")
    lab.veth(stranger, "vx", "203.0.113.2/24", gateway.ns, "gx", "203.0.113.1/24")
    flood = stranger.start("python3", "-c", JUNK, "203.0.113.1")
    flood.wait_for("flooding")
    begin(flows)
    drops(gateway, "no_session", 5000, "junk")
    results = [last_line(flow) for flow in flows]
    flood.stop()
    for result in results:
        assert result["late"] == 0 and result["again"] == 0, result
        assert result["received"] > 0.5 * result["expected"] > 0, result
    assert dropped(gateway, "mac1") > 100 and dropped(gateway, "type") > 100
    client.ns.ping(gateway.inner4, count=3)


def sodium():
    path = ctypes.util.find_library("sodium")
    if not path:
        skip("libsodium is not there to open a cookie reply with")
    return ctypes.CDLL(path)


def cookie_of(library, public, reply, our_mac1):
    """The cookie in a reply; its nonce and the first MAC of what it answers go into it."""
    key = hashlib.blake2s(b"cookie--" + base64.b64decode(public)).digest()
    cookie, length = ctypes.create_string_buffer(16), ctypes.c_ulonglong()
    assert library.crypto_aead_xchacha20poly1305_ietf_decrypt(
        cookie, ctypes.byref(length), None, reply[32:64], ctypes.c_ulonglong(32), our_mac1, ctypes.c_ulonglong(16),
        reply[8:32], key) == 0
    return cookie.raw


@test
def a_cookie_is_for_one_address_and_one_port(lab):
    library = sodium()
    b = Side(lab, "b", 2, ours(), TWO)
    visitor = lab.ns("v")
    lab.veth(visitor, "vv", "192.0.2.1/24", b.ns, "vb", "192.0.2.2/24")
    b.start()
    b.process.wait_for("is up")
    attacker = Attacker(lab, b)
    drops(b, "cookie_wanted", 1000, "cookies")
    one, other = socket_in(visitor, ("192.0.2.1", 1111)), socket_in(visitor, ("192.0.2.1", 2222))

    def ask(s, cookie=None):
        """Says one initiation; the answer, if there is one, and its first MAC."""
        body = struct.pack("<II", INITIATION, 0x12345678) + os.urandom(108)
        first = mac1(b.public, body)
        second = hashlib.blake2s(body + first, key=cookie, digest_size=16).digest() if cookie else bytes(16)
        s.settimeout(1)
        s.sendto(body + first + second, ("192.0.2.2", 51820))
        try:
            return s.recv(2000), first
        except socket.timeout:
            return None, first

    def ask_until_answered(s, cookie=None):
        """What is sent into a full queue may be lost."""
        return wait_until(lambda: [pair for pair in [ask(s, cookie)] if pair[0]], "an answer to an initiation")[0]

    reply, first = ask_until_answered(one)
    assert len(reply) == 64 and reply[0] == COOKIE
    cookie = cookie_of(library, b.public, reply, first)
    through = dropped(b, "handshake")
    answers = [ask(one, cookie)[0] for _ in range(3)]
    assert answers == [None] * 3, "a cookie for who has one"
    wait_until(lambda: dropped(b, "handshake") > through, "the second MAC to open the way to the handshake")
    reply, _ = ask_until_answered(other, cookie)
    assert len(reply) == 64 and reply[0] == COOKIE, "the cookie of one port was good for another"
    attacker.process.stop()


@test
def peers_that_ask_at_different_addresses_are_answered_from_these(lab):
    need("wg", "iperf3")
    gateway = Side(lab, "g", 200, ours(), TWO)
    clients = [Client(lab, n, ours()) for n in (1, 2, 4)]
    for client in clients:
        client.link(gateway)
    there = {}
    for n, client in enumerate(clients):
        address = f"{client.net}.{100 + n}" if n < 2 else f"2001:db8:{client.number}::100"
        gateway.ns.ip("addr", "add", address + ("/24" if n < 2 else "/64"), "dev", "g" + client.name, *([] if n < 2 else ["nodad"]))
        there[client] = f"{address}:51820" if n < 2 else f"[{address}]:51820"
    gateway.start()
    for client in clients:
        client.peer(gateway, there[client])
        gateway.peer(client)
        client.ns.ping(gateway.inner4)
    flows = [flow for client in clients for flow in client.flows(gateway, 8, 1000, 3)]
    begin(flows)
    for n in range(20):  # a container comes and goes: a link, an address, a connected network
        gateway.ns.ip("link", "add", "box", "type", "veth", "peer", "name", "xob")
        gateway.ns.ip("addr", "add", f"172.20.{n}.1/24", "dev", "box")
        gateway.ns.ip("link", "set", "box", "up")
        gateway.ns.ip("link", "del", "box")
    results = [last_line(flow) for flow in flows]
    assert all(r["late"] == 0 and r["received"] > 0.9 * r["expected"] > 0 for r in results), results
    for client in clients:
        assert client.show("endpoints") == [there[client]], (client.name, client.show("endpoints"))
    lost = clients[0]
    gateway.ns.ip("addr", "del", f"{lost.net}.100/24", "dev", "g" + lost.name)
    gateway.ns.ping(lost.inner4)  # from an address that is still there, and the client follows
    wait_until(lambda: lost.show("endpoints") == [f"{lost.net}.1:51820"], "the client to answer there")


@test
def long_packets_fill_batches_no_longer_than_a_datagram_may_be(lab):
    need("iperf3")
    for mtu, names in ((9000, "ab"), (32000, "cd"), (65455, "gh")):
        near, far = (Side(lab, name, n, ours(), TWO) for n, name in enumerate(names, 1))
        cable(near, far, mtu=65535)
        near.start(mtu)
        far.start(mtu)
        near.peer(far, far.endpoint())
        far.peer(near)
        near.ns.ping(far.inner4)  # what waits for a handshake has to be short
        near.ns.ping(far.inner4, size=mtu - 28, extra=("-M", "do"))
        far.ns.ping(near.inner4, size=mtu - 28, extra=("-M", "do"))
        end = iperf(near, far, seconds=1)
        assert end["sum_received"]["bytes"] > 20_000_000, (mtu, end["sum_received"])


main()
