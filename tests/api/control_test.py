"""The control process between database, tunnel and net: what it tells whom in which order, and how it lives through
the loss of each.  The database is real; tunnel and net are scripted, to be as bad as no real one is."""
from lab import main, test, wait_until
from rig import Client, Control, Postgres, ScriptedNet, ScriptedTunnel, in_hex, json, key, time


def gateway(lab, **config):
    pg = Postgres(lab)
    control = Control(lab, pg.url, **config)
    tunnel, net, api = ScriptedTunnel(control), ScriptedNet(control), Client(control)
    api.database_up()
    return pg, control, tunnel, net, api


def add(api, name, k=None, **more):
    k = k or key()
    return in_hex(k), api.post("/api/v1/peers", {"name": name, "public_key": k, **more}, 201)


def trouble(api):
    return {t["code"]: t for t in api.get("/api/v1/status")["trouble"]}


@test
def a_new_tunnel_is_told_everything_and_a_known_one_nothing(lab):
    _, control, tunnel, _, api = gateway(lab)
    a, _ = add(api, "a")
    b, _ = add(api, "b")
    again = ScriptedTunnel(control, tunnel.peers)  # the same device over a new channel: control was started anew
    wait_until(lambda: api.get("/api/v1/peers/a") and api.get("/api/v1/health")["tunnel"], "the new channel")
    add(api, "c")
    assert not any(a in t or b in t for t in again.told)
    empty = ScriptedTunnel(control)
    wait_until(lambda: len(empty.peers) == 3, "everything to be told")
    assert empty.peers[a]["allowed"] == tunnel.peers[a]["allowed"]


@test
def what_nobody_wants_is_removed_before_anything_is_given(lab):
    pg = Postgres(lab)
    control = Control(lab, pg.url)
    api = Client(control)
    api.database_up()
    wanted, made = add(api, "wanted")
    narrower, _ = add(api, "narrower")
    stranger = "ab" * 32
    tunnel = ScriptedTunnel(control, {
        stranger: {"allowed": made["addresses"][:1], "state": "active", "end": "0"},
        narrower: {"allowed": ["0.0.0.0/0"], "state": "active", "end": "0"}})
    wait_until(lambda: wanted in tunnel.peers and stranger not in tunnel.peers, "the difference to be told")
    kinds = ["remove" if "remove=true" in t else narrower if narrower in t else wanted for t in tunnel.told]
    assert kinds == ["remove", narrower, wanted], tunnel.told
    assert stranger in tunnel.told[0]


@test
def a_new_tunnel_initiates_to_those_who_were_there_lately_at_their_last_endpoints(lab):
    _, control, tunnel, _, api = gateway(lab)
    here, _ = add(api, "here")
    gone, _ = add(api, "gone")
    now = int(time.time())
    tunnel.event(here, "192.0.2.7:4711", now)
    tunnel.event(gone, "192.0.2.8:4711", now - 3600)
    api.until("/api/v1/peers/gone", lambda p: p["endpoint"], "the events to be heard")
    api.until("/api/v1/peers/here", lambda p: p["online"], "the events to be heard")
    tunnel.close()
    new = ScriptedTunnel(control)
    wait_until(lambda: len(new.peers) == 2, "everything to be told")
    assert new.peers[here]["endpoint"] == "192.0.2.7:4711" and new.peers[gone]["endpoint"] == "192.0.2.8:4711"
    assert new.peers[here].get("initiated") == 1 and "initiated" not in new.peers[gone]


@test
def many_initiations_are_paced(lab):
    _, control, tunnel, _, api = gateway(lab)
    keys = [add(api, f"p{n}")[0] for n in range(120)]
    for k in keys:
        tunnel.event(k, "192.0.2.7:4711", int(time.time()))
    wait_until(lambda: api.get("/api/v1/status")["peers"]["online"] == 120, "all to be online")
    new = ScriptedTunnel(control)
    wait_until(lambda: sum(p.get("initiated", 0) for p in new.peers.values()) == 120, "all to be initiated to")
    bursts = [t.count("warren_initiate=true") for t in new.told]
    assert len(new.peers) == 120 and max(bursts) <= 50 and sum(bursts) == 120 and len([b for b in bursts if b]) >= 4, bursts


@test
def where_a_peer_was_is_written_down_at_the_end_and_known_after_a_restart(lab):
    _, control, tunnel, _, api = gateway(lab)
    k, _ = add(api, "phone")
    tunnel.event(k, "192.0.2.7:4711", int(time.time()))
    api.until("/api/v1/peers/phone", lambda p: p["endpoint"], "the event to be heard")
    assert control.stop() == 0
    control.start()
    new = ScriptedTunnel(control)
    wait_until(lambda: k in new.peers, "everything to be told")
    assert new.peers[k]["endpoint"] == "192.0.2.7:4711" and new.peers[k]["initiated"] == 1


@test
def killed_and_started_again_it_changes_nothing_that_is_right(lab):
    _, control, tunnel, _, api = gateway(lab)
    add(api, "a")
    control.kill()
    control.start()
    again, net = ScriptedTunnel(control, tunnel.peers), ScriptedNet(control)
    api.database_up()
    wait_until(lambda: net.plans, "net to be told")
    api.until("/api/v1/health", lambda h: h["tunnel"], "the tunnel to be seen")
    api.post("/api/v1/peers/a/enable")
    assert again.told == []


@test
def without_the_database_status_says_so_and_the_rest_goes_on(lab):
    pg, control, tunnel, _, api = gateway(lab)
    k, _ = add(api, "a")
    pg.stop()
    api.until("/api/v1/status", lambda s: s["peers"] is None, "the loss to be seen")
    found = trouble(api)["database_down"]
    assert found["remedy"] and not api.get("/api/v1/health", 503)["database"]
    refused = api.get("/api/v1/peers", 503)
    assert refused["code"] == "database" and refused["remedy"]
    new = ScriptedTunnel(control)  # a tunnel that dies meanwhile is told what is known
    wait_until(lambda: k in new.peers, "the new tunnel to be told")
    pg.start()
    api.database_up()
    assert add(api, "b")[1]["applied"] and "database_down" not in trouble(api)


@test
def started_before_its_database_it_waits_for_it(lab):
    pg = Postgres(lab)
    pg.stop()
    control = Control(lab, pg.url)
    api = Client(control)
    tunnel = ScriptedTunnel(control, {"ab" * 32: {"allowed": [], "state": "active", "end": "0"}})
    api.until("/api/v1/health", lambda h: h["tunnel"], "the tunnel to be seen")
    assert "database_down" in trouble(api) and tunnel.told == []  # nothing is known, so nobody is thrown out
    pg.start()
    api.database_up()
    wait_until(lambda: not tunnel.peers, "the stranger to be removed")


@test
def without_the_tunnel_a_change_is_kept_and_told_later(lab):
    pg = Postgres(lab)
    control = Control(lab, pg.url)
    api = Client(control)
    api.database_up()
    start = time.monotonic()
    k, made = add(api, "a")
    assert not made["applied"] and made["applied_note"] and 1.5 < time.monotonic() - start < 15
    assert "tunnel_down" in trouble(api) and api.get("/api/v1/wg", 503)["code"] == "tunnel_down"
    tunnel = ScriptedTunnel(control)
    wait_until(lambda: k in tunnel.peers, "the change to be told")


@test
def a_tunnel_that_does_not_answer_is_said_to_be_down_and_status_still_comes(lab):
    _, control, tunnel, _, api = gateway(lab)
    tunnel.silent = True
    api.until("/api/v1/status", lambda s: any(t["code"] == "tunnel_down" for t in s["trouble"]), "the silence to be seen")
    assert not api.get("/api/v1/health", 503)["tunnel"]
    ScriptedTunnel(control)
    api.until("/api/v1/health", lambda h: h["tunnel"], "the next one to be seen")


@test
def one_peer_that_the_tunnel_refuses_does_not_hold_up_the_others(lab):
    _, control, _, _, api = gateway(lab)
    keys = [add(api, f"p{n}")[0] for n in range(6)]
    tunnel = ScriptedTunnel(control, refuses=lambda request: 22 if keys[3] in request else 0)
    wait_until(lambda: set(tunnel.peers) == set(keys) - {keys[3]}, "the others to be told")
    assert "tunnel_refuses" in trouble(api)
    tunnel.refuses = lambda request: 0
    assert api.post("/api/v1/peers/p3/renew", {"expires_at": None})["applied"] is False  # it was so already: nothing new to tell
    assert api.post("/api/v1/peers/p3/renew", {"expires_at": "2099-01-01T00:00:00Z"})["applied"] and keys[3] in tunnel.peers
    assert "tunnel_refuses" not in trouble(api)


@test
def nonsense_from_the_tunnel_ends_the_process_for_a_new_one(lab):
    _, control, tunnel, _, api = gateway(lab)
    tunnel.asked.sendall(b"errno=0\n\n")
    assert control.process.wait() == 1 and "nonsense" in control.process.output()


@test
def net_is_told_the_plan_and_its_problems_are_passed_on(lab):
    pg = Postgres(lab)
    control = Control(lab, pg.url, WARREN_UPLINK="up0", WARREN_UPLINK_ADDRESS="192.0.2.9/24", WARREN_UPLINK_GATEWAY="192.0.2.1",
                      WARREN_POOL="10.99.0.0/24")
    api = Client(control)
    net = ScriptedNet(control, outside_sees="peer", outside_sees_words="each peer's own address",
                      problems=[{"code": "uplink_missing", "words": "up0 is not there", "remedy": "move it in"}])
    api.database_up()
    plan = wait_until(lambda: net.plans and net.plans[-1], "the plan")
    domain = plan["domains"][0]
    assert (domain["name"], domain["ifname"], domain["mtu"]) == ("default", "wg0", 1420)
    assert domain["addresses"][0] == "10.99.0.1/24" and domain["addresses"][1].endswith("::1/64")
    assert plan["uplink"] == {"kind": "interface", "ifname": "up0", "addresses": ["192.0.2.9/24"], "gateways": ["192.0.2.1"]}
    found = wait_until(lambda: trouble(api).get("net_uplink_missing"), "net's problem")
    assert found == {"code": "net_uplink_missing", "words": "up0 is not there", "remedy": "move it in"}
    assert api.get("/api/v1/status")["uplink"]["world_sees"] == "peer" and "world_sees_host" not in trouble(api)
    renewed = ScriptedNet(control)
    assert wait_until(lambda: renewed.plans, "the plan on the new channel") == [plan]


@test
def silence_after_the_first_peer_is_said_with_its_likely_causes(lab):
    _, control, tunnel, _, api = gateway(lab, WARREN_ENDPOINT="10.0.0.7:51820")
    assert api.get("/api/v1/status")["datagrams"]["waited"] is None
    _, made = add(api, "phone")
    assert "private" in made["config"]["endpoint_note"] and "WARREN_ENDPOINT" in made["config"]["endpoint_note"]
    assert api.get("/api/v1/status")["datagrams"]["silent"] is False
    datagrams = wait_until(lambda: (d := api.get("/api/v1/status")["datagrams"])["silent"] and d, "30 s of silence", 60)
    assert datagrams["waited"] > 30 and "private" in datagrams["causes"][0] and any("51820" in c for c in datagrams["causes"])
    assert "silent" in trouble(api) and "endpoint_private" in trouble(api)
    tunnel.datagrams = 1
    assert api.get("/api/v1/status")["datagrams"] == {"received": 1, "waited": None, "silent": False, "causes": []}


@test
def no_secret_of_the_database_is_logged_or_shown(lab):
    canary = "canary-7f3a"
    control = Control(lab, f"host=/nowhere user=warren password={canary} dbname=warren connect_timeout=1")
    api = Client(control)
    api.until("/api/v1/status", lambda s: any(t["code"] == "database_down" for t in s["trouble"]), "the database to be missed")
    assert canary not in json.dumps(api.get("/api/v1/status"))
    control.stop()
    assert canary not in control.process.output()


main()
