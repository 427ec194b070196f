#!/usr/bin/env python3
"""The command line as its user meets it: the built program against a stand-in gateway.  Prints TAP."""
import base64
import json
import os
import re
import shutil
import subprocess
import time

from case import (added, changed, config, GATEWAY_KEY, hang, keys_of, main, peer, problem, rung, seconds_until, status,
                  test, when)
from standin import raw, send


@test
def a_peer_is_added_and_its_configuration_printed(case):
    case.gateway.says["POST /peers"] = lambda r: (201, added(conf=config(mtu=1380), public_key=r.body["public_key"]))
    done = case.warren("peer", "add", "laptop", "--expires", "30d", "--routes", "192.168.7.0/24, FD00:7::/64")
    body = case.gateway.requests[0].body
    assert sorted(body) == ["expires_at", "name", "public_key", "routes"], body
    assert body["routes"] == ["192.168.7.0/24", "fd00:7::/64"], body
    assert abs(seconds_until(body["expires_at"]) - 30 * 86400) < 60, body
    private = keys_of(done.stdout)
    assert len(private) == 32 and private[0] & 7 == 0 and private[31] & 192 == 64
    assert base64.b64encode(private).decode() not in json.dumps(body)
    assert done.stdout == (f"[Interface]\nPrivateKey = {base64.b64encode(private).decode()}\n"
                           "Address = 10.82.0.2/32, fd01:2:3:4::2/128\nDNS = 10.82.0.1\nMTU = 1380\n\n"
                           f"[Peer]\nPublicKey = {GATEWAY_KEY}\nAllowedIPs = 0.0.0.0/0, ::/0\n"
                           "Endpoint = vpn.example.org:51820\nPersistentKeepalive = 25\n"), done.stdout
    assert "laptop added: 10.82.0.2, fd01:2:3:4::2, no end" in done.stderr, done.stderr


@test
def the_public_key_sent_belongs_to_the_private_key_printed(case):
    if not shutil.which("wg"):
        return "wg is not installed"
    case.gateway.says["POST /peers"] = (201, added())
    done = case.warren("peer", "add", "laptop")
    private = base64.b64encode(keys_of(done.stdout)).decode()
    public = subprocess.run(["wg", "pubkey"], input=private, text=True, capture_output=True, check=True).stdout.strip()
    assert case.gateway.requests[0].body["public_key"] == public


@test
def wg_takes_the_configuration(case):
    if not shutil.which("wg-quick"):
        return "wg-quick is not installed"
    case.gateway.says["POST /peers"] = (201, added())
    case.warren("peer", "add", "laptop", "--out", "wgt.conf")
    done = subprocess.run(["wg-quick", "strip", case.path("wgt.conf")], text=True, capture_output=True)
    assert done.returncode == 0 and "Endpoint = vpn.example.org:51820" in done.stdout, done


@test
def a_file_is_new_and_private_and_never_overwritten(case):
    case.gateway.says["POST /peers"] = (201, added())
    done = case.warren("peer", "add", "laptop", "--out", "laptop.conf")
    assert done.stdout == "" and "laptop.conf" in done.stderr
    assert os.stat(case.path("laptop.conf")).st_mode & 0o7777 == 0o600
    with open(case.path("laptop.conf")) as f:
        first = f.read()
    keys_of(first)
    again = case.warren("peer", "add", "laptop", "--out", "laptop.conf", status=1)
    assert "is there already" in again.stderr and "--force" in again.stderr
    with open(case.path("laptop.conf")) as f:
        assert f.read() == first
    assert len(case.gateway.requests) == 1, "the gateway was asked before the file was there"
    case.warren("peer", "add", "laptop", "--out", "laptop.conf", "--force")
    with open(case.path("laptop.conf")) as f:
        assert f.read() != first
    assert os.stat(case.path("laptop.conf")).st_mode & 0o7777 == 0o600


@test
def a_link_is_not_followed(case):
    os.symlink(case.path("victim"), case.path("laptop.conf"))
    case.gateway.says["POST /peers"] = (201, added())
    case.warren("peer", "add", "laptop", "--out", "laptop.conf", status=1)
    os.symlink("/dev/null", case.path("null.conf"))
    case.warren("peer", "add", "laptop", "--out", "null.conf", "--force", status=1)
    assert not os.path.exists(case.path("victim")) and not case.gateway.requests


@test
def a_file_that_cannot_be_written_changes_nothing(case):
    done = case.warren("peer", "add", "laptop", "--out", "no/such/folder.conf", status=1)
    assert "No such file" in done.stderr and "nothing was changed" in done.stderr
    assert not case.gateway.requests


@test
def a_refused_peer_leaves_no_file(case):
    case.gateway.says["POST /peers"] = problem(remedy="choose another name", field="name")
    done = case.warren("peer", "add", "laptop", "--out", "laptop.conf", status=1)
    for words in ("it exists already", "there is a peer laptop already", "[conflict]", "at fault:   name",
                  "what to do: choose another name"):
        assert words in done.stderr, done.stderr
    assert done.stdout == "" and os.listdir(case.dir) == ["admin.sock"], os.listdir(case.dir)


@test
def an_endpoint_that_is_private_or_missing_is_said(case):
    note = "It is private; set WARREN_ENDPOINT to a public name."
    case.gateway.says["POST /peers"] = (201, added(conf=config(endpoint="192.168.1.5:51820", endpoint_note=note)))
    done = case.warren("peer", "add", "laptop")
    assert note in done.stderr and "Endpoint = 192.168.1.5:51820" in done.stdout
    case.gateway.says["POST /peers"] = (201, added(conf=config(endpoint=None, endpoint_note="None is known.")))
    done = case.warren("peer", "add", "laptop")
    assert "None is known." in done.stderr and "no Endpoint" in done.stderr and "Endpoint" not in done.stdout


@test
def a_gateway_without_a_key_gives_no_configuration_and_says_how_to_get_one(case):
    case.gateway.says["POST /peers"] = (201, added(conf=config(gateway_public_key=None)))
    done = case.warren("peer", "add", "laptop", "--out", "laptop.conf", status=1)
    assert "warren peer rekey laptop" in done.stderr and done.stdout == ""
    assert not os.path.exists(case.path("laptop.conf"))


@test
def json_is_the_answer_with_the_configuration_beside_it(case):
    case.gateway.says["POST /peers"] = (201, added())
    answer = json.loads(case.warren("peer", "add", "laptop", "-o", "json").stdout)
    assert answer["name"] == "laptop" and answer["config"]["endpoint"] == "vpn.example.org:51820"
    keys_of(answer["client_config"])
    answer = json.loads(case.warren("peer", "add", "laptop", "-ojson", "--out", "f.conf").stdout)
    assert answer["client_config_file"] == "f.conf" and "client_config" not in answer


def modules_of(lines):
    """The modules of a drawing without colours: light ones are drawn."""
    upper, lower = {"█": 0, "▀": 0, "▄": 1, " ": 1}, {"█": 0, "▄": 0, "▀": 1, " ": 1}
    rows = []
    for line in lines:
        rows += [[upper[c] for c in line], [lower[c] for c in line]]
    return rows


@test
def a_qr_code_holds_the_configuration(case):
    case.gateway.says["POST /peers"] = (201, added())
    done = case.warren("peer", "add", "phone", "--qr", "--out", "phone.conf")
    lines = done.stdout.rstrip("\n").split("\n")
    width = len(lines[0])
    assert all(len(line) == width for line in lines) and "\033" not in done.stdout
    rows = modules_of(lines)
    assert len(rows) in (width, width + 1) and not any(rows[0]) and not any(row[0] for row in rows)
    if not shutil.which("zbarimg"):
        return "zbarimg is not installed: the code was not read back"
    pixels = [" ".join(str(255 * (1 - m)) for m in row for _ in range(4)) for row in rows for _ in range(4)]
    with open(case.path("qr.pgm"), "w") as f:
        f.write(f"P2\n{4 * width} {len(pixels)}\n255\n" + "\n".join(pixels) + "\n")
    read = subprocess.run(["zbarimg", "-q", "--raw", case.path("qr.pgm")], text=True, capture_output=True, check=True).stdout
    with open(case.path("phone.conf")) as f:
        assert read.rstrip("\n") == f.read().rstrip("\n")


@test
def at_a_terminal_a_qr_code_is_black_on_white_and_a_narrow_one_is_told(case):
    case.gateway.says["POST /peers"] = (201, added())
    out = case.terminal("peer", "add", "phone", "--qr")
    assert "\033[38;5;16;48;5;231m" in out and "wider" not in out
    out = case.terminal("peer", "add", "phone", "--qr", columns=40)
    assert "the terminal has 40" in out, out
    assert "\033" not in case.terminal("peer", "add", "phone", "--qr", NO_COLOR="1")


def wait_says(case, answers):
    """Each round of waiting gets the next of @answers."""
    case.gateway.says["POST /peers"] = (201, added())
    rounds = iter(answers)

    def say(request):
        assert "wait=handshake" in request.query and 1 <= int(re.search(r"timeout=(\d+)", request.query).group(1)) <= 50
        return next(rounds)
    case.gateway.says["GET /peers/laptop"] = say


@test
def waiting_ends_with_the_first_handshake(case):
    shaken = peer(last_handshake_at=when(0), last_handshake_age=0, online=True, endpoint="192.0.2.9:4711")
    wait_says(case, [(200, peer()), problem(429, "busy", "busy", "16 wait already"), (200, shaken)])
    done = case.warren("peer", "add", "laptop", "--wait")
    assert "laptop is connected" in done.stderr and "192.0.2.9:4711" in done.stderr
    keys_of(done.stdout)
    assert len(case.gateway.requests) == 4


@test
def ctrl_c_ends_the_waiting_only(case):
    case.gateway.says["POST /peers"] = (201, added())
    case.gateway.says["GET /peers/laptop"] = hang
    out = case.terminal("peer", "add", "laptop", "--out", "l.conf", "--wait", signal_when=b"waiting for the first")
    assert "no longer waiting" in out, out
    assert os.path.exists(case.path("l.conf"))


@test
def waiting_ends_when_the_peer_is_removed(case):
    wait_says(case, [problem(404, "not_found", "there is no such thing", "no peer laptop")])
    assert "[not_found]" in case.warren("peer", "add", "laptop", "--wait", status=1).stderr


@test
def waiting_outlives_a_gateway_that_goes_away(case):
    shaken = peer(last_handshake_at=when(0), last_handshake_age=0, online=True)
    case.gateway.says["POST /peers"] = (201, added())
    seen = []

    @raw
    def first_gone(request, connection):
        seen.append(1)
        if len(seen) > 1:
            send(connection, 200, "application/json", json.dumps(shaken).encode())
    case.gateway.says["GET /peers/laptop"] = first_gone
    done = case.warren("peer", "add", "laptop", "--wait")
    assert "trying again" in done.stderr and "is connected" in done.stderr, done.stderr


@test
def peers_are_listed_in_columns_page_by_page(case):
    first = [peer("laptop", online=True, last_handshake_at=when(-200), last_handshake_age=200, endpoint="[2001:db8::1]:5"),
             peer("phone", id=2, state="expired", expires_at=when(-3600))]
    case.gateway.says["GET /peers"] = lambda r: (200, {"peers": [peer("zoe", expires_at=when(86400 * 30 + 60))], "next": None}
                                                 if "after=phone" in r.query else {"peers": first, "next": "phone"})
    out = case.warren("peer", "list").stdout
    lines = out.splitlines()
    assert lines[0].split() == ["ID", "NAME", "ADDRESS", "STATE", "HANDSHAKE", "ENDPOINT", "END"] and len(lines) == 4
    column = lines[0].index("STATE")
    assert [line[column:].split()[0] for line in lines[1:]] == ["online", "expired", "active"]
    assert "3m 20s ago" in lines[1] and "no end" in lines[1] and "(1h ago)" in lines[2] and "(in 30d)" in lines[3]
    assert "never" in lines[3] and "\033" not in out
    whole = json.loads(case.warren("peer", "list", "-o", "json").stdout)
    assert [p["name"] for p in whole["peers"]] == ["laptop", "phone", "zoe"] and whole["next"] is None


@test
def colours_are_for_terminals_that_want_them(case):
    case.gateway.says["GET /peers"] = (200, {"peers": [peer(state="expired")], "next": None})
    assert "\033[31m" in case.terminal("peer", "list")
    assert "\033" not in case.terminal("peer", "list", NO_COLOR="1")
    assert "\033" not in case.terminal("peer", "list", TERM="dumb")


@test
def one_peer_is_shown_with_all_that_is_known(case):
    case.gateway.says["GET /peers/17"] = (200, peer(routes=["192.168.7.0/24"], rx_bytes=1536))
    out = case.warren("peer", "show", "17").stdout
    for words in ("laptop", "10.82.0.2, fd01:2:3:4::2", "192.168.7.0/24", GATEWAY_KEY, "no end", "never", "1.50 KiB",
                  "not heard from yet", "(1d ago)"):
        assert words in out, out


@test
def changes_say_what_the_peer_is_now(case):
    case.gateway.says["POST /peers/laptop/disable"] = (200, changed(state="disabled"))
    case.gateway.says["POST /peers/laptop/enable"] = (200, changed(applied=False, applied_note="the tunnel is down"))
    assert "peer laptop disabled: disabled, no end" in case.warren("peer", "disable", "laptop").stdout
    done = case.warren("peer", "enable", "laptop")
    assert "peer laptop enabled: active" in done.stdout and "the tunnel is down" in done.stderr


@test
def renew_takes_a_span_a_date_or_never(case):
    case.gateway.says["POST /peers/laptop/renew"] = lambda r: (200, changed(expires_at=r.body["expires_at"]))
    assert "(in 30d)" in case.warren("peer", "renew", "laptop", "--expires", "30d1m").stdout
    assert "no end" in case.warren("peer", "renew", "laptop", "--expires=never").stdout
    case.warren("peer", "renew", "laptop", "--expires", "2099-01-31")
    assert [r.body["expires_at"] for r in case.gateway.requests[1:]] == [None, "2099-01-31T23:59:59Z"]
    assert "--expires" in case.warren("peer", "renew", "laptop", status=2).stderr
    for wrong in ("soon", "0d", "2001-01-01", "30", "2099-02-30"):
        case.warren("peer", "renew", "laptop", "--expires", wrong, status=2)
    assert len(case.gateway.requests) == 3


@test
def rekey_makes_a_new_configuration(case):
    case.gateway.says["POST /peers/laptop/rekey"] = lambda r: (200, added(public_key=r.body["public_key"]))
    one, two = (keys_of(case.warren("peer", "rekey", "laptop").stdout) for _ in range(2))
    assert one != two


@test
def remove_asks_at_a_terminal_and_wants_yes_without_one(case):
    case.gateway.says["DELETE /peers/laptop"] = (200, {"id": 17, "name": "laptop", "applied": True, "applied_note": None})
    assert "--yes" in case.warren("peer", "remove", "laptop", status=2).stderr
    assert "nothing was removed" in case.terminal("peer", "remove", "laptop", input=b"n\n", status=1)
    assert not case.gateway.requests
    assert "peer laptop removed" in case.terminal("peer", "remove", "laptop", input=b"y\n")
    assert "peer laptop removed" in case.warren("peer", "remove", "laptop", "--yes").stdout
    assert len(case.gateway.requests) == 2


@test
def status_says_how_the_gateway_stands(case):
    case.gateway.says["GET /status"] = (200, status(trouble=[
        {"code": "net_down", "words": "the net process is not running", "remedy": "see the log of warrend"}],
        tunnel={**status()["tunnel"], "drops": [{"name": "mac1", "count": 7, "words": "not for us"}]}))
    case.gateway.says["GET /peers"] = (200, {"peers": [peer(last_handshake_age=95, last_handshake_at=when(-95), online=True,
                                                            rx_bytes=5 << 20, tx_bytes=100)], "next": None})
    out = case.warren("status").stdout
    for words in ("(2h ago)", "192.168.1.5:51820", "found by the default route", "private", "set WARREN_ENDPOINT", "pasta (tap0): up; the world sees the host",
                  "net down (restarting)", "12 received", "encrypted by evp, 2 workers", "tun_read 45.0, udp_send none yet", "udp4_gso down: slow without udp4_gso",
                  "what to do: switch udp4_gso on",
                  "1 without an end", "1m 35s ago", "5.00 MiB", "100 B", "no end", "mac1", "not for us",
                  "the net process is not running", "what to do: see the log of warrend"):
        assert words in out, words + "\n" + out
    assert json.loads(case.warren("status", "-o", "json").stdout)["listen_port"] == 51820


@test
def status_says_in_two_words_that_all_is_fast(case):
    case.gateway.says["GET /status"] = (200, status(peers=None, tunnel={**status()["tunnel"], "ladder": [rung("aead"), rung("udp4_gso")]}))
    assert re.search(r"fast path +all on", case.warren("status").stdout)


@test
def a_silent_gateway_names_the_causes(case):
    case.gateway.says["GET /status"] = (200, status(peers=None, datagrams={
        "received": 0, "waited": 75, "silent": True, "causes": ["UDP port 51820 is closed", "the endpoint is wrong"]}))
    out = case.warren("status").stdout
    assert "nothing at all has arrived in 1m 15s" in out and "1. UDP port 51820 is closed" in out and "2. the endpoint" in out
    assert "not known while the database" in out


@test
def pools_and_audit_are_tables(case):
    case.gateway.says["GET /pools"] = (200, {"pools": [
        {"id": 1, "cidr": "10.82.0.0/16", "gateway": "10.82.0.1", "size": 65533, "used": 2, "resting": 0, "free": 65531},
        {"id": 2, "cidr": "fd01::/64", "gateway": "fd01::1", "size": None, "used": 2, "resting": 0, "free": None}]})
    lines = case.warren("pool", "list").stdout.splitlines()
    assert "65531" in lines[1] and lines[2].split()[-1] == "plenty"
    event = {"id": 3, "at": when(-60), "actor": "uid:1000", "action": "peer.add", "object": "peer:17 laptop",
             "detail": {"source": "unix", "request": "r", "before": None, "after": {"name": "laptop"}}}
    case.gateway.says["GET /audit"] = (200, {"events": [event], "next": None})
    out = case.warren("audit", "list", "--limit", "7").stdout
    assert "uid:1000" in out and "peer.add" in out and '{"name":"laptop"}' in out
    assert case.gateway.requests[-1].query == "limit=7"
    case.warren("audit", "list", "--limit", "0", status=2)
    case.warren("audit", "list", "--limit", "-1", status=2)


WG = ("warren_protocol=1\nwarren_public_key={k}\nlisten_port=51820\nwarren_drop_mac1=3\n"
      "public_key={a}\nprotocol_version=1\nlast_handshake_time_sec={t}\nlast_handshake_time_nsec=5\nrx_bytes=1536\n"
      "tx_bytes=92\npersistent_keepalive_interval=0\nallowed_ip=10.82.0.3/32\nwarren_state=cut\nwarren_end=0\n"
      "public_key={b}\nendpoint=[2001:db8::1]:4711\nlast_handshake_time_sec={u}\nrx_bytes=0\ntx_bytes=0\n"
      "persistent_keepalive_interval=25\nallowed_ip=10.82.0.2/32\nallowed_ip=fd01::2/128\nerrno=0\n\n")


@test
def wg_show_reads_as_wg_does(case):
    key = bytes(range(32)).hex()
    text = WG.format(k=key, a="aa" * 32, b="bb" * 32, t=int(time.time()) - 100000, u=int(time.time()) - 61)
    case.gateway.says["GET /wg"] = (200, text)
    out = case.warren("wg", "show").stdout
    b, a = (base64.b64encode(bytes([x]) * 32).decode() for x in (0xbb, 0xaa))
    assert out.startswith(f"interface: wg0\n  public key: {GATEWAY_KEY}\n  private key: (hidden)\n  listening port: 51820\n"
                          f"\npeer: {b}\n  endpoint: [2001:db8::1]:4711\n  allowed ips: 10.82.0.2/32, fd01::2/128\n"
                          "  latest handshake: 1 minute, "), out
    assert f"\npeer: {a}\n" in out and "1 day, 3 hours, 46 minutes" in out and "1.50 KiB received, 92 B sent" in out
    assert "every 25 seconds" in out and "state: cut" in out
    shown = json.loads(case.warren("wg", "show", "-o", "json").stdout)
    assert [p["public_key"] for p in shown["peers"]] == [b, a] and shown["listen_port"] == 51820
    for broken in (text.replace("errno=0\n", ""), text.replace("errno=0", "errno=-5"), text.replace("aa", "zz", 1),
                   text.replace("listen_port=", "listen_port=x"), "no equals sign\n"):
        case.gateway.says["GET /wg"] = (200, broken)
        assert "not understood" in case.warren("wg", "show", status=1).stderr, broken


main()
