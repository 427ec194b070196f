"""The report: what was measured, on what, against what was promised; in Markdown, with a plot beside it."""
import os

import bars
import cases
import plot
from figures import median, number, ratio, ratio_spread, spread, values
from programs import WARREN

KEPT = "## What binds"  # from this heading on, the page is a person's: it is kept as it was
CALLS = (("segments_tun_read", "TUN read"), ("segments_udp_send", "send"), ("segments_udp_receive", "receive"),
         ("segments_tun_write", "TUN write"))
COMPARED = ("cpu", "p99")  # besides the first figure of a case
PANELS = [
    ("One TCP flow, Gbit/s", "tcp1", "gbit"),
    ("One TCP flow, CPU s/GB of an end", "tcp1", "cpu"),
    ("One TCP flow, as on a card, Gbit/s", "tcp1-card", "gbit"),
    ("Eight TCP flows, Gbit/s", "tcp8", "gbit"),
    ("UDP 64 bytes at 100 kpps, CPU µs a packet", "udp64", "cpu"),
    ("UDP 64 bytes, highest rate without loss, kpps", "udp64-most", "kpps"),
    ("Round trip when idle, p50, ms", "idle", "p50"),
    ("Handshakes answered a CPU second", "handshakes", "per_cpu_second"),
]


def head(results):
    m = results["machine"]
    yield "# Performance\n"
    yield (f"Written by `make bench` on {results['date']}: {m['cpu']}, {m['memory']}, Linux {m['kernel']}. Compare ratios, not figures: both "
           "ends of the tunnel and the load share this machine.\n")
    if results["quick"]:
        yield "**This was a smoke run (`--quick`): it shows that the cases work, not how fast anything is.**\n"
    yield "| program | version |\n|---|---|"
    for p in results["programs"]:
        yield f"| {p['name']} | {p['version'] or '–'} |"
    for name, reason in results["absent"].items():
        yield f"| {name} | absent: {reason} |"
    yield ""


def rounds(samples):
    """How many rounds the cases had: "2 to 4"."""
    counted = {}
    for s in samples:
        counted[s["case"]] = max(counted.get(s["case"], 0), s["round"] + 1)
    least, most = min(counted.values(), default=0), max(counted.values(), default=0)
    return f"{least}" if least == most else f"{least} to {most}"


def method(results):
    yield "## Method\n"
    yield (f"Two network namespaces on a veth pair, the same program at both ends, all programs up at once and measured in turn, case by case: "
           f"{rounds(results['samples'])} rounds, more of cases that a bar hangs on, {results['seconds']} s each. "
           f"Nothing is pinned: each process may use all {results['machine']['cpu'].split(', ')[1]}, at nice {results['nice']}. "
           "TCP is iperf3; datagrams and round trips come from small programs in `tests/bench`. *As on a card*: TSO and UDP segmentation off and GRO on "
           "at the veth, so that datagrams are cut and merged by the kernel. Figures are medians, in brackets the range over rounds; a ratio is one of "
           "medians, its range that of single rounds. CPU time is that of the tunnel processes, system time included; *whole machine* is all that was not idle, "
           "other people's work on this machine included.\n")
    if results["others"]:
        yield ("Before the first case and after the last one, with nothing of the bench running, "
               + " and ".join(f"{100 * part:.0f} %" for part in results["others"]) + " of the CPUs' time was used by others.\n")
    yield "To repeat it: `make bench RIVALS=install`, with `CEILING=PATH` for the measuring stick; `tests/bench/bench.py --help` has the rest.\n"


def bar_table(results):
    yield "## What was promised, and reached\n"
    yield "| case | bar | reached | verdict |\n|---|---|---|---|"
    for v in bars.verdicts(results["samples"]):
        yield f"| {v.words} | {v.bar} | {v.reached} | {v.met if not results['quick'] else 'smoke run'} |"
    yield ""


def compare(samples, case, program, figure):
    """The ratio of medians, and in brackets those of single rounds."""
    value = ratio(values(samples, case, WARREN, figure), values(samples, case, program, figure))
    between = ratio_spread(samples, case, WARREN, program, figure)
    if value is None or between is None:
        return "–"
    return f"{value:.2f} ×" + (f" ({between[0]:.2f}–{between[1]:.2f})" if between[0] != between[1] else "")


def case_table(results, name):
    words, figures = cases.described(name)
    samples = results["samples"]
    order = [p["name"] for p in results["programs"]] + [bars.AEAD]
    rows = [p for p in order if any(s["case"] == name and s["program"] == p for s in samples)]
    figures = [f for f in figures if any(values(samples, name, p, f.key) for p in rows)]
    if not rows or not figures:
        return
    yield f"### {name}: {words}\n"
    compared = [f for f in figures if f == figures[0] or f.key in COMPARED]
    yield "| program | " + " | ".join(f.words for f in figures) + "".join(f" | warren / it, {f.words}" for f in compared) + " |"
    yield "|---" * (1 + len(figures) + len(compared)) + "|"
    for p in rows:
        cells = [spread(values(samples, name, p, f.key)) for f in figures]
        cells += [compare(samples, name, p, f.key) if p != WARREN else "" for f in compared]
        yield f"| {p} | " + " | ".join(cells) + " |"
    yield ""
    means = [(label, median(values(samples, name, WARREN, key))) for key, label in CALLS]
    if all(v for _, v in means):
        yield "warren, mean segments a call: " + ", ".join(f"{label} {number(v)}" for label, v in means) + ".\n"


def details(results):
    yield "## Case by case\n"
    seen = list(dict.fromkeys(s["case"] for s in results["samples"]))
    for name in seen:
        yield from case_table(results, name)
    if results["failures"]:
        yield "### Not possible\n"
        for key, reason in sorted(results["failures"].items()):
            yield f"- {key}: {reason}"
        yield ""


def kept(path):
    try:
        with open(path) as f:
            text = f.read()
    except OSError:
        return ""
    return text[text.index(KEPT):] if KEPT in text else ""


def write(results, path):
    svg = plot.plot(results["samples"], PANELS, [p["name"] for p in results["programs"]])
    picture = os.path.splitext(path)[0] + ".svg"
    lines = [*head(results), *bar_table(results)]
    if svg:
        with open(picture, "w") as f:
            f.write(svg)
        lines.append(f"![Throughput, CPU time and latency of each program]({os.path.basename(picture)})\n")
    lines += [*method(results), *details(results)]
    words = kept(path)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as f:
        f.write("\n".join(lines).rstrip() + "\n" + ("\n" + words if words else ""))
