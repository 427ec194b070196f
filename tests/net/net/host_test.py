#!/usr/bin/env python3
"""What the host's networks are found to be, asked without any privilege."""
import os

from lab import BUILD, main, test

PROGRAM = os.path.join(BUILD, "tests/net/net/host-networks")


def ask(lab, ns, *pools):
    user = lab.user()
    return ns.run(PROGRAM, *pools, user=user, env=lab.environment(user)).stdout.splitlines()


def host(lab):
    ns, far = lab.ns("host"), lab.ns("far")
    for where in (ns, far):
        where.run("sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
    lab.veth(ns, "lan0", ["192.168.7.5/24", "2001:db8:7::5/64"], far, "far0", None)
    far.ip("link", "set", "far0", "up")
    return ns


@test
def a_host_without_networks_has_none(lab):
    assert ask(lab, lab.ns("bare"), "10.82.0.0/16", "fd00::/8", "127.0.0.0/8") == [
        "10.82.0.0/16 none", "fd00::/8 none", "127.0.0.0/8 none"]


@test
def networks_and_own_addresses_are_found(lab):
    lines = ask(lab, host(lab), "192.168.0.0/16", "192.168.7.64/26", "192.168.8.0/24", "2001:db8:7::/48", "fd07::/64")
    for line in ("network 192.168.7.0/24 lan0", "network 192.168.7.5/32 lan0", "network 2001:db8:7::/64 lan0",
                 "network 2001:db8:7::5/128 lan0", "192.168.7.64/26 192.168.7.0/24 lan0", "192.168.8.0/24 none",
                 "fd07::/64 none"):
        assert line in lines, lines
    assert not any("source" in line or "fe80" in line or "127.0.0" in line or " ::1" in line for line in lines), lines
    assert sum(line.startswith(("192.168.0.0/16 192.168.7.", "2001:db8:7::/48 2001:db8:7::")) for line in lines) == 2, lines


@test
def the_default_route_gives_the_source_and_clashes_with_nothing(lab):
    ns = host(lab)
    ns.ip("route", "add", "default", "via", "192.168.7.1")
    ns.ip("-6", "route", "add", "default", "via", "2001:db8:7::1")
    lines = ask(lab, ns, "10.82.0.0/16")
    assert "source 192.168.7.5" in lines and "source 2001:db8:7::5" in lines and "10.82.0.0/16 none" in lines, lines


@test
def a_preferred_source_is_heeded_and_documentation_networks_may_be_in_use(lab):
    ns = host(lab)
    ns.ip("addr", "add", "203.0.113.7/32", "dev", "lo")
    ns.ip("route", "add", "default", "via", "192.168.7.1", "src", "203.0.113.7")
    ns.ip("route", "add", "192.0.2.0/24", "dev", "lan0")
    ns.ip("route", "add", "blackhole", "198.51.100.0/24")
    ns.ip("route", "add", "unreachable", "10.99.0.0/16")
    lines = ask(lab, ns, "203.0.113.0/24", "10.99.4.0/24")
    assert "source 203.0.113.7" in lines and "203.0.113.0/24 203.0.113.7/32 lo" in lines, lines
    assert "10.99.4.0/24 10.99.0.0/16 -" in lines and "network 198.51.100.0/24 -" in lines, lines


@test
def routes_of_other_tables_count_and_a_default_in_two_halves_does_not(lab):
    ns = host(lab)
    ns.ip("route", "add", "100.64.0.0/10", "dev", "lan0", "table", "52")
    ns.ip("route", "add", "0.0.0.0/1", "dev", "lan0")
    ns.ip("route", "add", "128.0.0.0/1", "dev", "lan0")
    ns.ip("route", "add", "10.60.0.0/16", "nexthop", "via", "192.168.7.1", "nexthop", "via", "192.168.7.2")
    lines = ask(lab, ns, "100.82.0.0/16", "10.82.0.0/16", "10.60.1.0/24")
    for line in ("100.82.0.0/16 100.64.0.0/10 lan0", "10.82.0.0/16 none", "10.60.1.0/24 10.60.0.0/16 lan0",
                 "source 192.168.7.5"):
        assert line in lines, lines


@test
def a_full_routing_table_is_cut(lab):
    ns = host(lab)
    batch = "".join(f"route add 10.{i >> 8}.{i & 255}.0/24 dev lan0\n" for i in range(1500))
    ns.run("ip", "-batch", "-", input=batch)
    lines = ask(lab, ns)
    assert "cut" in lines and sum(line.startswith("network") for line in lines) == 1024, lines[-3:]


main()
