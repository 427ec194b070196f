#!/usr/bin/env python3
"""Superframes: in bulk, on each of the four ways, a call carries more than twenty segments."""
import os

from lab import main, need, test, wait_until
from wires import Side, cable, figures, iperf, lossless, mean, ours, pair, plain_tun

def bulk(lab, v6=False, whole=True, argv=()):
    need("iperf3", "ethtool")
    a, b = pair(lab, ours(), ours(), v6, whole=whole)
    a.ns.ping(b.inner4)
    before = figures(a.ifname), figures(b.ifname)
    end = iperf(a, b, *argv)
    after = figures(a.ifname), figures(b.ifname)
    means = {"tun_read": mean(before[0], after[0], "tun_read"), "udp_send": mean(before[0], after[0], "udp_send"),
             "udp_receive": mean(before[1], after[1], "udp_receive"), "tun_write": mean(before[1], after[1], "tun_write")}
    print(f"# {end['sum_received']['bits_per_second'] / 1e9:.2f} Gbit/s", means, flush=True)
    return end, means


@test
def superframes_pass_whole_over_ipv4(lab):
    _, means = bulk(lab)
    assert all(value > 20 for value in means.values()), means


@test
def superframes_pass_whole_over_ipv6(lab):
    _, means = bulk(lab, v6=True)
    assert all(value > 20 for value in means.values()), means


@test
def datagrams_that_a_card_cut_are_merged_again(lab):
    _, means = bulk(lab, whole=False)
    assert all(value > 20 for value in means.values()), means


@test
def every_rung_that_this_kernel_has_is_on(lab):
    a, b = pair(lab, ours(), ours())
    a.ns.ping(b.inner4)
    values = figures(a.ifname)
    for name in ("tun_vnet_hdr", "tun_tso_read", "tun_tso_write", "udp4_gso", "udp6_gso", "udp4_gro", "udp6_gro",
                 "sendmmsg", "recvmmsg", "peer_path", "peer_answers"):
        assert values["warren_rung_" + name] == "on 0 0 0", values
    for name in ("tun_uso_read", "tun_uso_write"):
        assert values["warren_rung_" + name] in ("on 0 0 0", "off 0 0 0")


@test
def a_device_without_superframes_works_packet_by_packet(lab):
    need("iperf3")
    a, b = Side(lab, "a", 1, ours()), Side(lab, "b", 2, ours())
    cable(a, b)
    fd = plain_tun(a)
    os.set_inheritable(fd, True)
    a.env["WG_TUN_FD"] = str(fd)
    a.start(pass_fds=(fd,))
    os.close(fd)
    b.start()
    a.peer(b, b.endpoint())
    b.peer(a)
    a.ns.ping(b.inner4)
    a.ns.ping(b.inner6, size=1372)
    assert figures(a.ifname)["warren_rung_tun_vnet_hdr"] == "off 0 0 0"
    before = figures(a.ifname)
    assert iperf(a, b, seconds=2)["sum_received"]["bytes"] > 10_000_000
    assert iperf(b, a, seconds=2)["sum_received"]["bytes"] > 10_000_000
    assert mean(before, figures(a.ifname), "tun_read") == 1
    assert mean(before, figures(a.ifname), "tun_write") == 1


@test
def udp_in_bulk_loses_nothing_at_a_modest_rate(lab):
    need("iperf3")
    a, b = pair(lab, ours(), ours())
    a.ns.ping(b.inner4)
    for size in (16, 64, 512, 1392):
        lossless(a, b, "-l", size, "-b", size * 8 * 3000)


@test
def each_cipher_talks_to_the_others(lab):
    a, b = Side(lab, "a", 1, ours(), {"WARREN_AEAD": "sodium"}), Side(lab, "b", 2, ours(), {"WARREN_AEAD": "evp"})
    cable(a, b)
    a.start()
    b.start()
    a.peer(b, b.endpoint())
    b.peer(a)
    wait_until(lambda: a.ns.ping(b.inner4, check=False, wait=1), "an answer")
    assert figures(a.ifname)["warren_aead"] == "sodium" and figures(b.ifname)["warren_aead"] == "evp"
    assert iperf(a, b, seconds=1)["sum_received"]["bytes"] > 10_000_000


main()
