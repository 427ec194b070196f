#!/usr/bin/env python3
"""Order: within a flow no number goes backwards and none comes twice, whatever carries it; and on the wire the counters of
a session rise strictly, so that a peer with a window of 32 packets loses nothing."""
import signal
import time

from crowd import GO, Client, begin, enough, last_line, move, of_peers
from lab import main, need, test, wait_until
from preload import Clocks
from wires import Side, figures, ours

REKEY_AFTER_TIME, KEEPALIVE_TIMEOUT = 120, 10
STEP = 4  # seconds; less than any timer of a peer that hears of the other
RENEWALS = 2
FLOWS, RATE, SECONDS = 24, 2500, 60  # at most
MOVED = 500_000  # bytes that every peer sends after one of them moved
LOSS = 0.5  # of a peer that moves, or is foreign, while the machine is busy with other tests; order is what is looked for
MODEST, TRIES = 400, 4  # packets a second: what nobody may lose, unless it is kept from running


def renew(clocks, sides):
    """So much time passes that every session is renewed under the traffic; in steps in which everybody hears of everybody,
    or each end would take the other one for silent and both would begin at once."""
    begun = lambda: of_peers(sides, "last_handshake_time_sec")
    wait_until(lambda: time.time() >= max(begun()) + 1, "another second, to tell the handshakes apart")
    before = max(begun())
    for _ in range(0, REKEY_AFTER_TIME + STEP, STEP):
        counted = of_peers(sides, "rx_bytes")
        clocks.pass_by(STEP)
        wait_until(lambda: all(now > then for now, then in zip(of_peers(sides, "rx_bytes"), counted)), "traffic both ways")
    wait_until(lambda: min(begun()) > before, "every session to be renewed")


def oracle(lab, workers, whole=True, **env):
    """A gateway with three clients, traffic of each both ways at once, renewals of every session, one client that moves."""
    need("wg", GO, "ethtool")
    clocks = Clocks(lab)
    env = {"WARREN_WORKERS": str(workers), **clocks.env, **env}
    gateway = Side(lab, "g", 200, ours(), env).start()
    clients = [Client(lab, n, implementation, env if implementation == ours() else None)
               for n, implementation in ((1, ours()), (2, GO), (3, ours()))]
    wires, flows = [], []
    for client in clients:
        client.join(gateway, whole)
        wires += client.wires(gateway)
        flows += client.flows(gateway, FLOWS, RATE, SECONDS)
    begin(flows)
    wait_until(lambda: figures(gateway.ifname)["warren_datagrams"] > 2000, "traffic")
    for _ in range(RENEWALS):
        renew(clocks, [gateway, *clients])
    counted = of_peers([gateway], "rx_bytes")
    move(clients[2])
    wait_until(lambda: all(now > then + MOVED for now, then in zip(of_peers([gateway], "rx_bytes"), counted)), "traffic after the move")
    results = enough(flows)
    values = figures(gateway.ifname)
    for wire in wires:
        wire.signal(signal.SIGTERM)
    seen = [last_line(wire) for wire in wires]
    print(f"# received {sum(r['received'] for r in results)} of {sum(r['expected'] for r in results)}, "
          f"{sum(s['messages'] for s in seen)} messages in {sum(s['sessions'] for s in seen)} sessions, "
          f"{sum(s['superframes'] for s in seen)} superframes, {values['warren_handoff_out']} handed from worker to worker", flush=True)
    assert values["warren_workers"] == workers
    if workers > 1:
        assert values["warren_rung_steering"].startswith(env.get("WARREN_STEERING", "on"))
        assert values["warren_rung_tun_queues"].startswith("off" if "WARREN_QUEUES" in env else "on")
    assert (values["warren_handoff_out"] > 0) == (workers > 1), "the flows of three peers arrive where their hash says"
    for result in results:
        judge(result)
    assert all(wire["back"] == 0 and wire["messages"] > RATE for wire in seen), seen
    assert all(wire["sessions"] >= 1 + RENEWALS for wire in seen), seen
    assert values.get("warren_drop_replay", 0) == 0, values


def judge(result):
    assert result["ended"] == FLOWS and result["expected"] > RATE, result
    assert result["late"] == 0 and result["again"] == 0, result
    assert result["received"] >= (1 - LOSS) * result["expected"], result


@test
def nothing_is_lost_at_a_modest_rate(lab):
    need("wg")
    gateway = Side(lab, "g", 200, ours(), {"WARREN_WORKERS": "2"}).start()
    clients = [Client(lab, n, ours(), {"WARREN_WORKERS": "2"}) for n in (1, 2, 3)]
    for client in clients:
        client.join(gateway)
    for _ in range(TRIES):
        flows = [flow for client in clients for flow in client.flows(gateway, FLOWS, MODEST, 2)]
        begin(flows)
        results = [last_line(flow) for flow in flows]
        assert all(r["late"] == 0 and r["again"] == 0 for r in results), results
        if all(r["received"] == r["expected"] > 0 for r in results):
            return
    raise AssertionError(f"{TRIES} times something was lost, the last time {results}")


@test
def nothing_stays_between_workers_when_a_full_socket_has_room_again(lab):
    need("wg", "tc")
    gateway = Side(lab, "g", 200, ours(), {"WARREN_WORKERS": "2", "WARREN_QUEUES": "1"}).start()
    clients = [Client(lab, n, ours()) for n in (1, 2, 4)]
    for client in clients:
        client.join(gateway)
        gateway.ns.run("tc", "qdisc", "add", "dev", "g" + client.name, "root", "tbf", "rate", "30mbit", "burst", "32k",
                       "limit", "20mb")

    def between():
        values = figures(gateway.ifname)
        return values["warren_handoff_out"] - values["warren_handoff_in"]

    for _ in range(5):
        both = [client.flows(gateway, 8, 8 * RATE, SECONDS) for client in clients]
        begin([far for _, far in both])
        before = figures(gateway.ifname)["warren_handoff_out"]
        wait_until(lambda: figures(gateway.ifname)["warren_handoff_out"] > before + 300, "hand-offs")
        for _, far in both:
            far.kill()
        # nothing else happens: the next timer of a peer is ten seconds away
        wait_until(lambda: between() == 0, "the rings to run empty", KEEPALIVE_TIMEOUT / 2)
        for near, _ in both:
            near.kill()


@test
def one_worker_keeps_every_flow_in_order(lab):
    oracle(lab, 1)


@test
def two_workers_keep_every_flow_in_order(lab):
    oracle(lab, 2)


@test
def two_workers_keep_order_when_a_card_cuts_and_merges(lab):
    oracle(lab, 2, whole=False)


@test
def two_workers_keep_order_without_steering(lab):
    oracle(lab, 2, WARREN_STEERING="off")


@test
def two_workers_keep_order_with_one_queue(lab):
    oracle(lab, 2, WARREN_QUEUES="1")


@test
def eight_workers_keep_every_flow_in_order(lab):
    oracle(lab, 8)


@test
def eight_workers_keep_order_without_steering(lab):
    oracle(lab, 8, whole=False, WARREN_STEERING="off")


main()
