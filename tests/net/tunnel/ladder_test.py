#!/usr/bin/env python3
"""The ladder: whatever the kernel refuses, traffic flows on; nothing is lost that need not be, nothing is sent twice;
the statistics and one line of the log say which rung is down; and it is tried again when its time has come."""
import errno
import os
import signal
import struct
import sys

import lab as laboratory
from lab import main, need, test, wait_until
from preload import Clocks, library
from wires import figures, ours, pair

GO = "wireguard-go"
RETRY_TIME = 600  # LADDER_RETRY_TIME, SENDER_ALONE_TIME
REFUSE_FORMAT, RULES, ALWAYS = "=IIIIiIQ", 16, 2**32 - 1

# as in refuse.c
SENDMMSG, SENDMSG, RECVMMSG, RECVMSG, SETSOCKOPT, GETSOCKOPT, IOCTL, WRITEV, READ = range(1, 10)
BATCH, SINGLE, V4, V6, SOURCE, TCP, UDP = (1 << n for n in range(7))
SHORT, TRUNCATED, CONTROL_TRUNCATED, ZERO, SWALLOW = -1, -2, -3, -4, -5

SOL_SOCKET, SO_RCVBUF, SO_RCVBUFFORCE, SOL_UDP, UDP_SEGMENT, UDP_GRO = 1, 8, 33, 17, 103, 104
RECEIVE_BUFFER = 4 << 20  # bits of what the tunnel asks for, and nobody else
SO_REUSEPORT, SO_ATTACH_REUSEPORT_CBPF, IFF_MULTI_QUEUE = 15, 51, 0x100
TUNSETIFF, TUNSETOFFLOAD, IFF_VNET_HDR, TUN_F_TSO4, TUN_F_USO4 = 0x400454CA, 0x400454D0, 0x4000, 2, 0x20

RECEIVER = """
import hashlib, socket, sys
s = socket.socket()
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen()
print("bound", flush=True)
c, digest = s.accept()[0], hashlib.sha256()
while data := c.recv(1 << 20):
    digest.update(data)
print("got", digest.hexdigest(), flush=True)
"""
SENDER = """
import hashlib, socket, sys
data = hashlib.shake_128(sys.argv[3].encode()).digest(int(sys.argv[4]))
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as c:
    c.sendall(data)
print("sent", hashlib.sha256(data).hexdigest(), flush=True)
"""
BURST = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 1000)
s.sendto(bytes(20000), (sys.argv[1], 9))
"""


def option(level, name):
    return level << 16 | name


class Refuse:
    """The rules of refuse.c, in a file that it maps."""

    def __init__(self, lab):
        path = lab.file("refuse", "")
        self.fd = os.open(path, os.O_RDWR)
        self.size = struct.calcsize(REFUSE_FORMAT)
        os.ftruncate(self.fd, RULES * self.size)
        self.env = {"LD_PRELOAD": library(lab, "refuse"), "REFUSE": path}
        self.used = 0

    def add(self, call, answer, of=0, name=0, mask=0, times=ALWAYS):
        """One more rule; the number by which to ask of it."""
        n, self.used = self.used, self.used + 1
        os.pwrite(self.fd, struct.pack(REFUSE_FORMAT, 0, of, name, mask, answer, times, 0), n * self.size)
        os.pwrite(self.fd, struct.pack("=I", call), n * self.size)  # last: now it holds
        return n

    def clear(self):
        for n in range(self.used):
            os.pwrite(self.fd, struct.pack("=I", 0), n * self.size)
        self.used = 0

    def hits(self, n):
        return struct.unpack(REFUSE_FORMAT, os.pread(self.fd, self.size, n * self.size))[6]


class Rig:
    """Our tunnel under the library, and @other; what we send is watched on the cable."""

    def __init__(self, lab, *rules, v6=False, other=GO, **more):
        need("wg", GO, "cc")
        self.lab, self.port = lab, 5000
        self.clocks, self.refuse = Clocks(lab), Refuse(lab)
        self.rules = [self.refuse.add(*rule[:2], **(rule[2] if len(rule) > 2 else {})) for rule in rules]
        env = {**self.clocks.env, **self.refuse.env, **more}
        env["LD_PRELOAD"] = self.clocks.env["LD_PRELOAD"] + ":" + self.refuse.env["LD_PRELOAD"]
        self.a, self.b = pair(lab, ours(), other, v6=v6, left_env=env)
        self.ping()
        self.wire = self.a.ns.start(built("wire"), "va")
        self.wire.wait_for("listening")

    def ping(self):
        wait_until(lambda: self.a.ns.ping(self.b.inner4, check=False, wait=1), "an answer")

    def copy(self, from_, to, length=12 << 20):
        """A TCP stream comes out as it went in."""
        self.port += 1
        receiver = to.ns.start(sys.executable, "-c", RECEIVER, to.inner4, self.port)
        receiver.wait_for("bound")
        sent = from_.ns.run(sys.executable, "-c", SENDER, to.inner4, self.port, self.port, length, timeout=60)
        digest = sent.stdout.split()[-1]
        assert receiver.wait_for(r"got (\w+)", 60).group(1) == digest

    def numbers(self, seconds=1):
        """Numbered datagrams both ways, half of them in superframes: in order, none twice.  Loss is no matter here, if
        it is not all: on a busy machine either end may be kept from running."""
        self.port += 1
        argv = [(x.ns, x.inner4, y.inner4) for x, y in ((self.a, self.b), (self.b, self.a))]
        flows = [ns.start(built("flows"), near, far, self.port, 8, 2500, seconds) for ns, near, far in argv]
        for flow in flows:
            flow.wait_for("ready")
        for flow in flows:
            flow.signal(signal.SIGUSR1)
        for flow in flows:
            result = last_line(flow)
            assert result["again"] == 0 and result["late"] == 0, result
            assert result["received"] > result["expected"] / 10 > 0, result

    def streams(self):
        self.copy(self.a, self.b)
        self.copy(self.b, self.a)

    def traffic(self):
        self.streams()
        self.numbers()

    def rung(self, name):
        return figures(self.a.ifname)["warren_rung_" + name]

    def dropped(self, name):
        return figures(self.a.ifname).get("warren_drop_" + name, 0)

    def told(self, name, state, times=1):
        assert self.a.process.output().count(f"rung {name} is {state}") == times, self.a.process.output()

    def went_down(self, name, figure=0):
        """It stepped once, and said so once, whatever came after."""
        assert self.rung(name) == f"down 1 0 {figure}", figures(self.a.ifname)
        self.told(name, "down")

    def others_are_on(self, *names):
        """No other rung moved."""
        for key, value in figures(self.a.ifname).items():
            if key.startswith("warren_rung_") and key[12:] not in names:
                assert value.split()[1:3] == ["0", "0"], (key, value)

    def comes_back(self, name):
        """Not before its time, and then it does."""
        self.refuse.clear()
        self.clocks.pass_by(RETRY_TIME // 2)
        self.ping()
        self.streams()
        assert self.rung(name).startswith("down 1 0"), self.rung(name)
        self.clocks.pass_by(RETRY_TIME // 2)
        self.ping()
        self.traffic()
        assert self.rung(name) == "on 1 1 0", self.rung(name)
        self.told(name, "down")

    def end(self):
        """What left, left once and in order."""
        self.wire.signal(signal.SIGTERM)
        seen = last_line(self.wire)
        assert seen["back"] == 0 and seen["messages"] > 1000, seen
        assert self.a.process.running()


def built(name):
    return os.path.join(laboratory.BUILD, "tests/net/tunnel", name)


def last_line(process, timeout=60):
    import json
    status = process.wait(timeout)
    assert status == 0, process.output()
    return json.loads(process.output().splitlines()[-1])


def family_without_batches(lab, v6):
    rig = Rig(lab, v6=v6)
    name, of = ("udp6_gso", V6) if v6 else ("udp4_gso", V4)
    rule = rig.refuse.add(SENDMMSG, errno.EIO, of=BATCH | of)
    rig.traffic()
    rig.went_down(name)
    assert rig.refuse.hits(rule) == 1
    rig.others_are_on(name)
    assert rig.dropped("send_refused") == 0
    rig.clocks.pass_by(RETRY_TIME)  # refused again: still one step, and one line
    rig.ping()
    rig.copy(rig.a, rig.b)
    assert rig.refuse.hits(rule) == 2
    rig.went_down(name)
    rig.comes_back(name)
    rig.end()


@test
def without_checksum_offload_ipv4_goes_singly_until_it_is_tried_again(lab):
    family_without_batches(lab, False)


@test
def without_checksum_offload_ipv6_goes_singly_until_it_is_tried_again(lab):
    family_without_batches(lab, True)


@test
def a_narrow_path_makes_a_peer_get_single_datagrams(lab):
    for error in (errno.EMSGSIZE, errno.EINVAL):
        rig = Rig(lab) if error == errno.EMSGSIZE else rig
        rig.refuse.add(SENDMMSG, error, of=BATCH)
        rig.traffic()
        n = 1 if error == errno.EMSGSIZE else 2
        state, downs, ups, figure = rig.rung("peer_path").split()
        assert (state, ups, figure) == ("down", str(n - 1), "1") and int(downs) == n, rig.rung("peer_path")
        rig.told("peer_path", "down")
        assert rig.dropped("send_refused") == 0
        rig.refuse.clear()
        rig.clocks.pass_by(RETRY_TIME)
        rig.ping()
        rig.traffic()
        assert rig.rung("peer_path") == f"on {n} {n} 0", rig.rung("peer_path")
    rig.others_are_on("peer_path")
    rig.end()


@test
def a_cable_that_is_really_narrow_stalls_nothing(lab):
    rig = Rig(lab)
    for side in (rig.a, rig.b):
        side.ns.ip("link", "set", "v" + side.name, "mtu", 1280)
    rig.copy(rig.a, rig.b)
    rig.went_down("peer_path", figure=1)


@test
def batches_that_something_swallows_give_way_to_single_datagrams(lab):
    rig = Rig(lab)
    rule = rig.refuse.add(SENDMMSG, SWALLOW, of=BATCH)

    def burst():
        rig.a.ns.run(sys.executable, "-c", BURST, rig.b.inner4)
        rig.clocks.pass_by(4)
        return rig.rung("peer_answers").startswith("down")

    wait_until(burst, "the peer to be taken for one that gets no batches")
    assert rig.refuse.hits(rule) > 2
    rig.went_down("peer_answers", figure=1)
    rig.traffic()
    rig.refuse.clear()
    rig.clocks.pass_by(RETRY_TIME)
    rig.ping()
    rig.traffic()
    assert rig.rung("peer_answers") == "on 1 1 0", rig.rung("peer_answers")
    rig.end()


@test
def a_full_socket_loses_and_repeats_nothing(lab):
    rig = Rig(lab)
    rules = [rig.refuse.add(SENDMMSG, error, times=50) for error in (errno.EAGAIN, errno.EINTR)]
    rig.traffic()
    assert all(rig.refuse.hits(rule) == 50 for rule in rules)
    rules = [rig.refuse.add(SENDMMSG, SHORT)]
    rig.traffic()
    assert rig.refuse.hits(rules[0]) > 100
    rig.others_are_on()
    for drop in ("send_refused", "send_full", "send_late"):
        assert rig.dropped(drop) == 0, drop
    rig.end()


@test
def what_a_queue_dropped_is_counted_and_not_repeated(lab):
    rig = Rig(lab)
    rule = rig.refuse.add(SENDMMSG, errno.ENOBUFS, of=BATCH, times=10)
    rig.traffic()
    assert rig.refuse.hits(rule) == 10
    assert rig.dropped("send_full") >= 20
    rig.others_are_on()
    rig.end()


@test
def a_firewall_loses_what_it_refuses_and_no_more(lab):
    rig = Rig(lab)
    rules = [rig.refuse.add(call, errno.EPERM, times=10) for call in (SENDMMSG, SENDMSG)]
    rig.traffic()
    assert all(rig.refuse.hits(rule) == 10 for rule in rules)
    assert rig.dropped("send_refused") >= 1  # others were handshakes
    rig.others_are_on()
    rig.end()


@test
def a_dead_source_address_is_let_go(lab):
    rig = Rig(lab)
    rig.b.ns.ping(rig.a.inner4)
    for error in (errno.ENETUNREACH, errno.ENODEV):
        rule = rig.refuse.add(SENDMMSG, error, of=SOURCE)
        rig.copy(rig.a, rig.b)
        rig.copy(rig.b, rig.a)
        assert rig.refuse.hits(rule) > 0
        rig.refuse.clear()
    assert rig.dropped("send_refused") == 0
    rig.others_are_on()
    rig.end()


def calls_unknown(rig, when_running=()):
    for rule in when_running:
        rig.refuse.add(*rule)
    rig.traffic()
    for name in ("sendmmsg", "recvmmsg"):
        rig.went_down(name)
    rig.others_are_on("sendmmsg", "recvmmsg")
    assert rig.dropped("send_refused") == 0
    rig.end()


@test
def calls_that_a_filter_forbids_are_replaced(lab):
    calls_unknown(Rig(lab, (SENDMMSG, errno.EPERM), (RECVMMSG, errno.EPERM)))


@test
def calls_that_a_filter_does_not_know_are_replaced(lab):
    calls_unknown(Rig(lab), ((SENDMMSG, errno.ENOSYS), (RECVMMSG, errno.ENOSYS)))


def frames_cut(lab, answer):
    rig = Rig(lab, other=ours())  # this wireguard-go sends no superframes
    rule = rig.refuse.add(RECVMMSG, answer, of=BATCH)
    rig.traffic()
    rig.went_down("udp4_gro")
    assert rig.refuse.hits(rule) >= 1
    assert rig.dropped("length") >= 1
    rig.others_are_on("udp4_gro")
    rig.comes_back("udp4_gro")
    rig.end()


@test
def a_superframe_cut_short_ends_merging_for_a_while(lab):
    frames_cut(lab, TRUNCATED)


@test
def control_data_cut_short_ends_merging_for_a_while(lab):
    frames_cut(lab, CONTROL_TRUNCATED)


@test
def errors_and_short_counts_of_receiving_change_nothing(lab):
    rig = Rig(lab)
    rules = [rig.refuse.add(RECVMMSG, error, times=50)
             for error in (errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED, errno.ENOMEM)]
    rules.append(rig.refuse.add(RECVMMSG, SHORT, times=1000))
    rig.traffic()
    assert all(rig.refuse.hits(rule) >= 50 for rule in rules)
    rig.others_are_on()
    rig.end()


@test
def what_sockets_do_not_have_is_off_from_the_start(lab):
    rig = Rig(lab, (SETSOCKOPT, errno.ENOPROTOOPT, {"name": option(SOL_UDP, UDP_GRO)}),
              (GETSOCKOPT, errno.ENOPROTOOPT, {"name": option(SOL_UDP, UDP_SEGMENT)}),
              *((SETSOCKOPT, errno.EPERM, {"name": option(SOL_SOCKET, name), "mask": RECEIVE_BUFFER})
                for name in (SO_RCVBUFFORCE, SO_RCVBUF)))
    rig.traffic()
    for name in ("udp4_gro", "udp6_gro", "udp4_gso", "udp6_gso"):
        assert rig.rung(name) == "off 0 0 0", (name, rig.rung(name))
        rig.told(name, "off")
    state, _, _, got = rig.rung("receive_buffer").split()
    with open("/proc/sys/net/core/rmem_default") as f:
        assert state == "off" and int(got) == int(f.read()) // 2, rig.rung("receive_buffer")
    rig.told("receive_buffer", "off")
    rig.end()


@test
def merging_that_was_taken_and_not_done_is_off(lab):
    rig = Rig(lab, (GETSOCKOPT, ZERO, {"name": option(SOL_UDP, UDP_GRO)}))
    rig.traffic()
    assert rig.rung("udp4_gro") == rig.rung("udp6_gro") == "off 0 0 0"
    rig.end()


@test
def an_old_device_has_no_uso(lab):
    rig = Rig(lab, (IOCTL, errno.EINVAL, {"name": TUNSETOFFLOAD, "mask": TUN_F_USO4}))
    rig.traffic()
    for name, state in (("tun_vnet_hdr", "on"), ("tun_tso_read", "on"), ("tun_tso_write", "on"),
                        ("tun_uso_read", "off"), ("tun_uso_write", "off")):
        assert rig.rung(name) == state + " 0 0 0", (name, rig.rung(name))
    rig.end()


@test
def a_device_without_offloads_is_read_packet_by_packet(lab):
    rig = Rig(lab, (IOCTL, errno.EINVAL, {"name": TUNSETOFFLOAD}))
    rig.traffic()
    for name, state in (("tun_vnet_hdr", "on"), ("tun_tso_write", "on"), ("tun_tso_read", "off"),
                        ("tun_uso_read", "off")):
        assert rig.rung(name) == state + " 0 0 0", (name, rig.rung(name))
        rig.told(name, "off", 1 if state == "off" else 0)
    rig.end()


@test
def a_kernel_without_vnet_headers_gets_plain_packets(lab):
    rig = Rig(lab, (IOCTL, errno.EINVAL, {"name": TUNSETIFF, "mask": IFF_VNET_HDR}))
    rig.traffic()
    assert rig.rung("tun_vnet_hdr") == "off 0 0 0"
    rig.told("tun_vnet_hdr", "off")
    rig.end()


def workers_without(lab, name, state, *rule):
    rig = Rig(lab, rule, WARREN_WORKERS="2")
    rig.traffic()
    assert rig.rung(name) == state, rig.rung(name)
    rig.told(name, "off")
    rig.end()


@test
def workers_without_steering_hand_over_what_is_not_theirs(lab):
    workers_without(lab, "steering", "off 0 0 0", SETSOCKOPT, errno.EPERM,
                    {"name": option(SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF)})


@test
def workers_with_one_socket_hand_over_what_is_not_theirs(lab):
    workers_without(lab, "sockets", "off 0 0 1", SETSOCKOPT, errno.ENOPROTOOPT,
                    {"name": option(SOL_SOCKET, SO_REUSEPORT)})


@test
def workers_with_one_queue_hand_over_what_is_not_theirs(lab):
    workers_without(lab, "tun_queues", "off 0 0 1", IOCTL, errno.EINVAL, {"name": TUNSETIFF, "mask": IFF_MULTI_QUEUE})


def superframes_refused(lab, of, name, other):
    rig = Rig(lab)
    rule = rig.refuse.add(WRITEV, errno.EINVAL, of=of)
    rig.traffic()
    rig.went_down(name)
    assert rig.refuse.hits(rule) == 1
    assert rig.rung(other) == "on 0 0 0"
    assert rig.dropped("tun_refused") == 0
    rig.others_are_on(name)
    rig.comes_back(name)
    rig.end()


@test
def refused_superframes_of_tcp_are_written_singly_until_they_are_tried_again(lab):
    superframes_refused(lab, TCP, "tun_tso_write", "tun_uso_write")


@test
def refused_superframes_of_udp_are_written_singly_until_they_are_tried_again(lab):
    superframes_refused(lab, UDP, "tun_uso_write", "tun_tso_write")


@test
def what_the_device_does_not_take_is_counted_and_not_repeated(lab):
    rig = Rig(lab)
    rules = [rig.refuse.add(WRITEV, error, of=UDP, times=5) for error in (errno.EIO, errno.EAGAIN, errno.ENOBUFS)]
    rig.numbers()
    assert all(rig.refuse.hits(rule) == 5 for rule in rules)
    assert rig.dropped("tun_refused") >= 2 * 15
    rig.refuse.add(WRITEV, SHORT, times=500)
    rig.traffic()
    rig.others_are_on()
    rig.end()


@test
def reading_the_device_survives_what_comes(lab):
    rig = Rig(lab)
    rules = [rig.refuse.add(READ, answer, times=20)
             for answer in (errno.EAGAIN, errno.EINTR, errno.EIO, errno.EINVAL, SHORT)]
    rig.traffic()
    assert all(rig.refuse.hits(rule) == 20 for rule in rules)
    rig.others_are_on()
    rig.end()


main()
