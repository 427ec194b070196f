"""Many tenants behind one port: how soon the tunnel is ready with a device of each, and gone again.  This plays warrend."""
import fcntl
import os
import resource
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "net", "tunnel"))
from parent import CONFIG, GO, IDENTITY, READY, SOCKET, STOP, Parent, inside, say, tun, udp  # noqa: E402

TUNSETPERSIST = 0x400454CB
SPARE = 100  # descriptors for everything else


def devices(ns, n):
    """They end with their namespace, all at once: closing them one by one takes the kernel long."""
    names = [f"t{i}" for i in range(n)]
    fds = inside(ns.name, lambda: [tun(name) for name in names])
    for fd in fds:
        fcntl.ioctl(fd, TUNSETPERSIST, 1)
    ns.run("ip", "-batch", "-", input="".join(f"link set {name} mtu 1420 up\n" for name in names))
    return dict(zip(names, fds))


def domains(lab, program, scale):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(1024, 2 * scale.domains + SPARE)), hard))
    inner = lab.ns("in")
    made = devices(inner, scale.domains)
    parent = Parent(lab, inner)
    begun = time.monotonic()
    parent.send(CONFIG, b"WARREN_LISTEN_PORT=51820\nWARREN_LOG_LEVEL=info\n")
    s = inside("in", lambda: udp(socket.AF_INET, "0.0.0.0"))
    parent.send(SOCKET, b"udp4", [s.fileno()])
    s.close()
    parent.send(IDENTITY, os.urandom(32))
    for name, fd in made.items():
        parent.send(SOCKET, b"tun:" + name.encode(), [fd])
    parent.send(GO)
    if parent.receive() != (READY, b""):
        raise AssertionError(f"the tunnel did not get ready: {parent.process.output()[-300:]}")
    ready = time.monotonic() - begun
    known = say(parent.channel("control"), "get=1\nwarren_domain=*\n\n").count("warren_domain=")
    if known != scale.domains:
        raise AssertionError(f"{known} domains of {scale.domains}")
    begun = time.monotonic()
    parent.send(STOP)
    parent.process.wait(60)
    found = {"domains": {"start": ready, "stop": time.monotonic() - begun, "domains": scale.domains}}
    for fd in made.values():
        os.close(fd)
    return found
