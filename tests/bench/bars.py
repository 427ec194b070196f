"""What the project promised itself: each bar, what was reached, and whether that is enough."""
import dataclasses

from figures import median, number, ratio, ratio_spread, values
from programs import BORINGTUN, CEILING, GO, GOTATUN, NULL, TAILSCALE, WARREN

AEAD = "AEAD alone"


@dataclasses.dataclass
class Verdict:
    words: str
    bar: str
    reached: str
    met: str


def judged(words, value, bound, at_least, hoped, unit="", more="", spread=None):
    sign = "≥" if at_least else "≤"
    bar = f"{sign} {bound:,}{unit}" + (f" (hoped for: {sign} {hoped:,}{unit})" if hoped is not None else "")
    if value is None:
        return Verdict(words, bar, "–", "not measured")
    fine = value >= bound if at_least else value <= bound
    beyond = hoped is not None and (value >= hoped if at_least else value <= hoped)
    text = f"{number(value)}{unit}" + (f" ({number(spread[0])}–{number(spread[1])})" if spread else "") + more
    return Verdict(words, bar, text, "met, and what was hoped for" if beyond else "met" if fine else "**not met**")


def against(samples, words, case, figure, other, bound, at_least=True, hoped=None):
    value = ratio(values(samples, case, WARREN, figure), values(samples, case, other, figure))
    return judged(f"{words}, against {other}", value, bound, at_least, hoped, " ×",
                  spread=ratio_spread(samples, case, WARREN, other, figure))


def with_cipher(samples):
    """Our CPU against the null build's and the library's own time for the same bytes, of the same run."""
    ours, null, alone = (median(values(samples, "tcp1", p, "cpu")) for p in (WARREN, NULL, AEAD))
    value = ours / (null + alone) if ours and null and alone else None
    more = f": {number(ours)} to {number(null)} + {number(alone)} s/GB" if value else ""
    return judged("bulk TCP, CPU of an end against the null-cipher build + the AEAD library's own time", value, 1.15, False, 1.05,
                  " ×", more)


def part_of(samples, words, case, reference, bound):
    """One case of ours against another one."""
    theirs = values(samples, reference, WARREN, "gbit")
    value = ratio(values(samples, case, WARREN, "gbit"), theirs)
    return judged(words, value * 100 if value is not None else None, bound, True, None, " %")


def plain(samples, words, case, figure, bound, at_least, hoped=None, unit=""):
    return judged(words, median(values(samples, case, WARREN, figure)), bound, at_least, hoped, unit)


def verdicts(samples):
    tcp = "bulk TCP, throughput"
    null = ratio(values(samples, "tcp1", NULL, "cpu"), values(samples, "tcp1", CEILING, "cpu"))
    return [
        against(samples, tcp, "tcp1", "gbit", TAILSCALE, 1.5, hoped=2),
        against(samples, tcp, "tcp1", "gbit", GO, 2),
        against(samples, tcp, "tcp1", "gbit", GOTATUN, 5),
        against(samples, tcp, "tcp1", "gbit", BORINGTUN, 6),
        against(samples, "bulk TCP, CPU s/GB of an end", "tcp1", "cpu", TAILSCALE, 0.62, False, 0.45),
        with_cipher(samples),
        judged("null-cipher build against the ceiling with no cipher, CPU", null, 1.3, False, 1, " ×",
               spread=ratio_spread(samples, "tcp1", NULL, CEILING, "cpu")),
        against(samples, "bulk TCP as on a card, throughput", "tcp1-card", "gbit", TAILSCALE, 1.4, hoped=2),
        against(samples, "UDP 64 bytes at 100 kpps, CPU a packet", "udp64", "cpu", TAILSCALE, 0.4, False, 0.25),
        against(samples, "UDP 64 bytes at 100 kpps, CPU a packet", "udp64", "cpu", BORINGTUN, 0.9, False),
        against(samples, "added round-trip time, idle, p50", "idle", "added", TAILSCALE, 0.7, False),
        plain(samples, "p99 round-trip time under bulk load from another peer", "loaded", "p99", 5, False, 1, " ms"),
        plain(samples, "handshakes answered per core and second", "handshakes", "per_cpu_second", 7000, True, 20000),
        part_of(samples, "bulk under a flood with a wrong first MAC, of the same flood sent elsewhere", "flood-bad", "flood-elsewhere", 80),
        part_of(samples, "the same, of no flood at all", "flood-bad", "flood-quiet", 80),
        part_of(samples, "bulk under a flood with a right first MAC from spoofed sources, of the same flood sent elsewhere",
                "flood-spoofed", "flood-elsewhere", 80),
        part_of(samples, "the same, of no flood at all", "flood-spoofed", "flood-quiet", 80),
        part_of(samples, "1,000 active peers against one, sending", "peers-1000-in", "peers-1-in", 80),
        part_of(samples, "1,000 active peers against one, receiving", "peers-1000-out", "peers-1-out", 80),
        plain(samples, "memory per idle peer at 100,000 peers", "memory", "per_peer", 1.5, False, None, " KiB"),
        plain(samples, "memory of the process with 10 peers", "memory", "few", 16, False, None, " MiB"),
        plain(samples, "100,000 peers loaded by UAPI", "uapi", "load", 2, False, None, " s"),
        plain(samples, "one of 100,000 peers changed", "uapi", "change", 2, False, None, " ms"),
        plain(samples, "full get of 100,000 peers", "uapi", "get", 1, False, None, " s"),
        plain(samples, "1,000 domains started", "domains", "start", 1, False, None, " s"),
    ]
