"""Plays warrend and control to a real net process.

Inner is the pair of user and network namespace that warrend would make, as a Namespace of the laboratory; Net is a
net process in it, with the messages of server/proc/message.h on descriptor 3 and on a channel called "control".
"""
import array
import difflib
import json
import os
import re
import select
import socket
import struct
import subprocess
import time

from lab import BUILD, PATIENCE, Namespace, wait_until

HELLO, CONFIG, SOCKET, IDENTITY, CHANNEL, GO, READY, TUN, STOP, NET_PLAN, NET_STATE, TUN_GONE = range(1, 13)
ROLE = os.path.join(BUILD, "tests/net/net/net-role")


class Inner(Namespace):
    """User and network namespace of an unprivileged user, kept by a process that can be joined by its pid."""

    def __init__(self, lab, name="inner"):
        self.lab, self.name, self.user = lab, name, lab.user()
        uid = str(self.user.pw_uid)
        self.keeper = subprocess.Popen(
            ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "unshare", "--user", "--net", "--map-user", uid,
             "--map-group", uid, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.keeper.stdin.write(b"x")
        assert self.keeper.stdout.read(1) == b"x"  # it is inside
        self.pid = self.keeper.pid
        path = "/run/netns/" + name
        with open(path, "w"):
            pass
        subprocess.run(["mount", "--bind", f"/proc/{self.pid}/ns/net", path], check=True)
        lab.namespaces[name] = self

    def sysctl(self, name):
        return int(self.run("cat", "/proc/sys/net/" + name).stdout)

    def rules(self):
        """With handles: a rule that was made anew has another one."""
        return self.run("nft", "-a", "list", "ruleset").stdout

    def picture(self):
        """All that net is responsible for, without counters and lifetimes."""
        return "\n".join([re.sub(r"packets \d+ bytes \d+", "", self.rules()),
                          self.run("ip", "-d", "link").stdout,
                          re.sub(r"valid_lft.*", "", self.run("ip", "-d", "addr").stdout),
                          self.run("ip", "route", "show", "table", "all").stdout,
                          self.run("ip", "-6", "route", "show", "table", "all").stdout])

    def same(self, before):
        now = self.picture()
        assert now == before, "\n".join(difflib.unified_diff(before.splitlines(), now.splitlines(), lineterm=""))

    def settled(self, ifname):
        """The link has its carrier and all its addresses."""
        def look():
            shown = self.run("ip", "addr", "show", ifname).stdout
            return "NO-CARRIER" not in shown and "tentative" not in shown and "fe80" in shown
        wait_until(look, ifname + " is usable")

    def dropped(self, counter):
        found = re.search(rf"counter {counter} {{.*?packets (\d+)", self.rules(), re.S)
        return int(found.group(1)) if found else None


class Channel:
    def __init__(self, sock):
        self.sock = sock

    def send(self, kind, body=b"", fds=()):
        if isinstance(body, str):
            body = body.encode()
        with_fds = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([struct.pack("<II", kind, len(body)), body], with_fds)

    def recv(self, timeout=None):
        """(type, body, descriptors); None at the end."""
        self.sock.settimeout(timeout or PATIENCE)
        data, ancillary, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(64))
        if not data:
            return None
        fds = array.array("i")
        for _, _, bytes_ in ancillary:
            fds.frombytes(bytes_)
        kind, length = struct.unpack_from("<II", data)
        assert length == len(data) - 8
        return kind, data[8:], list(fds)

    def quiet(self, seconds):
        return not select.select([self.sock], [], [], seconds)[0]


def pair():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(a), b


class Net:
    """One net process.  @tuns: the devices that warrend keeps, name to descriptor; what comes up joins it."""

    def __init__(self, inner, tuns=None, hand_down=True, control=True, workers=1):
        self.inner, self.tuns = inner, {} if tuns is None else tuns
        self.parent, theirs = pair()
        uid = inner.user.pw_uid

        def become():
            os.dup2(theirs.fileno(), 3)

        self.log = os.path.join(inner.lab.dir, f"net.{time.monotonic_ns()}")
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [ROLE, f"/proc/{inner.pid}/ns/user", f"/proc/{inner.pid}/ns/net"], preexec_fn=become, pass_fds=(3,),
                user=uid, group=uid, extra_groups=[], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        theirs.close()
        inner.lab.processes.append(self)
        assert self.parent.recv()[:2] == (HELLO, b"net")
        self.parent.send(CONFIG, f"WARREN_LOG_LEVEL=debug\nWARREN_WORKERS={workers}\n")
        self.queues = workers
        for name, fd in self.tuns.items() if hand_down else ():
            self.parent.send(SOCKET, "tun:" + name, [fd])
        self.control = None
        if control:
            self.connect()
        self.parent.send(GO)
        self.new = []
        while True:
            message = self.parent.recv()
            assert message, "net ended:\n" + self.output()
            if message[0] == READY:
                break
            self.take_tun(message)

    def take_tun(self, message):
        kind, name, fds = message
        assert kind == TUN and len(fds) == self.queues, message
        for fd in fds[1:]:
            os.close(fd)  # no test here reads what the kernel would share out
        self.tuns[name.decode()] = fds[0]
        self.new.append(name.decode())

    def connect(self):
        """A fresh connection to control; the one before is dead."""
        if self.control:
            self.control.sock.close()
        self.control, theirs = pair()
        self.parent.send(CHANNEL, "control", [theirs.fileno()])
        theirs.close()

    def state(self, timeout=None):
        message = self.control.recv(timeout)
        assert message, "net closed the channel:\n" + self.output()
        assert message[0] == NET_STATE and not message[2]
        return json.loads(message[1])

    def plan(self, plan):
        """Sends it; the answer.  What was told unasked before is passed over."""
        while not self.control.quiet(0):
            self.state()
        self.control.send(NET_PLAN, plan if isinstance(plan, (str, bytes)) else json.dumps(plan))
        return self.state()

    def until(self, condition, what):
        """Unasked states until one fits."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            state = self.state()
            if condition(state):
                return state
        raise AssertionError("no state came: " + what)

    def silent(self):
        """All that happened lately is told."""
        while not self.control.quiet(0.2):
            self.state()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=None):
        if self.process.poll() is None:
            try:
                self.parent.send(STOP)
            except OSError:
                pass
            try:
                self.process.wait(timeout or PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def output(self):
        with open(self.log, errors="replace") as f:
            return f.read()


def domain(name="default", ifname="wg0", addresses=("10.82.0.1/16", "fd01:2:3:4::1/64"), mtu=1420, meet=False, routes=None):
    made = {"name": name, "ifname": ifname, "mtu": mtu, "addresses": list(addresses), "peers_may_meet": meet}
    return made if routes is None else {**made, "routes": list(routes)}


def codes(state):
    return [p["code"] for p in state["problems"]]


class Device:
    """The tunnel's end of a TUN: packets in and out, with the head of superframes (10 zeroes)."""

    def __init__(self, fd):
        self.fd = fd
        os.set_blocking(fd, False)

    def write(self, packet):
        os.write(self.fd, bytes(10) + packet)

    def read(self, timeout=None):
        """The next packet, or None.  What the kernel says of its own multicast (hop-by-hop first) is passed over."""
        deadline = time.monotonic() + (PATIENCE if timeout is None else timeout)
        while select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
            packet = os.read(self.fd, 70000)[10:]
            if packet[0] >> 4 != 6 or packet[6] != 0:
                return packet
        return None

    def expect(self, fits, what):
        """The first packet that fits; others are passed over."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            packet = self.read()
            if packet and fits(packet):
                return packet
        raise AssertionError("no packet came: " + what)
