#!/usr/bin/env python3
"""Our tunnel and each foreign one that is here, in both roles: Debian's wireguard-go, and those that tools/install-rivals
leaves (RIVALS_DIR, else ~/.cache/warren-rivals) or that WARREN_RIVALS names ("NAME=PATH ...").

WARREN_LONG=1: also wait for the renewal that theirs begins by itself, which takes two minutes.
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench"))
from crowd import begin, built, enough
from lab import main, need, skip, test, wait_until
from preload import Clocks
from programs import INSTALLED, rivals_directory
from strangers import Attacker, dropped
from wires import Side, cable, hexadecimal, iperf, ours, psk, uapi

REKEY_AFTER_TIME, REKEY_TIMEOUT, STEP = 120, 5, 4
FLOWS, RATE, SECONDS = 8, 1000, 60  # at most
LONG = os.environ.get("WARREN_LONG") == "1"


def implementations():
    """(name, program, options): all that may be here."""
    found = {"Debian's wireguard-go": ("/usr/bin/wireguard-go", [])}
    for name, (file, options) in INSTALLED.items():
        found[name] = (os.path.join(rivals_directory(), "bin", file), options)
    for entry in os.environ.get("WARREN_RIVALS", "").split():
        name, _, path = entry.partition("=")
        file = os.path.basename(path)
        found[name] = (path, next((options for known, options in INSTALLED.values() if known == file), []))
    return found


class Meeting:
    """The two ends: @us and @them, of which one begins."""

    def __init__(self, lab, name, program, options, we_begin, v6, secret):
        need("wg", "iperf3")
        self.follows = "Tailscale" not in name  # that one leaves it to others to know where its peers are
        self.clocks = Clocks(lab)
        wrapped = lab.file("foreign.sh", f'#!/bin/sh\nexec {program} {" ".join(options)} "$@"\n', 0o755)
        self.us = Side(lab, "u", 1, ours(), {"WARREN_WORKERS": "2", **self.clocks.env})
        self.them = Side(lab, "t", 2, wrapped)
        cable(self.us, self.them)
        self.us.start()
        self.them.start()
        self.near, self.far = (self.us, self.them) if we_begin else (self.them, self.us)
        self.near.peer(self.far, self.far.endpoint(v6), secret)
        self.far.peer(self.near, None if self.follows else self.near.endpoint(v6), secret)
        self.answered("the first handshake")
        assert time.time() - self.us.handshake() < 60  # theirs may say something else with that number

    def answered(self, what, timeout=40):
        wait_until(lambda: self.near.ns.ping(self.far.inner4, check=False, wait=1), "an answer: " + what, timeout)

    def counted(self):
        return [int(side.show("transfer")[0]) for side in (self.us, self.them)]


def packets_of_all_sizes(m):
    for near, far in ((m.us, m.them), (m.them, m.us)):
        for size in (0, 1, 15, 16, 17, 1391, 1392):
            near.ns.ping(far.inner4, size=size, extra=("-M", "do"))
        for size in (0, 1, 1372):
            near.ns.ping(far.inner6, size=size)


def bulk(m):
    for near, far in ((m.us, m.them), (m.them, m.us)):
        wait_until(lambda: iperf(near, far, seconds=1)["sum_received"]["bytes"] > 5_000_000, f"bulk from {near.name} to {far.name}")


def order_over_a_renewal(m):
    """Numbered flows both ways, while time passes for us until we renew the session, whoever began it."""
    flows = [m.us.ns.start(built("flows"), m.us.inner4, m.them.inner4, 7000, FLOWS, RATE, SECONDS),
             m.them.ns.start(built("flows"), m.them.inner4, m.us.inner4, 7000, FLOWS, RATE, SECONDS)]
    wait_until(lambda: time.time() >= m.us.handshake() + 1, "another second, to tell the handshakes apart")
    before = m.us.handshake()
    begin(flows)
    for _ in range(0, (REKEY_AFTER_TIME if m.near is m.us else REKEY_TIMEOUT) + STEP, STEP):
        counted = m.counted()
        m.clocks.pass_by(STEP)
        wait_until(lambda: all(now > then for now, then in zip(m.counted(), counted)), "traffic both ways")
    if m.near is m.them:
        assert "errno=0" in uapi(m.us.ifname, f"set=1\npublic_key={hexadecimal(m.them.public)}\nwarren_initiate=true\n\n")
    wait_until(lambda: m.us.handshake() > before, "the session to be renewed")
    for result in enough(flows):
        assert result["late"] == 0 and result["again"] == 0, result
        assert result["received"] > 0.9 * result["expected"] > 0, result


def keepalives(m):
    """By our counters: not everybody counts what has no content."""
    for sender, receiver, field in ((m.us, m.them, 1), (m.them, m.us, 0)):
        counted = lambda: int(m.us.show("transfer")[field])
        before = counted()
        sender.set("peer", receiver.public, "persistent-keepalive", 1)
        wait_until(lambda: counted() >= before + 3 * 32, f"three keepalives from {sender.name}")
        sender.set("peer", receiver.public, "persistent-keepalive", 0)


def we_move(m):
    m.us.ns.run("sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1")
    for new, old in (("192.0.2.77/24", m.us.outer4 + "/24"), ("2001:db8::77/64", m.us.outer6 + "/64")):
        m.us.ns.ip("addr", "add", new, "dev", "v" + m.us.name, *(["nodad"] if ":" in new else []))
        m.us.ns.ip("addr", "del", old, "dev", "v" + m.us.name)
    if not m.follows:
        m.them.set("peer", m.us.public, "endpoint", "192.0.2.77:51820")
    wait_until(lambda: m.us.ns.ping(m.them.inner4, check=False, wait=1), "an answer at the new address", 40)
    wait_until(lambda: m.them.show("endpoints")[0].rsplit(":", 1)[0] in ("192.0.2.77", "[2001:db8::77]"), "them to follow")


def another_key_of_ours(m):
    key = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout.strip()
    endpoint, secret = m.us.show("endpoints"), m.us.show("preshared-keys")
    m.them.set("peer", m.us.public, "remove")
    m.us.public = subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True, check=True).stdout.strip()
    m.us.set("private-key", m.us.lab.file("another.key", key))
    there = "192.0.2.77:51820"
    m.them.peer(m.us, there, None if secret == ["(none)"] else secret[0])
    assert endpoint == m.us.show("endpoints")
    m.answered("under the new key")


def cookies(m):
    """Under load they get in, by the cookie that they are given."""
    attacker = Attacker(m.us.lab, m.us)
    wait_until(lambda: dropped(m.us, "cookie_wanted") > 1000, "cookies to be asked for")
    m.them.set("peer", m.us.public, "remove")
    m.them.peer(m.us, "192.0.2.77:51820", None if m.us.show("preshared-keys") == ["(none)"] else m.us.show("preshared-keys")[0])
    wait_until(lambda: m.them.ns.ping(m.us.inner4, check=False, wait=1), "them to get in under load", 90)
    assert attacker.process.running()
    attacker.process.stop()


def their_own_renewal(m):
    wait_until(lambda: time.time() > m.us.handshake() + REKEY_AFTER_TIME, "the session to be old", REKEY_AFTER_TIME + 5)
    before = m.us.handshake()
    wait_until(lambda: m.them.ns.ping(m.us.inner4) and m.us.handshake() > before, "their renewal", 60)


# What a foreign one cannot do, whoever is at the other end.
CANNOT = {"boringtun": [keepalives, another_key_of_ours, cookies]}  # it panics when a peer is changed (0.7.1)
CHAPTERS = [packets_of_all_sizes, bulk, order_over_a_renewal, keepalives, we_move, another_key_of_ours, cookies]


def meet(lab, name, we_begin, v6, secret):
    program, options = implementations()[name]
    if not os.access(program, os.X_OK):
        skip(f"{name} is not here ({program})")
    m = Meeting(lab, name, program, options, we_begin, v6, secret)
    for chapter in CHAPTERS + ([their_own_renewal] if LONG and not we_begin else []):
        if chapter in CANNOT.get(name, []):
            print(f"# {name} cannot: {chapter.__name__.replace('_', ' ')}", flush=True)
            continue
        begun = time.monotonic()
        chapter(m)
        print(f"# {name}: {chapter.__name__.replace('_', ' ')}: {time.monotonic() - begun:.1f} s", flush=True)


def add(name):
    word = "".join(c if c.isalnum() else "_" for c in name).strip("_")

    def we_begin(lab):
        meet(lab, name, True, False, psk())

    def they_begin(lab):
        meet(lab, name, False, True, None)
    we_begin.__name__, they_begin.__name__ = f"we_begin_with_{word}", f"{word}_begins_with_us"
    test(we_begin)
    test(they_begin)


for implementation in implementations():
    add(implementation)
main()
