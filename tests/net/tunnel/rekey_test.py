#!/usr/bin/env python3
"""Sessions are renewed under traffic, without a packet lost: wireguard-go with us in both roles, side by side."""
import time

from lab import main, need, test, wait_until
from wires import Side, cable, iperf, ours, ping_lost

GO = "wireguard-go"
REKEY_AFTER_TIME = 120


class Other(Side):
    """A second pair beside the first, with addresses of its own."""

    def __init__(self, lab, name, number, implementation):
        super().__init__(lab, name, number, implementation)
        self.outer4, self.outer6 = f"198.51.100.{number}", f"2001:db8:1::{number}"


@test
def sessions_are_renewed_under_traffic_in_both_roles(lab):
    need(GO, "wg", "iperf3")
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
    running = []
    for a, b, _ in pairs:
        running += [a.ns.start("ping", "-qn", "-i", ".02", "-c", seconds * 50, b.inner4),
                    b.ns.start("ping", "-qn", "-i", ".02", "-c", seconds * 50, a.inner4)]
    end = iperf(pairs[0][0], pairs[0][1], "-u", "-b", "8M", "-l", 1200, seconds=seconds)
    assert end["sum"]["lost_packets"] == 0, end["sum"]
    for ping in running:
        ping.wait(60)
        assert ping_lost(ping.output()) == 0, ping.output()
    for a, b, before in pairs:
        assert a.handshake() >= before + REKEY_AFTER_TIME - 2, (a.handshake(), before)
        assert b.handshake() >= before + REKEY_AFTER_TIME - 2
        assert time.time() - a.handshake() < 60
        wait_until(lambda: a.ns.ping(b.inner4, check=False), "an answer in the new session")


main()
