"""Who is nobody's peer and sends all the same; and what became of it."""
import base64
import hashlib

from lab import wait_until
from wires import figures


def dropped(side, why):
    return figures(side.ifname).get("warren_drop_" + why, 0)


def drops(side, why, n, what):
    wait_until(lambda: dropped(side, why) >= n, f"{what}: {n} {why}")


def mac1(public, body):
    key = hashlib.blake2s(b"mac1----" + base64.b64decode(public)).digest()
    return hashlib.blake2s(body, key=key, digest_size=16).digest()


class Attacker:
    """Sends initiations that only the first MAC makes look right, from many sockets."""

    CODE = r"""
import hashlib, os, socket, struct, sys, time
key, to, sources = bytes.fromhex(sys.argv[1]), (sys.argv[2], 51820), sys.argv[3].split(",")
sockets = []
for source in sources:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((source, 0))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sockets.append(s)
messages = []
for _ in range(3000):
    body = struct.pack("<I", 1) + os.urandom(112)
    messages.append(body + hashlib.blake2s(body, key=key, digest_size=16).digest() + bytes(16))
print("flooding", flush=True)
while True:
    begin = time.monotonic()
    for i, message in enumerate(messages):
        try:
            sockets[i % len(sockets)].sendto(message, to)
        except OSError:
            pass
    time.sleep(max(0, 0.1 - (time.monotonic() - begin)))
"""

    def __init__(self, lab, target, sources=50):
        self.ns = lab.ns("x")
        addresses = [f"203.0.113.{n}" for n in range(10, 10 + sources)]
        lab.veth(self.ns, "vx", [f"{address}/24" for address in addresses], target.ns, "gx", "203.0.113.1/24")
        key = hashlib.blake2s(b"mac1----" + base64.b64decode(target.public)).hexdigest()
        self.process = self.ns.start("python3", "-c", self.CODE, key, "203.0.113.1", ",".join(addresses))
        self.process.wait_for("flooding")
