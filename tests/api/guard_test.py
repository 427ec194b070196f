"""Who is let in, and what is not even looked at."""
import os
import re
import socket
import struct
import subprocess
import sys
import threading

from lab import main, test, wait_until
from rig import Client, Control, Postgres, ScriptedTunnel, json, key, time

NO_DATABASE = "host=/nowhere user=warren dbname=warren connect_timeout=1"


@test
def on_tcp_only_the_open_paths_answer(lab):
    control = Control(lab, NO_DATABASE)
    web = Client(control, tcp=True)
    page = web.get("/")
    assert "<script" not in page and "vpn.example.org:51820" in page and "warren peer add" in page and "Fast path" in page
    web.get("/version")
    for path in ("/health", "/api/v1/health"):
        status, headers, body = web.ask("GET", path)
        assert status == 503 and json.loads(body) == {"status": "degraded", "database": False, "tunnel": False}
    for method, path in (("GET", "/api/v1/status"), ("GET", "/api/v1/peers"), ("POST", "/api/v1/peers"), ("GET", "/nothing"),
                         ("POST", "/"), ("DELETE", "/api/v1/peers/1"), ("GET", "/api/v1/peers/x/y")):
        status, headers, body = web.ask(method, path)
        assert status == 401 and json.loads(body)["code"] == "unauthorized" and "www-authenticate" in headers, (method, path)
    status, _, body = web.ask("HEAD", "/")
    assert status == 200 and body == ""


@test
def a_name_that_is_not_ours_is_misdirected(lab):
    control = Control(lab, NO_DATABASE, WARREN_PUBLIC_ORIGIN="https://warren.example.org")
    web = Client(control, tcp=True)
    for host, status in (("127.0.0.1:51821", 200), ("localhost", 200), ("[::1]:5", 200), ("warren.example.org", 200),
                         ("WARREN.example.org", 200), ("evil.example.org", 421), ("warren.example.org.evil.test", 421),
                         ("warren.example.org:8443", 421), ("[::1", 421), ("1.2.3", 421)):
        assert web.ask("GET", "/version", headers={"Host": host})[0] == status, host


@test
def the_admin_socket_lets_in_root_its_own_user_and_the_group(lab):
    control = Control(lab, NO_DATABASE)
    other = lab.user("somebody", 4713)
    script = ("import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
              "s.sendall(b'GET /api/v1/status HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\nprint(s.recv(99).split()[1].decode())")

    def status(uid, gid, *groups):
        argv = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--groups=" + ",".join(map(str, groups)) if groups else "--clear-groups",
                sys.executable, "-c", script, control.admin_path]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    assert status(0, 0) == "200"
    assert status(control.user.pw_uid, control.user.pw_gid) == "200"
    assert status(other.pw_uid, other.pw_gid) == "403"
    with open("/etc/group") as f:
        group = f.read()
    if not re.search(r"^warren:", group, re.M):
        group += "warren:x:4799:\n"
        copy = lab.file("group-with-warren", group, 0o644)
        subprocess.run(["mount", "--bind", copy, "/etc/group"], check=True)
        lab.made.append(["umount", "-l", "/etc/group"])
    gid = re.search(r"^warren:[^:]*:(\d+):", group, re.M)[1]
    assert status(other.pw_uid, other.pw_gid, gid) == "200"
    assert status(other.pw_uid, gid) == "200"


@test
def browsers_are_not_let_in_at_the_admin_socket(lab):
    api = Client(Control(lab, NO_DATABASE))
    for field in ({"Origin": "http://localhost"}, {"Sec-Fetch-Site": "cross-site"}):
        assert api.call("GET", "/api/v1/status", headers=field, expect=403)["code"] == "browser"


HEADS = [
    (b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    (b"GET /version HTTP/1.0\r\nHost: x\r\n\r\n", 200), (b"GET /version HTTP/1.1\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400), (b"GET /version HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    (b"GET version HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"GET http://x/version HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET //version HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"GET /%76ersion HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /version\0 HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"GET /version HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400), (b"GET /version HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nnocolon\r\n\r\n", 400), (b"GET  /version HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde", 400),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nabcde", 400),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 413),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n", 417),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nWarren-Visit: 00000000000000000000000000000000\r\n\r\n", 400),
    (b"GET /version HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 60 + b"\r\n", 431),
    (b"GET /version HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 9000 + b"\r\n\r\n", 431),
    (b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431), (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    (b"BREWCOFFEEX / HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"PUT /version HTTP/1.1\r\nHost: x\r\n\r\n", 405),
]


@test
def odd_heads_are_refused_before_anything_else_reads_them(lab):
    api = Client(Control(lab, NO_DATABASE))
    for head, status in HEADS:
        answer = api.raw(head)
        assert Client.parse(answer)[0] == status, (head[:80], answer[:60])


@test
def a_second_request_behind_the_first_is_not_answered(lab):
    api = Client(Control(lab, NO_DATABASE))
    one = b"POST /version HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    answer = api.raw(one + b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1


@test
def a_request_in_pieces_is_one_and_a_half_closed_client_is_answered(lab):
    api = Client(Control(lab, NO_DATABASE))
    with api.control.connect() as s:
        for byte in b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n":
            s.sendall(bytes([byte]))
        assert s.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert Client.parse(api.raw(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n", half_close=True))[0] == 200


@test
def slow_clients_cost_no_worker_and_are_ended(lab):
    control = Control(lab, NO_DATABASE)
    web = Client(control, tcp=True)
    slow = [control.connect(tcp=True) for _ in range(150)]  # more than there are workers
    for s in slow:
        s.sendall(b"POST /version HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12")
    start = time.monotonic()
    assert web.ask("GET", "/version")[0] == 200 and time.monotonic() - start < 5
    assert slow[0].recv(4096).startswith(b"HTTP/1.1 408 ")
    for s in slow:
        s.close()


@test
def nobody_gets_in_beside_the_relay(lab):
    control = Control(lab, NO_DATABASE)
    Client(control).get("/version")
    listening = [line.split() for line in open("/proc/net/tcp").read().splitlines()[1:]]
    port = next(int(f[1].split(":")[1], 16) for f in listening
                if f[3] == "0A" and int(f[1].split(":")[1], 16) not in (control.http.getsockname()[1], control.metrics.getsockname()[1]))
    for field in (b"", b"Warren-Visit: 00000000000000000000000000000000\r\n"):
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n")
            out = b""
            while more := s.recv(65536):
                out += more
        assert Client.parse(out)[0] == 403, out


@test
def a_client_that_goes_away_hurts_nobody(lab):
    control = Control(lab, NO_DATABASE)
    api = Client(control)
    for n in range(60):
        s = control.connect(tcp=n % 2 == 0)
        if n % 2 == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.sendall(b"GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n"[: 10 + n])
        s.close()
    api.get("/api/v1/status")
    assert control.stop() == 0


main()
