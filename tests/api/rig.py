"""What an API test needs: a private Postgres, the control process started for real by a launcher that speaks
warrend's side of server/proc/message.h, a tunnel, and a client that holds every answer against
docs/api/openapi.yaml."""
import array
import base64
import fcntl
import glob
import http.client
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time

import jsonschema
import yaml

from lab import ROOT, Process, program, skip, wait_until

MESSAGES = ["NONE", "HELLO", "CONFIG", "SOCKET", "IDENTITY", "CHANNEL", "GO", "READY", "TUN", "STOP", "NET_PLAN",
            "NET_STATE", "TUN_GONE"]


def send(sock, kind, body=b"", fds=()):
    data = struct.pack("<II", MESSAGES.index(kind), len(body)) + body
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def receive(sock, timeout=20):
    sock.settimeout(timeout)
    data, fds, _, _ = socket.recv_fds(sock, 65536, 16)
    if not data:
        raise EOFError("the child is gone")
    kind, length = struct.unpack("<II", data[:8])
    assert length == len(data) - 8, (kind, length, len(data))
    return MESSAGES[kind], data[8:], fds


def key():
    return base64.b64encode(os.urandom(32)).decode()


def in_hex(text):
    return base64.b64decode(text).hex()


class Postgres:
    """A cluster of its own, on a Unix socket; its owner may make roles and is no superuser."""

    def __init__(self, lab):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
        if not found:
            skip("no Postgres is installed")
        self.lab, self.bin, self.user = lab, found[-1], lab.user("warren-db", 4712)
        self.dir = os.path.join(lab.dir, "pg")
        os.mkdir(self.dir)
        os.chown(self.dir, self.user.pw_uid, self.user.pw_gid)
        os.chmod(self.dir, 0o755)
        self.run("initdb", "-D", self.dir + "/data", "-U", "super", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self.start()
        self.sql("CREATE ROLE warren LOGIN CREATEROLE", "CREATE DATABASE warren OWNER warren")
        self.url = f"host={self.dir} user=warren dbname=warren"

    def argv(self, *argv):
        return ["setpriv", f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups", "--",
                os.path.join(self.bin, argv[0]), *argv[1:]]

    def run(self, *argv):
        subprocess.run(self.argv(*argv), check=True, capture_output=True, cwd="/")

    def start(self):
        self.server = Process(self.argv("postgres", "-D", self.dir + "/data", "-k", self.dir, "-c",
                                        "listen_addresses=", "-c", "unix_socket_permissions=0777", "-F"),
                              os.path.join(self.lab.dir, f"log.postgres.{time.monotonic_ns()}"), cwd="/")
        self.lab.processes.append(self.server)
        wait_until(lambda: subprocess.run([self.bin + "/pg_isready", "-q", "-h", self.dir]).returncode == 0,
                   "Postgres to be ready")

    def stop(self):
        self.server.signal(2)
        self.server.wait()

    def sql(self, *statements, database="postgres"):
        argv = [self.bin + "/psql", "-qAtX", "-h", self.dir, "-U", "super", "-d", database, "-v", "ON_ERROR_STOP=1"]
        for statement in statements:
            argv += ["-c", statement]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


class Control:
    """The role `control`, with a launcher that plays warrend."""

    def __init__(self, lab, url, user=None, **config):
        self.lab, self.user = lab, user or lab.user()
        self.directory = os.path.join(lab.dir, f"control{len(lab.processes)}")
        os.mkdir(self.directory)
        os.chmod(self.directory, 0o755)
        self.http = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.http.bind(("127.0.0.1", 0))
        self.http.listen(64)
        self.admin_path = os.path.join(self.directory, "admin.sock")
        self.admin = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.admin.bind(self.admin_path)
        os.chmod(self.admin_path, 0o666)  # whom it lets in is its own matter here
        self.admin.listen(64)
        self.metrics = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.metrics.bind(("127.0.0.1", 0))
        self.metrics.listen(64)
        self.config = {"WARREN_DATA_DIR": "/nowhere", "WARREN_DATABASE_URL": url, "WARREN_ENDPOINT": "vpn.example.org:51820",
                       "WARREN_DNS": "192.0.2.53", "WARREN_LOG_LEVEL": "debug", **config}
        self.start()

    def start(self):
        self.parent, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = ["bash", "-c", f'exec 3<&{child.fileno()}; exec "$@"', "bash", "setpriv", f"--reuid={self.user.pw_uid}",
                f"--regid={self.user.pw_gid}", "--clear-groups", "--", program("warrend"), "control"]
        self.process = Process(argv, os.path.join(self.lab.dir, f"log.control.{time.monotonic_ns()}"),
                               pass_fds=[child.fileno()], cwd="/")
        self.lab.processes.append(self.process)
        child.close()
        assert receive(self.parent)[:2] == ("HELLO", b"control")
        send(self.parent, "CONFIG", "".join(f"{k}={v}\n" for k, v in self.config.items()).encode())
        send(self.parent, "SOCKET", b"http", [self.http.fileno()])
        send(self.parent, "SOCKET", b"admin", [self.admin.fileno()])
        send(self.parent, "SOCKET", b"metrics", [self.metrics.fileno()])
        send(self.parent, "GO")
        assert receive(self.parent)[0] == "READY"

    def channel(self, name, kind=socket.SOCK_STREAM):
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        send(self.parent, "CHANNEL", name.encode(), [theirs.fileno()])
        theirs.close()
        return ours

    def stop(self):
        """In order; the exit status."""
        send(self.parent, "STOP")
        return self.process.wait()

    def kill(self):
        self.process.kill()

    def connect(self, tcp=False, timeout=60):
        """@tcp: True: where the web is; "metrics": where the figures are."""
        s = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(timeout)
        s.connect(self.metrics.getsockname() if tcp == "metrics" else self.http.getsockname() if tcp else self.admin_path)
        return s


class ScriptedTunnel:
    """The other end of `tunnel` and `tunnel-watch`, to see what is told in which order, and to be as bad as
    no real one is: it refuses, is silent, or talks nonsense when a test says so."""

    def __init__(self, control, peers=None, refuses=lambda request: 0):
        self.control, self.peers, self.told = control, peers if peers is not None else {}, []
        self.refuses = refuses
        self.silent = False
        self.datagrams, self.public_key = 0, os.urandom(32).hex()
        self.lock = threading.Lock()
        self.asked, self.watch = control.channel("tunnel"), control.channel("tunnel-watch")
        for target in (self.serve, self.hear):
            threading.Thread(target=target, daemon=True).start()

    def hear(self):
        try:
            if self.watch.recv(4096) == b"set=1\nwarren_watch=true\n\n":
                self.watch.sendall(b"errno=0\n\n")
        except OSError:
            pass

    def event(self, public_key, endpoint, at):
        self.watch.sendall(f"public_key={public_key}\nendpoint={endpoint}\nlast_handshake_time_sec={at}\n"
                           "last_handshake_time_nsec=0\n\n".encode())

    def serve(self):
        text = b""
        try:
            while True:
                more = self.asked.recv(65536)
                if not more:
                    return
                text += more
                while b"\n\n" in text:
                    request, text = text.split(b"\n\n", 1)
                    if not self.silent:
                        self.asked.sendall(self.answer(request.decode()).encode())
        except OSError:
            pass

    def answer(self, request):
        lines = [line.split("=", 1) for line in request.splitlines()]
        with self.lock:
            if lines[0] == ["get", "1"]:
                return self.state()
            self.told.append(request)
            error = self.refuses(request)
            if not error:
                self.change(lines[1:])
            return f"errno={-error}\n\n"

    def state(self):
        out = [f"listen_port=51820\nwarren_protocol=1\nwarren_public_key={self.public_key}\nwarren_aead=sodium\n"
               f"warren_rung_tun_tso=on 0 0 0\nwarren_datagrams={self.datagrams}\nwarren_drop_mac1=3\n"]
        for public_key, peer in self.peers.items():
            out.append(f"public_key={public_key}\npreshared_key={'0' * 64}\nprotocol_version=1\n")
            out += [f"endpoint={peer['endpoint']}\n"] if peer.get("endpoint") else []
            out.append(f"last_handshake_time_sec={peer.get('handshake', 0)}\nlast_handshake_time_nsec=0\n"
                       f"tx_bytes={peer.get('tx', 0)}\nrx_bytes={peer.get('rx', 0)}\npersistent_keepalive_interval=0\n")
            out += [f"allowed_ip={a}\n" for a in peer["allowed"]]
            out.append(f"warren_state={peer['state']}\nwarren_end={peer['end']}\n")
        return "".join(out) + "errno=0\n\n"

    def change(self, lines):
        peer = None
        for k, v in lines:
            if k == "public_key":
                public_key, peer = v, self.peers.setdefault(v, {"allowed": [], "state": "active", "end": "0"})
            elif k == "remove":
                del self.peers[public_key]
            elif k == "replace_allowed_ips":
                peer["allowed"] = []
            elif k == "allowed_ip":
                for other in self.peers.values():
                    if v in other["allowed"]:
                        other["allowed"].remove(v)
                peer["allowed"].append(v)
            elif k in ("warren_state", "warren_end"):
                peer[k[7:]] = v
            elif k == "endpoint":
                peer["endpoint"] = v
            elif k == "warren_initiate":
                peer["initiated"] = peer.get("initiated", 0) + 1
            elif k != "update_only":
                raise AssertionError(f"unknown key {k}")

    def close(self):
        self.asked.close()
        self.watch.close()


class ScriptedNet:
    """The other end of `net`: takes plans, answers with a state."""

    def __init__(self, control, **state):
        self.channel, self.plans = control.channel("net", socket.SOCK_SEQPACKET), []
        self.state = {"applied": True, "domains": [], "outside_sees": "host", "outside_sees_words": "the host's address",
                      "uplink": {"kind": "pasta", "ifname": "eth0", "present": True, "up": True, "addresses": [],
                                 "gateways": []}, "refusals": [], "problems": [], **state}
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                kind, body, _ = receive(self.channel, None)
                assert kind == "NET_PLAN"
                self.plans.append(json.loads(body))
                self.state["domains"] = [{"peers_may_meet": d["peers_may_meet"]} for d in self.plans[-1]["domains"]]
                send(self.channel, "NET_STATE", json.dumps(self.state).encode())
        except (OSError, EOFError):
            pass


class RealTunnel:
    """warren-tunnel as warrend starts it, with a TUN device and UDP sockets of the laboratory's namespace."""

    def __init__(self, lab, control):
        try:
            path = program("warren-tunnel")
        except FileNotFoundError:
            skip("warren-tunnel is not built")
        self.private = subprocess.run(["wg", "genkey"], check=True, capture_output=True, text=True).stdout.strip()
        self.public = subprocess.run(["wg", "pubkey"], check=True, capture_output=True, text=True,
                                     input=self.private).stdout.strip()
        self.tun = self.device("wg0")
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.port = self.udp.getsockname()[1]
        parent, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.parent = parent
        self.process = Process(["bash", "-c", f'exec 3<&{child.fileno()}; exec "$@"', "bash", path, "--managed"],
                               os.path.join(lab.dir, f"log.tunnel.{time.monotonic_ns()}"), pass_fds=[child.fileno()])
        lab.processes.append(self.process)
        child.close()
        assert receive(parent)[:2] == ("HELLO", b"tunnel")
        send(parent, "CONFIG", b"WARREN_LOG_LEVEL=debug\n")
        send(parent, "SOCKET", b"udp4", [self.udp.fileno()])
        send(parent, "SOCKET", b"tun:wg0", [self.tun])
        send(parent, "IDENTITY", base64.b64decode(self.private))
        for name, there in (("control", "tunnel"), ("control-watch", "tunnel-watch")):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            send(parent, "CHANNEL", name.encode(), [ours.fileno()])
            send(control.parent, "CHANNEL", there.encode(), [theirs.fileno()])
            ours.close()
            theirs.close()
        send(parent, "GO")
        assert receive(parent)[0] == "READY"

    @staticmethod
    def device(name):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0001 | 0x1000 | 0x4000 | 0x0100))
        subprocess.run(["ip", "link", "set", name, "up", "mtu", "1420"], check=True)
        return fd


class Client:
    """Calls the API; what is not as the OpenAPI document says fails the test."""
    document = yaml.safe_load(open(os.path.join(ROOT, "docs/api/openapi.yaml")))
    called = set()

    def __init__(self, control, tcp=False):
        self.control, self.tcp = control, tcp

    @classmethod
    def operations(cls):
        for path, item in cls.document["paths"].items():
            base = item.get("servers", cls.document["servers"])[0]["url"].rstrip("/")
            for method in ("get", "post", "patch", "delete"):
                if method in item:
                    yield method.upper(), base + path if path != "/" else "/", item[method]

    def operation(self, method, path):
        for m, pattern, operation in self.operations():
            if m == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
                return operation
        return None

    def resolve(self, thing):
        while "$ref" in thing and thing["$ref"].startswith("#/components/responses/"):
            thing = self.document["components"]["responses"][thing["$ref"].rsplit("/", 1)[1]]
        return thing

    def check(self, method, path, status, headers, body):
        operation = self.operation(method, path.split("?")[0])
        assert operation, f"{method} {path} answers {status} and is not in the document"
        responses = operation["responses"]
        response = responses.get(str(status)) or responses.get("default")
        assert response, f"{method} {path} answers {status}, which the document does not know"
        (kind, content), = self.resolve(response)["content"].items()
        assert headers["content-type"] == kind + "; charset=utf-8", (path, headers["content-type"])
        if kind.endswith("json"):
            body = json.loads(body)
            jsonschema.Draft202012Validator({**content["schema"], "components": self.document["components"]}).validate(body)
        if status < 300:
            self.called.add(operation["operationId"])
        return body

    def raw(self, data, half_close=False):
        """Bytes in, all of the answer out."""
        with self.control.connect(self.tcp) as s:
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
            out = b""
            while True:
                more = s.recv(65536)
                if not more:
                    return out
                out += more

    def ask(self, method, path, body=None, headers=None):
        """Status, headers, body as text; nothing is checked but the fields that all answers have."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {"Host": "localhost", **({"Content-Type": "application/json"} if data else {}),
                 **({"Content-Length": str(len(data))} if data or method not in ("GET", "HEAD") else {}), **(headers or {})}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        return self.parse(self.raw(head.encode() + data))

    @staticmethod
    def parse(answer):
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert re.match(r"HTTP/1\.1 \d{3} ", lines[0]), answer[:200]
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
        for name, value in (("connection", "close"), ("cache-control", "no-store"), ("x-content-type-options", "nosniff"),
                            ("referrer-policy", "no-referrer"), ("cross-origin-opener-policy", "same-origin")):
            assert headers.get(name) == value, (name, headers)
        assert "max-age=31536000" in headers["strict-transport-security"]
        for part in ("default-src 'none'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"):
            assert part in headers["content-security-policy"]
        return int(lines[0].split()[1]), headers, body.decode()

    def call(self, method, path, body=None, expect=None, **more):
        status, headers, text = self.ask(method, path, body, **more)
        result = self.check(method, path, status, headers, text)
        assert expect is None or status == expect, f"{method} {path}: {status} instead of {expect}: {text}"
        return result

    def get(self, path, expect=200):
        return self.call("GET", path, expect=expect)

    def post(self, path, body=None, expect=200):
        return self.call("POST", path, body, expect)

    def patch(self, path, body, expect=200):
        return self.call("PATCH", path, body, expect)

    def delete(self, path, expect=200):
        return self.call("DELETE", path, None, expect)

    def until(self, path, condition, what):
        def look():
            body = self.get(path, expect=None)
            return body if condition(body) else None
        return wait_until(look, what)

    def database_up(self):
        return self.until("/api/v1/status", lambda s: s["peers"] is not None, "the database to be up")
