#!/usr/bin/env python3
"""The bench itself: every case gives figures that can be true.  Nothing here says how fast anything has to be."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "net"))
from lab import BUILD, main, need, test  # noqa: E402


def run(lab, *options, env=None):
    """A smoke run inside this test's namespaces; (results, report)."""
    need("iperf3", "ethtool", "wg")
    results, report = (os.path.join(lab.dir, name) for name in ("results.json", "report.md"))
    done = subprocess.run([sys.executable, os.path.join(HERE, "bench.py"), "--quick", "--results", results, "--report", report, *options],
                          capture_output=True, text=True, env={**os.environ, "RIVALS_DIR": "/nonexistent", "PATH": os.environ["PATH"],
                                                               **(env or {})}, timeout=200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    with open(results) as f, open(report) as g:
        return json.load(f), g.read()


def by_case(results, program="warren"):
    return {s["case"]: s["figures"] for s in results["samples"] if s["program"] == program}


def positive(figures, *names):
    for name in names:
        assert figures[name] > 0, (name, figures)


@test
def every_case_between_two_ends_gives_figures(lab):
    results, report = run(lab, "--programs", "warren", "--cases",
                          "tcp1,tcp8,tcp1-back,tcp1-both,tcp8-both,udp64,udp512,udp1372,quic,udp64-most,udp512-most,udp1372-most,quic-most,idle,"
                          "tcp1-card,tcp8-card,quic-card,tcp1-six,udp512-six,tcp1-narrow")
    assert not results["failures"], results["failures"]
    found = by_case(results)
    assert len(found) == 20, found.keys()
    for name, figures in found.items():
        if name.startswith("tcp"):
            positive(figures, "gbit", "kpps", "cpu", "cpu_a", "cpu_b", "machine")
            assert figures["segments_tun_read"] > 2 and figures["segments_udp_send"] > 2, (name, figures)
            assert 1100 < figures["mss"] < 1400, figures
    assert found["tcp1-narrow"]["mss"] < found["tcp1"]["mss"]
    for name in ("udp64", "udp512", "udp1372", "quic", "quic-card", "udp512-six"):
        positive(found[name], "kpps", "cpu_a", "cpu_b")
        assert 0 <= found[name]["loss"] <= 100 and found[name]["late"] == 0, found[name]
    assert found["quic"]["segments_tun_read"] > 8, found["quic"]
    assert 0 < found["idle"]["p50"] <= found["idle"]["p90"] <= found["idle"]["p99"] <= found["idle"]["max"], found["idle"]
    assert found["idle"]["unanswered"] == 0
    assert "## Case by case" in report and "### tcp1: one TCP flow" in report
    assert os.path.getsize(os.path.join(lab.dir, "report.svg")) > 1000


@test
def every_scene_around_a_gateway_gives_figures(lab):
    results, _ = run(lab, "--programs", "warren", "--cases", "peers,handshakes,neighbour,flood,memory,storm,domains")
    assert not results["failures"], results["failures"]
    found = by_case(results)
    for n in (1, 10):
        for way in ("in", "out"):
            positive(found[f"peers-{n}-{way}"], "gbit", "cpu")
    positive(found["handshakes"], "per_second", "per_cpu_second")
    assert found["loaded"]["p50"] <= found["loaded"]["p99"]
    for kind in ("quiet", "elsewhere", "bad", "spoofed"):
        positive(found[f"flood-{kind}"], "gbit", "gateway_cpu")
    positive(found["memory"], "few")
    positive(found["uapi"], "load", "change", "get")
    assert found["storm"]["clients"] == 100, found["storm"]
    positive(found["domains"], "start", "stop")


@test
def the_null_cipher_build_and_the_ciphers_own_time_stand_beside_it(lab):
    results, report = run(lab, "--programs", "warren,null cipher", "--cases", "tcp1")
    assert not results["failures"], results["failures"]
    positive(by_case(results, "null cipher")["tcp1"], "gbit", "cpu")
    positive(by_case(results, "AEAD alone")["tcp1"], "cpu_a", "cpu_b")
    assert "| null cipher |" in report


@test
def what_is_absent_is_named_with_the_reason(lab):
    results, report = run(lab, "--cases", "udp1372", env={"CEILING": "/nonexistent/ceiling"})
    for name in ("Tailscale's fork", "gotatun", "boringtun"):
        assert "RIVALS=install" in results["absent"][name], results["absent"]
        assert f"| {name} | absent: not installed" in report
    assert "cannot be executed" in results["absent"]["ceiling"]


@test
def the_null_cipher_build_starts_only_when_told_to(lab):
    program = os.path.join(BUILD, "tests", "bench", "warren-tunnel-null")
    clean = {k: v for k, v in os.environ.items() if k != "WARREN_BENCH_NULL_CIPHER"}
    for value in (None, "", "0", "yes"):
        done = subprocess.run([program, "-f", "wg9"], capture_output=True, text=True, timeout=20,
                              env=clean if value is None else {**clean, "WARREN_BENCH_NULL_CIPHER": value})
        assert done.returncode == 2 and "encrypts nothing" in done.stderr, (value, done)
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20,
                          env={**clean, "WARREN_BENCH_NULL_CIPHER": "1"})
    assert done.returncode == 0 and "NOTHING IS PROTECTED" in done.stderr


@test
def the_null_cipher_build_is_not_installed(lab):
    out = subprocess.run(["meson", "introspect", "--install-plan", BUILD], capture_output=True, text=True, check=True).stdout
    files = [os.path.basename(path) for kind in json.loads(out).values() for path in kind]
    assert "warren-tunnel" in files and "warren-tunnel-null" not in files, files


main()
