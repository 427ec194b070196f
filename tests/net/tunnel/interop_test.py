#!/usr/bin/env python3
"""Our tunnel and Debian's wireguard-go, each in both roles."""
import time

from lab import main, need, test, wait_until
from wires import Side, cable, figures, iperf, lossless, ours, pair, ping_lost, psk

GO = "wireguard-go"


def meet(lab, left, right, v6, secret):
    need(GO, "wg")
    a, b = pair(lab, left, right, v6, secret)
    a.ns.ping(b.inner4, count=3)
    a.ns.ping(b.inner6, count=3)
    b.ns.ping(a.inner4, count=3)
    b.ns.ping(a.inner6, count=3)
    assert time.time() - a.handshake() < 60 and time.time() - b.handshake() < 60
    return a, b


@test
def we_initiate_over_ipv4(lab):
    meet(lab, ours(), GO, False, None)


@test
def we_initiate_over_ipv6_with_a_preshared_key(lab):
    meet(lab, ours(), GO, True, psk())


@test
def we_respond_over_ipv4_with_a_preshared_key(lab):
    meet(lab, GO, ours(), False, psk())


@test
def we_respond_over_ipv6(lab):
    meet(lab, GO, ours(), True, None)


@test
def another_preshared_key_lets_nobody_in(lab):
    need(GO, "wg")
    a, b = pair(lab, GO, ours(), False, psk())
    b.set("peer", a.public, "preshared-key", lab.file("other", psk()))
    assert not a.ns.ping(b.inner4, check=False, wait=1)
    assert b.handshake() == 0


@test
def packets_of_every_size_pass_both_ways(lab):
    a, b = meet(lab, ours(), GO, False, None)
    for near, far in ((a, b), (b, a)):
        for size in (0, 1, 2, 15, 16, 17, 100, 1391, 1392):
            near.ns.ping(far.inner4, size=size, extra=("-M", "do"))
        for size in (0, 1, 1372):
            near.ns.ping(far.inner6, size=size)
        near.ns.ping(far.inner4, size=20000)  # in fragments, inside


@test
def a_path_that_is_too_narrow_fragments_outside(lab):
    a, b = meet(lab, ours(), GO, False, None)
    for side in (a, b):
        side.ns.ip("link", "set", "v" + side.name, "mtu", 1300)
    a.ns.ping(b.inner4, size=1392, extra=("-M", "do"))
    b.ns.ping(a.inner4, size=1392, extra=("-M", "do"))
    need("iperf3")
    end = iperf(a, b)
    assert end["sum_received"]["bytes"] > 2_000_000, end["sum_received"]


@test
def bulk_passes_both_ways_and_udp_loses_nothing(lab):
    need("iperf3")
    a, b = meet(lab, ours(), GO, False, None)
    for near, far in ((a, b), (b, a)):
        end = iperf(near, far, seconds=2)
        assert end["sum_received"]["bytes"] > 20_000_000, end["sum_received"]
        lossless(near, far, "-b", "12M", "-l", 1200)


def seen_at(side, endpoint):
    wait_until(lambda: side.show("endpoints") == [endpoint], f"{endpoint} to be seen by {side.ifname}")


def move(side, address):
    """The outer IPv4 address of a side becomes another one."""
    side.ns.run("sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1")
    side.ns.ip("addr", "add", address + "/24", "dev", "v" + side.name)
    side.ns.ip("addr", "del", side.outer4 + "/24", "dev", "v" + side.name)


@test
def a_peer_that_moves_is_followed(lab):
    a, b = meet(lab, GO, ours(), False, None)
    answered = lambda: a.ns.ping(b.inner4, check=False, wait=1)  # the other implementation needs a moment
    seen_at(b, "192.0.2.1:51820")
    move(a, "192.0.2.77")
    a.set("peer", b.public, "endpoint", b.endpoint())  # it clings to its source until then
    wait_until(answered, "an answer from the new address")
    seen_at(b, "192.0.2.77:51820")
    b.ns.ping(a.inner4)
    a.set("listen-port", 4711)
    wait_until(answered, "an answer from the new port")
    seen_at(b, "192.0.2.77:4711")
    a.set("peer", b.public, "endpoint", b.endpoint(True))
    wait_until(answered, "an answer over IPv6")
    seen_at(b, "[2001:db8::1]:4711")


@test
def we_may_move_too(lab):
    a, b = meet(lab, ours(), GO, False, None)
    seen_at(b, "192.0.2.1:51820")
    move(a, "192.0.2.77")  # the source that we remember is gone
    a.ns.ping(b.inner4, count=3)
    seen_at(b, "192.0.2.77:51820")


@test
def answers_leave_from_the_address_that_was_asked(lab):
    need(GO, "wg")
    a, b = Side(lab, "a", 1, GO), Side(lab, "b", 2, ours())
    cable(a, b)
    b.ns.ip("addr", "add", "192.0.2.200/24", "dev", "vb")
    a.start()
    b.start()
    a.peer(b, "192.0.2.200:51820")
    b.peer(a)
    a.ns.ping(b.inner4, count=3)
    seen_at(a, "192.0.2.200:51820")
    # the address goes: what leaves after that takes another one
    b.ns.ip("addr", "del", "192.0.2.200/24", "dev", "vb")
    b.ns.ping(a.inner4, count=2)
    seen_at(a, "192.0.2.2:51820")


def received(side):
    return int(side.show("transfer")[0])


@test
def keepalives_are_sent_and_answered_for(lab):
    a, b = meet(lab, ours(), GO, False, None)
    before = received(b)
    a.set("peer", b.public, "persistent-keepalive", 1)
    wait_until(lambda: received(b) >= before + 3 * 32, "three keepalives of ours")
    before = received(a)
    a.set("peer", b.public, "persistent-keepalive", 0)
    b.set("peer", a.public, "persistent-keepalive", 1)
    wait_until(lambda: received(a) >= before + 3 * 32, "three keepalives of theirs")


@test
def a_new_key_of_ours_is_used_for_the_next_session(lab):
    import subprocess
    a, b = meet(lab, ours(), GO, False, None)
    a.key = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout.strip()
    b.set("peer", a.public, "remove")
    a.public = subprocess.run(["wg", "pubkey"], input=a.key, capture_output=True, text=True, check=True).stdout.strip()
    b.peer(a)
    a.set("private-key", lab.file("new.key", a.key))
    wait_until(lambda: a.ns.ping(b.inner4, check=False, wait=1), "an answer under the new key")


@test
def a_link_that_went_down_and_up_again_works(lab):
    a, b = meet(lab, ours(), GO, False, None)
    a.ns.ip("link", "set", a.ifname, "down")
    assert not b.ns.ping(a.inner4, check=False, wait=1)
    a.ns.ip("link", "set", a.ifname, "up")
    wait_until(lambda: a.ns.ping(b.inner4, check=False, wait=1), "an answer after the link came back")
    assert "listening port: 51820" in a.ns.run("wg", "show", a.ifname).stdout


@test
def a_packet_from_a_foreign_address_is_dropped(lab):
    a, b = meet(lab, GO, ours(), False, None)
    a.ns.ip("addr", "add", "10.9.0.66/24", "dev", a.ifname)
    assert not a.ns.ping(b.inner4, check=False, wait=1, extra=("-I", "10.9.0.66"))
    wait_until(lambda: figures(b.ifname).get("warren_drop_source", 0) >= 1, "the drop to be counted")
    a.ns.ping(b.inner4)


@test
def losing_packets_loses_no_more_than_these(lab):
    a, b = meet(lab, ours(), GO, False, None)
    out = a.ns.run("ping", "-qn", "-i", ".002", "-c", 1500, b.inner4).stdout
    assert ping_lost(out) == 0, out


main()
