"""One test of the built command line: its folder, a stand-in gateway in it, the program, values of the API."""
import base64
import calendar
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback

import standin
from standin import raw

WARREN, MANUAL = map(os.path.abspath, sys.argv[1:3])
GATEWAY_KEY = base64.b64encode(bytes(range(32))).decode()
PATIENCE = 60
tests = []


def test(function):
    tests.append(function)
    return function


class Case:
    """A folder, a stand-in gateway in it, and the program."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="warren-cli.")
        self.gateway = standin.Gateway(os.path.join(self.dir, "admin.sock"))
        self.env = {"PATH": os.environ["PATH"], "HOME": self.dir, "TZ": "UTC", "LC_ALL": "C",
                    "WARREN_ADMIN_SOCKET": self.gateway.path, "TERM": "xterm",
                    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", ""), "UBSAN_OPTIONS": os.environ.get("UBSAN_OPTIONS", "")}
        if os.geteuid() != 0:  # the leak checker cannot look into a program that is not dumpable
            self.env["ASAN_OPTIONS"] += ":detect_leaks=0"

    def close(self):
        self.gateway.close()
        shutil.rmtree(self.dir)
        assert not self.gateway.wrong, self.gateway.wrong

    def path(self, name):
        return os.path.join(self.dir, name)

    def warren(self, *argv, status=0, input=None, **env):
        done = subprocess.run([WARREN, *argv], cwd=self.dir, env={**self.env, **env}, text=True, capture_output=True,
                              timeout=PATIENCE, **({"input": input} if input is not None else {"stdin": subprocess.DEVNULL}))
        assert done.returncode == status, f"{argv} -> {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def terminal(self, *argv, status=0, columns=200, input=b"", signal_when=None, **env):
        """Runs it at a terminal; returns all it wrote.  @signal_when: Ctrl-C once that stands there."""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.dir)
            os.execve(WARREN, [WARREN, *argv], {**self.env, **env})
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
        os.write(fd, input)
        out = b""
        while True:
            try:
                more = os.read(fd, 65536)
            except OSError:
                more = b""
            if not more:
                break
            out += more
            if signal_when and signal_when in out:
                os.write(fd, b"\x03")
                signal_when = None
        os.close(fd)
        got = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert got == status, f"{argv} -> {got}\n{out.decode()}"
        return out.decode()


def when(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def seconds_until(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.time()


def peer(name="laptop", **more):
    return {"id": 17, "name": name, "public_key": GATEWAY_KEY, "state": "active",
            "addresses": ["10.82.0.2/32", "fd01:2:3:4::2/128"], "routes": [], "expires_at": None, "created_at": when(-86400),
            "online": False, "endpoint": None, "last_handshake_at": None, "last_handshake_age": None, "rx_bytes": 0,
            "tx_bytes": 0, **more}


def config(**more):
    return {"gateway_public_key": GATEWAY_KEY, "endpoint": "vpn.example.org:51820", "endpoint_note": None,
            "dns": ["10.82.0.1"], "mtu": 1420, "allowed_ips": ["0.0.0.0/0", "::/0"], "persistent_keepalive": 25, **more}


def added(name="laptop", conf=None, **more):
    return {**peer(name, **more), "applied": True, "applied_note": None, "config": conf or config()}


def changed(**more):
    return {**peer(), "applied": True, "applied_note": None, **more}


def problem(status=409, code="conflict", title="it exists already", detail="there is a peer laptop already", remedy=None,
            field=None):
    return status, {"type": "urn:warren:problem:" + code, "title": title, "status": status, "detail": detail, "code": code,
                    "remedy": remedy, "field": field}


def rung(name, state="on", downs=0):
    return {"name": name, "state": state, "downs": downs, "ups": 0, "figure": 0, "cost": f"slow without {name}", "remedy": f"switch {name} on"}


def status(**more):
    return {"version": "0.1.0", "started_at": when(-7200), "uptime": 7200, "data_dir": "/home/ann/.local/share/warren",
            "endpoint": {"address": "192.168.1.5:51820", "origin": "route", "private": True,
                         "note": "Only devices in your own network reach it; set WARREN_ENDPOINT."},
            "listen_port": 51820, "public_key": GATEWAY_KEY,
            "uplink": {"kind": "pasta", "ifname": "tap0", "up": True, "world_sees": "host", "words": "up; the world sees the host"},
            "processes": [{"name": "control", "state": "up", "words": None},
                          {"name": "net", "state": "down", "words": "restarting"}],
            "datagrams": {"received": 12, "waited": None, "silent": False, "causes": []},
            "tunnel": {"aead": "evp", "workers": 2, "ladder": [rung("tun_tso_read"), rung("udp4_gso", "down", 1)], "drops": [], "handoffs": {"in": 0, "out": 0},
                       "calls": [{"name": "tun_read", "calls": 10, "segments": 450, "mean": 45.0}, {"name": "udp_send", "calls": 0, "segments": 0, "mean": None}]},
            "namespace_pid": 42,
            "peers": {"total": 1, "active": 1, "disabled": 0, "expired": 0, "online": 0, "without_end": 1},
            "trouble": [], **more}


def keys_of(text):
    """Private and public key of a configuration, the latter by libsodium through wg if it is there."""
    private = re.search(r"^PrivateKey = (\S+)$", text, re.M).group(1)
    return base64.b64decode(private)


@raw
def hang(request, connection):
    while connection.recv(1):
        pass


def main():
    failed = 0
    print(f"1..{len(tests)}")
    for i, function in enumerate(tests, 1):
        case, skipped, error = Case(), None, None
        try:
            skipped = function(case)
        except Exception:
            error = traceback.format_exc()
        try:
            case.close()
        except Exception:
            error = error or traceback.format_exc()
        failed += error is not None
        print(("not ok" if error else "ok") + f" {i} - {function.__name__}" + (f" # SKIP {skipped}" if skipped and not error else ""),
              flush=True)
        for line in (error or "").splitlines():
            print("# " + line)
    sys.exit(1 if failed else 0)
