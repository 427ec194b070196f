"""Packets by hand: IPv4 and IPv6, UDP and ICMP."""
import ipaddress
import struct

UDP, ICMP, ICMPV6 = 17, 1, 58


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip(source, target, protocol, body, ttl=64):
    source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if source.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(body), protocol, ttl) + source.packed + target.packed + body
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, ttl, protocol, 0, source.packed, target.packed)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def pseudo(source, target, protocol, length):
    return ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed + struct.pack(">II", length, protocol)


def udp(source, target, sport, dport, data=b"x"):
    head = struct.pack(">HHHH", sport, dport, 8 + len(data), 0)
    sum_ = checksum(pseudo(source, target, UDP, 8 + len(data)) + head + data) or 0xffff
    return ip(source, target, UDP, head[:6] + struct.pack(">H", sum_) + data)


def echo(source, target, number=1):
    if ":" in target:
        body = struct.pack(">BBHHH", 128, 0, 0, 7, number)
        sum_ = checksum(pseudo(source, target, ICMPV6, len(body)) + body)
        return ip(source, target, ICMPV6, body[:2] + struct.pack(">H", sum_) + body[4:])
    body = struct.pack(">BBHHH", 8, 0, 0, 7, number)
    return ip(source, target, ICMP, body[:2] + struct.pack(">H", checksum(body)) + body[4:])


class Parsed:
    def __init__(self, packet):
        six = packet[0] >> 4 == 6
        self.protocol = packet[6 if six else 9]
        at = 8 if six else 12
        size = 16 if six else 4
        self.source = str(ipaddress.ip_address(packet[at:at + size]))
        self.target = str(ipaddress.ip_address(packet[at + size:at + 2 * size]))
        self.body = packet[40 if six else (packet[0] & 15) * 4:]
        self.ttl = packet[7 if six else 8]
        self.icmp = tuple(self.body[:2]) if self.protocol in (ICMP, ICMPV6) else None

    def prohibited(self):
        return self.icmp in ((3, 13), (1, 1))

    def reply(self):
        return self.icmp in ((0, 0), (129, 0))
