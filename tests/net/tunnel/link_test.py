#!/usr/bin/env python3
"""A gateway with more to send than its link takes: who sends much loses his own, and leaves others their share."""
import json

from lab import main, need, test
from wires import Side, figures, ours

LINK = "20mbit"
GREEDY = ("-u", "-b", "60M", "-l", "1000", "-t", "8")
MODEST = ("-u", "-b", "2M", "-l", "200", "-t", "5")


class Client(Side):
    def __init__(self, lab, number, env):
        super().__init__(lab, f"c{number}", number, ours(), env)
        self.net = f"198.51.{100 + number}"

    def join(self, gateway, router):
        self.lab.veth(self.ns, "v" + self.name, [self.net + ".2/24"], router, "r" + self.name, [self.net + ".1/24"])
        self.ns.ip("route", "add", "default", "via", self.net + ".1")
        self.start()
        self.peer(gateway, "192.0.2.1:51820")
        gateway.peer(self)
        self.ns.ping(gateway.inner4)


def lost(gateway, clients):
    """Percent, of what each client was sent, with all of it going on at once."""
    for n, client in enumerate(clients):
        client.ns.start("iperf3", "-s", "-1", "-p", 5300 + n, "--forceflush").wait_for("Server listening")
    running = [gateway.ns.start("iperf3", "-c", client.inner4, "-p", 5300 + n, "-J", *argv)
               for n, (client, argv) in enumerate(zip(clients, (GREEDY, MODEST)))]
    for process in running:
        process.wait(90)
    return [json.loads(process.output())["end"]["sum"]["lost_percent"] for process in running]


@test
def a_full_link_is_shared_by_peers_and_not_by_packets(lab):
    need("wg", "iperf3", "tc")
    router = lab.ns("r")
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    gateway = Side(lab, "g", 200, ours(), {"WARREN_WORKERS": "1"})
    lab.veth(gateway.ns, "vg", ["192.0.2.1/24"], router, "rg", ["192.0.2.254/24"])
    gateway.ns.ip("route", "add", "default", "via", "192.0.2.254")
    gateway.start()
    clients = [Client(lab, n, {"WARREN_WORKERS": "1"}) for n in (1, 2)]
    for client in clients:
        client.join(gateway, router)
    gateway.ns.run("tc", "qdisc", "add", "dev", "vg", "root", "tbf", "rate", LINK, "burst", "64kb", "limit", "4mb")
    greedy, modest = lost(gateway, clients)
    print(f"# of 60 Mbit/s {greedy:.1f} % were lost, of 2 Mbit/s beside them {modest:.1f} %", flush=True)
    assert greedy > 40 and modest < greedy / 2, (greedy, modest)
    assert figures(gateway.ifname)["warren_drop_shed"] > 0


main()
