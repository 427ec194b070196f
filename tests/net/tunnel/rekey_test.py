#!/usr/bin/env python3
"""Sessions are renewed under traffic, without a packet lost: wireguard-go with us in both roles, side by side."""
import re

from crowd import begin, built, last_line
from lab import main, need, test, wait_until
from wires import Side, cable, ours, ping_lost

GO = "wireguard-go"
REKEY_AFTER_TIME = 120
FLOWS, RATE = 6, 300  # a second that nobody runs in still fits into the queues
BUSY = 1  # percent: what a machine that is busy with other tests may lose in over two minutes, but not at the renewal


class Other(Side):
    """A second pair beside the first, with addresses of its own."""

    def __init__(self, lab, name, number, implementation):
        super().__init__(lab, name, number, implementation)
        self.outer4, self.outer6 = f"198.51.100.{number}", f"2001:db8:1::{number}"


def lost_at(output):
    """When the pings were sent that no answer came to, by the answers before them; of `ping -D`."""
    when = {int(n): float(t) for t, n in re.findall(r"^\[([\d.]+)\].*icmp_seq=(\d+) ", output, re.M)}
    lost, last = [], min(when.values())
    for n in range(1, max(when) + 1):
        if n not in when:
            lost.append(last)
        last = when.get(n, last)
    return lost


@test
def sessions_are_renewed_under_traffic_in_both_roles(lab):
    need(GO, "wg")
    pairs = []
    for side, names, programs in ((Side, "ab", (ours(), GO)), (Other, "cd", (GO, ours()))):
        a, b = side(lab, names[0], 1, programs[0]), side(lab, names[1], 2, programs[1])
        cable(a, b)
        a.start()
        b.start()
        a.peer(b, b.endpoint())
        b.peer(a)
        a.ns.ping(b.inner4)
        pairs.append((a, b, a.handshake()))
    seconds = REKEY_AFTER_TIME + 12
    running, flows = [], []
    for a, b, _ in pairs:
        running += [a.ns.start("ping", "-Dn", "-i", ".02", "-c", seconds * 50, b.inner4),
                    b.ns.start("ping", "-Dn", "-i", ".02", "-c", seconds * 50, a.inner4)]
        flows += [a.ns.start(built("flows"), a.inner6, b.inner6, 7000, FLOWS, RATE, seconds),
                  b.ns.start(built("flows"), b.inner6, a.inner6, 7000, FLOWS, RATE, seconds)]
    begin(flows)
    for flow in flows:
        result = last_line(flow, 2 * seconds)
        assert result["late"] == 0 and result["again"] == 0, result
        assert result["received"] >= (1 - BUSY / 100) * result["expected"], result
    for ping in running:
        ping.wait(60)
        assert ping_lost(ping.output()) < BUSY, ping.output()[-500:]
    for a, b, before in pairs:
        assert a.handshake() >= before + REKEY_AFTER_TIME - 2, (a.handshake(), before)
        assert b.handshake() >= before + REKEY_AFTER_TIME - 2
        for ping in running:
            at_renewal = [t for t in lost_at(ping.output()) if abs(t - a.handshake()) < 3]
            assert not at_renewal, at_renewal
        wait_until(lambda: a.ns.ping(b.inner4, check=False), "an answer in the new session")


main()
