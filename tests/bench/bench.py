#!/usr/bin/env python3
"""Benchmarks of the tunnel beside its rivals, in turn and interleaved; figures are ratios within one run.

    tests/bench/bench.py [--rounds N] [--seconds N] [--cases A,B] [--rival NAME=PROGRAM]... [--report FILE]

Two network namespaces joined by a veth pair, the same program at both ends, iperf3 over it.  A rival is any program with the
command line of the reference implementation (PROGRAM -f IFNAME).  Debian's wireguard-go is taken when it is there.  Needs root.
"""
import argparse
import datetime
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "net"))
import lab as laboratory  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
CALLS = ("tun_read", "udp_send", "udp_receive", "tun_write")

# name, words, iperf3's options, whether the wire cuts and merges as a card does, which figure is compared
CASES = [
    ("tcp1", "one TCP flow", [], False, "gbit"),
    ("tcp8", "eight TCP flows", ["-P", "8"], False, "gbit"),
    ("tcp1-back", "one TCP flow, the other way", ["-R"], False, "gbit"),
    ("tcp1-card", "one TCP flow, datagrams cut and merged as on a card", [], True, "gbit"),
    ("udp64", "UDP of 64 bytes at 100,000 a second", ["-u", "-l", "64", "-b", "51.2M"], False, "cpu"),
    ("udp1372", "UDP of 1,372 bytes at 50,000 a second", ["-u", "-l", "1372", "-b", "549M"], False, "cpu"),
    ("ping", "round trip when idle", None, False, "rtt"),
]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def machine_seconds():
    with open("/proc/stat") as f:
        fields = [int(x) for x in f.readline().split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / TICK


def extended_get(ifname):
    """Our own request: every key=value line of the device, as a dict; {} from a program that does not know it."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        s.connect(f"/var/run/wireguard/{ifname}.sock")
        s.sendall(b"get=1\nwarren_protocol=1\n\n")
        text = b""
        while b"errno=" not in text or not text.endswith(b"\n\n"):
            part = s.recv(65536)
            if not part:
                break
            text += part
    return dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)


class Pair:
    """Both ends of one implementation, configured and warm."""

    def __init__(self, program, card, mtu=1420):
        self.lab = laboratory.Lab()
        a, b = self.a, self.b = self.lab.ns("a"), self.lab.ns("b")
        self.lab.veth(a, "va", "192.0.2.1/24", b, "vb", "192.0.2.2/24")
        if card:
            for ns, dev in ((a, "va"), (b, "vb")):
                ns.run("ethtool", "-K", dev, "tso", "off", "tx-udp-segmentation", "off", "gro", "on")
        key = {n: subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout for n in "ab"}
        public = {n: subprocess.run(["wg", "pubkey"], input=key[n], capture_output=True, text=True, check=True).stdout.strip()
                  for n in "ab"}
        self.process = {}
        for name, ns in (("a", a), ("b", b)):
            self.process[name] = ns.start(*program, "-f", "w" + name)
        for name, ns, other, last in (("a", a, "b", 1), ("b", b, "a", 2)):
            laboratory.wait_until(lambda n=name: os.path.exists(f"/var/run/wireguard/w{n}.sock"), "the UAPI socket")
            ns.run("wg", "set", "w" + name, "listen-port", "51820", "private-key", self.lab.file("key" + name, key[name]),
                   "peer", public[other], "allowed-ips", f"10.9.0.{3 - last}/32", "endpoint", f"192.0.2.{3 - last}:51820")
            ns.ip("addr", "add", f"10.9.0.{last}/24", "dev", "w" + name)
            ns.ip("link", "set", "w" + name, "up", "mtu", mtu)
        a.ping("10.9.0.2", count=3)

    def measure(self, case, seconds):
        options = case[2]
        if options is None:
            out = self.a.run("ping", "-n", "-q", "-i", ".01", "-c", "300", "10.9.0.2").stdout
            least, mean, most, _ = out.rsplit("= ", 1)[1].split()[0].split("/")
            return {"rtt": float(mean), "rtt_min": float(least), "rtt_max": float(most)}
        server = self.b.start("iperf3", "-s", "-1", "--forceflush")
        server.wait_for("listening")
        start = {n: cpu_seconds(self.process[n].pid) for n in "ab"}
        whole, calls = machine_seconds(), [extended_get("w" + n) for n in "ab"]
        out = self.a.run("iperf3", "-c", "10.9.0.2", "-t", str(seconds), "-J", *options, timeout=seconds + 30).stdout
        whole = machine_seconds() - whole
        used = {n: cpu_seconds(self.process[n].pid) - start[n] for n in "ab"}
        end = json.loads(out)["end"]
        server.wait()
        if "-u" in options:
            total = end["sum"]
            sent, got = total["packets"], total["packets"] - total["lost_packets"]
            figures = {"kpps": got / total["seconds"] / 1e3, "loss": total["lost_percent"],
                       "cpu": (used["a"] + used["b"]) / max(got, 1) * 1e6, "cpu_a": used["a"] / max(sent, 1) * 1e6,
                       "cpu_b": used["b"] / max(got, 1) * 1e6}
        else:
            gigabytes = end["sum_received"]["bytes"] / 1e9
            figures = {"gbit": end["sum_received"]["bits_per_second"] / 1e9, "cpu": (used["a"] + used["b"]) / gigabytes,
                       "cpu_a": used["a"] / gigabytes, "cpu_b": used["b"] / gigabytes, "machine": whole / gigabytes}
        for at, before in zip("ab", calls):
            after = extended_get("w" + at)
            for name in CALLS:
                if f"warren_calls_{name}" in after:
                    n = int(after[f"warren_calls_{name}"]) - int(before[f"warren_calls_{name}"])
                    segments = int(after[f"warren_segments_{name}"]) - int(before[f"warren_segments_{name}"])
                    figures[f"segments_{name}_{at}"] = segments / max(n, 1)
        return figures

    def close(self):
        self.lab.close()


UNITS = {"gbit": "Gbit/s", "cpu": None, "rtt": "ms"}


def unit(case, figure):
    if figure == "cpu":
        return "CPU µs a packet, both ends" if "-u" in (case[2] or []) else "CPU s/GB, both ends"
    return UNITS[figure]


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def tell(case, results, ours, out):
    """Lines of one case: each program's median and range, and the ratio of medians to ours."""
    figures = [case[4]] + (["cpu"] if case[4] == "gbit" else [])
    for figure in figures:
        out(f"\n### {case[0]}: {case[1]}, {unit(case, figure)}\n")
        out("| program | median (range) | warren / it |")
        out("|---|---|---|")
        for name, rows in results.items():
            values = [r[figure] for r in rows]
            mine = statistics.median(r[figure] for r in results[ours])
            out(f"| {name} | {spread(values, 3 if figure == 'rtt' else 2)} | {mine / statistics.median(values):.2f} × |")
    loss = {n: max(r.get("loss", 0) for r in rows) for n, rows in results.items()}
    if any(loss.values()):
        out("\nlost at most: " + ", ".join(f"{n} {v:.2f} %" for n, v in loss.items()))
    rows = results[ours]
    if "segments_tun_read_a" in rows[0]:
        out("\nwarren, mean segments a call: " + ", ".join(
            f"{name} {statistics.median(max(r[f'segments_{name}_a'], r[f'segments_{name}_b']) for r in rows):.1f}"
            for name in CALLS))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", 3)))
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("SECONDS_EACH", 3)))
    parser.add_argument("--cases", default="", help="names, commas between; all: " + ",".join(c[0] for c in CASES))
    parser.add_argument("--rival", action="append", default=[], metavar="NAME=PROGRAM")
    parser.add_argument("--report", default=os.path.join(ROOT, "build", "bench-report.md"))
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for namespaces with a veth pair between them")
    programs = {"warren": [laboratory.program("warren-tunnel")]}
    absent = []
    if shutil.which("wireguard-go"):
        programs["wireguard-go"] = [shutil.which("wireguard-go")]
    else:
        absent.append("wireguard-go")
    for rival in args.rival:
        name, _, path = rival.partition("=")
        if shutil.which(path.split()[0]):
            programs[name] = path.split()
        else:
            absent.append(name)
    cases = [c for c in CASES if not args.cases or c[0] in args.cases.split(",")]
    if not cases:
        sys.exit(f"bench: no such case: {args.cases}; there are {', '.join(c[0] for c in CASES)}")
    laboratory.inside()
    lines = []

    def out(line):
        print(line, flush=True)
        lines.append(line)

    with open("/proc/cpuinfo") as f:
        model = next((line.split(": ", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    out("# Benchmark report\n")
    out(f"{datetime.date.today()}, {model}, {os.cpu_count()} cores, Linux {platform.release()}; both ends and the load on this"
        f" machine; {args.rounds} rounds of {args.seconds} s, interleaved; medians and ranges.")
    if absent:
        out("Absent: " + ", ".join(absent) + ".")
    for case in cases:
        results = {name: [] for name in programs}
        for turn in range(args.rounds):
            for name, program in programs.items():
                print(f"bench: {case[0]} round {turn + 1}/{args.rounds} {name}", file=sys.stderr, flush=True)
                pair = Pair(program, case[3])
                try:
                    results[name].append(pair.measure(case, args.seconds))
                finally:
                    pair.close()
        tell(case, results, "warren", out)
    os.makedirs(os.path.dirname(args.report), exist_ok=True)
    with open(args.report, "w") as f:
        f.write("\n".join(lines) + "\n")
    print(f"\nbench: written to {os.path.relpath(args.report)}", file=sys.stderr)


main()
