"""warrend's part, for tests of a managed tunnel: its end of the child's channel, and what it hands over."""
import array
import ctypes
import fcntl
import os
import socket
import struct

from lab import PATIENCE
from wires import ours

# the numbers of server/proc/message.h, in the order of its table
HELLO, CONFIG, SOCKET, IDENTITY, CHANNEL, GO, READY, TUN, STOP = range(1, 10)


class Parent:
    """warrend's end of a child's channel."""

    def __init__(self, lab, ns):
        self.socket, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(PATIENCE)
        launcher = lab.file("child.py", f"import os\nos.dup2({child.fileno()}, 3)\nos.set_inheritable(3, True)\n"
                                        f"os.execv({ours()!r}, ['warren-tunnel', '--managed'])\n")
        self.process = ns.start("python3", launcher, pass_fds=(child.fileno(),))
        child.close()
        assert self.receive() == (HELLO, b"tunnel")

    def receive(self):
        data = self.socket.recv(70000)
        kind, length = struct.unpack("<II", data[:8])
        assert length == len(data) - 8
        return kind, data[8:]

    def send(self, kind, body=b"", fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([struct.pack("<II", kind, len(body)) + body], control)

    def channel(self, name):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        mine.settimeout(PATIENCE)
        self.send(CHANNEL, name.encode(), [theirs.fileno()])
        theirs.close()
        return mine


def say(channel, request):
    channel.sendall(request.encode())
    answer = b""
    while not answer.endswith(b"\n\n"):
        got = channel.recv(65536)
        assert got, "the channel ended"
        answer += got
    return answer.decode()


def inside(name, what):
    """Calls @what in that namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    here, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(f"/run/netns/{name}", os.O_RDONLY)
    assert libc.setns(there, 0x40000000) == 0
    try:
        return what()
    finally:
        assert libc.setns(here, 0x40000000) == 0
        os.close(here)
        os.close(there)


def tun(name="wg0"):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH14x", name.encode(), 1 | 0x1000 | 0x4000 | 0x100))
    return fd


def udp(family, address):
    s = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, 51820))
    return s
