#!/usr/bin/env python3
"""A million packets, in bulk and small, both ways, without one call to the allocator by a worker."""
import os
import struct

from crowd import Client, begin, last_line
from lab import main, need, test, wait_until
from preload import library
from wires import Side, figures, ours

PACKETS = 1_000_000
FLOWS, RATE, SECONDS = 16, 30000, 3
WARM = 20000  # packets, of each kind


class Counted:
    """What the allocator was asked for by a program in @self.env."""

    def __init__(self, lab):
        self.path = os.path.join(lab.dir, "allocations")
        with open(self.path, "wb") as f:
            f.write(bytes(16))
        self.env = {"LD_PRELOAD": library(lab, "allocations"), "ALLOCATIONS": self.path}

    def read(self):
        with open(self.path, "rb") as f:
            return struct.unpack("=2q", f.read())


def threads(process):
    names = []
    for task in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{task}/comm") as f:
            names.append(f.read().strip())
    return names


def carried(side):
    values = figures(side.ifname)
    return values["warren_segments_tun_read"] + values["warren_segments_tun_write"]


def without(lab, workers):
    need("wg", "iperf3")
    counted = Counted(lab)
    gateway = Side(lab, "g", 200, ours(), {"WARREN_WORKERS": str(workers), **counted.env}).start()
    clients = [Client(lab, n, ours()) for n in (1, 2)]
    for client in clients:
        client.join(gateway)
    assert [name for name in threads(gateway.process) if name.startswith("worker")], threads(gateway.process)
    flows = [flow for client in clients for flow in client.flows(gateway, FLOWS, RATE, SECONDS)]
    for port, client in enumerate(clients, 5201):
        gateway.ns.start("iperf3", "-s", "-p", port, "--forceflush").wait_for("listening")
    bulk = [client.ns.start("iperf3", "-c", gateway.inner4, "-p", port, "-t", 60, *(["-R"] if port % 2 else []))
            for port, client in enumerate(clients, 5201)]
    wait_until(lambda: carried(gateway) > WARM, "bulk")
    begin(flows)
    start = carried(gateway)
    wait_until(lambda: carried(gateway) > start + WARM, "numbered packets")
    before, start = counted.read(), carried(gateway)
    wait_until(lambda: carried(gateway) >= start + PACKETS, f"{PACKETS} packets", 60)
    results = [last_line(flow) for flow in flows]
    after, end = counted.read(), carried(gateway)
    for process in bulk:
        process.stop()
    print(f"# {workers} workers: {end - start} packets, of which {sum(r['received'] for r in results)} were numbered; calls to the "
          f"allocator: workers {after[0] - before[0]}, others {after[1] - before[1]}", flush=True)
    assert after[1] > before[1], "control allocates when it is asked for figures: this counts nothing"
    assert after[0] == before[0], f"{after[0] - before[0]} calls by workers"
    assert min(r["received"] for r in results) > RATE // 10, results  # bulk may leave little room


@test
def one_worker_allocates_nothing_for_a_million_packets(lab):
    without(lab, 1)


@test
def two_workers_allocate_nothing_for_a_million_packets(lab):
    without(lab, 2)


main()
