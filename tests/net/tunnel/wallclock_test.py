#!/usr/bin/env python3
"""An end of access while the wall clock is set back or forward, with the TUN's queue and the sockets full."""
import base64
import os
import socket
import subprocess
import sys
import time

from lab import main, need, program, test, wait_until
from preload import Clocks

PORT = 51820

SINK = """
import signal, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 5201))
print("bound")
signal.pause()
"""
FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 5201))
data, end = bytes(1000), time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    for _ in range(64):
        try:
            s.send(data)
        except OSError:
            pass
"""


def uapi(ifname, text):
    """One request to the tunnel's socket; the answer's lines."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(f"/var/run/wireguard/{ifname}.sock")
        s.sendall(text.encode())
        answer = b""
        while not answer.endswith(b"\n\n"):
            part = s.recv(65536)
            assert part, f"closed after {answer!r}"
            answer += part
    lines = answer.decode().splitlines()
    assert "errno=0" in lines, lines
    return lines


def hexadecimal(key):
    return base64.b64decode(key).hex()


class Ends:
    """Our tunnel `wg0` in namespace gw, wireguard-go `wgc` in namespace client, floods both ways."""

    def __init__(self, lab):
        need("wg", "wireguard-go")
        self.lab, self.clocks = lab, Clocks(lab)
        gw, client = self.gw, self.client = lab.ns("gw"), lab.ns("client")
        lab.veth(gw, "vg", "192.0.2.1/24", client, "vc", "192.0.2.2/24")
        key = {n: subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout.strip() for n in "gc"}
        self.public = {n: subprocess.run(["wg", "pubkey"], input=key[n], capture_output=True, text=True, check=True
                                         ).stdout.strip() for n in "gc"}
        self.tunnel = gw.start(program("warren-tunnel"), "-f", "wg0", env=dict(os.environ, **self.clocks.env))
        self.other = client.start("wireguard-go", "-f", "wgc")
        for name in ("wg0", "wgc"):
            wait_until(lambda n=name: os.path.exists(f"/var/run/wireguard/{n}.sock"), "the UAPI socket of " + name)
        gw.run("wg", "set", "wg0", "listen-port", PORT, "private-key", lab.file("kg", key["g"]),
               "peer", self.public["c"], "allowed-ips", "10.9.0.2/32")
        client.run("wg", "set", "wgc", "private-key", lab.file("kc", key["c"]), "peer", self.public["g"],
                   "allowed-ips", "10.9.0.1/32", "endpoint", f"192.0.2.1:{PORT}")
        for ns, dev, address in ((gw, "wg0", "10.9.0.1/24"), (client, "wgc", "10.9.0.2/24")):
            ns.ip("addr", "add", address, "dev", dev)
            ns.ip("link", "set", dev, "up", "mtu", 1420)
        client.ping("10.9.0.1")

    def end(self, at, state="active"):
        uapi("wg0", f"set=1\npublic_key={hexadecimal(self.public['c'])}\nupdate_only=true\nwarren_state={state}\n"
             f"warren_end={at}\n\n")

    def flood(self, seconds):
        """UDP without a bound both ways at once: the TUN's queue and the socket's buffer are full all the time."""
        for ns, other, address in ((self.gw, self.client, "10.9.0.2"), (self.client, self.gw, "10.9.0.1")):
            other.start(sys.executable, "-u", "-c", SINK, address).wait_for("bound")
            ns.start(sys.executable, "-c", FLOOD, address, seconds)
        wait_until(lambda: min(self.received()) > 2000, "packets both ways")

    def received(self):
        """What came to the sinks so far, at the gateway and at the client: what waits there and what found no room.  (The
        gateway's device counts errors of ICMP, too, by which what comes after the end is answered.)"""
        counts = []
        for process in (self.tunnel, self.other):
            with open(f"/proc/{process.pid}/net/udp") as f:
                fields = next(line.split() for line in f if ":1451 " in line.split(maxsplit=2)[1] + " ")
            counts.append(int(fields[4].split(":")[1], 16) + int(fields[-1]))
        return counts

    def last_packets(self, until):
        """Watches both counters until @until (monotonic); when each rose for the last time."""
        before, at = self.received(), [0.0, 0.0]
        while time.monotonic() < until:
            time.sleep(0.005)
            now = self.received()
            for i in range(2):
                if now[i] != before[i]:
                    at[i] = time.monotonic()
            before = now
        return at


def expect_end_at(ends, deadline, margin=2.5, until=True):
    """The flood goes on until about @deadline (monotonic; unless it has passed already: not @until), and nothing passes a
    second after it."""
    last = ends.last_packets(deadline + margin)
    for way, at in zip(("to the gateway", "to the client"), last):
        assert not until or at >= deadline - 1.2, f"{way}: the last packet came {deadline - at:.2f} s before the end"
        assert at <= deadline + 1, f"{way}: the last packet came {at - deadline:.2f} s after the end"


@test
def an_end_holds_when_the_wall_clock_is_set_back_an_hour(lab):
    ends = Ends(lab)
    ends.flood(20)
    end = int(time.time()) + 3
    ends.end(end)
    deadline = time.monotonic() + end - time.time()
    ends.clocks.wall(-3600)
    expect_end_at(ends, deadline)


@test
def an_end_comes_at_once_when_the_wall_clock_passes_it(lab):
    ends = Ends(lab)
    ends.flood(20)
    ends.end(int(time.time()) + 3000)
    ends.clocks.wall(3600)
    expect_end_at(ends, time.monotonic(), until=False)


main()
