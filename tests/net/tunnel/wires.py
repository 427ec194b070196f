"""Two ends of a WireGuard tunnel in namespaces of their own, each with an implementation of choice."""
import ctypes
import fcntl
import os
import re
import socket
import struct
import subprocess

from lab import program, wait_until

DIRECTORY = "/run/wireguard"
IFF_TUN, IFF_NO_PI, TUNSETIFF = 1, 0x1000, 0x400454CA


def ours():
    return program("warren-tunnel")


def uapi(ifname, request, timeout=20):
    """Says @request to an interface's socket, and returns the answer to its empty line."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(f"{DIRECTORY}/{ifname}.sock")
        s.sendall(request.encode())
        answer = b""
        while not answer.endswith(b"\n\n"):
            got = s.recv(65536)
            if not got:
                break
            answer += got
        return answer.decode()


def figures(ifname):
    """The device's own lines of a full answer, numbers as numbers."""
    lines = uapi(ifname, "get=1\nwarren_protocol=1\n\n").split("public_key=", 2)
    values = {}
    for line in (lines[0] + "\n" + lines[1] if len(lines) > 1 else lines[0]).splitlines():
        key, _, value = line.partition("=")
        values[key] = int(value) if value.isdigit() else value
    return values


def mean(before, after, name):
    calls = after["warren_calls_" + name] - before["warren_calls_" + name]
    return (after["warren_segments_" + name] - before["warren_segments_" + name]) / max(calls, 1)


def hexadecimal(key):
    import base64
    return base64.b64decode(key).hex()


def inside(ns, what):
    """Calls @what in that namespace; what it opens stays there."""
    libc = ctypes.CDLL(None, use_errno=True)
    here, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(f"/run/netns/{ns.name}", os.O_RDONLY)
    assert libc.setns(there, 0x40000000) == 0
    try:
        return what()
    finally:
        assert libc.setns(here, 0x40000000) == 0
        os.close(here)
        os.close(there)


def socket_in(ns, address, family=socket.AF_INET):
    """A UDP socket of another namespace."""
    s = inside(ns, lambda: socket.socket(family, socket.SOCK_DGRAM))
    s.bind(address)
    return s


def plain_tun(side):
    """The device of @side without a vnet header, for WG_TUN_FD."""
    def opened():
        fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH14x", side.ifname.encode(), IFF_TUN | IFF_NO_PI))
        os.set_inheritable(fd, True)
        return fd
    return inside(side.ns, opened)


class Side:
    """One end: a namespace, an interface, a key pair."""

    def __init__(self, lab, name, number, implementation, env=None):
        self.lab, self.name, self.number = lab, name, number
        self.ns = lab.ns(name)
        self.ifname = "w" + name
        self.implementation = implementation
        self.inner4, self.inner6 = f"10.9.0.{number}", f"fd09::{number}"
        self.outer4, self.outer6 = f"192.0.2.{number}", f"2001:db8::{number}"
        self.port = 51820
        run = lambda *argv, **more: subprocess.run(argv, check=True, capture_output=True, text=True, **more).stdout.strip()
        self.key = run("wg", "genkey")
        self.public = run("wg", "pubkey", input=self.key + "\n")
        self.env = dict(os.environ, LOG_LEVEL="debug", **(env or {}))
        self.process = None

    def start(self, mtu=1420, pass_fds=()):
        self.process = self.ns.start(self.implementation, "-f", self.ifname, env=self.env, pass_fds=pass_fds)
        wait_until(lambda: os.path.exists(f"{DIRECTORY}/{self.ifname}.sock") or not self.process.running(),
                   f"the socket of {self.ifname}")
        assert self.process.running(), self.process.output()
        self.set("private-key", self.lab.file(f"{self.name}.key", self.key), "listen-port", self.port)
        self.ns.ip("addr", "add", self.inner4 + "/24", "dev", self.ifname)
        self.ns.ip("addr", "add", self.inner6 + "/64", "dev", self.ifname, "nodad")
        self.ns.ip("link", "set", self.ifname, "mtu", mtu, "up")
        return self

    def set(self, *argv):
        return self.ns.run("wg", "set", self.ifname, *argv)

    def show(self, what):
        """One field of `wg show`, of the only peer."""
        out = self.ns.run("wg", "show", self.ifname, what).stdout.split()
        return out[1:] if out else []

    def peer(self, other, endpoint=None, psk=None, keepalive=None):
        argv = ["peer", other.public, "allowed-ips", f"{other.inner4}/32,{other.inner6}/128"]
        if endpoint:
            argv += ["endpoint", endpoint]
        if psk:
            argv += ["preshared-key", self.lab.file(self.name + ".psk", psk)]
        if keepalive is not None:
            argv += ["persistent-keepalive", keepalive]
        self.set(*argv)

    def endpoint(self, v6=False):
        return f"[{self.outer6}]:{self.port}" if v6 else f"{self.outer4}:{self.port}"

    def handshake(self):
        """When the last one was, seconds since the epoch."""
        return int((self.show("latest-handshakes") or ["0"])[0])


def cable(a, b, mtu=None, whole=True):
    """Joins the namespaces of two sides.  Not @whole: datagrams are cut and merged as on a real card."""
    a.lab.veth(a.ns, "v" + a.name, [a.outer4 + "/24", a.outer6 + "/64"], b.ns, "v" + b.name,
               [b.outer4 + "/24", b.outer6 + "/64"])
    for side in (a, b):
        if mtu:
            side.ns.ip("link", "set", "v" + side.name, "mtu", mtu)
        if not whole:
            side.ns.run("ethtool", "-K", "v" + side.name, "tso", "off", "tx-udp-segmentation", "off", "gro", "on")


def pair(lab, left, right, v6=False, psk=None, mtu=1420, whole=True, left_env=None, right_env=None):
    """Two sides that know each other; the left one knows where the right one is."""
    a, b = Side(lab, "a", 1, left, left_env), Side(lab, "b", 2, right, right_env)
    cable(a, b, whole=whole)
    a.start(mtu)
    b.start(mtu)
    a.peer(b, b.endpoint(v6), psk)
    b.peer(a, None, psk)
    return a, b


def psk():
    return subprocess.run(["wg", "genpsk"], check=True, capture_output=True, text=True).stdout.strip()


def iperf(client, server, *argv, seconds=3):
    """Runs iperf3 through the tunnel; returns the `end` of its report."""
    import json
    log = server.ns.start("iperf3", "-s", "-1", "--forceflush")
    log.wait_for(r"Server listening")
    done = client.ns.run("iperf3", "-c", server.inner4, "-t", seconds, "-J", *argv, timeout=60 + seconds)
    log.wait()
    return json.loads(done.stdout)["end"]


def lossless(client, server, *argv, seconds=2, tries=4):
    """UDP without a packet lost, in one of a few runs: on a busy machine either end may be kept from running for longer
    than the 500 packets that a TUN device holds."""
    for _ in range(tries):
        lost = iperf(client, server, "-u", *argv, seconds=seconds)["sum"]["lost_packets"]
        if lost == 0:
            return
    raise AssertionError(f"{lost} packets lost, in {tries} runs")


def ping_lost(output):
    return float(re.search(r"([\d.]+)% packet loss", output).group(1))
