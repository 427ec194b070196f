#!/usr/bin/env python3
"""The workers under ThreadSanitizer: traffic of several peers, renewals, peers that come, go and move, every request
that changes something; it has nothing to say.  Runs on a build with -Db_sanitize=thread."""
import os
import signal

from crowd import Client, begin, last_line, move
from lab import main, need, skip, test, wait_until
from strangers import Attacker
from wires import Side, figures, hexadecimal, ours, uapi

FLOWS, RATE, SECONDS = 8, 800, 6


class Watched(Side):
    """A side whose program says what it found in a file."""

    def __init__(self, lab, name, number, env):
        self.report = os.path.join(lab.dir, "race")
        env["TSAN_OPTIONS"] = f"log_path={self.report} history_size=4"
        # the sanitizer of older compilers knows no address space that is laid out at random as widely as today's
        super().__init__(lab, name, number, lab.file(name + ".sh", f'#!/bin/sh\nexec setarch -R {ours()} "$@"\n', 0o755), env)

    def said(self):
        texts = []
        for name in sorted(os.listdir(self.lab.dir)):
            if name.startswith("race."):
                with open(os.path.join(self.lab.dir, name), errors="replace") as f:
                    texts.append(f.read())
        return "\n".join(texts)


def random_peer():
    return os.urandom(32).hex()


def changes(gateway, clients, round):
    """Everything that can be asked for, while packets pass."""
    say = lambda lines: uapi(gateway.ifname, "set=1\n" + lines + "\n")
    known = [hexadecimal(client.public) for client in clients]
    strangers = [random_peer() for _ in range(20)]
    for n, key in enumerate(strangers):
        assert "errno=0" in say(f"public_key={key}\nendpoint=192.0.2.{n + 1}:9\nallowed_ip=10.{n}.{round}.0/24\n"
                                f"persistent_keepalive_interval={n % 3}\n")
    say(f"public_key={known[0]}\nallowed_ip=172.16.{round}.0/24\n")
    say(f"public_key={known[1]}\nallowed_ip=172.16.{round}.0/24\n")  # moves to the other peer
    say(f"public_key={known[1]}\npreshared_key={os.urandom(32).hex()}\n")
    say(f"public_key={known[1]}\npreshared_key={'0' * 64}\n")
    say(f"public_key={known[0]}\nwarren_initiate=true\n")
    say(f"public_key={known[1]}\nwarren_end={4000000000 + round}\n")
    say(f"public_key={strangers[0]}\nwarren_state=cut\n")
    say(f"fwmark={round}\n")
    figures(gateway.ifname)
    for key in strangers:
        say(f"public_key={key}\nremove=true\n")


def race(lab, workers, **more):
    if os.environ.get("WARREN_SANITIZER") != "thread":
        skip("not a build with ThreadSanitizer")
    need("wg", "setarch", "iperf3", "ethtool")
    env = {"WARREN_WORKERS": str(workers), **more}
    gateway = Watched(lab, "g", 200, env).start()
    clients = [Client(lab, n, ours()) for n in (1, 2)]
    flows = []
    for client in clients:
        client.implementation = gateway.implementation
        client.env.update(gateway.env)
        client.join(gateway)
        flows += client.flows(gateway, FLOWS, RATE, SECONDS)
    begin(flows)
    wait_until(lambda: figures(gateway.ifname)["warren_datagrams"] > 500, "traffic")
    bulk = gateway.ns.start("iperf3", "-s", "-1", "--forceflush")
    bulk.wait_for("listening")
    sender = clients[0].ns.start("iperf3", "-c", gateway.inner4, "-t", 3)
    attacker = Attacker(lab, gateway, 8)
    for n in range(4):
        changes(gateway, clients, n)
    attacker.process.stop()
    gateway.set("listen-port", 51821)
    gateway.set("listen-port", 51820)
    for client in clients:
        client.set("peer", gateway.public, "preshared-key", lab.file("none", ""))
    sender.wait(60)
    move(clients[1])
    results = [last_line(flow) for flow in flows]
    gateway.ns.ip("link", "set", gateway.ifname, "down")
    gateway.ns.ip("link", "set", gateway.ifname, "up")
    for side in (gateway, *clients):
        side.process.signal(signal.SIGTERM)
        assert side.process.wait() == 0, side.said() + side.process.output()
    assert not gateway.said(), gateway.said()
    assert all(r["late"] == 0 and r["again"] == 0 and r["received"] > RATE for r in results), results


@test
def two_workers_do_not_race(lab):
    race(lab, 2)


@test
def eight_workers_do_not_race(lab):
    race(lab, 8)


@test
def two_workers_without_steering_do_not_race(lab):
    race(lab, 2, WARREN_STEERING="off", WARREN_QUEUES="1")


main()
