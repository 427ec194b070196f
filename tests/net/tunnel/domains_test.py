#!/usr/bin/env python3
"""Several domains behind one port and one key: each has its own device, its own table and its own socket."""
import fcntl
import os
import resource
import socket
import subprocess
import time

from lab import PATIENCE, main, test, wait_until
from parent import CONFIG, GO, IDENTITY, READY, SOCKET, STOP, Parent, inside, say, tun, udp
from wires import Side, hexadecimal

MANY = 1000
TUNSETPERSIST = 0x400454CB
EACCES, EBUSY, EEXIST, ENODEV = "-13", "-16", "-17", "-19"


class Client(Side):
    """A foreign WireGuard, on a cable of its own."""

    def __init__(self, gateway, name, number, inner4):
        super().__init__(gateway.lab, name, number, "wireguard-go")
        self.inner4 = inner4
        gateway.lab.veth(gateway.outer, "o" + name, f"198.18.{number}.1/24", self.ns, "v" + name, f"198.18.{number}.2/24")
        self.gateway = gateway
        self.start()
        self.begin()

    def begin(self):
        """Anew, without the session that it has: it would be waited for in vain for 15 s."""
        self.set("peer", self.gateway.public, "remove")
        self.set("peer", self.gateway.public, "allowed-ips", "10.9.0.0/24", "endpoint", f"198.18.{self.number}.1:51820")

    def reaches(self, address="10.9.0.1"):
        """Through the gateway, to the end of handshakes that take their time."""
        return wait_until(lambda: self.ns.ping(address, check=False, wait=1), f"an answer for {self.name}", 2 * PATIENCE)

    def asked(self):
        """How many echo requests came here."""
        out = self.ns.run("nstat", "-asz", "IcmpInEchos").stdout
        return int(next(line.split()[1] for line in out.splitlines() if line.startswith("IcmpInEchos")))


class Gateway:
    """Sockets in the namespace "out"; the devices are where each test has them."""

    def __init__(self, lab):
        self.lab, self.outer, self.inner = lab, lab.ns("out"), lab.ns("in")
        key = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout.strip()
        self.public = subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True, check=True).stdout.strip()
        self.devices = {}
        self.parent = Parent(lab, self.inner)
        self.parent.send(CONFIG, b"WARREN_LISTEN_PORT=51820\nWARREN_LOG_LEVEL=info\n")
        s = inside("out", lambda: udp(socket.AF_INET, "0.0.0.0"))
        self.parent.send(SOCKET, b"udp4", [s.fileno()])
        s.close()
        self.parent.send(IDENTITY, bytes.fromhex(hexadecimal(key)))

    def make(self, ns, *names):
        """Makes devices, keeps them as warrend does, and hands them over.  They end with their namespace, all at once:
        closing them one by one takes the kernel longer than the test."""
        self.devices.update(zip(names, inside(ns.name, lambda: [tun(name) for name in names])))
        for name in names:
            fcntl.ioctl(self.devices[name], TUNSETPERSIST, 1)
        ns.run("ip", "-batch", "-", input="".join(f"link set {name} mtu 1420 up\n" for name in names))
        for name in names:
            self.hand("tun:" + name, self.devices[name])

    def hand(self, name, fd):
        self.parent.send(SOCKET, name.encode(), [fd])

    def listener(self, name):
        path = os.path.join(self.lab.dir, name + ".sock")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen()
            self.hand("uapi:" + name, s.fileno())
        return path

    def go(self):
        """Returns how long it took to be ready."""
        self.control = self.parent.channel("control")
        begin = time.monotonic()
        self.parent.send(GO)
        assert self.parent.receive() == (READY, b"")
        return time.monotonic() - begin

    def set(self, *lines, errno="0"):
        answer = say(self.control, "set=1\n" + "".join(line + "\n" for line in lines) + "\n")
        assert answer.splitlines()[-2] == "errno=" + errno, answer
        return answer

    def get(self, *lines):
        return say(self.control, "get=1\n" + "".join(line + "\n" for line in lines) + "\n")


def key(client):
    return "public_key=" + hexadecimal(client.public)


def two(lab):
    """Two tenants who both have a 10.9.0.2 and a gateway 10.9.0.1."""
    gateway = Gateway(lab)
    sites = {name: lab.ns("in-" + name) for name in ("red", "blue")}
    for name, ns in sites.items():
        gateway.make(ns, name)
        ns.ip("addr", "add", "10.9.0.1/24", "dev", name)
    paths = {name: gateway.listener(name) for name in sites}
    gateway.go()
    clients = {"red": Client(gateway, "r", 11, "10.9.0.2"), "blue": Client(gateway, "b", 12, "10.9.0.2")}
    gateway.set("warren_domain=red", key(clients["red"]), "allowed_ip=10.9.0.2/32",
                "warren_domain=blue", key(clients["blue"]), "allowed_ip=10.9.0.2/32")
    for client in clients.values():
        client.reaches()
    return gateway, sites, clients, paths


@test
def the_same_address_in_two_domains_is_two_peers(lab):
    gateway, sites, clients, _ = two(lab)
    assert gateway.get("warren_domain=*").count("allowed_ip=10.9.0.2/32\n") == 2
    for name, other in (("red", "blue"), ("blue", "red")):
        here, there = clients[name].asked(), clients[other].asked()
        assert sites[name].ping("10.9.0.2", count=3)
        assert clients[name].asked() == here + 3 and clients[other].asked() == there


@test
def nothing_passes_from_one_domain_to_another(lab):
    gateway, sites, clients, _ = two(lab)
    gateway.set("warren_domain=blue", key(clients["blue"]), "allowed_ip=10.9.0.3/32")
    clients["blue"].ns.ip("addr", "add", "10.9.0.3/32", "dev", clients["blue"].ifname)
    assert sites["blue"].ping("10.9.0.3")
    before = clients["blue"].asked()
    for ns in (sites["red"], clients["red"].ns):
        assert not ns.ping("10.9.0.3", count=3, wait=1, check=False)
    assert clients["blue"].asked() == before
    # an address of the other domain's peer is no source either
    clients["red"].ns.ip("addr", "add", "10.9.0.3/32", "dev", clients["red"].ifname)
    refused = lambda: int(dict(line.split("=", 1) for line in gateway.get("warren_protocol=1").splitlines() if "=" in line)
                          .get("warren_drop_source", 0))
    sources = refused()
    clients["red"].ns.ping("10.9.0.1", check=False, wait=1, extra=("-I", "10.9.0.3"))
    assert refused() == sources + 1


@test
def each_domain_has_a_socket_that_shows_it_alone_and_changes_nothing(lab):
    gateway, _, clients, paths = two(lab)
    for name, other in (("red", "blue"), ("blue", "red")):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(paths[name])
            shown = say(s, "get=1\n\n")
            assert key(clients[name]) in shown and key(clients[other]) not in shown and "warren_" not in shown
            assert f"warren_domain={name}\n" in say(s, "get=1\nwarren_protocol=1\n\n")
            for asked in (other, "*"):
                assert f"errno={EACCES}\n" in say(s, f"get=1\nwarren_domain={asked}\n\n")
            assert say(s, f"set=1\n{key(clients[name])}\nremove=true\n\n") == f"errno={EACCES}\n\n"
    both = gateway.get("warren_domain=*")
    assert both.index("warren_domain=red\n" + key(clients["red"])) < both.index("warren_domain=blue\n" + key(clients["blue"]))


@test
def a_key_cannot_be_in_two_domains_and_can_move(lab):
    gateway, sites, clients, _ = two(lab)
    red = clients["red"]
    said = gateway.set("warren_domain=blue", key(red), "allowed_ip=10.9.0.4/32", errno=EEXIST)
    assert "warren_trouble=" in said and "domain red" in said
    red.reaches()
    gateway.set("warren_domain=red", key(red), "remove=true", "warren_domain=blue", key(red), "allowed_ip=10.9.0.4/32")
    red.ns.ip("addr", "del", "10.9.0.2/24", "dev", red.ifname)
    red.ns.ip("addr", "add", "10.9.0.4/24", "dev", red.ifname)
    before = red.asked()
    red.begin()
    red.reaches()
    assert sites["blue"].ping("10.9.0.4") and red.asked() == before + 1


@test
def a_domain_goes_with_its_peers_and_can_come_again(lab):
    gateway, sites, clients, _ = two(lab)
    gateway.set("warren_domain=red", "warren_remove_domain=true", errno=EBUSY)
    gateway.set("warren_domain=blue", "warren_remove_domain=true")
    gateway.set("warren_domain=blue", "warren_remove_domain=true")
    assert f"errno={ENODEV}\n" in gateway.get("warren_domain=blue")
    assert not clients["blue"].ns.ping("10.9.0.1", check=False, wait=1)
    assert not sites["blue"].ping("10.9.0.2", check=False, wait=1)
    clients["red"].reaches()
    gateway.hand("tun:blue", gateway.devices["blue"])
    gateway.set("warren_domain=blue", key(clients["blue"]), "allowed_ip=10.9.0.2/32")
    clients["blue"].begin()
    clients["blue"].reaches()
    assert sites["blue"].ping("10.9.0.2")


@test
def a_thousand_domains_start_and_stop_quickly(lab):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8 * MANY)), hard))
    gateway = Gateway(lab)
    begin = time.monotonic()
    gateway.make(gateway.inner, *(f"t{i}" for i in range(MANY)))
    made = time.monotonic() - begin
    ready = gateway.go()
    first, last = Client(gateway, "1st", 11, "10.9.0.2"), Client(gateway, "last", 12, "10.9.0.2")
    lines = []
    for i in range(MANY):
        peer = {0: key(first), MANY - 1: key(last)}.get(i, "public_key=" + os.urandom(32).hex())
        lines += [f"warren_domain=t{i}", peer, "allowed_ip=10.9.0.2/32"]
    begin = time.monotonic()
    gateway.set(*lines)
    loaded = time.monotonic() - begin
    shown = gateway.get("warren_domain=*")
    assert shown.count("warren_domain=") == MANY and shown.count("public_key=") == MANY
    for client, number in ((first, 0), (last, MANY - 1)):
        gateway.inner.ip("addr", "replace", "10.9.0.1/24", "dev", f"t{number}")
        client.reaches()
        gateway.inner.ip("addr", "del", "10.9.0.1/24", "dev", f"t{number}")
    assert first.handshake() > 0 and last.handshake() > 0
    begin = time.monotonic()
    gateway.parent.send(STOP)
    assert gateway.parent.process.wait() == 0
    print(f"# {MANY} domains: devices made in {made:.2f} s, ready after {ready * 1e3:.0f} ms, a peer each in {loaded * 1e3:.0f} ms, "
          f"stopped in {(time.monotonic() - begin) * 1e3:.0f} ms", flush=True)


main()
