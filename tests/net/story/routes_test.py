#!/usr/bin/env python3
"""A network behind a peer: a home whose router is a client of the gateway, and who is seen and reached from outside."""
import json

from clients import Web
from lab import main, test, wait_until
from world import WEB4, WEB6, add, ask, moved_in, start_moved_in

LAN, LAN6 = "192.168.7.0/24", "fd07:7::/64"
HOST, HOST6 = "192.168.7.20", "fd07:7::20"


def fetched(ns, url):
    """Whether the page came."""
    return ns.run("curl", "-sS", "-g", "--max-time", "3", url, check=False).stdout == "a page\n"


def home(lab, client):
    """A network behind @client, which forwards for it: the namespace of a host there."""
    lan = lab.ns("lan")
    lab.veth(client.ns, "lan0", ["192.168.7.1/24", "fd07:7::1/64"], lan, "eth0", [HOST + "/24", HOST6 + "/64"])
    lan.ip("route", "add", "default", "via", "192.168.7.1")
    lan.ip("-6", "route", "add", "default", "via", "fd07:7::1")
    client.ns.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    return lan


def led(gateway):
    """What routes of the inner namespace lead to by the tunnel's device."""
    routes = [r for family in ("-4", "-6") for r in
              json.loads(gateway.inner("ip", "-j", family, "route", "show", "dev", "wg0").stdout or "[]")]
    return [r["dst"] for r in routes if r["dst"] in (LAN, LAN6)]


def trouble(gateway):
    """What net has to say."""
    return [t["code"] for t in ask(gateway, "status")["trouble"] if t["code"].startswith("net_")]


@test
def a_home_behind_a_peer_is_seen_and_reached_by_its_own_addresses(lab):
    gateway, web_ns = moved_in(lab, ["router", "alice"])
    start_moved_in(gateway, web_ns)
    web_ns.ip("route", "add", LAN, "via", "198.51.100.2")
    web_ns.ip("-6", "route", "add", LAN6, "via", "2001:db8:5::2")
    web = Web(web_ns)
    alice = add(gateway, lab, "alice").up()
    router = add(gateway, lab, "router", "--routes", f"{LAN},{LAN6}").up()
    lan = home(lab, router)
    shop = Web(lan)
    wait_until(lambda: led(gateway) == [LAN, LAN6], "the routes")

    assert fetched(lan, WEB4 + "home") and fetched(lan, WEB6 + "home6")
    assert web.seen("/home") == [HOST] and web.seen("/home6") == [HOST6], "the far server sees the host at home"
    router.fetch(WEB4 + "router")
    assert web.seen("/router") == [router.address]

    assert fetched(web_ns, f"http://{HOST}/far") and fetched(web_ns, f"http://[{HOST6}]/far6")
    assert shop.seen("/far") == ["198.51.100.1"] and shop.seen("/far6") == ["2001:db8:5::1"], "and reaches it"

    assert not alice.fetch(f"http://{HOST}/alice", check=False), "peers do not meet what is behind another by default"
    gateway.warren("tenant", "set", "--peers-may-meet", "yes")
    alice.fetch(f"http://{HOST}/alice")
    assert shop.seen("/alice") == [alice.address]
    gateway.warren("tenant", "set", "--peers-may-meet", "no")

    alice.ns.ip("addr", "add", "192.168.7.66/32", "dev", alice.ifname)
    lied = alice.ns.run("curl", "-sS", "--max-time", "2", "--interface", "192.168.7.66", WEB4 + "lie", check=False)
    assert lied.returncode != 0 and web.seen("/lie") == [], "nobody else has these addresses"

    before = gateway.pid("net")
    gateway.kill("net")
    wait_until(lambda: gateway.pids().get("net", before) != before, "another net")
    assert fetched(lan, WEB4 + "again") and web.seen("/again") == [HOST]
    wait_until(lambda: trouble(gateway) == [], "net to be well")

    gateway.warren("peer", "disable", "router")
    wait_until(lambda: led(gateway) == [], "the routes to be gone")
    assert not fetched(lan, WEB4 + "disabled") and web.seen("/disabled") == []
    gateway.warren("peer", "enable", "router")
    wait_until(lambda: led(gateway) == [LAN, LAN6], "the routes to be back")
    wait_until(lambda: fetched(lan, WEB4 + "enabled"), "the home to be back")
    gateway.warren("peer", "add", "wrong", "--routes", "198.51.100.0/24")
    wait_until(lambda: trouble(gateway) == ["net_routes_unfit"], "the route into the uplink to be said")
    assert "198.51.100.0/24 is the uplink's own network" in gateway.warren("status", check=False).stdout
    assert fetched(lan, WEB4 + "beside"), "and it keeps nothing else from holding"
    gateway.warren("peer", "remove", "wrong", "--yes")
    wait_until(lambda: trouble(gateway) == [], "the trouble to be gone")
    gateway.warren("peer", "remove", "router", "--yes")
    wait_until(lambda: led(gateway) == [], "the routes to be gone with the peer")
    alice.fetch(WEB4 + "alice")
    gateway.stop()


main()
