"""The world of a story: a gateway on a host, clients behind links of their own, and web servers beyond the uplink."""
import json
import subprocess
import time

from clients import Client
from gateway import Gateway
from lab import need, wait_until

WEB4, WEB6 = "http://198.51.100.1/", "http://[2001:db8:5::1]/"


def quiet_resolver(lab):
    """No resolver of this machine's in the configurations: wg-quick would want a resolvconf for it."""
    subprocess.run(["mount", "--bind", lab.file("resolv.conf", "", 0o644), "/etc/resolv.conf"], check=True)
    lab.made.append(["umount", "-l", "/etc/resolv.conf"])


def clients_world(lab, names):
    """The outside: `world` routes between the gateway's host (192.0.2.2) and the clients' links."""
    quiet_resolver(lab)
    host, world = lab.ns("host"), lab.ns("world")
    lab.veth(host, "eth0", ["192.0.2.2/24", "2001:db8::2/64"], world, "eth0", ["192.0.2.1/24", "2001:db8::1/64"])
    host.ip("route", "add", "default", "via", "192.0.2.1")
    host.ip("-6", "route", "add", "default", "via", "2001:db8::1")
    world.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    for i, name in enumerate(names):
        lab.veth(world, f"to{i}", f"203.0.113.{4 * i + 1}/30", lab.ns(name), "eth0", f"203.0.113.{4 * i + 2}/30")
        lab.ns(name).ip("route", "add", "default", "via", f"203.0.113.{4 * i + 1}")
    return host, world


def moved_in(lab, names, **env):
    """A gateway whose uplink leads to the web server's network, with an address of its own there."""
    need("wg-quick", "wireguard-go", "curl")
    host, _ = clients_world(lab, names)
    web = lab.ns("web")
    lab.veth(host, "up0", None, web, "eth0", ["198.51.100.1/24", "2001:db8:5::1/64"])
    gateway = Gateway(lab, host, uplink="up0", WARREN_UPLINK_ADDRESS="198.51.100.2/24,2001:db8:5::2/64",
                      WARREN_UPLINK_GATEWAY="198.51.100.1,2001:db8:5::1", **env)
    return gateway, web


def start_moved_in(gateway, web):
    gateway.launch()
    wait_until(lambda: gateway.pids().get("net"), "net to run\n" + gateway.output()[-2000:])
    gateway.move_in("up0")
    gateway.process.wait_for(r"^Warren is ready\.", 60)
    for pool in pools(gateway):
        web.ip("-6" if ":" in pool else "-4", "route", "replace", pool, "via",
               "2001:db8:5::2" if ":" in pool else "198.51.100.2")


def ask(gateway, *argv):
    return json.loads(gateway.warren(*argv, "-o", "json").stdout)


def pools(gateway):
    return [p["cidr"] for p in wait_until(lambda: ask(gateway, "pool", "list")["pools"], "the pools")]


def add(gateway, lab, name, *options):
    return Client(lab, name, gateway.warren("peer", "add", name, *options).stdout)


def in_seconds(n):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + n))


def peer(gateway, name):
    return ask(gateway, "peer", "show", name)
