"""The cases between two ends: a load, on a wire, for all programs in turn."""
import dataclasses
import typing

import domains
import gateway
import load
import pair
import programs
import scale

SMALL_RATE, MIDDLE_RATE, FULL_RATE = 100_000, 100_000, 50_000  # datagrams a second that every serious program carries
QUIC_SIZE, QUIC_SEGMENTS, QUIC_RATE = 1350, 16, 100_000


@dataclasses.dataclass(frozen=True)
class Figure:
    key: str
    words: str
    more_is_better: bool = False


GBIT = Figure("gbit", "Gbit/s", True)
KPPS = Figure("kpps", "thousand packets a second", True)
CPU_GB = Figure("cpu", "CPU s/GB of an end")
CPU_A, CPU_B = Figure("cpu_a", "sender, CPU s/GB"), Figure("cpu_b", "receiver, CPU s/GB")
MACHINE_GB = Figure("machine", "whole machine, CPU s/GB")
CPU_PACKET = Figure("cpu", "CPU µs a packet of an end")
CPU_PACKET_A, CPU_PACKET_B = Figure("cpu_a", "sender, CPU µs a packet"), Figure("cpu_b", "receiver, CPU µs a packet")
MACHINE_PACKET = Figure("machine", "whole machine, CPU µs a packet")
LOSS = Figure("loss", "lost, %")
LATE = Figure("late", "out of order")
BULK = (GBIT, KPPS, CPU_GB, CPU_A, CPU_B, MACHINE_GB)
PACKETS = (CPU_PACKET, CPU_PACKET_A, CPU_PACKET_B, MACHINE_PACKET, LOSS, LATE)
SEARCH = (KPPS, GBIT, CPU_PACKET)
LATENCY = (Figure("p50", "p50, ms"), Figure("p90", "p90, ms"), Figure("p99", "p99, ms"), Figure("max", "max, ms"))


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    words: str
    wire: pair.Wire
    figures: tuple
    run: typing.Callable  # (pair, scale) -> figures
    bar: bool = False     # a bar of the project hangs on it: measured more often


def tcp(*options):
    return lambda p, scale: load.tcp(p, scale.seconds, options)


def tcp_back():
    """The other way: b sends, so it is the sender of the table."""
    def run(p, scale):
        figures = load.tcp(p, scale.seconds, ["-R"])
        figures["cpu_a"], figures["cpu_b"] = figures["cpu_b"], figures["cpu_a"]
        return figures
    return run


def at_rate(size, rate, segments=1):
    return lambda p, scale: load.datagrams(p, size, rate, scale.seconds, segments)


def search(size, segments=1):
    return lambda p, scale: load.highest(p, size, scale.search_seconds, scale.search_steps, segments)


CASES = [
    Case("tcp1", "one TCP flow", pair.PLAIN, BULK, tcp(), bar=True),
    Case("tcp8", "eight TCP flows", pair.PLAIN, BULK, tcp("-P", "8")),
    Case("tcp1-back", "one TCP flow, the other way", pair.PLAIN, BULK, tcp_back()),
    Case("tcp1-both", "a TCP flow each way at once", pair.PLAIN, BULK, tcp("--bidir")),
    Case("tcp8-both", "eight TCP flows each way at once", pair.PLAIN, BULK, tcp("-P", "8", "--bidir")),
    Case("udp64", "UDP, 64 bytes, 100,000 a second", pair.PLAIN, PACKETS, at_rate(64, SMALL_RATE), bar=True),
    Case("udp512", "UDP, 512 bytes, 100,000 a second", pair.PLAIN, PACKETS, at_rate(512, MIDDLE_RATE)),
    Case("udp1372", "UDP, 1,372 bytes, 50,000 a second", pair.PLAIN, PACKETS, at_rate(1372, FULL_RATE)),
    Case("quic", "QUIC-like UDP: 1,350 bytes, 16 a call, 100,000 a second", pair.PLAIN, PACKETS,
         at_rate(QUIC_SIZE, QUIC_RATE, QUIC_SEGMENTS)),
    Case("udp64-most", "UDP, 64 bytes, highest rate with < 0.1 % loss", pair.PLAIN, SEARCH, search(64)),
    Case("udp512-most", "UDP, 512 bytes, highest rate with < 0.1 % loss", pair.PLAIN, SEARCH, search(512)),
    Case("udp1372-most", "UDP, 1,372 bytes, highest rate with < 0.1 % loss", pair.PLAIN, SEARCH, search(1372)),
    Case("quic-most", "QUIC-like UDP, highest rate with < 0.1 % loss", pair.PLAIN, SEARCH, search(QUIC_SIZE, QUIC_SEGMENTS)),
    Case("idle", "round trip when idle", pair.PLAIN, (*LATENCY, Figure("added", "added to the bare wire, p50, ms")),
         lambda p, scale: load.idle(p, scale.seconds), bar=True),
    Case("tcp1-card", "one TCP flow, as on a card", pair.CARD, BULK, tcp(), bar=True),
    Case("tcp8-card", "eight TCP flows, as on a card", pair.CARD, BULK, tcp("-P", "8")),
    Case("quic-card", "QUIC-like UDP, as on a card", pair.CARD, PACKETS, at_rate(QUIC_SIZE, QUIC_RATE, QUIC_SEGMENTS)),
    Case("tcp1-six", "one TCP flow, IPv6 outside and inside", pair.SIX, BULK, tcp()),
    Case("udp512-six", "UDP, 512 bytes, 100,000 a second, IPv6 outside and inside", pair.SIX, PACKETS, at_rate(512, MIDDLE_RATE)),
    Case("tcp1-narrow", "one TCP flow, MTU 1280", pair.NARROW, BULK, tcp()),
]


@dataclasses.dataclass(frozen=True)
class Scene:
    """A gateway and many around it; one run gives the figures of several cases."""
    name: str
    words: str
    run: typing.Callable  # (lab, program, scale) -> {case: figures}
    programs: tuple       # () : all that have keys
    cases: dict           # name or its beginning: (words, figures)
    bar: bool = False     # as of a case: measured more often

    def tells(self, case):
        """(words, figures) of that case, if it is one of this scene's."""
        for pattern, (words, figures) in self.cases.items():
            before, hole, after = pattern.partition("{}")
            if pattern == case:
                return words, figures
            if hole and case.startswith(before) and case.endswith(after):
                return words.format(f"{int(case[len(before):len(case) - len(after)]):,}"), figures
        return None


OWN = (programs.WARREN,)
GO_ONES = (programs.WARREN, programs.TAILSCALE, programs.GO)
BULK_IN = (GBIT, Figure("cpu", "gateway, CPU s/GB"), Figure("offered", "offered, Gbit/s"))
FLOOD = (GBIT, Figure("gateway_cpu", "gateway, CPU s a second"))
SCENES = [
    Scene("peers", "1, 100 and 1,000 active peers", gateway.active_peers, (), {
        "peers-{}-in": ("{} active peers send in turn, 45 packets at a time, more than the gateway can take: what passes", BULK_IN),
        "peers-{}-out": ("to {} active peers in turn, more than the gateway can take: what arrives", BULK_IN[:2])}),
    Scene("handshakes", "handshakes answered", gateway.handshakes, (), {
        "handshakes": ("handshakes answered, keys known to each other", (
            Figure("per_cpu_second", "a CPU second of the gateway", True), Figure("per_second", "a second", True)))}),
    Scene("neighbour", "latency under load from another peer", gateway.neighbour, GO_ONES, {
        "loaded": ("round trip while another peer sends one TCP flow as fast as it can", LATENCY),
        "loaded-bare": ("the same moment on the bare wire: what the busy machine alone delays", LATENCY)}, bar=True),
    Scene("flood", "bulk of an established peer under a flood of 50,000 initiations a second", gateway.flood, (programs.WARREN, programs.TAILSCALE), {
        "flood-quiet": ("one TCP flow of an established peer, no flood", FLOOD),
        "flood-elsewhere": ("the same flood sent to a socket of nobody's on the gateway", FLOOD),
        "flood-bad": ("flood with a wrong first MAC", FLOOD),
        "flood-spoofed": ("flood with a right first MAC from spoofed sources", FLOOD)}, bar=True),
    Scene("memory", "memory, and the UAPI", scale.memory, OWN, {
        "memory": ("resident memory", (Figure("few", "with 10 peers, MiB"), Figure("per_peer", "for each of 100,000 idle peers, KiB"))),
        "uapi": ("the UAPI with 100,000 peers", (Figure("load", "all loaded, s"), Figure("change", "one changed, ms"),
                                                 Figure("get", "full get, s")))}),
    Scene("storm", "100,000 peers shake hands at once", scale.storm, OWN, {
        "storm": ("100,000 peers, each for the first time, in one go", (
            Figure("seconds", "until all are answered, s"), Figure("clients", "answered, %", True),
            Figure("per_cpu_second", "a CPU second of the gateway", True), Figure("cookies", "cookies sent"),
            Figure("resident", "resident after it, MiB")))}),
    Scene("domains", "1,000 domains", domains.domains, OWN, {
        "domains": ("1,000 tenants, a device each: from the first descriptor handed over until the tunnel is ready", (
            Figure("start", "ready, s"), Figure("stop", "and ended again, s")))}),
]


def described(name):
    """(words, figures) of a case by its name."""
    for case in CASES:
        if case.name == name:
            return case.words, case.figures
    for scene in SCENES:
        if scene.tells(name):
            return scene.tells(name)
    raise KeyError(name)
