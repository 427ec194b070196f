"""Loads on a pair, each measured to a dict of figures."""
import itertools
import json

import lab
import programs

NOBODY_LOSES = 0.1    # percent of the datagrams: what still counts as lossless
GENERATOR_KEEPS_UP = 0.95
SEARCH_NEAR = 0.08
IDLE_RATE = 200       # questions a second
PORTS = itertools.cycle(range(6000, 8000))  # a new one a run: what is still under way is not counted in the next


def lasting(seconds):
    """iperf3's way to say how long; what is shorter than a second is told in bytes."""
    return ("-t", str(seconds)) if seconds >= 1 else ("-n", "100M")


def iperf(ns, address, seconds, options=()):
    """What iperf3 says.  Its server may still be busy with the end of the run before: then once more."""
    argv = ("iperf3", "-c", address, *lasting(seconds), "-J", *options)

    def run():
        done = ns.run(*argv, check=False, timeout=seconds + 30)
        said = json.loads(done.stdout or "{}")
        if done.returncode != 0 and "busy" not in said.get("error", ""):
            raise AssertionError(f"{' '.join(map(str, argv))}: {said.get('error') or done.stderr}")
        return said if done.returncode == 0 else None
    return lab.wait_until(run, "an iperf3 server that is not busy")


def tcp(pair, seconds, options=()):
    before = pair.reading()
    got = iperf(pair.a.ns, pair.b.inner, seconds, options)
    used = pair.used(before, pair.reading())
    end, mss = got["end"], got["start"].get("tcp_mss_default") or got["start"].get("tcp_mss")
    received = [end[k] for k in ("sum_received", "sum_received_bidir_reverse") if k in end]
    size = sum(r["bytes"] for r in received)
    gigabytes, bits = size / 1e9, sum(r["bits_per_second"] for r in received)
    cpu = {f"cpu_{side}": used.pop(side) / gigabytes for side in "ab"}
    return {"gbit": bits / 1e9, "kpps": bits / 8 / mss / 1e3 if mss else None, "cpu": (cpu["cpu_a"] + cpu["cpu_b"]) / 2, **cpu,
            "machine": used.pop("machine") / gigabytes, "retransmits": end["sum_sent"].get("retransmits"),
            "mss": mss, **used}


def datagrams(pair, size, rate, seconds, segments=1):
    """What a paced stream of numbered datagrams arrives as; CPU in microseconds for a packet that the end had in hand: what the
    kernel dropped before a tunnel read it cost that tunnel nothing."""
    stream, port = programs.bench_program("stream"), str(next(PORTS))
    receiver = pair.b.ns.start(stream, "receive", port, segments)
    receiver.wait_for("listening")
    before, dropped = pair.reading(), pair.a.dropped()
    sent = json.loads(pair.a.ns.run(stream, "send", pair.b.inner, port, size, rate, seconds, segments).stdout)
    used, dropped = pair.used(before, pair.reading()), (pair.a.dropped() - dropped) * segments
    receiver.stop()
    got = json.loads(receiver.output().splitlines()[-1])
    arrived = got["packets"]
    cpu_a, cpu_b = used.pop("a") / max(sent["sent"] - dropped, 1) * 1e6, used.pop("b") / max(arrived, 1) * 1e6
    return {"sent_rate": sent["sent"] / sent["seconds"], "kpps": arrived / sent["seconds"] / 1e3,
            "gbit": got["bytes"] * 8 / sent["seconds"] / 1e9, "loss": 100 * (1 - arrived / max(sent["sent"], 1)),
            "late": got["late"], "cpu": (cpu_a + cpu_b) / 2, "cpu_a": cpu_a, "cpu_b": cpu_b,
            "machine": used.pop("machine") / max(arrived, 1) * 1e6, **used}


def highest(pair, size, seconds, steps, segments=1):
    """The highest rate at which nobody loses, within a few percent: doubling, then halving the gap.  A try that fails is
    made once more, for the machine may have been elsewhere."""
    good, bad, rate, best = 0, None, 40_000, None
    for _ in range(steps):
        for _ in range(2):
            found = datagrams(pair, size, int(rate), seconds, segments)
            fine = found["loss"] < NOBODY_LOSES and found["sent_rate"] >= GENERATOR_KEEPS_UP * rate
            if fine:
                break
        if fine:
            good, best = rate, found
        else:
            bad = rate
        if bad and good and (bad - good) / good < SEARCH_NEAR or bad and bad < 1000:
            break
        rate = rate * 2 if bad is None else (good + bad) / 2
    return {k: best[k] for k in ("kpps", "gbit", "cpu", "loss", "late")} if best else {"kpps": 0, "gbit": 0}


def probe(ns, address, seconds, rate=IDLE_RATE):
    """Percentiles of round trips, in milliseconds."""
    out = ns.run(programs.bench_program("probe"), "ask", address, "7", rate, max(1, round(seconds)), timeout=seconds + 30).stdout
    got = json.loads(out)
    figures = {k: got[k] / 1e3 for k in ("p50", "p90", "p99", "max")}
    return {**figures, "unanswered": got["asked"] - got["answered"]}


def idle(pair, seconds):
    """And what the tunnel adds to the bare wire, which is asked in the same round."""
    bare = probe(pair.a.ns, pair.b.outer, seconds)
    figures = probe(pair.a.ns, pair.b.inner, seconds)
    return {**figures, "bare": bare["p50"], "added": figures["p50"] - bare["p50"]}
