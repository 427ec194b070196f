#!/usr/bin/env python3
"""Networks behind peers, for the net process: their traffic is that of peers, and their routes are ours alone."""
import json

import packets
from lab import main, need, test, wait_until
from packets import Parsed
from rig import FAR, FAR6, PEER, PEER6, PLAN, UPLINK, ask, pasta, prohibited, rig, uplink, watched
from role import NET_PLAN, Device, Inner, Net, codes, domain

BEHIND, BEHIND6 = "192.168.7.20", "fd07:0:0:1::20"
ROUTES = ["192.168.7.0/24", "fd07::/48"]
ROUTED = {"domains": [domain(routes=ROUTES)], "uplink": UPLINK}


def known(far):
    """The far host knows the way to the networks behind peers."""
    far.ip("route", "replace", "192.168.7.0/24", "via", "192.0.2.9")
    far.ip("-6", "route", "replace", "fd07::/48", "via", "2001:db8:2::9")


def led(inner, ifname="wg0"):
    """What our routes over that device lead to."""
    lines = [line for family in ("-4", "-6") for line in
             inner.ip(family, "route", "show", "dev", ifname, "proto", "static").splitlines()]
    return sorted(line.split()[0] for line in lines)


def raw(ns, packet, target):
    """Puts a packet with any source on the wire."""
    ns.run("python3", "-c", "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n"
           f"s.sendto({packet!r}, ({target!r}, 0))")


@test
def a_network_behind_a_peer_leaves_by_the_uplink_with_its_own_addresses(lab):
    inner, far, net, device = rig(lab)
    known(far)
    device.write(packets.udp(BEHIND, FAR, 5000, 4000))
    wait_until(lambda: inner.dropped("wg0_spoofed") == 1, "without a route it is a lie")
    state = net.plan(ROUTED)
    assert state["applied"] and not state["problems"], state
    assert led(inner) == ROUTES, led(inner)
    assert ask(device, BEHIND, FAR) == BEHIND and ask(device, BEHIND6, FAR6) == BEHIND6
    assert ask(device, PEER, FAR) == PEER and ask(device, PEER6, FAR6) == PEER6
    for liar in ("192.168.8.20", "192.168.6.255"):
        device.write(packets.udp(liar, FAR, 5000, 4000))
    device.write(packets.udp("fd07:0:1::20", FAR6, 5000, 4000))
    wait_until(lambda: inner.dropped("wg0_spoofed") == 4, "what is beside the networks is a lie still")


@test
def a_network_behind_a_peer_is_reached_from_outside_where_peers_are(lab):
    inner, far, net, device = rig(lab, ROUTED)
    known(far)
    ping = far.start("ping", "-c1", "-W5", "-I", FAR, BEHIND)
    request = Parsed(device.expect(lambda p: Parsed(p).icmp == (8, 0), "the request"))
    assert (request.source, request.target) == (FAR, BEHIND)
    body = b"\0\0\0\0" + request.body[4:]
    device.write(packets.ip(BEHIND, FAR, packets.ICMP, b"\0\0" + packets.checksum(body).to_bytes(2, "big") + body[4:]))
    assert ping.wait() == 0, ping.output()


@test
def the_uplink_does_not_bring_what_is_behind_a_peer(lab):
    inner, far, net, device = rig(lab, ROUTED)
    raw(far, packets.udp(BEHIND, PEER, 1, 2, b"lie"), "192.0.2.9")
    raw(far, packets.udp(BEHIND, "192.168.7.21", 1, 2, b"lie"), "192.0.2.9")
    wait_until(lambda: inner.dropped("uplink_spoofed") == 2, "both are counted")
    assert device.read(0.2) is None


@test
def peers_meet_a_network_behind_another_only_where_they_may(lab):
    inner, far, net, device = rig(lab, ROUTED)
    for source, target in ((PEER, BEHIND), (BEHIND, PEER), (PEER6, BEHIND6), (BEHIND, "192.168.7.21")):
        assert prohibited(device, packets.udp(source, target, 1, 2)), (source, target)
    assert net.plan({"domains": [domain(routes=ROUTES, meet=True)], "uplink": UPLINK})["applied"]
    for source, target in ((PEER, BEHIND), (BEHIND, PEER), (PEER6, BEHIND6), (BEHIND6, PEER6)):
        device.write(packets.udp(source, target, 1, 2, b"meet"))
        met = Parsed(device.expect(lambda p: Parsed(p).protocol == packets.UDP or Parsed(p).icmp, "the other's"))
        assert (met.source, met.target, met.body[8:], met.ttl) == (source, target, b"meet", 63)


@test
def a_route_goes_with_the_plan_that_named_it_and_others_stay(lab):
    inner, far, net, device = rig(lab, ROUTED)
    known(far)
    others = (["192.168.70.0/24", "dev", "wg0"], ["192.168.71.0/24", "via", "192.0.2.1", "proto", "static"],
              ["blackhole", "192.168.72.0/24", "proto", "static"])
    for route in others:
        inner.ip("route", "add", *route)
    assert net.plan({"domains": [domain(routes=ROUTES[1:] + ["172.16.5.4/32"])], "uplink": UPLINK})["applied"]
    assert led(inner) == ["172.16.5.4", "fd07::/48"], led(inner)
    before = inner.dropped("wg0_spoofed")
    device.write(packets.udp(BEHIND, FAR, 5000, 4000))
    wait_until(lambda: inner.dropped("wg0_spoofed") == before + 1, "the network that went is a lie again")
    assert ask(device, BEHIND6, FAR6) == BEHIND6
    assert net.plan(PLAN)["applied"] and led(inner) == []
    shown = inner.ip("route")
    for network in ("192.168.70.0/24", "192.168.71.0/24", "192.168.72.0/24"):
        assert network in shown, shown


@test
def routes_told_twice_or_to_a_new_net_change_nothing(lab):
    inner, far, net, device = rig(lab, ROUTED)
    before = inner.picture()
    with watched(inner) as events:
        assert net.plan(ROUTED)["applied"]
        net.kill()
        again = Net(inner, net.tuns)
        inner.same(before)
        assert again.plan(ROUTED)["applied"] and events() == [], events()
    inner.same(before)
    assert again.plan(PLAN)["applied"] and led(inner) == []  # and it knows those that it did not set itself


@test
def routes_return_after_the_device_was_down(lab):
    inner, far, net, device = rig(lab, ROUTED)
    inner.ip("link", "set", "wg0", "down")
    wait_until(lambda: led(inner) == ROUTES, "it is up and they are back")


@test
def a_route_never_takes_the_place_of_anothers(lab):
    inner, far, net, device = rig(lab)
    inner.ip("route", "add", "192.168.7.0/24", "via", "192.0.2.1")
    state = net.plan(ROUTED)
    assert not state["applied"] and codes(state) == ["network"], state
    assert "192.168.7.0/24" in state["problems"][0]["words"] and led(inner) == ["fd07::/48"]
    assert "via 192.0.2.1" in inner.ip("route", "show", "192.168.7.0/24")
    inner.ip("route", "del", "192.168.7.0/24", "via", "192.0.2.1")
    net.until(lambda s: s["applied"] and not s["problems"], "the place is free")
    assert led(inner) == ROUTES


@test
def the_uplinks_own_network_stays_its_own(lab):
    inner = Inner(lab)
    uplink(lab, inner)
    inner.ip("addr", "add", "192.0.2.9/24", "dev", "up0")
    inner.ip("link", "set", "up0", "up")
    inner.ip("route", "add", "default", "via", "192.0.2.1")
    net = Net(inner)
    plan = {"domains": [domain(routes=["192.0.2.0/25", *ROUTES])], "uplink": {"kind": "interface", "ifname": "up0"}}
    state = net.plan(plan)
    assert state["applied"] and codes(state) == ["network_clash"], state
    assert "192.0.2.0/25" in state["problems"][0]["words"] and led(inner) == ROUTES
    device = Device(net.tuns["wg0"])
    assert ask(device, PEER, FAR) == PEER
    device.write(packets.udp("192.0.2.7", FAR, 5000, 4000))
    wait_until(lambda: inner.dropped("wg0_spoofed") == 1, "nobody behind a peer is on the uplink")
    net.silent()
    inner.ip("addr", "flush", "dev", "up0")
    inner.ip("addr", "add", "203.0.113.9/24", "dev", "up0")
    net.until(lambda s: "network_clash" not in codes(s), "the uplink moved")
    wait_until(lambda: led(inner) == ["192.0.2.0/25", *ROUTES], "the network can be behind a peer now")


@test
def the_most_routes_of_the_largest_plan_hold_with_any_uplink(lab):
    inner = Inner(lab)
    uplink(lab, inner)
    net = Net(inner)
    names = ["wg0"] + [f"longestname{i:04}" for i in range(1, 16)]
    domains = [domain(f"{i:063}", name, [f"10.{i}.{k}.1/24" for k in range(4)] + [f"fd01:{i}:{k}::1/64" for k in range(4)],
                      routes=[f"fd07:{i}:0:{2 * k}::/64" for k in range(8)]) for i, name in enumerate(names)]
    net.control.send(NET_PLAN, json.dumps({"domains": domains, "uplink": UPLINK}))
    for _ in names[1:]:
        net.take_tun(net.parent.recv())
    net.until(lambda s: len(s["domains"]) == 16 and s["applied"], "all are there")
    for name in names:
        assert len(led(inner, name)) == 8
    state = net.plan({"domains": domains, "uplink": {"kind": "pasta", "ifname": "up0"}})  # with a masquerade
    assert state["applied"], state["problems"]
    assert "masquerade" in inner.rules()


@test
def under_pasta_what_is_behind_a_peer_leaves_with_the_hosts_address(lab):
    need("pasta")
    inner = Inner(lab)
    start = pasta(lab, inner)
    net = Net(inner)
    net.plan({"domains": [domain(routes=ROUTES + ["192.0.2.0/24"])], "uplink": {"kind": "pasta"}})
    start()
    state = net.until(lambda s: s["applied"] and codes(s) == ["network_clash"], "pasta's link is there, with its network")
    assert "192.0.2.0/24" in state["problems"][0]["words"], state
    wait_until(lambda: led(inner) == ROUTES, "the others' routes are there")
    device = Device(net.tuns["wg0"])
    for sport, source in enumerate((BEHIND, PEER, "192.168.7.21"), 5000):
        assert ask(device, source, FAR, sport=sport) == "192.0.2.9"
    inner.settled("eth7")
    assert ask(device, BEHIND6, FAR6, sport=6000) == "2001:db8:2::9"


main()
