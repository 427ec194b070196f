#!/usr/bin/env python3
"""Peers appear and leave by the thousands while packets pass, some of them after a handshake.  Memory comes back to where
it was; on a build with AddressSanitizer nothing is touched that is gone, and nothing is left at the end.

WARREN_SOAK: how many peers in all, instead of 10,000.
"""
import base64
import os
import signal
import subprocess

from crowd import Client, begin, last_line
from lab import main, need, test, wait_until
from preload import library
from wires import Side, ours, uapi

PEERS = int(os.environ.get("WARREN_SOAK", "10000"))
AT_ONCE, GUESTS = 1000, 4  # of each lot so many are somebody
FLOWS, RATE = 8, 1000
GROWTH = 1024  # KiB that may come after the first quarter
SANITIZED = "address" in os.environ.get("WARREN_SANITIZER", "")


class Guest(Side):
    """A client that is one peer after the other."""

    def __init__(self, lab, gateway, number):
        super().__init__(lab, f"s{number}", number, ours())
        lab.veth(self.ns, "v" + self.name, f"203.0.{number}.2/24", gateway.ns, "g" + self.name, f"203.0.{number}.1/24")
        self.start()
        self.set("peer", gateway.public, "allowed-ips", f"{gateway.inner4}/32", "endpoint", f"203.0.{number}.1:51820")

    def become(self):
        """The new public key."""
        run = lambda *argv, **more: subprocess.run(argv, check=True, capture_output=True, text=True, **more).stdout.strip()
        self.key = run("wg", "genkey")
        self.public = run("wg", "pubkey", input=self.key + "\n")
        assert "errno=0" in uapi(self.ifname, f"set=1\nprivate_key={base64.b64decode(self.key).hex()}\n\n")
        return base64.b64decode(self.public).hex()


def say(gateway, lines):
    assert uapi(gateway.ifname, "set=1\n" + lines + "\n", 60) == "errno=0\n\n"


def lot(gateway, guests, round):
    """Peers come, a few of them are heard of, all go."""
    keys = [guest.become() for guest in guests]
    known = [f"public_key={key}\nallowed_ip={guest.inner4}/32\n" for key, guest in zip(keys, guests)]
    keys += [os.urandom(32).hex() for _ in range(AT_ONCE - len(guests))]
    strangers = [f"public_key={key}\nendpoint=192.0.2.{n % 250 + 1}:{1024 + n}\nallowed_ip=172.{16 + n % 16}.{round % 256}.{n % 256}/32\n"
                 f"allowed_ip=fd77:{round:x}:{n:x}::/48\npersistent_keepalive_interval={n % 2}\n"
                 for n, key in enumerate(keys[len(guests):])]
    say(gateway, "".join(known + strangers))
    for guest in guests:
        wait_until(lambda g=guest: g.ns.ping(gateway.inner4, check=False, wait=1), "an answer to a guest", 40)
    if round % 2:
        say(gateway, "".join(f"public_key={key}\nremove=true\n" for key in keys))
    else:
        for at in range(0, len(keys), 50):
            say(gateway, "".join(f"public_key={key}\nremove=true\n" for key in keys[at:at + 50]))


def resident(side):
    with open(f"/proc/{side.process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def reports(lab):
    found = []
    for name in os.listdir(lab.dir):
        if name.startswith("asan."):
            with open(os.path.join(lab.dir, name), errors="replace") as f:
                found.append(f.read())
    return "\n".join(found)


@test
def peers_appear_and_leave_under_traffic_and_leave_nothing_behind(lab):
    need("wg")
    env = {"WARREN_WORKERS": "2"}
    if SANITIZED:
        env.update(LD_PRELOAD=library(lab, "dumpable"),
                   ASAN_OPTIONS=f"detect_leaks=1:detect_stack_use_after_return=1:log_path={lab.dir}/asan:quarantine_size_mb=16")
    gateway = Side(lab, "g", 200, ours(), env).start()
    client = Client(lab, 1, ours())
    client.join(gateway)
    guests = [Guest(lab, gateway, n) for n in range(10, 10 + GUESTS)]
    lots = max(8, PEERS // AT_ONCE)
    seen = []
    for round in range(lots):
        flows = client.flows(gateway, FLOWS, RATE, 1)
        begin(flows)
        lot(gateway, guests, round)
        for result in map(last_line, flows):
            assert result["late"] == 0 and result["again"] == 0 and result["received"] > RATE // 4, result
        assert uapi(gateway.ifname, "get=1\n\n").count("public_key=") == 1
        if round >= lots // 4 and not SANITIZED:
            most = max(seen) + GROWTH
            wait_until(lambda: resident(gateway) <= most, f"memory to come back to {most} KiB after {round + 1} lots")
        seen.append(resident(gateway))
    print(f"# {lots * AT_ONCE} peers; KiB resident after a lot: {seen[0]}, {seen[lots // 4]}, {seen[-1]}", flush=True)
    gateway.process.signal(signal.SIGTERM)
    status = gateway.process.wait(120)
    assert status == 0 and not reports(lab), f"exit status {status}\n{gateway.process.output()[-2000:]}\n{reports(lab)[:6000]}"


main()
