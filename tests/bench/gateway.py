"""One gateway and whoever comes to it: a crowd in one process, clients with a tunnel of their own, a flood."""
import ipaddress
import itertools
import json
import os
import subprocess

import keys
import lab as laboratory
import load
import machine
import programs
import uapi

INNER = "10.9.0.0/24"        # clients with a tunnel of their own
CROWD = "10.64.0.0/12"       # clients of the crowd: inner addresses
SOURCES = "198.51.0.0/16"    # and their outer ones
BEYOND = "10.128.0.0/16"     # what lies behind the gateway: a cable whose other end takes nothing
NOBODY = "02:00:00:00:00:01"
STRANGERS = "198.18.0.0"     # where a flood says that it comes from
PORT, SINK_PORT = 51820, 51999
NUMBERS = itertools.count()  # names of interfaces and namespaces


def random_peers(n):
    """Any 32 bytes are a public key; for peers that never come."""
    first = ipaddress.ip_address("10.64.0.0")
    return [f"public_key={os.urandom(32).hex()}\nallowed_ip={first + i}/32" for i in range(n)]


class Crowd:
    """The process of the clients; it waits for a word before its clock starts."""

    def __init__(self, ns, *argv):
        self.popen = subprocess.Popen(ns.argv([programs.bench_program("crowd"), *argv]), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        if self.popen.stdout.readline() != "ready\n":
            self.popen.wait()
            raise AssertionError(f"the crowd did not get its sessions ({argv[0]})")

    def run(self):
        out, _ = self.popen.communicate("\n")
        if self.popen.returncode != 0:
            raise AssertionError(f"the crowd ended: {self.popen.returncode}")
        return json.loads(out)


class Gateway:
    def __init__(self, lab, program):
        self.lab, self.program, self.number = lab, program, next(NUMBERS)
        self.ns, self.out = lab.ns(f"g{self.number}"), lab.ns(f"o{self.number}")
        self.ifname, self.key, self.clients = f"gw{self.number}", keys.Key(), []
        lab.veth(self.ns, "vg", "192.0.2.1/30", self.out, "vo", "192.0.2.2/30")
        self.ns.ip("route", "add", "default", "via", "192.0.2.2")
        self.ns.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.vg.rp_filter=0")
        self.out.ip("route", "add", "local", SOURCES, "dev", "lo")
        self.process = self.ns.start(*program.argv, "-f", self.ifname, env={**os.environ, **program.environment})
        uapi.wait(self.ifname, self.process)
        uapi.set_lines(self.ifname, ["private_key=" + keys.hexadecimal(self.key.secret), f"listen_port={PORT}"])
        self.ns.ip("addr", "add", "10.9.0.1/24", "dev", self.ifname)
        self.ns.ip("link", "set", self.ifname, "up", "mtu", 1420)
        self.ns.ip("route", "add", CROWD, "dev", self.ifname)
        lab.veth(self.ns, "beyond", "192.0.2.5/30", lab.ns(f"b{self.number}"), "vb", None)
        self.ns.ip("neigh", "add", "192.0.2.6", "lladdr", NOBODY, "dev", "beyond", "nud", "permanent")
        self.ns.ip("route", "add", BEYOND, "via", "192.0.2.6")

    def crowd_allow(self, n):
        """Tells the gateway of the crowd's keys; seconds that it took."""
        out = self.out.run(programs.bench_program("crowd"), "keys", n).stdout
        lines = [f"public_key={key}\nendpoint={endpoint}\nallowed_ip={address}/32"  # Tailscale's fork learns no endpoint by itself
                 for key, address, endpoint in map(str.split, out.splitlines())]
        return uapi.set_lines(self.ifname, lines)

    def crowd(self, what, clients, *more):
        return Crowd(self.out, what, "192.0.2.1", str(PORT), keys.hexadecimal(self.key.public), str(clients),
                     *(str(m) for m in more))

    def cpu(self):
        return machine.cpu_seconds(self.process.pid)

    def beyond_bytes(self):
        stats = json.loads(self.ns.ip("-s", "-j", "link", "show", "beyond"))[0]["stats64"]
        return stats["tx"]["bytes"]

    def client(self):
        """A peer with a tunnel of its own, over a cable of its own."""
        client = Client(self, len(self.clients) + 1)
        self.clients.append(client)
        return client

    def close(self):
        for process in [c.process for c in self.clients] + [self.process]:
            process.stop(10)


class Client:
    def __init__(self, gateway, n):
        self.gateway, lab, program = gateway, gateway.lab, gateway.program
        self.ns = lab.ns(f"c{gateway.number}x{n}")
        self.ifname, self.key, self.inner = f"cl{gateway.number}x{n}", keys.Key(), f"10.9.0.{n + 1}"
        self.here, self.there = f"203.0.113.{4 * n + 2}", f"203.0.113.{4 * n + 1}"
        lab.veth(gateway.ns, f"vc{n}", f"{self.there}/30", self.ns, "vc", f"{self.here}/30")
        self.process = self.ns.start(*program.argv, "-f", self.ifname, env={**os.environ, **program.environment})
        uapi.wait(self.ifname, self.process)
        uapi.set_lines(gateway.ifname, ["public_key=" + keys.hexadecimal(self.key.public), f"endpoint={self.here}:{PORT}",
                                        f"allowed_ip={self.inner}/32"])
        uapi.set_lines(self.ifname, ["private_key=" + keys.hexadecimal(self.key.secret), f"listen_port={PORT}",
                                     "public_key=" + keys.hexadecimal(gateway.key.public), f"endpoint={self.there}:{PORT}",
                                     "allowed_ip=10.9.0.1/32"])
        self.ns.ip("addr", "add", f"{self.inner}/24", "dev", self.ifname)
        self.ns.ip("link", "set", self.ifname, "up", "mtu", 1420)
        laboratory.wait_until(lambda: self.ns.ping("10.9.0.1", wait=1, check=False), "a ping to the gateway", 15)

    def bulk(self, seconds):
        """One TCP flow to the gateway; Gbit/s."""
        return load.iperf(self.ns, "10.9.0.1", seconds)["end"]["sum_received"]["bits_per_second"] / 1e9


# Cases: (lab, program, scale) -> {case: figures}


def active_peers(lab, program, scale):
    """So many peers send at once, as fast as they can; and the other way."""
    found = {}
    gateway = Gateway(lab, program)
    most = max(scale.peers)
    gateway.crowd_allow(most)
    for n in scale.peers:
        crowd = gateway.crowd("send", n, scale.seconds, 45)
        cpu, delivered = gateway.cpu(), gateway.beyond_bytes()
        said = crowd.run()
        cpu, delivered = gateway.cpu() - cpu, gateway.beyond_bytes() - delivered
        found[f"peers-{n}-in"] = {"gbit": delivered * 8 / said["seconds"] / 1e9, "cpu": cpu / max(delivered / 1e9, 1e-9),
                                  "offered": said["bytes"] * 8 / said["seconds"] / 1e9}
        crowd = gateway.crowd("receive", n, scale.seconds)
        stream = gateway.ns.start(programs.bench_program("stream"), "send", "10.64.0.0", "5001", 1392, 10_000_000,
                                  scale.seconds + 1, 45, n)
        cpu = gateway.cpu()
        said = crowd.run()
        cpu = gateway.cpu() - cpu
        stream.wait()
        found[f"peers-{n}-out"] = {"gbit": said["bytes"] * 8 / said["seconds"] / 1e9, "cpu": cpu / max(said["bytes"] / 1e9, 1e-9)}
    gateway.close()
    return found


def handshakes(lab, program, scale):
    """Answers a second, and a second of the gateway's CPU time; the first of each peer is not counted: it costs one DH more."""
    gateway = Gateway(lab, program)
    clients, times = scale.handshakes
    gateway.crowd_allow(clients)
    gateway.crowd("handshakes", clients, 1, 64).run()
    crowd = gateway.crowd("handshakes", clients, times, 64)
    cpu = gateway.cpu()
    said = crowd.run()
    cpu = gateway.cpu() - cpu
    gateway.close()
    if said["authentic"] != said["verified"] or not said["verified"]:
        raise AssertionError(f"answers that are none: {said}")
    return {"handshakes": {"per_second": said["answered"] / said["seconds"], "per_cpu_second": said["answered"] / cpu,
                           "cookies": said["cookies"], "lost": said["lost"]}}


def flood(lab, program, scale):
    """Bulk of an established peer: undisturbed, beside a generator that sends elsewhere, and under two floods."""
    gateway = Gateway(lab, program)
    client = gateway.client()
    gateway.ns.start("iperf3", "-s", "--forceflush").wait_for("listening")
    tool = programs.bench_program("flood")
    gateway.ns.start(tool, "sink", SINK_PORT).wait_for("listening")
    found = {}
    for name, kind, port in (("quiet", None, 0), ("elsewhere", "bad", SINK_PORT), ("bad", "bad", PORT), ("spoofed", "spoofed", PORT)):
        generator = None
        if kind:
            more = [keys.hexadecimal(gateway.key.public)] if kind == "spoofed" else []
            generator = gateway.out.start(tool, kind, "192.0.2.1", port, scale.flood_rate, scale.seconds + 1, STRANGERS, *more)
            generator.wait_for("ready")
        cpu = gateway.cpu()
        found[f"flood-{name}"] = {"gbit": client.bulk(scale.seconds), "gateway_cpu": (gateway.cpu() - cpu) / scale.seconds}
        if generator:
            generator.wait()
            said = json.loads(generator.output().splitlines()[-1])
            found[f"flood-{name}"]["rate"] = said["sent"] / said["seconds"]
    gateway.close()
    return found


def neighbour(lab, program, scale):
    """Round trips of one peer while another one sends bulk; and those of the bare wire beside it, which the machine alone delays."""
    gateway = Gateway(lab, program)
    greedy, small = gateway.client(), gateway.client()
    for argv in (["iperf3", "-s", "--forceflush"], [programs.bench_program("probe"), "echo", "7"]):
        gateway.ns.start(*argv).wait_for("listening")
    seconds = max(2, round(scale.latency_seconds))
    found = {}
    for name, address in (("loaded", "10.9.0.1"), ("loaded-bare", small.there)):
        bulk = greedy.ns.start("iperf3", "-c", "10.9.0.1", "-t", seconds + 2, "--forceflush")
        bulk.wait_for(r"0\.00-1\.0")
        found[name] = load.probe(small.ns, address, seconds, 100)
        bulk.stop()
    gateway.close()
    return found
