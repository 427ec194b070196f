"""What is measured: Warren, its builds for comparison, and the rivals that are installed."""
import dataclasses
import os
import shutil
import subprocess

import lab

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WARREN, NULL, CEILING, CEILING_CIPHER = "warren", "null cipher", "ceiling (no cipher)", "ceiling (ipsec-mb)"
TAILSCALE, GO, GOTATUN, BORINGTUN = "Tailscale's fork", "wireguard-go", "gotatun", "boringtun"
RIVALS = [TAILSCALE, GO, GOTATUN, BORINGTUN]

# as tools/install-rivals leaves them: file below DIR/bin, and what stands before "-f IFNAME"
INSTALLED = {
    TAILSCALE: ("wireguard-go", []),
    GO: ("wireguard", []),
    GOTATUN: ("gotatun", ["--disable-drop-privileges"]),
    BORINGTUN: ("boringtun-cli", ["--disable-drop-privileges", "-t", "2"]),
}


@dataclasses.dataclass
class Program:
    name: str
    argv: list                  # "-f IFNAME" is appended
    environment: dict = dataclasses.field(default_factory=dict)
    version: str = ""
    keyless: bool = False       # no UAPI: knows its peer from its environment, and carries IPv4 outside only


def bench_program(name):
    path = os.path.join(lab.BUILD, "tests", "bench", name)
    if not os.path.exists(path):
        raise SystemExit(f"bench: {path} is not built: ninja -C {lab.BUILD} bench-programs")
    return path


def rivals_directory():
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("RIVALS_DIR") or os.path.join(cache, "warren-rivals")


def notes(name):
    """What tools/install-rivals wrote down: program, tab, words."""
    try:
        with open(os.path.join(rivals_directory(), name)) as f:
            return dict(line.rstrip("\n").split("\t", 1) for line in f if "\t" in line)
    except OSError:
        return {}


def commit():
    done = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%h of %cs"], capture_output=True, text=True)
    return done.stdout.strip()


def own(workers):
    """Warren as it comes, with other numbers of workers, and with a cipher that does nothing."""
    tunnel, version = lab.program("warren-tunnel"), commit()
    default = os.environ.get("WARREN_WORKERS")
    found = [Program(WARREN, [tunnel], version=version + (f", WARREN_WORKERS={default}" if default else ""))]
    for n in workers:
        found.append(Program(f"warren ({n} worker{'s' if n != '1' else ''})", [tunnel], {"WARREN_WORKERS": n}, version))
    found.append(Program(NULL, [bench_program("warren-tunnel-null")], {"WARREN_BENCH_NULL_CIPHER": "1"}, version))
    return found


def installed():
    """(programs, {name: why it is absent})"""
    found, absent, versions, reasons = [], {}, notes("versions"), notes("absent")
    for name, (file, options) in INSTALLED.items():
        path = os.path.join(rivals_directory(), "bin", file)
        if os.access(path, os.X_OK):
            found.append(Program(name, [path, *options], version=versions.get(name, "version not known")))
        else:
            absent[name] = reasons.get(name, "not installed: make bench RIVALS=install")
    if GO in absent and shutil.which("wireguard-go"):
        path = shutil.which("wireguard-go")
        version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.split("\n")[0]
        found.append(Program(GO, [path], version=f"as installed: {version}"))
        del absent[GO]
    return found, absent


def ceiling():
    path = os.environ.get("CEILING", "")
    if not path:
        return [], {"ceiling": "a measuring stick; CEILING=PATH names it"}
    if not os.access(path, os.X_OK):
        return [], {"ceiling": f"{path} cannot be executed"}
    return [Program(CEILING, [path], {"CEILING_CIPHER": "none"}, keyless=True),
            Program(CEILING_CIPHER, [path], {"CEILING_CIPHER": "ipsecmb"}, keyless=True)], {}


def find(workers=(), wanted=None):
    """All that is there, in the order of the tables, and what is not, with the reason."""
    rivals, absent = installed()
    sticks, missing = ceiling()
    found = own(workers) + rivals + sticks
    if wanted:
        unknown = set(wanted) - {p.name for p in found}
        if unknown:
            raise SystemExit(f"bench: not there: {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in found)}")
        return [p for p in found if p.name in wanted], {}
    return found, {**absent, **missing}
