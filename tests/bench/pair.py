"""Both ends of one program, joined by a veth pair, configured and warm."""
import dataclasses
import json
import os

import keys
import lab as laboratory
import machine
import programs
import uapi


@dataclasses.dataclass(frozen=True)
class Wire:
    """What lies between the ends, and around the packets."""
    name: str
    words: str
    mtu: int = 1420
    card: bool = False  # datagrams are cut by the sender and merged by the receiver, as on a card
    six: bool = False   # IPv6 outside and inside


PLAIN = Wire("plain", "a plain veth, superframes pass whole")
CARD = Wire("card", "veth with TSO and USO off and GRO on: cut and merged as on a card", card=True)
SIX = Wire("six", "IPv6 outside and inside", six=True)
NARROW = Wire("narrow", "MTU 1280", mtu=1280)


class End:
    def __init__(self, side, ns, program, number, wire):
        self.side, self.ns, self.wire = side, ns, wire
        self.last = 1 if side == "a" else 2
        self.ifname = f"w{number}{side}"
        self.outer = f"2001:db8::{self.last}" if wire.six else f"192.0.2.{self.last}"
        self.inner = f"fd09::{self.last}" if wire.six else f"10.9.0.{self.last}"
        self.key = keys.Key()
        self.calls = not program.keyless

    def start(self, program, peer):
        self.process = self.ns.start(*program.argv, "-f", self.ifname,
                                     env={**os.environ, **program.environment, "CEILING_PEER": peer.outer})

    def configure(self, program, peer):
        if program.keyless:
            laboratory.wait_until(lambda: self.ns.run("ip", "link", "show", self.ifname, check=False).returncode == 0,
                                  "the interface of " + program.name)
        else:
            uapi.wait(self.ifname, self.process)
            bits = 128 if self.wire.six else 32
            outer = f"[{peer.outer}]" if self.wire.six else peer.outer
            uapi.set_lines(self.ifname, [
                "private_key=" + keys.hexadecimal(self.key.secret), "listen_port=51820",
                "public_key=" + keys.hexadecimal(peer.key.public), f"endpoint={outer}:51820",
                f"allowed_ip={peer.inner}/{bits}"])
        self.ns.ip("addr", "add", f"{self.inner}/{64 if self.wire.six else 24}", "dev", self.ifname,
                   *(["nodad"] if self.wire.six else []))
        self.ns.ip("link", "set", self.ifname, "up", "mtu", self.wire.mtu)

    def cpu(self):
        return machine.cpu_seconds(self.process.pid)

    def dropped(self):
        """Frames that the kernel dropped because the tunnel had not read those before them."""
        return json.loads(self.ns.ip("-s", "-j", "link", "show", self.ifname))[0]["stats64"]["tx"]["dropped"]

    def counters(self):
        return uapi.calls(self.ifname) if self.calls else {}


class Pair:
    def __init__(self, lab, program, wire, number):
        self.lab, self.program, self.wire = lab, program, wire
        self.a, self.b = (End(side, lab.ns(f"{side}{number}"), program, number, wire) for side in "ab")
        mask = 64 if wire.six else 24
        lab.veth(self.a.ns, "va", f"{self.a.outer}/{mask}", self.b.ns, "vb", f"{self.b.outer}/{mask}")
        if wire.card:
            for end, device in ((self.a, "va"), (self.b, "vb")):
                end.ns.run("ethtool", "-K", device, "tso", "off", "tx-udp-segmentation", "off", "gro", "on")
        for end, peer in ((self.a, self.b), (self.b, self.a)):
            end.start(program, peer)
        for end, peer in ((self.a, self.b), (self.b, self.a)):
            end.configure(program, peer)
        laboratory.wait_until(lambda: self.a.ns.ping(self.b.inner, wait=1, check=False), f"a ping through {program.name}", 15)
        self.b.ns.ping(self.a.inner, count=3)
        self.services = [self.b.ns.start("iperf3", "-s", "--forceflush"),
                         self.b.ns.start(programs.bench_program("probe"), "echo", "7")]
        for service in self.services:
            service.wait_for("listening")

    def reading(self):
        """Clocks and counters, to be taken before and after a load."""
        return {"a": self.a.cpu(), "b": self.b.cpu(), "machine": machine.machine_seconds(),
                "calls_a": self.a.counters(), "calls_b": self.b.counters()}

    def used(self, before, after):
        """CPU seconds between two readings, and mean segments a call at the end that has the more of them."""
        figures = {k: after[k] - before[k] for k in ("a", "b", "machine")}
        means = [uapi.segments(before[k], after[k]) for k in ("calls_a", "calls_b")]
        for name in set(means[0]) | set(means[1]):
            figures[name] = max(m.get(name, 0) for m in means)
        return figures

    def close(self):
        for process in self.services + [self.a.process, self.b.process]:
            process.stop(5)


class Stage:
    """The pairs of one wire, all up at once, so that programs can be measured in turn without a new start."""

    def __init__(self, wire):
        self.wire, self.lab, self.pairs, self.failed = wire, laboratory.Lab(), {}, {}

    def pair(self, program):
        """None: this program does not work on this wire (self.failed says why)."""
        if program.keyless and self.wire.six:
            self.failed[program.name] = "IPv4 outside only"
        if program.name not in self.pairs and program.name not in self.failed:
            try:
                self.pairs[program.name] = Pair(self.lab, program, self.wire, len(self.pairs) + len(self.failed))
            except AssertionError as e:
                self.failed[program.name] = str(e).splitlines()[0][:200]
        return self.pairs.get(program.name)

    def close(self):
        self.lab.close()
