"""A net process between peers, whose packets are written by hand, and a far host behind a real uplink."""
import contextlib
import sys

import packets
from lab import wait_until
from packets import Parsed
from role import Device, Inner, Net, domain

PEER, OTHER, GATEWAY = "10.82.0.7", "10.82.0.8", "10.82.0.1"
PEER6, OTHER6, GATEWAY6 = "fd01:2:3:4::7", "fd01:2:3:4::8", "fd01:2:3:4::1"
FAR, FAR6 = "198.51.100.1", "2001:db8:51::1"
UPLINK = {"kind": "interface", "ifname": "up0", "addresses": ["192.0.2.9/24", "2001:db8:2::9/64"],
          "gateways": ["192.0.2.1", "2001:db8:2::1"]}
PLAN = {"domains": [domain()], "uplink": UPLINK}

# Answers every datagram to one of its addresses with the address that it came from.
ECHO = """
import socket, select, sys
socks = []
for address in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 4000)); socks.append(s)
print("ready", flush=True)
while True:
    for s in select.select(socks, [], [])[0]:
        data, who = s.recvfrom(2000)
        s.sendto(who[0].encode(), who)
"""


def routes(far):
    far.ip("route", "replace", "10.82.0.0/15", "via", "192.0.2.9")
    far.ip("-6", "route", "replace", "fd01:2:3::/48", "via", "2001:db8:2::9")


def usable_at_once(*namespaces):
    """Without looking for duplicates of IPv6 addresses."""
    for ns in namespaces:
        ns.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")


def uplink(lab, inner):
    """A far host behind a link that root moves in: it is the gateway, a server, and knows the way to the peers."""
    far = lab.ns("far")
    usable_at_once(inner, far)
    lab.veth(far, "far0", ["192.0.2.1/24", "2001:db8:2::1/64"], inner, "up0", None)
    for address in (FAR, FAR6):
        far.ip("addr", "add", address, "dev", "lo")
    routes(far)
    far.start(sys.executable, "-c", ECHO, FAR, FAR6).wait_for("ready")
    return far


def rig(lab, plan=PLAN):
    inner = Inner(lab)
    far = uplink(lab, inner)
    net = Net(inner)
    state = net.plan(plan)
    assert state["applied"], state
    inner.settled("up0")
    net.silent()
    return inner, far, net, Device(net.tuns["wg0"])


def ask(device, source, target, port=4000, sport=5000):
    """A datagram from a peer to the far server, sent again until it is answered; the address that it was seen with."""
    def answer():
        device.write(packets.udp(source, target, sport, port))
        for packet in iter(lambda: device.read(1), None):
            parsed = Parsed(packet)
            if (parsed.protocol, parsed.source, parsed.target) == (packets.UDP, target, source):
                return parsed.body[8:].decode()
        return None
    return wait_until(answer, f"the answer to {source}")


def prohibited(device, packet):
    device.write(packet)
    return Parsed(device.expect(lambda p: Parsed(p).icmp, "ICMP")).prohibited()


def answered(device, packet):
    device.write(packet)
    return Parsed(device.expect(lambda p: Parsed(p).icmp and Parsed(p).icmp[0] not in (133, 135, 143), "ICMP")).reply()


@contextlib.contextmanager
def watched(inner):
    """Yields a function that gives what `ip monitor` and `nft monitor` saw meanwhile."""
    monitors = inner.start("ip", "monitor", "link", "address", "route"), inner.start("nft", "monitor")
    marks = 0

    def mark():
        nonlocal marks
        marks += 1
        number = 1000 + marks

        def seen():
            return f"metric {number}" in monitors[0].output() and f"mark{number}" in monitors[1].output()

        def set_and_seen():  # seldom: nft begins anew whenever something changes while it starts
            inner.ip("route", "add", "blackhole", "203.0.113.77", "metric", number)
            inner.ip("route", "del", "blackhole", "203.0.113.77", "metric", number)
            inner.run("nft", f"add table ip mark{number}; delete table ip mark{number}")
            with contextlib.suppress(AssertionError):
                return wait_until(seen, "the mark", 1)
        wait_until(set_and_seen, "the monitors watch")
        return [len(m.output()) for m in monitors]

    def events():
        mark()
        lines = "".join(m.output()[at:] for m, at in zip(monitors, start)).splitlines()
        return [line for line in lines if line.strip() and "203.0.113.77" not in line and " mark1" not in line and
                not line.startswith("# new generation")]
    start = mark()
    yield events


def pasta(lab, inner):
    """Real pasta, started on a host of the laboratory by the user whose namespaces these are."""
    host, far = lab.ns("host"), lab.ns("far")
    usable_at_once(inner, host, far)
    lab.veth(host, "eth7", ["192.0.2.9/24", "2001:db8:2::9/64"], far, "far0", ["192.0.2.1/24", "2001:db8:2::1/64"])
    for address in (FAR, FAR6):
        far.ip("addr", "add", address, "dev", "lo")
    host.ip("route", "add", "default", "via", "192.0.2.1")
    host.ip("-6", "route", "add", "default", "via", "2001:db8:2::1")
    far.start(sys.executable, "-c", ECHO, FAR, FAR6).wait_for("ready")
    return lambda: host.start("pasta", "-q", "-f", "--config-net", "--no-map-gw", "--no-netns-quit", "-t", "none", "-u",
                              "none", "-T", "none", "-U", "none", inner.pid, user=inner.user,
                              env=lab.environment(inner.user))
