#!/usr/bin/env python3
"""Random packets and superframes put into the device of one end come out of the other end's byte by byte as a sender
without offloads would have sent them, in the order of each flow: whether either device carries superframes or not."""
import array
import os
import random
import socket
import struct
import time

from lab import PATIENCE, main, need, test
from wires import Side, cable, figures, inside, mean, ours, plain_tun

SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 15, 4
ETH_P_IP, ETH_P_IPV6, ETH_P_ALL = 0x0800, 0x86DD, 3
SO_RCVBUFFORCE = 33
NEEDS_CSUM = 1
GSO_NONE, GSO_TCP4, GSO_TCP6, GSO_UDP, GSO_ECN = 0, 1, 4, 5, 0x80
TCP, UDP, ICMP, FRAGMENT, OTHER = 6, 17, 1, 44, 253
FIN, SYN, PSH, ACK, ECE, CWR = 1, 2, 8, 16, 64, 128
MTU = 1420
ITEMS, AT_ONCE = 2500, 24  # the queue of a device is 500 packets or so


def total(data):
    """The sum of RFC 1071, not complemented."""
    if len(data) % 2:
        data += b"\0"
    words = array.array("H", data)
    words.byteswap()
    value = sum(words)
    while value >> 16:
        value = (value & 0xFFFF) + (value >> 16)
    return value


class Packet:
    """An IP packet in parts that can be changed."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.v6 = data[0] >> 4 == 6
        self.l4 = 40 if self.v6 else (data[0] & 15) * 4
        self.proto = data[6] if self.v6 else data[9]
        self.field = {TCP: 16, UDP: 6}.get(self.proto)
        self.fragment = not self.v6 and struct.unpack(">H", data[6:8])[0] & 0x3FFF != 0
        self.head = self.l4 + ((data[self.l4 + 12] >> 4) * 4 if self.proto == TCP and not self.fragment else 8)

    def pseudo(self, length):
        addresses = self.data[8:40] if self.v6 else self.data[12:20]
        return total(bytes(addresses) + struct.pack(">IxxxB", length, self.proto))

    def lengths(self):
        """Sets every length, and the checksum of an IPv4 header."""
        if self.v6:
            self.data[4:6] = struct.pack(">H", len(self.data) - 40)
        else:
            self.data[2:4] = struct.pack(">H", len(self.data))
            self.data[10:12] = bytes(2)
            self.data[10:12] = struct.pack(">H", ~total(bytes(self.data[:self.l4])) & 0xFFFF)
        if self.proto == UDP and not self.fragment:
            self.data[self.l4 + 4:self.l4 + 6] = struct.pack(">H", len(self.data) - self.l4)

    def partial(self):
        """Leaves the checksum to whoever sends it."""
        at = self.l4 + self.field
        self.data[at:at + 2] = struct.pack(">H", self.pseudo(len(self.data) - self.l4))
        return self

    def complete(self):
        at, length = self.l4 + self.field, len(self.data) - self.l4
        self.data[at:at + 2] = bytes(2)
        value = ~total(bytes(self.data[self.l4:]) + struct.pack(">H", self.pseudo(length))) & 0xFFFF \
            if length % 2 == 0 else ~total(bytes(self.data[self.l4:]) + b"\0" + struct.pack(">H", self.pseudo(length))) & 0xFFFF
        self.data[at:at + 2] = struct.pack(">H", value or (0xFFFF if self.proto == UDP else 0))
        return self

    def cut(self, size):
        """What a sender without offloads would have sent."""
        payload, packets = self.data[self.head:], []
        for n, at in enumerate(range(0, len(payload), size)):
            one = Packet(bytes(self.data[:self.head]) + bytes(payload[at:at + size]))
            if not self.v6:
                one.data[4:6] = struct.pack(">H", (struct.unpack(">H", self.data[4:6])[0] + n) & 0xFFFF)
            if self.proto == TCP:
                seq = struct.unpack(">I", self.data[self.l4 + 4:self.l4 + 8])[0]
                one.data[self.l4 + 4:self.l4 + 8] = struct.pack(">I", (seq + at) & 0xFFFFFFFF)
                if at + size < len(payload):
                    one.data[self.l4 + 13] &= ~(FIN | PSH)
                if at > 0:
                    one.data[self.l4 + 13] &= ~CWR
            one.lengths()
            packets.append(one.complete())
        return packets

    def flow(self):
        """What has to stay in order: packets between the same two ports, or of the same two addresses."""
        addresses = bytes(self.data[8:40] if self.v6 else self.data[12:20])
        ports = bytes(self.data[self.l4:self.l4 + 4]) if self.field and not self.fragment else b""
        return addresses, self.proto, ports

    def comparable(self):
        """Without the identification of an IPv4 packet that may not be fragmented, which means nothing."""
        if self.v6 or not self.data[6] & 0x40:
            return bytes(self.data)
        return bytes(self.data[:4] + b"\0\0" + self.data[6:10] + b"\0\0" + self.data[12:])


class Traffic:
    """Random flows; an item is (vnet header, packet, what is to come of it)."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.flows = [self.flow(n) for n in range(24)]

    def flow(self, n):
        r = self.random
        return {"v6": n % 2 == 1, "proto": TCP if n % 4 < 2 else UDP, "host": n // 3 + 1, "ports": (1024 + n // 2, 4711),
                "seq": r.randrange(1 << 32), "ack": r.randrange(1 << 32), "id": r.randrange(1 << 16), "df": r.random() < 0.6,
                "ttl": r.choice((1, 64, 255)), "tos": r.randrange(4), "options": r.choice((b"", b"\1\1\x08\x0a" + r.randbytes(8))),
                "size": r.choice((1, 17, 536, 999, 1000, 1320, 1340))}

    def ip(self, flow, proto, body, options=b"", offset=0):
        far, near = flow["host"], flow["host"]
        if flow["v6"]:
            head = struct.pack(">IHBB", 6 << 28 | flow["tos"] << 20 | 0xABCDE, 0, proto, flow["ttl"])
            head += socket.inet_pton(socket.AF_INET6, f"fd11::{near}") + socket.inet_pton(socket.AF_INET6, f"fd10::{far}")
        else:
            words = offset or (0x4000 if flow["df"] else 0)
            head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, flow["tos"], 0, flow["id"], words, flow["ttl"], proto, 0)
            head += socket.inet_aton(f"10.11.0.{near}") + socket.inet_aton(f"10.10.0.{far}") + options
            flow["id"] = (flow["id"] + 1) & 0xFFFF
        packet = Packet(head + body)
        packet.lengths()
        return packet

    def transport(self, flow, payload, flags=ACK):
        if flow["proto"] == UDP:
            return self.ip(flow, UDP, struct.pack(">HHHH", *flow["ports"], 0, 0) + payload)
        options = flow["options"]
        head = struct.pack(">HHIIBBHHH", *flow["ports"], flow["seq"], flow["ack"], (20 + len(options)) // 4 << 4, flags, 4711, 0, 0)
        flow["seq"] = (flow["seq"] + len(payload)) & 0xFFFFFFFF
        return self.ip(flow, TCP, head + options + payload)

    def superframe(self, flow):
        r, size = self.random, flow["size"]
        if flow["proto"] == UDP and size < 100:
            size = 100
        most = min(60000 // size, 64 if flow["proto"] == UDP else 200)
        payload = r.randbytes(r.randrange(size + 1, size * most + 1)) if most > 1 else r.randbytes(size + 1)
        flags = ACK | (PSH if r.random() < 0.5 else 0) | (FIN if r.random() < 0.1 else 0)
        cwr = flow["proto"] == TCP and r.random() < 0.15
        packet = self.transport(flow, payload, flags | (CWR if cwr else 0))
        kind = GSO_UDP if flow["proto"] == UDP else GSO_TCP6 if flow["v6"] else GSO_TCP4
        pieces = packet.cut(size)
        flow["id"] = (flow["id"] + len(pieces)) & 0xFFFF
        return self.vnet(packet.partial(), kind | (GSO_ECN if cwr and r.random() < 0.5 else 0), size), packet, pieces

    def vnet(self, packet, kind, size):
        return struct.pack("=BBHHHH", NEEDS_CSUM, kind, packet.head, size, packet.l4, packet.field)

    def single(self, flow):
        """A segment of the size that its flow has, or another one; its checksum complete, left to us, wrong, or none."""
        r = self.random
        if r.random() < 0.1:  # what another way took is not merged with the rest
            flow["ttl"], flow["tos"] = r.choice((1, 64, 255)), r.randrange(4)
        size = flow["size"] if r.random() < 0.7 else r.randrange(0, MTU - 100)
        packet = self.transport(flow, r.randbytes(size), ACK | r.choice((0, 0, 0, PSH, ECE, CWR, FIN)))
        how = r.random()
        if how < 0.5:
            whole = Packet(bytes(packet.complete().data))
            return self.vnet(packet.partial(), GSO_NONE, 0), packet, [whole]
        packet.complete()
        at = packet.l4 + packet.field
        if how < 0.6:
            packet.data[at] ^= 0x55
        elif how < 0.7 and packet.proto == UDP and not packet.v6:
            packet.data[at:at + 2] = bytes(2)
        return bytes(10), packet, [packet]

    def odd(self, flow):
        """Fragments, options of IPv4, ICMP, an unknown protocol, the beginning of a connection."""
        r = self.random
        kind, body = r.randrange(5), r.randbytes(r.randrange(8, 1200) & ~7)
        if kind == 0:
            packet = self.ip(flow, FRAGMENT, struct.pack(">BBHI", UDP, 0, r.randrange(100) << 3 | 1, 7) + body) if flow["v6"] else \
                self.ip(flow, flow["proto"], body, offset=r.choice((0x2000, 0x2000 | 50, 75)))
        elif kind == 1 and not flow["v6"]:
            packet = self.ip(flow, flow["proto"], struct.pack(">HHHH", *flow["ports"], 8 + len(body), 0) + b"\0" * 4 + b"\x50\0" + body,
                             options=b"\x94\4\0\0")
        elif kind == 2:
            packet = self.ip(flow, 58 if flow["v6"] else ICMP, b"\x80\0" + body)
        elif kind == 3 and flow["proto"] == TCP:
            options, flow["options"] = flow["options"], b"\2\4" + struct.pack(">H", 536)
            packet = self.transport(flow, b"", SYN).complete()
            flow["options"] = options
        else:
            packet = self.ip(flow, OTHER, body)
        return bytes(10), packet, [packet]

    def items(self, n):
        for _ in range(n):
            flow = self.random.choice(self.flows)
            yield self.random.choices((self.superframe, self.single, self.odd), (4, 5, 2))[0](flow)


def packet_socket(side):
    def opened():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        try:
            s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        except OSError:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        s.bind((side.ifname, ETH_P_ALL))
        s.settimeout(PATIENCE)
        return s
    return inside(side.ns, opened)


def receive(s):
    """The packets of one frame that came out, and whether they came as a superframe."""
    while True:
        frame, address = s.recvfrom(1 << 17)
        flags, kind, _, size, _, _ = struct.unpack("=BBHHHH", frame[:10])
        packet = Packet(frame[10:])
        source = packet.data[8:10] == b"\xfd\x11" if packet.v6 else packet.data[12:14] == b"\x0a\x0b"
        if address[2] == PACKET_OUTGOING or not source:
            continue
        if kind != GSO_NONE:
            return packet.cut(size), True
        return [packet.complete() if flags & NEEDS_CSUM else packet], False


def by_flow(packets):
    flows = {}
    for packet in packets:
        flows.setdefault(packet.flow(), []).append(packet.comparable())
    return flows


def joined(lab, near_whole, far_whole):
    """Two ends; what is put into the device of the first has addresses that neither end has, so that nobody answers."""
    a, b = Side(lab, "a", 1, ours(), {"WARREN_WORKERS": "2"}), Side(lab, "b", 2, ours(), {"WARREN_WORKERS": "2"})
    cable(a, b)
    for side, whole in ((a, near_whole), (b, far_whole)):
        fds = () if whole else (plain_tun(side),)
        if fds:
            side.env["WG_TUN_FD"] = str(fds[0])
        side.start(MTU, fds)
        for fd in fds:
            os.close(fd)
        assert (figures(side.ifname)["warren_rung_tun_vnet_hdr"].startswith("on")) == whole
    a.peer(b, b.endpoint())
    b.peer(a)
    a.set("peer", b.public, "allowed-ips", f"{b.inner4}/32,10.10.0.0/16,fd10::/64")
    b.set("peer", a.public, "allowed-ips", f"{a.inner4}/32,10.11.0.0/16,fd11::/64")
    a.ns.ping(b.inner4)
    return a, b


def equivalent(lab, near_whole, far_whole):
    need("wg", "ethtool")
    a, b = joined(lab, near_whole, far_whole)
    source, sink = packet_socket(a), packet_socket(b)
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    print(f"# SEED={seed}", flush=True)
    items = list(Traffic(seed).items(ITEMS))
    expected, came, whole = [], [], 0
    before = figures(a.ifname)
    for at in range(0, len(items), AT_ONCE):
        for vnet, packet, pieces in items[at:at + AT_ONCE]:
            source.sendto(vnet + bytes(packet.data), (a.ifname, ETH_P_IPV6 if packet.v6 else ETH_P_IP))
            expected += pieces
            if len(expected) - len(came) > 250:
                whole += take(sink, expected, came)
        whole += take(sink, expected, came)
    print(f"# {len(items)} frames in, {len(came)} packets out, {whole} superframes", flush=True)
    wanted, got = by_flow(expected), by_flow(came)
    assert wanted.keys() == got.keys()
    for flow, packets in wanted.items():
        for n, (one, other) in enumerate(zip(packets, got[flow])):
            assert one == other, f"packet {n} of {flow}:\n{one.hex()}\n{other.hex()}"
    assert (whole > 20) == far_whole, f"{whole} superframes"
    assert (mean(before, figures(a.ifname), "tun_read") > 5) == near_whole


def take(sink, expected, came):
    whole = 0
    while len(came) < len(expected):
        packets, merged = receive(sink)
        came += packets
        whole += merged
    return whole


@test
def superframes_in_and_superframes_out(lab):
    equivalent(lab, True, True)


@test
def superframes_in_and_packets_out(lab):
    equivalent(lab, True, False)


@test
def packets_in_and_superframes_out(lab):
    equivalent(lab, False, True)


@test
def packets_in_and_packets_out(lab):
    equivalent(lab, False, False)


main()
