"""A laboratory of network namespaces for one test program.

A net test is a Python 3 script with functions named as sentences and decorated with @test; its last
line is lab.main().  The script executes itself again in mount, pid and network namespaces of its
own: whatever it makes (namespaces, processes, sockets below /run) ends with it, and tests run side
by side.  Results are printed as TAP.

    from lab import Lab, test, skip, main

    @test
    def a_ping_crosses_a_veth(lab):
        a, b = lab.ns("a"), lab.ns("b")
        lab.veth(a, "va", "192.0.2.1/24", b, "vb", "192.0.2.2/24")
        a.run("ping", "-qc1", "192.0.2.2")
"""
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("WARREN_BUILD", os.path.join(ROOT, "build"))
INSIDE = "WARREN_LAB"
PATIENCE = float(os.environ.get("WARREN_TEST_PATIENCE", "20"))  # seconds to wait for any one event

_tests = []


class Skip(Exception):
    pass


def skip(why):
    """Ends the running test as skipped; @why is printed in the closing lines."""
    raise Skip(why)


def test(function):
    _tests.append(function)
    return function


def program(name):
    """The path of a built program; what the build leaves in a sub-folder is found too."""
    for at in (name, "server/" + name, "server/tunnel/" + name, "server/cli/" + name):
        path = os.path.join(BUILD, at)
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(f"{name} is not built below {BUILD}")


def need(*names):
    """Skips the test unless these programs are installed."""
    for name in names:
        if not shutil.which(name, path=os.environ["PATH"]):
            skip(f"{name} is not installed")


def wait_until(condition, what, timeout=None):
    """Returns @condition()'s first true value.  Fails with @what after @timeout seconds."""
    deadline = time.monotonic() + (timeout or PATIENCE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain: " + what)
        time.sleep(0.01)


class Process:
    """A program started by the laboratory, its output in a file that can be waited on."""

    def __init__(self, argv, log, **more):
        self.argv, self.log = argv, log
        with open(log, "wb") as out:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=subprocess.STDOUT, **more)
        self.pid = self.popen.pid

    def output(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def wait_for(self, pattern, timeout=None):
        """Waits until the output matches the regular expression; returns the match."""
        def look():
            found = re.search(pattern, self.output(), re.M)
            if not found and self.popen.poll() is not None:
                found = re.search(pattern, self.output(), re.M)
                if not found:
                    raise AssertionError(f"{self.argv[0]} ended ({self.popen.returncode}) before "
                                         f"/{pattern}/ was seen:\n{self.output()[-3000:]}")
            return found
        try:
            return wait_until(look, f"/{pattern}/ in the output of {self.argv[0]}", timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.output()[-3000:]}") from None

    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def wait(self, timeout=None):
        return self.popen.wait(timeout or PATIENCE)

    def stop(self, timeout=None):
        """SIGTERM, and the exit status; SIGKILL when it does not end in time."""
        if self.running():
            self.popen.terminate()
            try:
                self.popen.wait(timeout or PATIENCE)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        return self.popen.returncode

    def kill(self):
        if self.running():
            self.popen.kill()
        return self.popen.wait()


class Namespace:
    """A network namespace by name; commands run in it."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        self.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")

    def argv(self, argv, user=None):
        argv = [str(a) for a in argv]
        if user:
            argv = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
                    "--inh-caps=-all", "--"] + argv
        return ["ip", "netns", "exec", self.name] + argv

    def run(self, *argv, check=True, user=None, timeout=None, input=None, env=None):
        """Runs to the end; returns the CompletedProcess (text).  A failure shows the output."""
        done = subprocess.run(self.argv(argv, user), text=True, capture_output=True, input=input,
                              env=env, timeout=timeout or 3 * PATIENCE)
        if check and done.returncode != 0:
            raise AssertionError(f"in {self.name}: {' '.join(map(str, argv))} -> {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def ip(self, *argv):
        return subprocess.run(["ip", "-n", self.name] + [str(a) for a in argv], check=True,
                              text=True, capture_output=True).stdout

    def start(self, *argv, user=None, env=None, **more):
        """Starts a program in the background; the laboratory ends it."""
        log = os.path.join(self.lab.dir, f"log.{len(self.lab.processes)}.{os.path.basename(str(argv[0]))}")
        process = Process(self.argv(argv, user), log, env=env, **more)
        self.lab.processes.append(process)
        return process

    def ping(self, address, count=1, size=56, check=True, wait=2, extra=()):
        return self.run("ping", "-q", "-n", "-i", ".05", "-c", count, "-W", wait, "-s", size, *extra, address,
                        check=check).returncode == 0


class Lab:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="warren-lab.")
        os.chmod(self.dir, 0o755)
        self.namespaces, self.processes, self.made = {}, [], []

    def ns(self, name):
        if name not in self.namespaces:
            self.namespaces[name] = Namespace(self, name)
        return self.namespaces[name]

    def veth(self, a, a_if, a_addr, b, b_if, b_addr):
        """A cable between two namespaces; an address may be None, one, or a list (no DAD)."""
        subprocess.run(["ip", "link", "add", a_if, "netns", a.name, "type", "veth", "peer", "name", b_if,
                        "netns", b.name], check=True)
        for ns, dev, addresses in ((a, a_if, a_addr), (b, b_if, b_addr)):
            for address in [addresses] if isinstance(addresses, str) else addresses or []:
                ns.ip("addr", "add", address, "dev", dev, *(["nodad"] if ":" in address else []))
            ns.ip("link", "set", dev, "up")

    def file(self, name, text, mode=0o600):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def user(self, name="warren-test", uid=4711):
        """An unprivileged user that exists in this test alone; returns its passwd entry."""
        home = os.path.join(self.dir, "home-" + name)
        if not os.path.isdir(home):
            os.mkdir(home, 0o700)
            os.chown(home, uid, uid)
            for path, line in (("/etc/passwd", f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n"),
                               ("/etc/group", f"{name}:x:{uid}:\n")):
                with open(path) as f:
                    text = f.read()
                copy = self.file(os.path.basename(path) + "-" + name, text + line, 0o644)
                subprocess.run(["mount", "--bind", copy, path], check=True)
                self.made.append(["umount", "-l", path])
        return pwd.getpwnam(name)

    def environment(self, user, **more):
        """A clean environment for @user: HOME, PATH, XDG_RUNTIME_DIR (made), and @more."""
        runtime = os.path.join(self.dir, f"run-{user.pw_uid}")
        if not os.path.isdir(runtime):
            os.mkdir(runtime, 0o700)
            os.chown(runtime, user.pw_uid, user.pw_gid)
        return {"HOME": user.pw_dir, "USER": user.pw_name, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "XDG_RUNTIME_DIR": runtime, "LC_ALL": "C.UTF-8", **more}

    def close(self):
        for process in reversed(self.processes):
            process.stop(10)
        for argv in reversed(self.made):
            subprocess.run(argv, check=False)
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False)
        for entry in os.listdir("/run/wireguard"):
            os.unlink(os.path.join("/run/wireguard", entry))
        shutil.rmtree(self.dir, ignore_errors=True)


def _enter():
    """Executes the script again in namespaces of its own."""
    argv = ["unshare"] + ([] if os.geteuid() == 0 else ["-r"])
    argv += ["--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc",
             sys.executable] + sys.argv
    os.environ[INSIDE] = "1"
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")
    os.execvp(argv[0], argv)


def _furnish():
    """A private /run and /dev/net/tun; loopback up."""
    run = lambda *argv: subprocess.run(argv, check=True)
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for path in ("/run/netns", "/run/wireguard"):
        os.mkdir(path)
    if os.path.exists("/dev/net/tun") and not os.stat("/dev/net/tun").st_mode & 0o006:
        tun = tempfile.mkdtemp(prefix="warren-tun.", dir="/run/wireguard")
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", tun)
        run("mknod", "-m", "666", tun + "/tun", "c", "10", "200")
        run("mount", "--bind", tun + "/tun", "/dev/net/tun")
        run("umount", "-l", tun)
        os.rmdir(tun)
    run("ip", "link", "set", "lo", "up")


def _tree():
    """A tree that ordinary users cannot reach (in root's home) is also at a place where they can."""
    global ROOT, BUILD
    at = ROOT
    while os.stat(at).st_mode & 0o001 and at != "/":
        at = os.path.dirname(at)
    if os.stat(at).st_mode & 0o001:
        return
    os.mkdir("/run/tree")
    subprocess.run(["mount", "--bind", ROOT, "/run/tree"], check=True)
    if os.path.realpath(BUILD).startswith(ROOT + "/"):
        BUILD = os.path.join("/run/tree", os.path.relpath(os.path.realpath(BUILD), ROOT))
    ROOT = "/run/tree"


def inside():
    """Goes on in namespaces of its own; for programs that are not tests.  They end with the program."""
    if INSIDE not in os.environ:
        _enter()


def main():
    inside()
    wanted = sys.argv[1:]
    failed = number = 0
    for function in _tests:
        name = function.__name__.replace("_", " ")
        if wanted and not any(w in function.__name__ for w in wanted):
            continue
        number += 1
        lab = Lab()
        try:
            function(lab)
            line = f"ok {number} - {name}"
        except Skip as e:
            line = f"ok {number} - {name} # SKIP {e}"
        except Exception:
            failed += 1
            line = f"not ok {number} - {name}"
            for text in traceback.format_exc().splitlines():
                line += "\n# " + text
            for process in lab.processes:
                for text in process.output().splitlines()[-25:]:
                    line += f"\n#   {os.path.basename(process.log)}: {text}"
        lab.close()
        print(line, flush=True)
    print(f"1..{number}", flush=True)
    sys.exit(1 if failed else 0)


if INSIDE in os.environ:  # before anybody takes ROOT or BUILD from here
    _furnish()
    _tree()
