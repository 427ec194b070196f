"""A gateway of ours and its clients, each on a cable of its own, with numbered traffic of each both ways."""
import json
import os
import signal

import lab as laboratory
from wires import Side, ours, uapi

GO = "wireguard-go"


def built(name):
    return os.path.join(laboratory.BUILD, "tests/net/tunnel", name)


def last_line(process, timeout=60):
    """The figures with which a program of ours ends."""
    status = process.wait(timeout)
    assert status == 0, process.output()
    return json.loads(process.output().splitlines()[-1])


class Client(Side):
    def __init__(self, lab, number, implementation, env=None):
        super().__init__(lab, f"c{number}", number, implementation, env)
        self.net = f"198.51.{100 + number}"
        self.outer4, self.outer6 = f"{self.net}.2", f"2001:db8:{number}::2"

    def link(self, gateway, whole=True):
        """Lays the cable and starts the program.  Not @whole: datagrams are cut and merged as on a real card."""
        self.lab.veth(self.ns, "v" + self.name, [self.outer4 + "/24", self.outer6 + "/64"], gateway.ns, "g" + self.name,
                      [self.net + ".1/24", f"2001:db8:{self.number}::1/64"])
        if not whole:
            for ns, name in ((self.ns, "v" + self.name), (gateway.ns, "g" + self.name)):
                ns.run("ethtool", "-K", name, "tso", "off", "tx-udp-segmentation", "off", "gro", "on")
        return self.start()

    def join(self, gateway, whole=True):
        """And shakes hands.  Every second one has IPv6 outside."""
        self.link(gateway, whole)
        we_begin = self.implementation != ours()  # so that each session is renewed by one of ours
        there = f"[2001:db8:{self.number}::1]:51820" if self.number % 2 else f"{self.net}.1:51820"
        self.peer(gateway, None if we_begin else there)
        gateway.peer(self, f"{self.outer4}:51820" if we_begin else None)
        if we_begin:
            gateway.ns.ping(self.inner4)
        else:
            self.ns.ping(gateway.inner4)

    def wires(self, gateway):
        """Watches what leaves at both ends of the cable."""
        found = [ns.start(built("wire"), name) for ns, name in ((self.ns, "v" + self.name), (gateway.ns, "g" + self.name))]
        for wire in found:
            wire.wait_for("listening")
        return found

    def flows(self, gateway, n, rate, seconds):
        """The program flows at both ends; every second client has IPv6 inside."""
        port = 7000 + self.number
        near, far = (gateway.inner4, self.inner4) if self.number % 2 else (gateway.inner6, self.inner6)
        return [self.ns.start(built("flows"), far, near, port, n, rate, seconds),
                gateway.ns.start(built("flows"), near, far, port, n, rate, seconds)]


def begin(flows):
    for flow in flows:
        flow.wait_for("ready")
    for flow in flows:
        flow.signal(signal.SIGUSR1)


def enough(flows):
    """They end before their time."""
    for flow in flows:
        flow.signal(signal.SIGUSR2)
    return [last_line(flow) for flow in flows]


def of_peers(sides, key):
    """That number of each peer of each side."""
    return [int(line.split("=")[1]) for side in sides for line in uapi(side.ifname, "get=1\n\n").splitlines()
            if line.startswith(key + "=")]


def move(client):
    """The outer addresses of a client become others."""
    client.ns.run("sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1")
    for new, old in ((client.net + ".77/24", client.outer4 + "/24"),
                     (f"2001:db8:{client.number}::77/64", client.outer6 + "/64")):
        client.ns.ip("addr", "add", new, "dev", "v" + client.name, *(["nodad"] if ":" in new else []))
        client.ns.ip("addr", "del", old, "dev", "v" + client.name)
