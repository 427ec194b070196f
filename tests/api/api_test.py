"""The API against docs/api/openapi.yaml: every answer of every route is of the form that stands there.  A real
Postgres, the real control process; the tunnel is scripted here, and real in tunnel_test.py."""
import datetime
import os
import re
import select
import subprocess
import sys
import threading

from lab import ROOT, main, test, wait_until
from rig import Client, Control, Postgres, ScriptedNet, ScriptedTunnel, in_hex, json, key, time


def later(seconds):
    return (datetime.datetime.utcnow() + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def gateway(lab, **config):
    control = Control(lab, Postgres(lab).url, **config)
    tunnel, net, api = ScriptedTunnel(control), ScriptedNet(control), Client(control)
    api.database_up()
    return control, tunnel, net, api


@test
def every_route_is_in_the_document_and_the_other_way_round(lab):
    with open(os.path.join(ROOT, "web/routes.h")) as f:
        routes = set(re.findall(r'X\(\w+, "(\w+)", "([^"]+)"', f.read()))
    routes -= {("GET", "/health"), ("GET", "/metrics")}  # the document's text speaks of these second names
    assert routes == {(m, p) for m, p, _ in Client.operations()}


@test
def a_peer_is_added_changed_and_removed_and_the_tunnel_has_it_each_time(lab):
    control, tunnel, _, api = gateway(lab)
    k = key()
    made = api.post("/api/v1/peers", {"name": "laptop", "public_key": k, "expires_at": later(3600),
                                      "routes": ["192.0.2.0/24", "2001:db8:7::/48"]}, 201)
    assert made["applied"] and made["state"] == "active" and made["public_key"] == k
    assert made["config"]["endpoint"] == "vpn.example.org:51820" and made["config"]["dns"] == ["192.0.2.53"]
    assert in_hex(made["config"]["gateway_public_key"]) == tunnel.public_key
    has = tunnel.peers[in_hex(k)]
    assert sorted(has["allowed"]) == sorted(made["addresses"] + made["routes"]) and has["end"] != "0"
    assert api.get("/api/v1/peers/laptop") == api.get(f"/api/v1/peers/{made['id']}")

    assert api.post("/api/v1/peers/laptop/disable")["state"] == "disabled"
    assert tunnel.peers[in_hex(k)]["state"] == "cut"
    assert api.post("/api/v1/peers/laptop/enable", {})["state"] == "active"
    assert tunnel.peers[in_hex(k)]["state"] == "active"

    assert api.post("/api/v1/peers/laptop/renew", {"expires_at": None})["expires_at"] is None
    assert tunnel.peers[in_hex(k)]["end"] == "0"
    past = api.patch("/api/v1/peers/laptop", {"expires_at": "2001-01-01T00:00:00Z", "disabled": False})
    assert past["state"] == "expired" and tunnel.peers[in_hex(k)]["end"] == "978307200"

    k2 = key()
    assert api.post("/api/v1/peers/laptop/rekey", {"public_key": k2})["addresses"] == made["addresses"]
    assert in_hex(k) not in tunnel.peers and in_hex(k2) in tunnel.peers
    assert api.delete("/api/v1/peers/laptop") == {"id": made["id"], "name": "laptop", "applied": True, "applied_note": None}
    assert tunnel.peers == {}
    assert api.get("/api/v1/peers/laptop", 404)["field"] == "peer"


@test
def the_tenants_settings_are_changed_and_net_is_told(lab):
    control, _, net, api = gateway(lab)
    assert api.get("/api/v1/tenant")["peers_may_meet"] is False
    changed = api.call("PATCH", "/api/v1/tenant", {"peers_may_meet": True, "rest_seconds": 60}, 200)
    assert changed["applied"] and changed["peers_may_meet"] and changed["rest_seconds"] == 60
    assert {k: v for k, v in changed.items() if not k.startswith("applied")} == api.get("/api/v1/tenant")
    for body, field in (({}, None), ({"peers_may_meet": "yes"}, "peers_may_meet"), ({"rest_seconds": -1}, "rest_seconds"),
                        ({"rest_seconds": 1.5}, "rest_seconds"), ({"name": "x"}, None)):
        assert api.call("PATCH", "/api/v1/tenant", body, 422)["field"] == field, body


@test
def what_is_done_stands_in_the_audit_log_with_who_did_it(lab):
    control, _, _, api = gateway(lab)
    api.post("/api/v1/peers", {"name": "phone", "public_key": key()}, 201)
    api.post("/api/v1/peers/phone/disable")
    api.delete("/api/v1/peers/phone")
    page = api.get("/api/v1/audit?limit=2")
    assert [e["actor"] for e in page["events"]] == ["uid:0", "uid:0"]
    assert page["events"][0]["detail"]["source"] == "unix" and len(page["events"][0]["detail"]["request"]) == 16
    older = api.get(f"/api/v1/audit?after={page['next']}")
    assert older["next"] is None and all(e["id"] < page["next"] for e in older["events"])
    assert {"peer.add"} <= {e["action"] for e in older["events"]}


@test
def peers_are_paged_by_name(lab):
    control, _, _, api = gateway(lab)
    for name in ("b", "a", "d", "c", "e"):
        api.post("/api/v1/peers", {"name": name, "public_key": key()}, 201)
    seen, after = [], ""
    while after is not None:
        page = api.get(f"/api/v1/peers?limit=2{'&after=' + after if after else ''}")
        seen, after = seen + [p["name"] for p in page["peers"]], page["next"]
    assert seen == ["a", "b", "c", "d", "e"]


@test
def the_other_reading_routes_answer(lab):
    control, tunnel, _, api = gateway(lab)
    api.post("/api/v1/peers", {"name": "phone", "public_key": key()}, 201)
    pools = api.get("/api/v1/pools")["pools"]
    assert pools[0]["cidr"] == "10.82.0.0/16" and pools[0]["gateway"] == "10.82.0.1" and pools[0]["used"] == 1
    assert pools[1]["cidr"].startswith("fd") and pools[1]["size"] is None
    assert api.get("/api/v1/health") == {"status": "ok", "database": True, "tunnel": True}
    text = api.get("/api/v1/wg")
    assert text.endswith("errno=0\n\n") and "preshared_key" not in text and "private_key" not in text
    assert [line for line in text.splitlines() if line.startswith("warren_")] == [f"warren_public_key={tunnel.public_key}"]
    assert text.index("warren_public_key") < text.index("\npublic_key=")


@test
def a_handshake_is_waited_for_and_answered_at_once(lab):
    control, tunnel, _, api = gateway(lab)
    k = key()
    api.post("/api/v1/peers", {"name": "phone", "public_key": k}, 201)
    start = time.monotonic()
    assert api.get("/api/v1/peers/phone?wait=handshake&timeout=1")["last_handshake_at"] is None
    assert time.monotonic() - start >= 0.9
    threading.Timer(0.3, tunnel.event, (in_hex(k), "192.0.2.7:4711", int(time.time()))).start()
    start = time.monotonic()
    seen = api.get("/api/v1/peers/phone?wait=handshake&timeout=50")
    assert seen["online"] and seen["endpoint"] == "192.0.2.7:4711" and time.monotonic() - start < 20


@test
def more_than_16_waiters_are_told_so_and_others_are_served(lab):
    control, _, _, api = gateway(lab)
    api.post("/api/v1/peers", {"name": "phone", "public_key": key()}, 201)
    waiting = []
    for _ in range(17):  # whoever comes last
        s = control.connect()
        s.sendall(b"GET /api/v1/peers/phone?wait=handshake&timeout=50 HTTP/1.1\r\nHost: x\r\n\r\n")
        waiting.append(s)
    ready = wait_until(lambda: select.select(waiting, [], [], 0)[0], "one of 17 to be turned away")
    assert len(ready) == 1 and b'"busy"' in b"".join(iter(lambda: ready[0].recv(65536), b""))
    api.get("/api/v1/status")
    for s in waiting:
        s.close()
    control.stop()


def refusals():
    k = key()
    good = {"name": "x1", "public_key": k}
    add = "/api/v1/peers"
    for body, field in (({**good, "more": 1}, None), ({"name": "x1"}, "public_key"), ({"public_key": k}, "name"),
                        ({**good, "name": "17"}, "name"), ({**good, "name": "-a"}, "name"), ({**good, "name": "a/b"}, "name"),
                        ({**good, "name": "a" * 64}, "name"), ({**good, "name": "a\u0000"}, None), ({**good, "name": 7}, "name"),
                        ({**good, "public_key": k[:-2] + "B="}, "public_key"), ({**good, "public_key": "A" * 43 + "="}, "public_key"),
                        ({**good, "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"), ({**good, "expires_at": 1}, "expires_at"),
                        ({**good, "expires_at": "2099-02-30T00:00:00Z"}, "expires_at"),
                        ({**good, "expires_at": "2099-02-03T00:00:00+01:00"}, "expires_at"),
                        ({**good, "routes": ["192.0.2.1/24"]}, "routes[0]"), ({**good, "routes": ["0.0.0.0/0"]}, "routes[0]"),
                        ({**good, "routes": ["192.0.2.0/24", "10.82.7.0/24"]}, "routes[1]"), ({**good, "routes": ["x"]}, "routes[0]"),
                        ({**good, "routes": ["192.0.2.1"]}, "routes[0]"), ({**good, "routes": "192.0.2.0/24"}, "routes"),
                        ([good], None), ("x", None)):
        yield "POST", add, json.dumps(body).encode(), 422, field
    text = json.dumps(good)
    for body in (b"", b"{", text.encode() + b"{}", text.encode() + b" x", text.replace("{", '{"name":"y",', 1).encode(),
                 b"\xff" + text.encode(), b"[" * 60000, text.encode() + b"\0"):
        yield "POST", add, body, 422, None
    for path, field in (("/peers?limit=0", "limit"), ("/peers?limit=501", "limit"), ("/peers?limit=1&limit=2", "limit"),
                        ("/peers?x=1", "x"), ("/peers?after=7", "after"), ("/audit?after=0", "after"), ("/audit?limit=+5", "limit"),
                        ("/peers/old?wait=dns", "wait"), ("/peers/old?wait=handshake&timeout=51", "timeout"),
                        ("/peers/old?timeout=5", "timeout"), ("/status?a=b", "a"), ("/status?", None), ("/peers?limit", None)):
        yield "GET", "/api/v1" + path, None, 200 if path == "/status?" else 422, field
    for path, body, field in (("/peers/old", {}, None), ("/peers/old", {"disabled": 1}, "disabled"), ("/peers/old", {"name": "n"}, None)):
        yield "PATCH", "/api/v1" + path, json.dumps(body).encode(), 422, field
    yield "POST", "/api/v1/peers/old/renew", b"{}", 422, "expires_at"
    yield "POST", "/api/v1/peers/old/renew", b'{"expires_at":"2001-01-01T00:00:00Z"}', 422, "expires_at"
    yield "POST", "/api/v1/peers/old/enable", b'{"x":1}', 422, None
    yield "POST", "/api/v1/peers/old/enable?x=1", b"", 422, "x"
    yield "DELETE", "/api/v1/peers/old?x=1", None, 422, "x"
    yield "DELETE", "/api/v1/peers/nobody", None, 404, "peer"
    yield "DELETE", "/api/v1/peers/99999999999999999999", None, 404, "peer"
    yield "POST", "/api/v1/peers/old/rekey", b'{"public_key":"x"}', 422, "public_key"


@test
def what_is_wrong_is_named_and_nothing_is_changed(lab):
    control, tunnel, _, api = gateway(lab)
    taken = key()
    api.post("/api/v1/peers", {"name": "old", "public_key": taken, "routes": ["198.51.100.0/24"]}, 201)
    before, told = api.get("/api/v1/audit?limit=500"), list(tunnel.told)
    for method, path, body, status, field in refusals():
        answer = api.call(method, path, body, status)
        assert status == 200 or answer["field"] == field, (method, path, body, answer)
    for body, field in (({"name": "old", "public_key": key()}, "name"), ({"name": "new", "public_key": taken}, "public_key"),
                        ({"name": "new", "public_key": key(), "routes": ["198.51.100.128/25"]}, "routes[0]")):
        assert api.post("/api/v1/peers", body, 409)["field"] == field
    import base64
    own = base64.b64encode(bytes.fromhex(tunnel.public_key)).decode()
    assert api.post("/api/v1/peers", {"name": "new", "public_key": own}, 422)["field"] == "public_key"
    assert api.get("/api/v1/audit?limit=500") == before and tunnel.told == told


@test
def only_json_is_taken_and_only_in_its_size(lab):
    control, _, _, api = gateway(lab)
    body = json.dumps({"name": "x", "public_key": key()}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json; charset=latin1"):
        assert api.call("POST", "/api/v1/peers", body, 415, headers={"Content-Type": kind})["code"] == "media_type"
    assert api.call("POST", "/api/v1/peers", body + b" " * 65536, 413)["code"] == "too_large"
    assert api.call("POST", "/api/v1/peers", body, 201, headers={"Content-Type": "application/json; charset=utf-8"})


@test
def every_operation_of_the_document_was_called_and_succeeded(lab):
    control, _, _, api = gateway(lab)
    api.get("/version")
    api.get("/")
    api.get("/api/v1/metrics")
    assert len(sys.argv) > 1 or Client.called == {o["operationId"] for _, _, o in Client.operations()}, Client.called


main()
