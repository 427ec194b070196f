#!/usr/bin/env python3
"""Warren's tunnel beside its rivals: the same loads on all of them in turn; what counts are ratios within one run.

Needs root (network namespaces with a veth pair between them) and no network.  Rivals are found where tools/install-rivals puts
them (RIVALS_DIR, else ~/.cache/warren-rivals); those that are not there are named.  CEILING=PATH adds the measuring stick that
knows no protocol; WARREN_WORKERS is passed on.

  make bench                         build, run all (about half an hour), write build/bench-report.md
  make bench RIVALS=install          install the rivals first (needs go and cargo)
  make bench BENCH='--cases tcp1,idle --programs warren,boringtun'
"""
import argparse
import datetime
import json
import os
import sys
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "net"))
import lab as laboratory  # noqa: E402
import aead  # noqa: E402
import cases  # noqa: E402
import machine  # noqa: E402
import pair  # noqa: E402
import programs  # noqa: E402
import report  # noqa: E402

FULL = types.SimpleNamespace(rounds=4, rounds_few=2, seconds=2, search_seconds=0.5, search_steps=12, latency_seconds=5,
                             peers=(1, 100, 1000), handshakes=(1000, 20), loaded=100_000, domains=1000, flood_rate=50_000)
QUICK = types.SimpleNamespace(rounds=1, rounds_few=1, seconds=0.3, search_seconds=0.1, search_steps=3, latency_seconds=1,
                              peers=(1, 10), handshakes=(200, 2), loaded=1000, domains=20, flood_rate=5000)
RESULTS = os.path.join(laboratory.BUILD, "bench-results.json")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [c.name for c in cases.CASES] + [s.name for s in cases.SCENES]
    parser.add_argument("--cases", default="", help="only these, commas between: " + ", ".join(names))
    parser.add_argument("--programs", default="", help="only these, commas between")
    parser.add_argument("--rounds", type=int, help=f"of cases with a bar ({FULL.rounds}); of others half as many")
    parser.add_argument("--seconds", type=int, help=f"of a load ({FULL.seconds})")
    parser.add_argument("--workers", default="", metavar="N,M", help="measure Warren with so many workers, too")
    parser.add_argument("--quick", action="store_true", help="each case as short as can be, to see that it works")
    parser.add_argument("--nice", type=int, default=0, help="of all programs and loads alike; below 0 where other work goes on (0)")
    parser.add_argument("--keep", action="store_true", help="keep the results of the run before for cases that are not in this one")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the report of the results that are there")
    parser.add_argument("--results", default=RESULTS, help="where the single figures go")
    parser.add_argument("--report", default=os.path.join(laboratory.BUILD, "bench-report.md"))
    args = parser.parse_args()
    args.cases = [c for c in args.cases.split(",") if c] or names
    unknown = set(args.cases) - set(names)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    return args


def size(args):
    scale = QUICK if args.quick else FULL
    if args.rounds:
        scale.rounds, scale.rounds_few = args.rounds, max(1, args.rounds // 2)
    scale.seconds = args.seconds or scale.seconds
    return scale


class Run:
    """The samples, and what did not work."""

    def __init__(self, scale, found):
        self.scale, self.found, self.samples, self.failures = scale, found, [], {}

    def say(self, what):
        print(f"bench: {datetime.datetime.now():%H:%M:%S} {what}", file=sys.stderr, flush=True)

    def note(self, case, program, turn, figures):
        self.samples.append({"case": case, "program": program, "round": turn, "figures": figures})

    def fail(self, case, program, why):
        lines = str(why).strip().splitlines() or [repr(why)]
        self.failures[f"{case}, {program}"] = lines[0][:200]
        self.say(f"{case}, {program}: {lines[0][:200]}")

    def show(self, name):
        results = {"programs": [{"name": p.name} for p in self.found], "samples": self.samples}
        print("\n".join(report.case_table(results, name)), flush=True)

    def pairs(self, wanted):
        """Case by case, round by round, program by program; the pairs of a wire stay up meanwhile."""
        for wire in dict.fromkeys(c.wire for c in wanted):
            stage = pair.Stage(wire)
            try:
                for case in wanted:
                    if case.wire == wire:
                        self.case(stage, case)
            finally:
                stage.close()

    def case(self, stage, case):
        for turn in range(self.scale.rounds if case.bar else self.scale.rounds_few):
            self.say(f"{case.name}, round {turn + 1}")
            for program in self.found:
                if f"{case.name}, {program.name}" in self.failures:
                    continue
                both = stage.pair(program)
                if not both:
                    self.failures[f"{case.name}, {program.name}"] = stage.failed[program.name]
                    continue
                try:
                    self.note(case.name, program.name, turn, case.run(both, self.scale))
                except Exception as e:  # a rival's failure is a result
                    self.fail(case.name, program.name, e)
            if case.name == "tcp1":
                for name, figures in aead.alone(self.samples, turn):
                    self.note(case.name, name, turn, figures)
        self.show(case.name)

    def scene(self, scene):
        for turn in range(self.scale.rounds if scene.bar else self.scale.rounds_few):
            for program in self.found:
                if (program.keyless or program.name == programs.NULL or scene.programs and program.name not in scene.programs
                        or f"{scene.name}, {program.name}" in self.failures):
                    continue
                self.say(f"{scene.name}, round {turn + 1}, {program.name}")
                lab = laboratory.Lab()
                try:
                    for name, figures in scene.run(lab, program, self.scale).items():
                        self.note(name, program.name, turn, figures)
                except Exception as e:
                    self.fail(scene.name, program.name, e)
                finally:
                    lab.close()
        for name in dict.fromkeys(s["case"] for s in self.samples if scene.tells(s["case"])):
            self.show(name)


def merge(results, path):
    """Cases of the run before that were not in this one."""
    try:
        with open(path) as f:
            before = json.load(f)
    except OSError:
        return
    again = {s["case"] for s in results["samples"]}
    order = list(dict.fromkeys([s["case"] for s in before["samples"]] + [s["case"] for s in results["samples"]]))
    samples = [s for s in before["samples"] if s["case"] not in again] + results["samples"]
    results["samples"] = sorted(samples, key=lambda s: order.index(s["case"]))
    results["failures"] = {**{k: v for k, v in before["failures"].items() if k.split(",")[0] not in again}, **results["failures"]}
    versions = {p["name"]: p["version"] for p in before["programs"]}
    for program in results["programs"]:
        earlier = versions.get(program["name"], program["version"])
        if earlier != program["version"]:
            program["version"] += f"; in some cases {earlier}"
    names = {p["name"] for p in results["programs"]}
    results["programs"] += [p for p in before["programs"] if p["name"] not in names]


def measure(args):
    scale = size(args)
    wanted_programs = [p.strip() for p in args.programs.split(",") if p.strip()]
    found, absent = programs.find([n for n in args.workers.split(",") if n], wanted_programs)
    for name, why in absent.items():
        print(f"bench: absent: {name}: {why}", file=sys.stderr)
    if args.nice:
        machine.nice(args.nice)
    others = [machine.busy()] if not args.quick else []
    run = Run(scale, found)
    run.pairs([c for c in cases.CASES if c.name in args.cases])
    for scene in cases.SCENES:
        if scene.name in args.cases:
            run.scene(scene)
    others += [machine.busy()] if not args.quick else []
    return {"date": f"{datetime.date.today()}", "machine": machine.describe(), "quick": args.quick,
            "seconds": scale.seconds, "nice": args.nice, "others": others,
            "programs": [{"name": p.name, "version": p.version} for p in found], "absent": absent,
            "samples": run.samples, "failures": run.failures}


def main():
    args = arguments()
    if args.render:
        with open(args.results) as f:
            results = json.load(f)
    else:
        if os.geteuid() != 0:
            sys.exit("bench: needs root, for namespaces with a veth pair between them")
        laboratory.inside()
        results = measure(args)
        if args.keep:
            merge(results, args.results)
        with open(args.results, "w") as f:
            json.dump(results, f, indent=1)
    report.write(results, args.report)
    print("".join(line + "\n" for line in report.bar_table(results)))
    print(f"bench: written to {os.path.relpath(args.report)}", file=sys.stderr)
    own = [k for k in results["failures"] if k.split(", ", 1)[1].startswith("warren")]
    sys.exit(f"bench: warren failed: {'; '.join(own)}" if own else 0)


main()
