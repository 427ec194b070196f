#!/usr/bin/env python3
"""The command line against a gateway that is away, slow, mistaken or hostile.  Prints TAP."""
import os
import re
import socket
import subprocess

import standin
from case import added, config, hang, main, peer, problem, status, test, WARREN
from standin import raw, send


@test
def a_gateway_cannot_smuggle_a_line_into_the_configuration(case):
    for evil in (config(dns=["10.82.0.1\nPostUp = touch pwned"]), config(endpoint="a:1\nPostUp = x")):
        case.gateway.says["POST /peers"] = (201, added(conf=evil))
        done = case.warren("peer", "add", "laptop", status=1)
        assert "PostUp" not in done.stdout + done.stderr and "makes no configuration" in done.stderr


@test
def a_gateway_that_pages_in_a_circle_does_not_hold_us(case):
    case.gateway.says["GET /peers"] = (200, {"peers": [peer("a")], "next": "a"})
    assert len(case.warren("peer", "list").stdout.splitlines()) <= 4


@test
def nothing_from_the_gateway_steers_the_terminal(case):
    evil = "\x1b]0;pwned\x07\u202egnp\r\n\x9b31m"
    case.gateway.says["GET /status"] = (200, status(peers=None, data_dir=evil, trouble=[
        {"code": "x", "words": evil, "remedy": evil}]))
    case.gateway.says["GET /peers/laptop"] = problem(404, "not_found", evil, evil, evil, evil)
    for done in (case.warren("status"), case.warren("status", "-ojson"), case.warren("peer", "show", "laptop", status=1)):
        for bad in ("\x1b", "\x07", "\u202e", "\r", "\x9b"):
            assert bad not in done.stdout + done.stderr, repr(done)


@test
def an_unreachable_gateway_is_status_3_and_a_remedy(case):
    nowhere = case.warren("status", status=3, WARREN_ADMIN_SOCKET=case.path("nowhere.sock"))
    assert "no gateway has made it" in nowhere.stderr and "warrend" in nowhere.stderr
    dead = case.path("dead.sock")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(dead)
    assert "nobody listens" in case.warren("status", status=3, WARREN_ADMIN_SOCKET=dead).stderr
    long = case.warren("status", status=2, WARREN_ADMIN_SOCKET="/" + "x" * 200)
    assert "WARREN_ADMIN_SOCKET" in long.stderr


@test
def who_is_not_let_in_is_told_of_the_group(case):
    if os.geteuid() != 0:
        return "needs root to become someone else"
    os.chmod(case.dir, 0o755)
    os.chmod(case.gateway.path, 0o600)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", WARREN, "status"], text=True,
                          env={**case.env, "ASAN_OPTIONS": case.env["ASAN_OPTIONS"] + ":detect_leaks=0"}, capture_output=True)
    if done.returncode in (126, 127):
        return "another user cannot reach the built program"
    assert done.returncode == 3 and "usermod -aG warren" in done.stderr, done


@test
def the_socket_of_the_run_time_directory_is_found(case):
    if os.path.exists("/run/warren"):
        return "a gateway of this host is in the way"
    os.mkdir(case.path("warren"))
    gateway = standin.Gateway(case.path("warren/admin.sock"))
    gateway.says["GET /pools"] = (200, {"pools": []})
    case.warren("pool", "list", WARREN_ADMIN_SOCKET="", XDG_RUNTIME_DIR=case.dir)
    assert len(gateway.requests) == 1
    gateway.close()


@test
def a_gateway_that_closes_early_is_told_from_one_that_refuses(case):
    @raw
    def close(request, connection):
        pass

    @raw
    def cut(request, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"peers\"")
    for way in (close, cut):
        case.gateway.says["GET /peers"] = case.gateway.says["POST /peers"] = way
        assert "closed before the answer" in case.warren("peer", "list", status=3).stderr
        done = case.warren("peer", "add", "laptop", "--out", "l.conf", status=3)
        assert "may have been made" in done.stderr and "warren peer rekey laptop" in done.stderr
        assert not os.path.exists(case.path("l.conf"))


@test
def a_gateway_that_hangs_is_given_up_by_name(case):
    case.gateway.says["GET /pools"] = hang
    done = case.warren("pool", "list", status=3)
    assert re.search(r"no answer within \d+ s", done.stderr), done.stderr


@test
def an_answer_of_ten_megabytes_is_refused(case):
    @raw
    def much(request, connection):
        send(connection, 200, "application/json", b'{"pools": [' + b"0," * (5 << 20) + b"0]}")
    case.gateway.says["GET /pools"] = much
    assert "longer than 4 MiB" in case.warren("pool", "list", status=1).stderr


@test
def what_is_not_the_api_is_refused(case):
    def sending(status, kind, body):
        return raw(lambda request, connection: send(connection, status, kind, body))
    for answer, words in ((sending(200, "text/html", b"<p>hello"), "text/html"),
                          (sending(404, "text/html", b"<p>hello"), "HTTP status 404"),
                          (sending(200, "application/json", b"[1]"), "not a JSON object"),
                          (sending(200, "application/json", b'{"a":1,"a":2}'), "not a JSON object"),
                          (sending(200, "application/json", b'{"pools": '), "not a JSON object"),
                          (sending(302, "application/json", b"{}"), "HTTP status 302"),
                          (raw(lambda r, c: c.sendall(b"SSH-2.0-x\r\n")), "not HTTP")):
        case.gateway.says["GET /pools"] = answer
        done = case.warren("pool", "list", status=1)
        assert "is not Warren" in done.stderr and words in done.stderr, done.stderr


@test
def a_json_object_without_the_promised_members_crashes_nothing(case):
    @raw
    def empty(request, connection):
        send(connection, 200, "application/json", b'{"peers":[{}, 1, null],"pools":[7],"events":{},"trouble":3}')
    for path in ("GET /status", "GET /peers", "GET /pools", "GET /audit", "GET /peers/laptop", "POST /peers/laptop/enable"):
        case.gateway.says[path] = empty
    for argv in (["status"], ["peer", "list"], ["pool", "list"], ["audit", "list"], ["peer", "show", "laptop"],
                 ["peer", "enable", "laptop"]):
        case.warren(*argv)


@test
def a_full_disk_is_a_failure(case):
    case.gateway.says["GET /peers"] = (200, {"peers": [peer()], "next": None})
    with open("/dev/full", "w") as full:
        done = subprocess.run([WARREN, "peer", "list"], env=case.env, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "No space left" in done.stderr


@test
def the_program_leaves_no_core_and_lets_nobody_look_in(case):
    case.gateway.says["GET /pools"] = hang
    argv = [WARREN, "pool", "list"]
    if os.geteuid() == 0:  # what is root's below /proc says nothing of root's own processes
        if subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", WARREN, "--version"], capture_output=True).returncode:
            return "another user cannot reach the built program"
        argv = ["setpriv", "--reuid=65534", "--clear-groups", *argv]
        os.chmod(case.dir, 0o755)
        os.chmod(case.gateway.path, 0o666)
    child = subprocess.Popen(argv, env=case.env, stderr=subprocess.DEVNULL)
    try:
        case.gateway.wait_for(lambda: case.gateway.requests)
        assert os.stat(f"/proc/{child.pid}/mem").st_uid == 0, "its memory is open to its user"
        with open(f"/proc/{child.pid}/limits") as f:
            assert re.search(r"Max core file size\s+0\s+0", f.read())
        with open(f"/proc/{child.pid}/status") as f:
            assert "NoNewPrivs:\t1" in f.read()
    finally:
        child.kill()
        child.wait()


main()
