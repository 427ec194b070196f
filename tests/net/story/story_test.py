#!/usr/bin/env python3
"""The main job, whole: a stock client sends traffic through a gateway that an ordinary user started by one command, with an
address of its own, and is cut off when its time ends."""
import os
import signal
import time

from clients import Client, Trickle, Web
from gateway import Gateway
from lab import main, need, program, test, wait_until
from world import WEB4, WEB6, add, ask, clients_world, in_seconds, moved_in, peer, start_moved_in


@test
def a_peer_has_an_address_of_its_own_until_its_time_ends(lab):
    gateway, web_ns = moved_in(lab, ["alice", "bob"])
    start_moved_in(gateway, web_ns)
    web = Web(web_ns)
    alice, bob = add(gateway, lab, "alice").up(), add(gateway, lab, "bob").up()

    alice.fetch(WEB4 + "alice")
    bob.fetch(WEB4 + "bob")
    assert web.seen("/alice") == [alice.address], "the far server sees the peer's own address"
    assert web.seen("/bob") == [bob.address]
    six = next(a.split("/")[0] for a in alice.addresses if ":" in a)
    alice.fetch(WEB6 + "six")
    assert web.seen("/six") == [six]
    assert "each peer's own address" in gateway.warren("status").stdout

    assert not alice.pings(bob.address), "peers do not meet by default"
    gateway.warren("tenant", "set", "--peers-may-meet", "yes")
    assert alice.pings(bob.address), "but when the tenant lets them"
    gateway.warren("tenant", "set", "--peers-may-meet", "no")
    assert not alice.pings(bob.address)

    gateway.warren("peer", "renew", "alice", "--expires", in_seconds(3))
    wait_until(lambda: peer(gateway, "alice")["state"] == "expired", "the end")
    time.sleep(1)  # what the end promises: nothing later than a second after it
    assert not alice.fetch(WEB4 + "late", check=False)
    assert web.seen("/late") == []
    bob.fetch(WEB4 + "bob-still")

    gateway.warren("peer", "renew", "alice", "--expires", "1h")
    wait_until(lambda: alice.fetch(WEB4 + "again", check=False), "the page after the renewal")
    assert set(web.seen("/again")) == {alice.address}, "same key, same address"

    gateway.warren("peer", "disable", "bob")
    assert not bob.fetch(WEB4 + "disabled", check=False)
    gateway.warren("peer", "enable", "bob")
    wait_until(lambda: bob.fetch(WEB4 + "enabled", check=False), "the page after enabling")
    gateway.warren("peer", "remove", "bob", "--yes")
    assert not bob.fetch(WEB4 + "removed", check=False)
    actions = [e["action"] for e in ask(gateway, "audit", "list")["events"]]
    for action in ("tenant.peers_may_meet", "peer.add", "peer.renew", "peer.disable", "peer.enable", "peer.remove"):
        assert action in actions, (action, actions)
    gateway.stop()


@test
def three_clients_at_once_reach_the_world_through_pasta_and_not_the_host(lab):
    need("wg-quick", "wireguard-go", "curl", "pasta")
    names = ["one", "two", "three"]
    host, world = clients_world(lab, names)
    local = Web(host, 8080)  # on the host's loopback and addresses
    web = Web(world)
    gateway = Gateway(lab, host)
    gateway.start()
    clients = [add(gateway, lab, name).up() for name in names]
    for i in range(20):
        for client in clients:
            client.fetch(f"http://192.0.2.1/{client.name}{i}")
    for client in clients:
        for i in range(20):
            assert web.seen(f"/{client.name}{i}") == ["192.0.2.2"], "the far server sees the host"
    gateway_address = ".".join(clients[0].address.split(".")[:2]) + ".0.1"
    inner = gateway.inner("ip", "-4", "route", "show", "default").stdout.split()
    for target in {gateway_address, "127.0.0.1", inner[inner.index("via") + 1] if "via" in inner else gateway_address}:
        assert not clients[0].fetch(f"http://{target}:8080/loopback", check=False)
    assert local.seen("/loopback") == [], "the host's loopback is out of reach"
    assert "host" in gateway.warren("status").stdout
    gateway.stop()


@test
def traffic_goes_on_while_control_postgres_and_net_die_and_a_silent_peer_is_back_at_once(lab):
    gateway, web_ns = moved_in(lab, ["alice"])
    start_moved_in(gateway, web_ns)
    Web(web_ns)
    config = gateway.warren("peer", "add", "alice").stdout
    silent = "\n".join(line for line in config.splitlines() if not line.startswith("PersistentKeepalive")) + "\n"
    alice = Client(lab, "alice", silent).up()
    alice.fetch(WEB4)
    trickle = Trickle(alice.ns, "198.51.100.1")
    for role in ("control", "postgres", "net"):
        tunnel = gateway.pid("tunnel")
        gateway.kill(role)
        trickle.flows_on(20)
        assert gateway.pid("tunnel") == tunnel, f"the tunnel lived when {role} was killed"
    wait_until(lambda: gateway.warren("status", check=False).returncode == 0, "control to be back")
    assert trickle.stop() < 0.02

    wait_until(lambda: gateway.warren("peer", "show", "alice", check=False).returncode == 0, "the database to be back")
    wait_until(lambda: peer(gateway, "alice")["endpoint"], "the endpoint to be known")
    gateway.kill("tunnel")
    start = time.monotonic()
    wait_until(lambda: peer(gateway, "alice")["online"] and peer(gateway, "alice")["last_handshake_age"] <=
               time.monotonic() - start + 1, "the new tunnel to have called its peer")
    assert alice.ns.run("ping", "-q", "-c", "1", "-W", "1", "198.51.100.1", check=False).returncode == 0, \
        "the first packet of the silent client is answered within a second"
    gateway.stop()


@test
def everything_is_found_again_after_a_restart_and_after_a_power_failure(lab):
    gateway, web_ns = moved_in(lab, ["alice"])
    start_moved_in(gateway, web_ns)
    web = Web(web_ns)
    alice = add(gateway, lab, "alice").up()
    alice.fetch(WEB4 + "first")
    key = ask(gateway, "status")["public_key"]
    before = peer(gateway, "alice")
    for end in (gateway.stop, gateway.kill_all):
        end()
        # the moved-in end went with its namespace: root's next one
        lab.veth(gateway.ns, "up0", None, web_ns, "eth1" if end == gateway.stop else "eth2", None)
        web_if = "eth1" if end == gateway.stop else "eth2"
        web_ns.ip("addr", "add", "198.51.100.1/24", "dev", web_if)
        web_ns.ip("addr", "add", "2001:db8:5::1/64", "dev", web_if, "nodad")
        start_moved_in(gateway, web_ns)
        assert ask(gateway, "status")["public_key"] == key
        after = wait_until(lambda: peer(gateway, "alice"), "alice")
        assert (after["public_key"], after["addresses"], after["id"]) == (
            before["public_key"], before["addresses"], before["id"])
        wait_until(lambda: alice.fetch(WEB4 + "after", check=False), "traffic after the restart")
        assert set(web.seen("/after")) == {alice.address}
    gateway.stop()


@test
def an_end_holds_while_control_and_the_database_stand_still(lab):
    gateway, web_ns = moved_in(lab, ["alice"])
    start_moved_in(gateway, web_ns)
    web = Web(web_ns)
    end = time.time() + 5
    alice = add(gateway, lab, "alice", "--expires", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end))).up()
    alice.fetch(WEB4 + "before")
    still = [gateway.pid("control"), gateway.pid("postgres")]
    for pid in still:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: time.time() > int(end) + 1, "a second after the end")
    assert not alice.fetch(WEB4 + "late", check=False)
    assert web.seen("/late") == [] and web.seen("/before")
    for pid in still:
        os.kill(pid, signal.SIGCONT)
    gateway.warren("peer", "renew", "alice", "--expires", "never")
    wait_until(lambda: alice.fetch(WEB4 + "renewed", check=False), "traffic after the renewal")
    gateway.stop()


@test
def a_rekeyed_peer_keeps_its_address_and_its_old_key_is_dead(lab):
    gateway, web_ns = moved_in(lab, ["old", "new"])
    start_moved_in(gateway, web_ns)
    web = Web(web_ns)
    lost = Client(lab, "old", gateway.warren("peer", "add", "phone").stdout).up()
    lost.fetch(WEB4 + "old")
    found = Client(lab, "new", gateway.warren("peer", "rekey", "phone").stdout).up()
    assert found.addresses == lost.addresses
    found.fetch(WEB4 + "new")
    assert web.seen("/new") == [lost.address]
    assert not lost.fetch(WEB4 + "stolen", check=False)
    gateway.stop()


@test
def peer_add_waits_for_the_first_handshake(lab):
    gateway, web_ns = moved_in(lab, ["alice"])
    start_moved_in(gateway, web_ns)
    path = os.path.join(gateway.user.pw_dir, "alice.conf")
    waiting = gateway.ns.start(program("warren"), "peer", "add", "alice", "--out", path, "--wait", user=gateway.user,
                               env=gateway.env)
    wait_until(lambda: os.path.exists(path) and os.path.getsize(path), "the configuration")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert waiting.running()
    with open(path) as f:
        alice = Client(lab, "alice", f.read()).up()
    alice.ns.ping("198.51.100.1", check=False)
    assert waiting.wait() == 0, waiting.output()
    assert "handshake" in waiting.output()
    gateway.stop()


main()
