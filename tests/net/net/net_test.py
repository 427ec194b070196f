#!/usr/bin/env python3
"""The net process for real, in namespaces of an unprivileged user: what a plan makes of them."""
import contextlib
import json
import os
import re
import subprocess
import sys
import time

import packets
from lab import main, need, test, wait_until
from packets import Parsed
from rig import (ECHO, FAR, FAR6, GATEWAY, GATEWAY6, OTHER, OTHER6, PEER, PEER6, PLAN, UPLINK, answered, ask, pasta,
                 prohibited, rig, routes, uplink, watched)
from role import NET_PLAN, TUN_GONE, Device, Inner, Net, codes, domain


@test
def a_plan_is_brought_about(lab):
    inner, far, net, device = rig(lab)
    state = net.plan(PLAN)
    assert state["problems"] == [] and state["outside_sees"] == "peer", state
    wg0, = state["domains"]
    assert wg0 == {"name": "default", "ifname": "wg0", "present": True, "up": True, "mtu": 1420,
                   "addresses": ["10.82.0.1/16", "fd01:2:3:4::1/64"], "peers_may_meet": False}
    up0 = state["uplink"]
    assert (up0["ifname"], up0["present"], up0["up"]) == ("up0", True, True)
    assert up0["gateways"] == ["192.0.2.1", "2001:db8:2::1"] and up0["addresses"][0] == "192.0.2.9/24"
    shown = inner.run("ip", "-d", "addr", "show", "wg0").stdout
    assert "mtu 1420" in shown and "qlen 1000" in shown and "tun type tun" in shown and "multi_queue" in shown, shown
    assert "addrgenmode none" in inner.run("ip", "-d", "link", "show", "wg0").stdout
    assert "fe80" not in shown and "tentative" not in shown, shown
    assert inner.sysctl("ipv4/ip_forward") == 1 and inner.sysctl("ipv6/conf/all/forwarding") == 1
    assert inner.sysctl("ipv4/conf/all/send_redirects") == 0
    assert "hook forward priority filter; policy drop" in inner.rules()


@test
def nothing_passes_before_the_first_plan(lab):
    inner = Inner(lab)
    far = uplink(lab, inner)
    inner.run("sysctl", "-qw", "net.ipv4.ip_forward=1")  # as a container may have it
    net = Net(inner)
    rules = inner.rules()
    for hook in ("forward", "input"):
        assert f"hook {hook} priority filter; policy drop" in rules, rules
    assert "UP" not in inner.run("ip", "link", "show", "wg0").stdout.split(">")[0]
    inner.ip("addr", "add", "10.82.0.1/16", "dev", "wg0")
    inner.ip("link", "set", "wg0", "up")
    inner.ip("addr", "add", "192.0.2.9/24", "dev", "up0")
    inner.ip("link", "set", "up0", "up")
    device = Device(net.tuns["wg0"])
    device.write(packets.echo(PEER, "192.0.2.1"))
    device.write(packets.echo(PEER, GATEWAY))
    inner.run("ping", "-qc1", "127.0.0.1")
    assert not far.ping("192.0.2.9", check=False, wait=1)
    assert not any(Parsed(p).reply() for p in iter(lambda: device.read(0.2), None))
    assert net.plan(PLAN)["applied"]
    assert answered(device, packets.echo(PEER, GATEWAY))


@test
def told_twice_changes_nothing(lab):
    inner, far, net, device = rig(lab)
    before = inner.picture()
    with watched(inner) as events:
        assert net.plan(PLAN)["applied"]
        assert net.plan(PLAN)["applied"]
        assert events() == [], events()
    inner.same(before)
    assert net.control.quiet(0.3)


@test
def a_change_of_plan_is_seen_by_the_monitors(lab):
    inner, far, net, device = rig(lab)
    with watched(inner) as events:
        plan = {"domains": [domain(mtu=1400, addresses=["10.82.0.1/16", "10.82.255.254/16", "fd01:2:3:4::2/64"], meet=True)],
                "uplink": UPLINK}
        state = net.plan(plan)
        assert state["applied"], state
        seen = "\n".join(events())
        assert "mtu 1400" in seen and "fd01:2:3:4::2" in seen and "add chain inet warren" in seen, seen
    assert sorted(state["domains"][0]["addresses"]) == ["10.82.0.1/16", "10.82.255.254/16", "fd01:2:3:4::2/64"]
    assert state["domains"][0]["peers_may_meet"]


@test
def a_wrong_plan_is_refused_and_the_former_stays(lab):
    inner, far, net, device = rig(lab)
    before = inner.picture()
    for wrong, words in ((b'{"domains":[]}', "domains"), (b"nonsense", "JSON"), (b'{"x":1}', "unknown"),
                         ({"domains": [domain(mtu=100)], "uplink": UPLINK}, "mtu"),
                         ({"domains": [domain()], "uplink": {**UPLINK, "addresses": ["10.82.9.9/24"]}}, "lies within")):
        state = net.plan(wrong)
        assert not state["applied"] and codes(state) == ["plan_refused"], state
        assert words in state["problems"][0]["words"] and state["problems"][0]["remedy"]
        assert state["domains"][0]["addresses"] == ["10.82.0.1/16", "fd01:2:3:4::1/64"]
    inner.same(before)
    assert answered(device, packets.echo(PEER, GATEWAY))
    inner.ip("link", "set", "up0", "mtu", 1400)  # an event does not make it forgotten
    assert net.control.quiet(0.3)
    assert net.plan(PLAN)["applied"]


@test
def a_refusal_before_any_plan_says_so(lab):
    net = Net(Inner(lab))
    state = net.plan(b"{}")
    assert not state["applied"] and codes(state) == ["plan_refused"], state
    assert state["domains"] == [] and state["uplink"]["kind"] == "" and state["outside_sees"] == ""


@test
def a_peer_leaves_by_the_uplink_with_its_own_address(lab):
    inner, far, net, device = rig(lab)
    for peer in (PEER, OTHER):
        assert ask(device, peer, FAR) == peer
    for peer in (PEER6, OTHER6):
        assert ask(device, peer, FAR6) == peer
    assert net.plan(PLAN)["refusals"][0]["packets"] == 0


@test
def a_peer_is_reached_from_outside_where_it_is_visible(lab):
    inner, far, net, device = rig(lab)
    ping = far.start("ping", "-c1", "-W5", "-I", FAR, PEER)
    request = Parsed(device.expect(lambda p: Parsed(p).icmp == (8, 0), "the request"))
    assert (request.source, request.target) == (FAR, PEER)
    body = b"\0\0\0\0" + request.body[4:]
    body = b"\0\0" + packets.checksum(body).to_bytes(2, "big") + body[4:]
    device.write(packets.ip(PEER, FAR, packets.ICMP, body))
    assert ping.wait() == 0, ping.output()


@test
def a_lied_about_source_is_dropped_and_counted(lab):
    inner, far, net, device = rig(lab)
    for liar in ("10.83.0.7", GATEWAY, "192.0.2.1", "127.0.0.1", "0.0.0.0"):
        device.write(packets.udp(liar, FAR, 5000, 4000))
    for liar in ("fd01:2:3:5::7", GATEWAY6, "fe80::1", "::1"):
        device.write(packets.udp(liar, FAR6, 5000, 4000))
    wait_until(lambda: inner.dropped("wg0_spoofed") == 8, "all are counted but ::1, which IPv6 never takes")
    assert device.read(0.2) is None
    assert net.plan(PLAN)["refusals"][0] == {
        "domain": "default", "rule": "spoofed", "words": "a source address outside the domain", "packets": 8,
        "bytes": 5 * 29 + 3 * 49}
    far.run(sys.executable, "-c", "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n"
            f"s.sendto({packets.udp(PEER, OTHER, 1, 2)!r}, ('192.0.2.9', 0))", check=False)
    lie = packets.udp(PEER, "192.0.2.9", 1, 2)
    far.run(sys.executable, "-c", "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n"
            f"s.sendto({lie!r}, ('192.0.2.9', 0))")
    wait_until(lambda: inner.dropped("uplink_spoofed") >= 1, "that of the uplink is counted")


@test
def peers_meet_only_where_they_may(lab):
    inner, far, net, device = rig(lab)
    assert prohibited(device, packets.udp(PEER, OTHER, 1, 2))
    assert prohibited(device, packets.udp(PEER6, OTHER6, 1, 2))
    assert net.plan({"domains": [domain(meet=True)], "uplink": UPLINK})["applied"]
    for source, target in ((PEER, OTHER), (PEER6, OTHER6)):
        device.write(packets.udp(source, target, 1, 2, b"meet"))
        met = Parsed(device.expect(lambda p: Parsed(p).protocol == packets.UDP or Parsed(p).icmp, "the other peer's"))
        assert (met.source, met.target, met.body[8:], met.ttl) == (source, target, b"meet", 63)
    assert device.read(0.2) is None  # and no redirect
    state = net.plan(PLAN)
    assert state["applied"] and state["refusals"][1]["packets"] == 2  # counters go on over a change of rules
    assert prohibited(device, packets.udp(PEER, OTHER, 1, 2))


@test
def the_gateway_answers_ping_and_nothing_else(lab):
    inner, far, net, device = rig(lab)
    assert answered(device, packets.echo(PEER, GATEWAY))
    assert answered(device, packets.echo(PEER6, GATEWAY6))
    inner.start(sys.executable, "-c", ECHO, GATEWAY, GATEWAY6, "192.0.2.9").wait_for("ready")
    for source, target in ((PEER, GATEWAY), (PEER6, GATEWAY6), (PEER, "192.0.2.9")):
        assert prohibited(device, packets.udp(source, target, 5000, 4000))
    assert prohibited(device, packets.echo(PEER, "192.0.2.9"))
    assert far.ping("192.0.2.9") and far.ping("2001:db8:2::9")


@test
def what_is_the_hosts_own_is_out_of_reach(lab):
    inner, far, net, device = rig(lab)
    far.ip("addr", "add", "169.254.169.254/32", "dev", "lo")
    for target in ("169.254.169.254", "100.100.100.200", "168.63.129.16"):
        assert prohibited(device, packets.udp(PEER, target, 5000, 80)), target
    for target in ("fd00:ec2::254", "fd20:ce::254"):
        assert prohibited(device, packets.udp(PEER6, target, 5000, 80)), target
    assert inner.dropped("wg0_elsewhere") == 5


@test
def domains_are_apart(lab):
    inner, far, net, device = rig(lab)
    plan = {"domains": [domain(), domain("other", "wg1", ["10.83.0.1/16"], meet=True)], "uplink": UPLINK}
    net.control.send(NET_PLAN, json.dumps(plan))
    net.take_tun(net.parent.recv())
    net.until(lambda s: s["applied"] and len(s["domains"]) == 2, "both are there")
    assert list(net.tuns) == ["wg0", "wg1"]
    other = Device(net.tuns["wg1"])
    assert ask(other, "10.83.0.7", FAR) == "10.83.0.7"
    assert prohibited(device, packets.udp(PEER, "10.83.0.7", 1, 2))
    assert prohibited(other, packets.udp("10.83.0.7", PEER, 1, 2))
    other.write(packets.udp(PEER, FAR, 1, 2))
    wait_until(lambda: inner.dropped("wg1_spoofed") == 1, "another domain's source is counted")
    assert net.plan(PLAN)["applied"]
    assert net.parent.recv() == (TUN_GONE, b"wg1", [])
    assert inner.run("ip", "link", "show", "wg1", check=False).returncode != 0
    net.control.send(NET_PLAN, json.dumps(plan))
    net.take_tun(net.parent.recv())
    net.until(lambda s: s["applied"] and len(s["domains"]) == 2, "both are there again")
    assert ask(Device(net.tuns["wg1"]), "10.83.0.7", FAR) == "10.83.0.7"
    assert net.parent.quiet(0.1)


@test
def a_device_has_a_queue_for_each_worker_and_its_end_keeps_nobody_waiting(lab):
    inner = Inner(lab)
    net = Net(inner, workers=4)
    names = [f"wg{n}" for n in range(1, 16)]
    plan = {"domains": [domain()] + [domain(f"t{n}", name, [f"10.{100 + n}.0.1/16"]) for n, name in enumerate(names)], "uplink": UPLINK}
    net.control.send(NET_PLAN, json.dumps(plan))
    for _ in names:
        net.take_tun(net.parent.recv())
    net.until(lambda s: len(s["domains"]) == 16, "all are there")
    began = time.monotonic()
    net.plan(PLAN)
    answered = time.monotonic() - began
    gone = {net.parent.recv()[1].decode() for _ in names}
    print(f"# 15 devices of 4 queues: the plan without them is answered after {answered * 1000:.0f} ms, they are gone after "
          f"{(time.monotonic() - began) * 1000:.0f} ms")
    assert gone == set(names) and inner.run("ip", "-o", "link").stdout.count("wg") == 1


@test
def an_uplink_that_comes_later_is_taken_up(lab):
    inner = Inner(lab)
    net = Net(inner)
    state = net.plan(PLAN)
    assert not state["applied"] and codes(state) == ["uplink_missing"], state
    assert f"ip link set up0 netns {net.process.pid}" in state["problems"][0]["remedy"]
    assert not state["uplink"]["present"]
    device = Device(net.tuns["wg0"])
    device.write(packets.udp(PEER, FAR, 1, 2))
    assert Parsed(device.expect(lambda p: Parsed(p).icmp, "no route")).icmp[0] == 3
    far = uplink(lab, inner)
    state = net.until(lambda s: s["applied"] and s["uplink"]["up"] and not s["problems"], "the uplink is there")
    assert state["uplink"]["gateways"] == ["192.0.2.1", "2001:db8:2::1"]
    assert ask(device, PEER, FAR) == PEER


@test
def an_uplink_that_goes_is_told_and_may_come_back(lab):
    inner, far, net, device = rig(lab)
    inner.ip("link", "del", "up0")
    state = net.until(lambda s: not s["uplink"]["present"], "it is gone")
    assert codes(state) == ["uplink_missing"] and not state["applied"]
    far.ip("addr", "flush", "dev", "lo", "scope", "global")
    for process in lab.processes:
        if process is not net:
            process.stop()
    far = uplink(lab, inner)
    net.until(lambda s: s["applied"] and not s["problems"], "it is back")
    assert ask(device, PEER, FAR) == PEER
    far.ip("link", "set", "far0", "down")
    state = net.until(lambda s: not s["uplink"]["up"], "its other end is down")
    assert state["uplink"]["present"] and codes(state) == ["uplink_missing"]
    far.ip("link", "set", "far0", "up")
    far.ip("-6", "addr", "add", "2001:db8:2::1/64", "dev", "far0", "nodad")
    routes(far)
    net.until(lambda s: s["applied"] and not s["problems"], "it is up again")
    assert ask(device, PEER, FAR) == PEER


@test
def what_root_set_on_the_uplink_stays_where_the_plan_names_nothing(lab):
    inner = Inner(lab)
    far = uplink(lab, inner)
    inner.ip("addr", "add", "192.0.2.9/24", "dev", "up0")
    inner.ip("addr", "add", "192.0.2.10/24", "dev", "up0")
    inner.ip("link", "set", "up0", "up")
    net = Net(inner)
    plan = {"domains": [domain()], "uplink": {"kind": "interface", "ifname": "up0"}}
    state = net.plan(plan)
    assert state["applied"] and codes(state) == ["uplink_no_route"], state
    assert state["uplink"]["addresses"][:2] == ["192.0.2.9/24", "192.0.2.10/24"]
    inner.ip("route", "add", "default", "via", "192.0.2.1")
    state = net.until(lambda s: not s["problems"], "there is a route")
    assert state["uplink"]["gateways"] == ["192.0.2.1"]
    assert inner.sysctl("ipv6/conf/up0/accept_ra") == 2
    inner.run("sysctl", "-qw", "net.ipv6.conf.up0.accept_ra=0")
    assert net.plan(plan)["applied"] and inner.sysctl("ipv6/conf/up0/accept_ra") == 0
    state = net.plan({"domains": [domain()], "uplink": {**plan["uplink"], "addresses": ["192.0.2.9/24"]}})
    assert state["uplink"]["addresses"][0] == "192.0.2.9/24" and "192.0.2.10" not in str(state), state
    assert state["uplink"]["gateways"] == ["192.0.2.1"] and state["applied"]
    state = net.plan(PLAN)
    assert state["applied"] and inner.sysctl("ipv6/conf/up0/accept_ra") == 0
    assert ask(Device(net.tuns["wg0"]), PEER, FAR) == PEER


@test
def traffic_goes_on_while_net_is_dead_and_a_new_one_changes_nothing(lab):
    inner, far, net, device = rig(lab)
    assert ask(device, PEER, FAR) == PEER
    before = inner.picture()
    net.kill()
    assert ask(device, PEER, FAR) == PEER
    with watched(inner) as events:
        again = Net(inner, net.tuns)
        assert again.new == []
        inner.same(before)
        assert ask(device, PEER, FAR) == PEER
        assert again.plan(PLAN)["applied"] and events() == [], events()
    inner.same(before)
    again.kill()
    third = Net(inner, net.tuns, hand_down=False, control=False)  # also if it is not told what is kept
    assert third.new == []
    inner.same(before)
    third.connect()
    assert third.plan(PLAN)["applied"]
    inner.same(before)
    device.write(packets.echo(PEER, GATEWAY))
    assert Parsed(device.expect(lambda p: Parsed(p).icmp, "the one queue gets it")).reply()


@test
def stop_ends_in_order_and_leaves_all_as_it_was(lab):
    inner, far, net, device = rig(lab)
    before = inner.picture()
    assert net.stop() == 0, net.output()
    inner.same(before)
    assert inner.sysctl("ipv4/ip_forward") == 1
    assert ask(device, PEER, FAR) == PEER


@test
def net_ends_with_warrend(lab):
    net = Net(Inner(lab))
    net.parent.sock.close()
    wait_until(lambda: net.process.poll() is not None, "it ended")


@test
def a_new_channel_replaces_a_dead_one(lab):
    inner, far, net, device = rig(lab)
    for _ in range(3):
        net.control.sock.close()
        net.connect()
        assert net.plan(PLAN)["applied"]
    old = net.control
    net.control = None
    net.connect()
    assert old.recv() is None
    assert net.plan(PLAN)["applied"]


@test
def a_control_that_does_not_read_holds_up_only_itself(lab):
    inner, far, net, device = rig(lab)
    net.control.sock.setblocking(False)
    sent = 0
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        try:
            net.control.send(NET_PLAN, json.dumps(PLAN))
            sent += 1
        except BlockingIOError:
            break
    assert answered(device, packets.echo(PEER, GATEWAY))
    state = None
    for _ in range(sent):
        if net.control.quiet(10):
            break
        state = net.state()
    assert state and state["applied"]
    assert net.plan(PLAN)["applied"] and net.stop() == 0


@test
def nonsense_from_control_ends_net_and_nothing_else(lab):
    inner, far, net, device = rig(lab)
    before = inner.picture()
    net.control.sock.send(b"nonsense nonsense")
    wait_until(lambda: net.process.poll() is not None, "it ended")
    assert net.process.returncode == 1
    inner.same(before)
    assert ask(device, PEER, FAR) == PEER


@test
def rules_that_somebody_changed_are_put_right_by_the_next_plan(lab):
    inner, far, net, device = rig(lab)
    inner.run("nft", "flush", "chain", "inet", "warren", "source_wg0")
    assert net.plan(PLAN)["applied"]
    device.write(packets.udp("10.99.0.1", FAR, 1, 2))
    wait_until(lambda: inner.dropped("wg0_spoofed") == 1, "it is dropped again")
    inner.run("nft", "delete", "table", "inet", "warren")
    net.kill()
    again = Net(inner, net.tuns)
    assert "policy drop" in inner.rules()
    assert again.plan(PLAN)["applied"] and ask(device, PEER, FAR) == PEER


@test
def a_foreign_link_by_the_name_of_a_device_is_not_taken_for_it(lab):
    inner, far, net, device = rig(lab)
    inner.run("ip", "tuntap", "add", "wg1", "mode", "tap")
    inner.ip("addr", "add", "198.51.100.77/32", "dev", "wg1")
    state = net.plan({"domains": [domain(), domain("other", "wg1", ["10.83.0.1/16"])], "uplink": UPLINK})
    assert not state["applied"] and codes(state) == ["link"] and "wg1" in state["problems"][0]["words"], state
    assert "198.51.100.77" in inner.run("ip", "addr", "show", "wg1").stdout
    assert ask(device, PEER, FAR) == PEER
    inner.ip("link", "del", "wg1")
    net.take_tun(net.parent.recv())
    net.until(lambda s: s["applied"], "the name is free, the device is made")


@test
def the_largest_plan_holds(lab):
    inner = Inner(lab)
    uplink(lab, inner)
    net = Net(inner)
    names = ["wg0"] + [f"longestname{i:04}" for i in range(1, 16)]
    domains = [domain(f"{i:063}", name, [f"10.{i}.{k}.1/24" for k in range(4)] + [f"fd01:{i}:{k}::1/64" for k in range(4)])
               for i, name in enumerate(names)]
    net.control.send(NET_PLAN, json.dumps({"domains": domains, "uplink": UPLINK}))
    for _ in names[1:]:
        net.take_tun(net.parent.recv())
    state = net.until(lambda s: len(s["domains"]) == 16 and s["applied"], "all are there")
    assert [len(d["addresses"]) for d in state["domains"]] == [8] * 16 and list(net.tuns) == names
    inner.settled("up0")
    net.silent()
    before = inner.picture()
    assert net.plan({"domains": domains, "uplink": UPLINK})["applied"]
    inner.same(before)
    assert answered(Device(net.tuns[names[15]]), packets.echo("10.15.3.9", "10.15.3.1"))
    assert prohibited(Device(net.tuns["wg0"]), packets.udp("10.0.0.9", "10.15.3.9", 1, 2))
    with broken_nft(lab):  # that does not read what it is given
        state = net.plan({"domains": domains[1:], "uplink": UPLINK})
    assert codes(state) == ["rules"], state["problems"]
    assert net.plan({"domains": domains, "uplink": UPLINK})["applied"]


@test
def net_has_the_one_capability_and_cannot_be_looked_into(lab):
    net = Net(Inner(lab))
    status = open(f"/proc/{net.process.pid}/status").read()
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(re.search(rf"{name}:\s*(\w+)", status).group(1), 16) == 1 << 12, status
    assert "NoNewPrivs:\t1" in status
    assert os.stat(f"/proc/{net.process.pid}/mem").st_uid == 0


@contextlib.contextmanager
def broken_nft(lab):
    """An nft that fails, for this laboratory alone."""
    path = "/usr/sbin/nft"
    subprocess.run(["mount", "--bind", lab.file("nft", "#!/bin/sh\necho Error: out of order >&2\nexit 1\n", 0o755), path],
                   check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@test
def without_rules_nothing_comes_up_and_it_heals_by_itself(lab):
    inner = Inner(lab)
    uplink(lab, inner)
    with broken_nft(lab):
        net = Net(inner)
        assert "out of order" in net.output()
        state = net.plan(PLAN)
        assert not state["applied"] and codes(state)[0] == "rules" and "out of order" in str(state["problems"]), state
        assert not state["domains"][0]["up"] and state["domains"][0]["addresses"] == []
        assert inner.sysctl("ipv4/ip_forward") == 0
    net.until(lambda s: s["applied"], "it was tried again")
    assert ask(Device(net.tuns["wg0"]), PEER, FAR) == PEER


@test
def a_plan_whose_rules_fail_changes_nothing_else(lab):
    inner, far, net, device = rig(lab)
    before = inner.picture()
    with broken_nft(lab):
        state = net.plan({"domains": [domain(mtu=1300, addresses=["10.84.0.1/16"], meet=True)], "uplink": UPLINK})
    assert not state["applied"] and codes(state) == ["rules"] and not state["domains"][0]["peers_may_meet"], state
    inner.same(before)
    assert prohibited(device, packets.udp(PEER, OTHER, 1, 2))
    assert net.plan(PLAN)["applied"]


@test
def a_switch_that_may_not_be_set_is_named_and_one_that_is_right_is_no_trouble(lab):
    inner = Inner(lab)
    uplink(lab, inner)
    subprocess.run(["mount", "--bind", "/proc/sys", "/proc/sys"], check=True)
    lab.made.append(["umount", "/proc/sys"])
    subprocess.run(["mount", "-o", "remount,bind,ro", "/proc/sys"], check=True)
    net = Net(inner)
    state = net.plan(PLAN)
    assert not state["applied"] and set(codes(state)) == {"sysctl"}, state
    words = [p["words"].split(" cannot")[0] for p in state["problems"]]
    assert words == ["net.ipv6.conf.up0.accept_ra", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"], words
    subprocess.run(["mount", "-o", "remount,bind,rw", "/proc/sys"], check=True)
    for name in words:
        inner.run("sysctl", "-qw", f"{name}={0 if 'accept_ra' in name else 1}")
    subprocess.run(["mount", "-o", "remount,bind,ro", "/proc/sys"], check=True)
    assert net.plan(PLAN)["applied"]
    assert ask(Device(net.tuns["wg0"]), PEER, FAR) == PEER


@test
def under_pasta_peers_leave_with_the_hosts_address(lab):
    need("pasta")
    inner = Inner(lab)
    start = pasta(lab, inner)
    net = Net(inner)
    plan = {"domains": [domain()], "uplink": {"kind": "pasta"}}
    state = net.plan(plan)
    assert codes(state) == ["uplink_missing"] and state["uplink"]["ifname"] == "", state
    link = start()
    state = net.until(lambda s: s["applied"] and not s["problems"], "pasta's link is there")
    assert state["outside_sees"] == "host" and state["uplink"]["ifname"] == "eth7", state
    device = Device(net.tuns["wg0"])
    for sport, peer in enumerate((PEER, OTHER, "10.82.9.9", PEER), 5000):
        assert ask(device, peer, FAR, sport=sport) == "192.0.2.9"
    inner.settled("eth7")
    for sport, peer in enumerate((PEER6, OTHER6), 6000):
        assert ask(device, peer, FAR6, sport=sport) == "2001:db8:2::9"
    before = inner.picture()
    with watched(inner) as events:
        assert net.plan(plan)["applied"] and events() == [], events()
    inner.same(before)
    link.kill()
    state = net.until(lambda s: not s["uplink"]["present"], "pasta is gone")
    assert codes(state) == ["uplink_missing"] and "masquerade" not in inner.rules()
    start()
    net.until(lambda s: s["applied"] and not s["problems"], "pasta's link is back")
    assert ask(device, PEER, FAR, sport=7000) == "192.0.2.9"


main()
