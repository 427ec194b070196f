#!/usr/bin/env python3
"""What the inside is told when a packet cannot go to its peer, by ICMP as the kernel understands it; and a peer whose way
carries less than the interface says."""
import errno
import re
import select
import socket

from lab import main, test, wait_until
from parent import inside
from wires import figures, hexadecimal, ours, pair, uapi

NARROW = 1280  # warren_mtu
IP_MTU, IPV6_MTU = 14, 24
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_DO = 10, 23, 2


def behind(lab, side):
    """A host in a namespace of its own, for which @side forwards into the tunnel, with a strict reverse path filter."""
    host = lab.ns("host")
    lab.veth(side.ns, "vin", ["198.51.100.1/24", "2001:db8:5::1/64"], host, "vhost", ["198.51.100.2/24", "2001:db8:5::2/64"])
    side.ns.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=1",
                f"net.ipv4.conf.{side.ifname}.rp_filter=1", "net.ipv4.conf.vin.rp_filter=1")
    host.ip("route", "add", "10.9.0.0/24", "via", "198.51.100.1")
    host.ip("-6", "route", "add", "fd09::/64", "via", "2001:db8:5::1")
    return host


def answer(ns, address, *more):
    """What ping prints of the one answer that it gets."""
    out = ns.run("ping", "-n", "-c1", "-W5", *more, address, check=False).stdout
    found = re.search(r"^From (\S+?):? icmp_seq=1 (.*)$", out, re.M)
    assert found, out
    return found[2]


def tell(side, other, *lines):
    text = "".join(line + "\n" for line in lines)
    assert uapi(side.ifname, f"set=1\npublic_key={hexadecimal(other.public)}\n{text}\n") == "errno=0\n\n"


@test
def a_peer_that_is_not_there_is_unreachable_from_here_and_from_behind(lab):
    a, _ = pair(lab, ours(), "wireguard-go")
    for ns in (a.ns, behind(lab, a)):
        assert answer(ns, "10.9.0.77") == "Destination Host Unreachable"
        assert answer(ns, "fd09::77") == "Destination unreachable: Address unreachable"
    assert figures(a.ifname)["warren_drop_no_peer"] >= 4
    a.ns.ping("10.9.0.2")
    a.ns.ping("fd09::2")


@test
def a_peer_without_an_endpoint_is_unreachable_until_it_comes(lab):
    a, b = pair(lab, "wireguard-go", ours())
    for ns in (b.ns, behind(lab, b)):
        assert answer(ns, a.inner4) == "Destination Host Unreachable"
        assert answer(ns, a.inner6) == "Destination unreachable: Address unreachable"
    a.ns.ping(b.inner4)
    b.ns.ping(a.inner4)
    b.ns.ping(a.inner6)


@test
def a_peer_that_is_cut_off_is_prohibited_and_not_told(lab):
    a, b = pair(lab, ours(), "wireguard-go")
    a.ns.ping(b.inner4)
    tell(a, b, "warren_state=cut")
    for ns in (a.ns, behind(lab, a)):
        assert answer(ns, b.inner4) == "Packet filtered"
        assert answer(ns, b.inner6) == "Destination unreachable: Administratively prohibited"
    # what the other sends vanishes: an answer would be a sign to him
    assert "From" not in b.ns.run("ping", "-n", "-c2", "-i.2", "-W1", a.inner4, check=False).stdout
    tell(a, b, "warren_state=active")
    a.ns.ping(b.inner4)


def too_long(side, other, v6):
    """Sends datagrams that must not be cut from @side; returns the path MTU that its kernel then knows."""
    def run():
        with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as s:
            if v6:
                s.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO)
            else:
                s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
            s.connect((other.inner6 if v6 else other.inner4, 9))
            s.send(b"x" * 1300)
            assert select.select([], [], [s], 0) == ([], [], [])
            wait_until(lambda: error_of(s) == errno.EMSGSIZE, "EMSGSIZE on the socket")
            try:
                s.send(b"x" * 1300)
                raise AssertionError("the kernel sends it again")
            except OSError as e:
                assert e.errno == errno.EMSGSIZE, e
            s.send(b"x" * (NARROW - (48 if v6 else 28)))
            return s.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU) if v6 else s.getsockopt(socket.IPPROTO_IP, IP_MTU)
    return inside(side.ns.name, run)


def error_of(s):
    """An error that came by ICMP is there once somebody asks."""
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


@test
def what_is_too_long_for_a_peer_is_told_by_its_mtu(lab):
    a, b = pair(lab, ours(), "wireguard-go")
    a.ns.ping(b.inner4)
    a.ns.ping(b.inner4, size=1380 - 28, extra=("-M", "do"))
    tell(a, b, f"warren_mtu={NARROW}")
    assert too_long(a, b, False) == NARROW
    assert too_long(a, b, True) == NARROW
    host = behind(lab, a)
    b.set("peer", a.public, "allowed-ips", "10.9.0.1/32,fd09::1/128,198.51.100.0/24,2001:db8:5::/64")
    b.ns.ip("route", "add", "198.51.100.0/24", "dev", b.ifname)
    b.ns.ip("-6", "route", "add", "2001:db8:5::/64", "dev", b.ifname)
    assert answer(host, b.inner4, "-M", "do", "-s", NARROW - 27) == f"Frag needed and DF set (mtu = {NARROW})"
    assert answer(host, b.inner6, "-M", "do", "-s", NARROW - 47) == f"Packet too big: mtu={NARROW}"
    assert f"mtu {NARROW}" in host.run("ip", "route", "get", b.inner4).stdout
    assert f"mtu {NARROW}" in host.run("ip", "-6", "route", "get", b.inner6).stdout
    host.ping(b.inner4, size=NARROW - 28, extra=("-M", "do"))
    host.ping(b.inner6, size=NARROW - 48, extra=("-M", "do"))


@test
def what_may_be_cut_passes_a_narrow_peer(lab):
    a, b = pair(lab, ours(), "wireguard-go")
    tell(a, b, f"warren_mtu={NARROW}")
    a.ns.ping(b.inner4, size=1380 - 28, extra=("-M", "dont"))


def counted(ns, *names):
    out = ns.run("nstat", "-asz", *names).stdout
    return {line.split()[0]: int(line.split()[1]) for line in out.splitlines() if line and not line.startswith("#")}


def segments(client, server, v6, size=4 << 20):
    """Moves @size bytes each way over TCP; the sizes of segments that both ends agreed to send."""
    family, address = (socket.AF_INET6, server.inner6) if v6 else (socket.AF_INET, server.inner4)

    def listen():
        s = socket.socket(family)
        s.bind((address, 0))
        s.listen()
        return s

    def connect(port):
        s = socket.socket(family)
        s.settimeout(20)
        s.connect((address, port))
        return s

    def move(source, sink):
        source.setblocking(False)
        left, got = size, 0
        while got < size:
            readable, writable, _ = select.select([sink], [source] if left else [], [], 20)
            assert readable or writable, f"TCP stands still after {got} bytes"
            if writable:
                left -= source.send(b"x" * min(left, 1 << 16))
            if readable:
                got += len(sink.recv(1 << 18))
        source.setblocking(True)

    with inside(server.ns.name, listen) as listener:
        with inside(client.ns.name, lambda: connect(listener.getsockname()[1])) as near:
            far = listener.accept()[0]
            with far:
                move(near, far)
                move(far, near)
                return [s.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) for s in (near, far)]


@test
def tcp_with_a_narrow_peer_is_clamped_both_ways_and_nothing_is_cut(lab):
    a, b = pair(lab, ours(), "wireguard-go")
    a.ns.ping(b.inner4)
    wide = segments(a, b, False)
    assert min(wide) > NARROW - 40, wide
    tell(a, b, f"warren_mtu={NARROW}")
    names = ["IcmpInDestUnreachs", "Icmp6InPktTooBigs", "IpFragCreates", "IpReasmReqds", "Ip6FragCreates", "Ip6ReasmReqds"]
    before = [counted(side.ns, *names) for side in (a, b)]
    for client, server in ((a, b), (b, a)):
        for v6 in (False, True):
            sizes = segments(client, server, v6)
            assert max(sizes) <= NARROW - (60 if v6 else 40), (client.name, v6, sizes)
            assert min(sizes) >= NARROW - (60 if v6 else 40) - 12, (client.name, v6, sizes)
    after = [counted(side.ns, *names) for side in (a, b)]
    assert before == after, (before, after)


main()
