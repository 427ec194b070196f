#!/usr/bin/env python3
"""The end of a peer's access: nothing passes later than a second after it, in either direction."""
import re
import time

from lab import main, need, test, wait_until
from wires import figures, hexadecimal, ours, pair, uapi


def say(side, other, lines):
    assert uapi(side.ifname, f"set=1\npublic_key={hexadecimal(other.public)}\n{lines}\n\n") == "errno=0\n\n"


def last_reply(process):
    """When the last answer of a `ping -D` came."""
    return max(float(t) for t in re.findall(r"^\[([\d.]+)\].*bytes from", process.output(), re.M))


def ends(lab, who, load=False):
    """Access of @who ends in two seconds; returns the pair and the end."""
    a, b = pair(lab, ours(), ours())
    a.ns.ping(b.inner4)
    pings = [a.ns.start("ping", "-D", "-n", "-i", ".01", b.inner4), b.ns.start("ping", "-D", "-n", "-i", ".01", a.inner4)]
    for ping in pings:
        ping.wait_for(r"bytes from")
    servers = []
    if load:
        need("iperf3")
        for near, far, port in ((a, b, 5201), (b, a, 5202)):
            server = far.ns.start("iperf3", "-s", "-p", port, "--forceflush")
            server.wait_for("listening")
            servers.append(near.ns.start("iperf3", "-c", far.inner4, "-p", port, "-t", 30, "-u", "-b", "0", "-l", 1300))
    at = int(time.time()) + 2
    say(b, a, f"warren_end={at}")
    wait_until(lambda: figures(b.ifname).get("warren_drop_ended", 0) > 10, "packets to be dropped at the end")
    time.sleep(max(0, at + 1 - time.time()))  # the second that is allowed
    counted = [b.show("transfer"), a.show("transfer")[0]]
    wait_until(lambda: figures(b.ifname)["warren_drop_ended"] > 300, "more packets to be dropped")
    assert b.show("transfer")[1] == counted[0][1], "something was sent after the end"
    assert b.show("transfer")[0] == counted[0][0], "something was taken after the end"
    assert a.show("transfer")[0] == counted[1], "something arrived after the end"
    for process in pings + servers:
        process.stop()
    for ping in pings:
        assert last_reply(ping) <= at + 1, (last_reply(ping), at)
        assert last_reply(ping) >= at - 1, (last_reply(ping), at)
    return a, b


@test
def nothing_passes_after_the_end(lab):
    ends(lab, "b")


@test
def nothing_passes_after_the_end_with_queues_and_sockets_full(lab):
    ends(lab, "b", load=True)


@test
def nothing_leaves_late_through_a_slow_link(lab):
    need("iperf3", "tc")
    a, b = pair(lab, ours(), ours())
    a.ns.ping(b.inner4)
    b.ns.run("tc", "qdisc", "add", "dev", "vb", "root", "tbf", "rate", "8mbit", "burst", "32k", "limit", "20mb")
    server = a.ns.start("iperf3", "-s", "--forceflush")
    server.wait_for("listening")
    client = b.ns.start("iperf3", "-c", a.inner4, "-t", 30, "-u", "-b", "100M", "-l", 1300)
    before = int(a.show("transfer")[0])
    wait_until(lambda: int(a.show("transfer")[0]) > before + 1_000_000, "the link to be full")
    at = int(time.time()) + 2
    say(b, a, f"warren_end={at}")
    time.sleep(max(0, at + 1 - time.time()))  # the second that is allowed
    late = a.show("transfer")[0]
    wait_until(lambda: figures(b.ifname).get("warren_drop_ended", 0) > 0, "packets to be dropped at the end")
    time.sleep(1)  # nothing comes, which no event can tell
    assert a.show("transfer")[0] == late, "something arrived more than a second after the end"
    client.stop()
    server.stop()


@test
def a_renewal_brings_the_peer_back_without_a_new_key(lab):
    a, b = ends(lab, "b")
    assert not a.ns.ping(b.inner4, check=False, wait=1)
    say(b, a, f"warren_end={int(time.time()) + 3600}")
    wait_until(lambda: a.ns.ping(b.inner4, check=False, wait=1), "an answer after the renewal", 40)


@test
def a_peer_that_is_cut_off_gets_no_handshake(lab):
    a, b = pair(lab, ours(), ours())
    say(b, a, "warren_state=cut")
    assert not a.ns.ping(b.inner4, check=False, wait=1)
    assert b.handshake() == 0
    wait_until(lambda: figures(b.ifname).get("warren_drop_cut", 0) >= 1, "the drop to be counted")
    say(b, a, "warren_state=active")
    wait_until(lambda: a.ns.ping(b.inner4, check=False, wait=1), "an answer", 40)
    say(b, a, "warren_state=cut")
    assert not a.ns.ping(b.inner4, check=False, wait=1)
    assert not b.ns.ping(a.inner4, check=False, wait=1)


@test
def a_quarantined_peer_reaches_nothing_here(lab):
    a, b = pair(lab, ours(), ours())
    a.ns.ping(b.inner4)
    say(b, a, "warren_state=quarantined")
    assert not a.ns.ping(b.inner4, check=False, wait=1)
    assert not b.ns.ping(a.inner4, check=False, wait=1)
    wait_until(lambda: figures(b.ifname).get("warren_drop_quarantine", 0) >= 2, "the drops to be counted")


main()
