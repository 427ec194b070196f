#!/usr/bin/env python3
"""What strangers send: garbage of every length, broken handshakes, floods."""
import base64
import hashlib
import os
import socket
import struct
import subprocess

from lab import main, need, test, wait_until
from wires import Side, cable, figures, ours, pair, socket_in, uapi

GO = "wireguard-go"


def valid_mac1(public, count):
    """Initiations that anybody can make who knows the responder's public key: only the first MAC is right."""
    key = hashlib.blake2s(b"mac1----" + base64.b64decode(public)).digest()
    out = []
    for _ in range(count):
        body = struct.pack("<I", 1) + os.urandom(112)
        out.append(body + hashlib.blake2s(body, key=key, digest_size=16).digest() + bytes(16))
    return out


GARBAGE = r"""
import os, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
s.connect(("192.0.2.2", 51820))
noise = os.urandom(65536)
print("ready", flush=True)
for line in sys.stdin:
    first, last = map(int, line.split())
    for n in range(first, last):
        kind = n % 6
        head = bytes((kind, 0, 0, 0)) if kind < 5 else b""
        s.send((head + noise)[:n])
    print("sent", last, flush=True)
"""


@test
def garbage_of_every_length_harms_nobody(lab):
    a, b = Side(lab, "a", 1, ours()), Side(lab, "b", 2, ours())
    cable(a, b, mtu=65535)
    a.start()
    b.start()
    a.peer(b, b.endpoint())
    b.peer(a)
    a.ns.ping(b.inner4)
    start = seen = figures(b.ifname)["warren_datagrams"]
    sender = subprocess.Popen(a.ns.argv(["python3", "-c", GARBAGE]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    sender.stdout.readline()
    for first in range(0, 65508, 64):
        last = min(first + 64, 65508)
        sender.stdin.write(f"{first} {last}\n")
        sender.stdin.flush()
        sender.stdout.readline()
        seen += last - first
        wait_until(lambda: figures(b.ifname)["warren_datagrams"] >= seen, f"datagrams up to {last} bytes to be read")
    sender.stdin.close()
    sender.wait()
    values = figures(b.ifname)
    assert values["warren_datagrams"] - start >= 65508
    assert values["warren_drop_type"] + values["warren_drop_length"] > 40000, values
    assert values["warren_drop_no_session"] > 8000, values
    a.ns.ping(b.inner4, count=3)
    assert b.process.running()


def capture(lab, sender, receiver):
    """An initiation that @sender makes for @receiver, taken from the wire."""
    listener = socket_in(sender.ns, ("127.0.0.1", 7777))
    sender.peer(receiver, "127.0.0.1:7777")
    sender.ns.ping(receiver.inner4, check=False, wait=1)
    listener.settimeout(20)
    message = listener.recv(2000)
    listener.close()
    assert len(message) == 148 and message[0] == 1
    return message


@test
def broken_handshakes_are_not_answered_and_the_whole_one_is(lab):
    need(GO, "wg")
    a, b = Side(lab, "a", 1, GO), Side(lab, "b", 2, ours())
    cable(a, b)
    a.start()
    b.start()
    b.peer(a)
    message = capture(lab, a, b)
    s = socket_in(a.ns, ("192.0.2.1", 0))
    s.connect(("192.0.2.2", 51820))
    sent, base = 0, figures(b.ifname)["warren_datagrams"]
    for n in range(148):
        s.send(message[:n])
        sent += 1
    for bit in range(8 * 132):  # what follows is the second MAC, which only counts under load
        broken = bytearray(message)
        broken[bit // 8] ^= 1 << bit % 8
        s.send(broken)
        sent += 1
        if sent % 64 == 0:
            wait_until(lambda: figures(b.ifname)["warren_datagrams"] >= base + sent, "the broken ones to be read")
    wait_until(lambda: figures(b.ifname)["warren_datagrams"] >= base + sent, "the broken ones to be read")
    values = figures(b.ifname)
    assert values["warren_drop_mac1"] >= 1000, values
    s.settimeout(0.3)
    try:
        raise AssertionError(f"an answer of {len(s.recv(2000))} bytes")
    except socket.timeout:
        pass
    s.settimeout(20)
    s.send(message)
    assert len(s.recv(2000)) == 92
    s.send(message)  # again: it was seen
    wait_until(lambda: figures(b.ifname).get("warren_drop_timestamp", 0) + figures(b.ifname).get("warren_drop_flood", 0) >= 1,
               "the replay to be counted")


FLOOD = r"""
import socket, sys, time
messages = [bytes.fromhex(line) for line in open(sys.argv[1])]
s = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
for one in s:
    one.connect((sys.argv[2], int(sys.argv[3])))
print("flooding", flush=True)
while True:
    begin = time.monotonic()
    for i, m in enumerate(messages):
        try:
            s[i % 8].send(m)
        except OSError:
            pass
    time.sleep(max(0, 0.05 - (time.monotonic() - begin)))
"""


def flood(lab, ns, target, address, port=51820, count=3000):
    path = lab.file("flood", "\n".join(m.hex() for m in valid_mac1(target.public, count)))
    process = ns.start("python3", "-c", FLOOD, path, address, port)
    process.wait_for("flooding")
    return process


@test
def under_load_we_ask_for_cookies_and_honest_peers_get_in(lab):
    need(GO, "wg")
    a, b, c = Side(lab, "a", 1, GO), Side(lab, "b", 2, ours()), lab.ns("c")
    cable(a, b)
    lab.veth(c, "vc", "198.51.100.1/24", b.ns, "vbc", "198.51.100.2/24")
    a.start()
    b.start()
    b.peer(a)
    attacker = flood(lab, c, b, "198.51.100.2")
    wait_until(lambda: figures(b.ifname).get("warren_drop_cookie_wanted", 0) > 1000, "cookies to be asked for")
    a.peer(b, b.endpoint())
    wait_until(lambda: a.ns.ping(b.inner4, check=False, wait=1), "the honest peer to get in", 60)
    assert attacker.running()
    assert b.handshake() > 0
    values = figures(b.ifname)
    assert values.get("warren_drop_unknown_peer", 0) + values.get("warren_drop_handshake", 0) < values["warren_drop_cookie_wanted"]
    attacker.stop()
    b.ns.ping(a.inner4)


@test
def we_answer_a_cookie_of_wireguard_go(lab):
    need(GO, "wg")
    a, b, c = Side(lab, "a", 1, ours()), Side(lab, "b", 2, GO), lab.ns("c")
    cable(a, b)
    lab.veth(c, "vc", "198.51.100.1/24", b.ns, "vbc", "198.51.100.2/24")
    a.start()
    b.start()
    b.peer(a)
    attacker = flood(lab, c, b, "198.51.100.2")
    a.peer(b, b.endpoint())
    wait_until(lambda: a.ns.ping(b.inner4, check=False, wait=1), "to get in under load", 60)
    attacker.stop()


@test
def unknown_keys_and_noise_on_the_control_socket_change_nothing(lab):
    a, b = pair(lab, ours(), ours())
    a.ns.ping(b.inner4)
    for line in ("colour=blue", "listen_port", "public_key=xyz", "warren_nonsense=1", "=", "a" * 5000 + "=1"):
        assert "errno=-" in uapi(a.ifname, f"set=1\n{line}\n\n"), line
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"/run/wireguard/{a.ifname}.sock")
            try:
                s.sendall(os.urandom(3000))
            except OSError:
                pass
    assert uapi(a.ifname, "get=1\n\n").endswith("errno=0\n\n")
    a.ns.ping(b.inner4)


@test
def data_that_was_tampered_with_or_sent_twice_is_dropped(lab):
    a, b = Side(lab, "a", 1, ours()), Side(lab, "b", 2, ours())
    cable(a, b)
    a.start()
    b.start()
    b.peer(a)
    relay = socket_in(a.ns, ("192.0.2.1", 7777))
    relay.settimeout(20)
    a.peer(b, "192.0.2.1:7777")
    ping = a.ns.start("ping", "-qn", "-c", 3, "-i", ".1", "-W", 5, b.inner4)
    data = 0
    while data < 3:
        message, source = relay.recvfrom(65536)
        if source[1] == 51820 and source[0] == "192.0.2.1":
            if message[0] == 4:
                data += 1
                broken = bytearray(message)
                broken[20] ^= 1
                relay.sendto(broken, ("192.0.2.2", 51820))
                relay.sendto(message, ("192.0.2.2", 51820))
            relay.sendto(message, ("192.0.2.2", 51820))
        else:
            relay.sendto(message, ("192.0.2.1", 51820))
    wait_until(lambda: figures(b.ifname).get("warren_drop_replay", 0) >= 3, "replays to be counted")
    assert figures(b.ifname)["warren_drop_authentication"] >= 3
    ping.stop()


main()
