#!/usr/bin/env python3
"""The tunnel as a child: this test plays warrend, and hands it everything over descriptor 3."""
import os
import socket
import subprocess

from lab import PATIENCE, main, test, wait_until
from parent import CONFIG, GO, IDENTITY, READY, SOCKET, STOP, Parent, inside, say, tun, udp
from wires import Side, hexadecimal, ours

class Gateway:
    """Sockets in the outer namespace "out", the device in the inner one "in", a client in "b"."""

    def __init__(self, lab, late_tun=False):
        self.lab = lab
        self.outer, self.inner = lab.ns("out"), lab.ns("in")
        self.client = Side(lab, "b", 2, "wireguard-go")
        lab.veth(self.outer, "vo", ["192.0.2.1/24", "2001:db8::1/64"], self.client.ns, "vb", ["192.0.2.2/24", "2001:db8::2/64"])
        self.client.start()
        key = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout.strip()
        self.public = subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True, check=True).stdout.strip()
        self.parent = Parent(lab, self.inner)
        self.parent.send(CONFIG, b"WARREN_LISTEN_PORT=51820\nWARREN_LOG_LEVEL=debug\n")
        for name, family, address in (("udp4", socket.AF_INET, "0.0.0.0"), ("udp6", socket.AF_INET6, "::")):
            s = inside("out", lambda: udp(family, address))
            self.parent.send(SOCKET, name.encode(), [s.fileno()])
            s.close()
        self.uapi_path = os.path.join(lab.dir, "wg0.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.uapi_path)
        listener.listen()
        self.parent.send(SOCKET, b"uapi:wg0", [listener.fileno()])
        listener.close()
        self.tun = inside("in", tun)
        if not late_tun:
            self.hand_tun()
        self.parent.send(IDENTITY, bytes.fromhex(hexadecimal(key)))
        self.control = self.parent.channel("control")
        self.parent.send(GO)
        assert self.parent.receive() == (READY, b"")
        if late_tun:
            self.hand_tun()
        self.client.set("peer", self.public, "allowed-ips", "10.9.0.1/32,fd09::1/128", "endpoint", "192.0.2.1:51820")

    def hand_tun(self):
        self.parent.send(SOCKET, b"tun:wg0", [self.tun])
        self.inner.ip("addr", "add", "10.9.0.1/24", "dev", "wg0")
        self.inner.ip("link", "set", "wg0", "mtu", "1420", "up")

    def allow(self, more=""):
        key = hexadecimal(self.client.public)
        assert say(self.control, f"set=1\npublic_key={key}\nreplace_allowed_ips=true\nallowed_ip=10.9.0.2/32\n{more}\n") == "errno=0\n\n"

    def pings(self):
        return wait_until(lambda: self.client.ns.ping("10.9.0.1", check=False, wait=1), "an answer through the gateway", 40)


@test
def a_managed_tunnel_carries_packets_between_namespaces(lab):
    gateway = Gateway(lab)
    gateway.allow()
    gateway.pings()
    full = say(gateway.control, "get=1\nwarren_protocol=1\n\n")
    assert "warren_protocol=1\n" in full and f"warren_public_key={hexadecimal(gateway.public)}\n" in full
    assert "listen_port=51820\n" in full and "private_key" not in full and "preshared" not in full
    gateway.parent.send(STOP)
    assert gateway.parent.process.wait() == 0


@test
def a_device_that_comes_later_is_taken(lab):
    gateway = Gateway(lab, late_tun=True)
    gateway.allow()
    gateway.pings()


@test
def a_sibling_may_not_touch_the_device_and_others_touch_nothing(lab):
    gateway = Gateway(lab)
    gateway.allow()
    for line in ("private_key=" + "11" * 32, "listen_port=1", "fwmark=1"):
        assert say(gateway.control, f"set=1\n{line}\n\n") == "errno=-13\n\n"
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(PATIENCE)
        other.connect(gateway.uapi_path)
        assert say(other, "set=1\nreplace_peers=true\n\n") == "errno=-13\n\n"
        assert hexadecimal(gateway.client.public) in say(other, "get=1\n\n")
    gateway.pings()


@test
def events_come_on_a_watch_and_channels_may_be_replaced(lab):
    gateway = Gateway(lab)
    watch = gateway.parent.channel("control-watch")
    assert say(watch, "set=1\nwarren_watch=true\n\n") == "errno=0\n\n"
    gateway.allow()
    gateway.pings()
    event = b""
    while b"\n\n" not in event:
        event += watch.recv(65536)
    first = event.decode().split("\n\n")[0].split("\n")
    assert first[0] == "public_key=" + hexadecimal(gateway.client.public), event
    assert "endpoint=192.0.2.2:51820" in first, event
    gateway.control.close()
    watch.close()
    gateway.control = gateway.parent.channel("control")
    assert hexadecimal(gateway.client.public) in say(gateway.control, "get=1\n\n")
    gateway.pings()


@test
def a_new_tunnel_told_the_last_endpoint_calls_a_silent_client(lab):
    gateway = Gateway(lab)
    gateway.allow("endpoint=192.0.2.2:51820\nwarren_initiate=true\n")
    wait_until(lambda: gateway.client.handshake() > 0, "a handshake that the client did not begin")
    gateway.client.ns.ping("10.9.0.1")


@test
def it_holds_no_capability_it_could_use_and_executes_nothing(lab):
    gateway = Gateway(lab)
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{gateway.parent.process.pid}/status") if ":\t" in line)
    assert status["NoNewPrivs"].strip() == "1"
    if os.environ.get("WARREN_SANITIZER", "none") == "none":
        assert status["Seccomp"].strip() == "2", status["Seccomp"]
        assert 2 <= int(status["Threads"]) <= os.cpu_count() + 2, status["Threads"]  # control, a worker for each CPU, one that closes


@test
def the_end_of_the_parent_ends_it(lab):
    gateway = Gateway(lab)
    gateway.parent.socket.close()
    gateway.parent.process.wait()


main()
