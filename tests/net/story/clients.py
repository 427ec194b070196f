"""Stock clients and far servers around a gateway."""
import os
import re
import subprocess
import sys
import threading

from lab import need, wait_until

SERVER = """
import http.server, socket, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"a page\\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, form, *args):
        print("from", self.client_address[0].removeprefix("::ffff:"), self.path, flush=True)
server = Server(("::", int(sys.argv[1])), Handler)
print("serving", flush=True)
server.serve_forever()
"""


class Web:
    """A web server that writes down who asked."""

    def __init__(self, ns, port=80):
        self.port = port
        self.process = ns.start(sys.executable, "-u", "-c", SERVER, port)
        self.process.wait_for("^serving")

    def seen(self, path):
        """Where the requests for @path came from."""
        return re.findall(rf"^from (\S+) {re.escape(path)}$", self.process.output(), re.M)


class Client:
    """wireguard-go, brought up by wg-quick with the file that `warren peer add` printed."""

    def __init__(self, lab, name, config):
        need("wg-quick", "wireguard-go")
        self.lab, self.ns, self.name = lab, lab.ns(name), name
        self.ifname = "c" + name[-10:].replace("-", "")
        self.path = os.path.join(lab.dir, self.ifname + ".conf")
        with open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(config)
        self.addresses = [a.strip() for line in re.findall(r"^Address\s*=\s*(.*)$", config, re.M) for a in line.split(",")]
        self.address = self.addresses[0].split("/")[0]

    def up(self):
        env = dict(os.environ, WG_QUICK_USERSPACE_IMPLEMENTATION="wireguard-go", WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD="1")
        self.ns.run("wg-quick", "up", self.path, env=env)
        self.lab.made.append(self.ns.argv(["wg-quick", "down", self.path]))
        return self

    def fetch(self, url, check=True, seconds=3):
        """Whether the page came."""
        done = self.ns.run("curl", "-sS", "-g", "--max-time", seconds, url, check=False)
        if check and done.stdout != "a page\n":
            raise AssertionError(f"{self.name}: {url}: {done.stdout!r} {done.stderr}")
        return done.stdout == "a page\n"

    def pings(self, address, wait=1):
        return self.ns.ping(address, check=False, wait=wait)

    def await_ping(self, address, what):
        wait_until(lambda: self.pings(address), what)


class Trickle:
    """A ping each 50 ms in the background: what was lost meanwhile?"""

    def __init__(self, ns, address):
        self.process = subprocess.Popen(ns.argv(["ping", "-n", "-O", "-i", ".05", address]), text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.lines = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        wait_until(lambda: self.answers() > 3, "the trickle to flow")

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def answers(self):
        return sum("bytes from" in line for line in list(self.lines))

    def flows_on(self, n=5):
        """Waits until @n more answers came."""
        start = self.answers()
        wait_until(lambda: self.answers() >= start + n, "the trickle to flow on:\n" + "".join(self.lines[-5:]))

    def stop(self):
        """Ends it; the share that was lost."""
        self.process.send_signal(2)
        self.process.wait()
        self.thread.join()
        text = "".join(self.lines)
        sent, got = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", text).groups())
        return 1 - got / sent
