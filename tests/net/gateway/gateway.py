"""A whole gateway in the laboratory: warrend as an ordinary user in a namespace that has a way out.

    from gateway import Gateway

    host, world = uplink(lab)                      # host's 192.0.2.2/24 to the world's 192.0.2.1
    gateway = Gateway(lab, host, WARREN_POOL="10.90.0.0/16")
    gateway.start()                                # until the banner is there
    gateway.warren("peer", "add", "alice")         # the command line, as the same user
    os.kill(gateway.pid("net"), 9)
    gateway.stop()                                 # SIGINT; fails if anything is left behind
"""
import os
import re
import signal
import subprocess

from lab import PATIENCE, program, wait_until

ROLES = ("control", "net", "tunnel", "uplink", "postgres")


def uplink(lab, host="host", world="world"):
    """Two namespaces with a cable; the host's default route leads to the world."""
    h, w = lab.ns(host), lab.ns(world)
    lab.veth(h, "eth0", ["192.0.2.2/24", "2001:db8::2/64"], w, "eth0", ["192.0.2.1/24", "2001:db8::1/64"])
    h.ip("route", "add", "default", "via", "192.0.2.1")
    h.ip("-6", "route", "add", "default", "via", "2001:db8::1")
    return h, w


def processes():
    """pid -> (parent, argv) of all that live; the laboratory has a pid namespace of its own."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as f:
                stat = f.read().rpartition(")")[2].split()
            with open(f"/proc/{entry}/cmdline") as f:
                argv = f.read().split("\0")[:-1]
        except OSError:
            continue
        if stat[0] != "Z":
            found[int(entry)] = (int(stat[1]), argv)
    return found


def role_of(argv):
    """Which of warrend's children this is; None: none of them."""
    if argv[:1] == ["warrend"] and len(argv) == 2:
        return argv[1]
    if argv and os.path.basename(argv[0]) == "warren-tunnel":
        return "tunnel"
    if argv and os.path.basename(argv[0]) == "postgres":
        return "postgres"
    return None


def status(pid, field):
    """A field of /proc/PID/status."""
    with open(f"/proc/{pid}/status") as f:
        return re.search(rf"^{field}:\s*(.*)$", f.read(), re.M).group(1)


class Gateway:
    def __init__(self, lab, ns, user=None, name="gateway", uplink="pasta", **env):
        self.lab, self.ns, self.name = lab, ns, name
        self.user = user or lab.user()
        self.data = os.path.join(self.user.pw_dir, name)
        settings = {"WARREN_DATA_DIR": self.data, "WARREN_UPLINK": uplink, "WARREN_LOG_LEVEL": "debug",
                    "WARREN_WORKERS": os.environ.get("TEST_WORKERS"), **env}
        self.env = {k: v for k, v in lab.environment(self.user, **settings).items() if v is not None}
        self.runtime = os.path.join(self.env["XDG_RUNTIME_DIR"], "warren")
        self.process = None

    def launch(self, *args, user=True, env=None):
        """Starts warrend and does not wait."""
        self.process = self.ns.start(program("warrend"), *args, user=self.user if user else None,
                                     env={**self.env, **(env or {})})
        return self.process

    def start(self, *args, **more):
        """Starts warrend and waits for its banner, which is returned, and until changes can be made."""
        self.launch(*args, **more)
        self.process.wait_for(r"^Warren is ready\.", 3 * PATIENCE)
        wait_until(self.healthy, "the gateway to be healthy\n" + self.output()[-3000:], 3 * PATIENCE)
        return self.banner()

    def healthy(self):
        """Whether database and tunnel are there, as /health says."""
        return self.ns.run("curl", "-sf", "-m", "5", "http://127.0.0.1:51821/health", check=False).returncode == 0

    def refused(self, *args, status=1, **more):
        """Starts warrend, which must end by itself; returns what it said."""
        self.launch(*args, **more)
        code = self.process.wait(3 * PATIENCE)
        text = self.process.output()
        if code != status:
            raise AssertionError(f"warrend ended with {code}, not {status}:\n{text[-3000:]}")
        return text

    def output(self):
        return self.process.output()

    def banner(self):
        """The banner's lines by their labels."""
        text = self.process.wait_for(r"(?s)^Warren is ready\.\n\n(.*?\n)\n").group(1)
        lines = {}
        for label, value in re.findall(r"^  (\S[^\n]{11}) (\S[^\n]*(?:\n {15}[^\n]*)*)", text, re.M):
            lines[label.strip()] = " ".join(value.split())
        return lines

    def pids(self):
        """Role -> pid of warrend's own children."""
        found = {}
        for pid, (parent, argv) in processes().items():
            if parent == self.process.pid and role_of(argv):
                found[role_of(argv)] = pid
        return found

    def pid(self, role):
        return wait_until(lambda: self.pids().get(role), f"{role} to run")

    def kill(self, role, number=signal.SIGKILL):
        """Kills a child and waits for its successor, whose pid is returned."""
        before = self.pid(role)
        os.kill(before, number)
        return wait_until(lambda: self.pids().get(role) not in (None, before) and self.pids()[role],
                          f"{role} to be started again")

    def ready_count(self, role):
        return len(re.findall(rf"child={role} pid=\d+ state=ready", self.output()))

    def wait_ready(self, role, times):
        """Waits until @role was ready so often since the start."""
        wait_until(lambda: self.ready_count(role) >= times, f"{role} to be ready for the {times}. time\n"
                   + self.output()[-3000:])

    def namespaces(self, role="net"):
        """(user, net) namespaces of a child."""
        return tuple(os.readlink(f"/proc/{self.pid(role)}/ns/{kind}") for kind in ("user", "net"))

    def inner(self, *argv, check=True):
        """Runs a command as root in the inner network namespace."""
        done = subprocess.run(["nsenter", "-t", str(self.pid("net")), "-n", *map(str, argv)], text=True,
                              capture_output=True, timeout=3 * PATIENCE)
        if check and done.returncode != 0:
            raise AssertionError(f"inside: {' '.join(map(str, argv))} -> {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def move_in(self, ifname):
        """What root does for WARREN_UPLINK=IFNAME."""
        self.ns.ip("link", "set", ifname, "netns", self.pid("net"))

    def warren(self, *argv, check=True, user=None, **more):
        """The command line, as the gateway's user."""
        return self.ns.run(program("warren"), *argv, check=check, user=user or self.user, env=self.env, **more)

    def stop(self, number=signal.SIGINT, timeout=None):
        """Stops it, and fails if it does not end well or leaves a process or a socket."""
        sockets = self.sockets()
        self.process.signal(number)
        code = self.process.wait(timeout or 3 * PATIENCE)
        if code != 0:
            raise AssertionError(f"warrend ended with {code}:\n{self.output()[-3000:]}")
        left = [argv for _, argv in processes().values() if self.is_ours(argv)]
        left += [s for s in sockets + self.sockets() if os.path.exists(s)]
        if left:
            raise AssertionError(f"left behind: {left}")

    def is_ours(self, argv):
        """Whether a process like this has no business once the gateway is gone; a Postgres of others has."""
        role = role_of(argv) or ("pasta" if argv[:1] == ["pasta"] else None)
        return role and (role != "postgres" or any(self.data in word for word in argv))

    def sockets(self):
        """The sockets with a name that there are now."""
        found = []
        for top in (self.runtime, os.path.join(self.data, "run")):
            for directory, _, names in os.walk(top):
                found += [os.path.join(directory, n) for n in names if not n.endswith(".lock")]
        return found

    def kill_all(self):
        """The end of everything at once, as of a machine that lost its power."""
        for pid in [self.process.pid, *self.pids().values()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
