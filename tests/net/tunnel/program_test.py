#!/usr/bin/env python3
"""The program on its own: command line, environment, socket, wg-quick, and what it says when it cannot."""
import os
import socket
import stat
import subprocess

from lab import PATIENCE, main, need, skip, test, wait_until
from wires import DIRECTORY, Side, cable, ours, pair, uapi

TUNSETIFF = 0x400454CA


def failed(lab, *argv, env=None, user=None, words=()):
    """The program ends at once, not well, and its words say what, why and what to do."""
    done = lab.ns("a").run(*argv, check=False, env=dict(os.environ, **(env or {})), user=user)
    assert done.returncode not in (0, -11, -6), done
    for word in words:
        assert word in done.stderr, f"{word!r} is not in {done.stderr!r}"
    return done


def links(ns):
    return ns.ip("-o", "link", "show")


@test
def help_and_version_are_printed(lab):
    a = lab.ns("a")
    out = a.run(ours(), "--help").stdout
    assert "usage: warren-tunnel" in out and "WG_TUN_FD" in out
    assert a.run(ours(), "--version").stdout.startswith("warren-tunnel ")
    for argv in ([], ["--nonsense"], ["wa", "wb"], ["-x", "wa"]):
        done = a.run(ours(), *argv, check=False)
        assert done.returncode == 2 and "usage:" in done.stderr, done


@test
def in_the_background_the_socket_is_there_when_it_returns(lab):
    a = lab.ns("a")
    done = a.run(ours(), "wa", timeout=PATIENCE)
    assert done.stdout == "" and done.stderr == "", done
    mode = os.stat(f"{DIRECTORY}/wa.sock").st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600, oct(mode)
    assert uapi("wa", "get=1\n\n") == "errno=0\n\n"
    assert "mtu 1420" in a.ip("link", "show", "wa")
    os.unlink(f"{DIRECTORY}/wa.sock")
    wait_until(lambda: "wa:" not in links(a), "the interface to go with its socket")


@test
def the_environment_keeps_it_in_the_foreground(lab):
    a = lab.ns("a")
    process = a.start(ours(), "wa", env=dict(os.environ, WG_PROCESS_FOREGROUND="1"))
    wait_until(lambda: os.path.exists(f"{DIRECTORY}/wa.sock"), "the socket")
    assert process.running()
    assert process.stop() == 0
    assert not os.path.exists(f"{DIRECTORY}/wa.sock")
    assert "wa:" not in links(a)


@test
def deleting_the_interface_ends_it(lab):
    a = lab.ns("a")
    process = a.start(ours(), "-f", "wa")
    wait_until(lambda: os.path.exists(f"{DIRECTORY}/wa.sock"), "the socket")
    a.ip("link", "del", "wa")
    assert process.wait() == 0
    assert not os.path.exists(f"{DIRECTORY}/wa.sock")


@test
def a_socket_left_by_a_killed_one_is_replaced(lab):
    a = lab.ns("a")
    process = a.start(ours(), "-f", "wa")
    wait_until(lambda: os.path.exists(f"{DIRECTORY}/wa.sock"), "the socket")
    process.kill()
    assert os.path.exists(f"{DIRECTORY}/wa.sock")
    wait_until(lambda: "wa:" not in links(a), "the device to go")
    a.run(ours(), "wa")
    assert uapi("wa", "get=1\n\n") == "errno=0\n\n"
    os.unlink(f"{DIRECTORY}/wa.sock")


@test
def a_name_in_use_is_said(lab):
    a = lab.ns("a")
    process = a.start(ours(), "-f", "wa")
    wait_until(lambda: os.path.exists(f"{DIRECTORY}/wa.sock"), "the socket")
    failed(lab, ours(), "-f", "wa", words=("wa", "in use", "choose another name"))
    assert process.running() and os.path.exists(f"{DIRECTORY}/wa.sock")
    process.stop()
    lab.veth(a, "wb", None, lab.ns("b"), "vb", None)
    failed(lab, ours(), "-f", "wb", words=("wb",))
    failed(lab, ours(), "-f", "lo", words=("lo",))
    failed(lab, ours(), "-f", "a-name-that-is-too-long", words=("not valid",))
    failed(lab, ours(), "-f", "../x", words=("not valid",))


@test
def without_a_privilege_it_says_what_to_do(lab):
    user = lab.user()
    failed(lab, ours(), "-f", "wa", user=user, words=("CAP_NET_ADMIN", "ip tuntap add dev wa mode tun user 4711"))


@test
def without_dev_net_tun_it_says_what_to_do(lab):
    empty = os.path.join(lab.dir, "empty")
    os.mkdir(empty)
    subprocess.run(["mount", "--bind", empty, "/dev/net"], check=True)
    try:
        failed(lab, ours(), "-f", "wa", words=("/dev/net/tun", "modprobe tun", "--device /dev/net/tun"))
    finally:
        subprocess.run(["umount", "/dev/net"], check=True)
    node = os.path.join(lab.dir, "tun")
    os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(10, 200))
    subprocess.run(["mount", "--bind", node, "/dev/net/tun"], check=True)
    try:
        failed(lab, ours(), "-f", "wa", user=lab.user(), words=("/dev/net/tun", "chmod 0666"))
    finally:
        subprocess.run(["umount", "/dev/net/tun"], check=True)


@test
def a_busy_port_is_said_and_another_one_works(lab):
    a, b = Side(lab, "a", 1, ours()), Side(lab, "b", 2, ours())
    cable(a, b)
    holder = a.ns.start("python3", "-c", "import signal,socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
                        "s.bind(('0.0.0.0',51820))\nprint('bound',flush=True)\nsignal.pause()")
    holder.wait_for("bound")
    a.start()
    a.process.wait_for("UDP port 51820 cannot be opened")
    assert a.process.running()
    a.set("listen-port", 51821)
    b.start()
    a.peer(b, b.endpoint())
    b.peer(a)
    a.ns.ping(b.inner4)
    assert uapi(a.ifname, "set=1\nlisten_port=51820\n\n") == "errno=-98\n\n"
    a.ns.ping(b.inner4)
    holder.stop()
    assert uapi(a.ifname, "set=1\nlisten_port=51820\n\n") == "errno=0\n\n"
    a.ns.ping(b.inner4)
    wait_until(lambda: b.show("endpoints") == ["192.0.2.1:51820"], "the new port to be seen")


@test
def a_port_of_the_kernels_choice_is_shown(lab):
    a = lab.ns("a")
    process = a.start(ours(), "-f", "wa")
    wait_until(lambda: os.path.exists(f"{DIRECTORY}/wa.sock"), "the socket")
    a.ip("link", "set", "wa", "up")
    wait_until(lambda: "listen_port=" in uapi("wa", "get=1\n\n"), "a port")
    port = a.run("wg", "show", "wa", "listen-port").stdout.strip()
    held = a.run("ss", "-Hunl").stdout
    assert int(port) > 0 and f"0.0.0.0:{port} " in held and f"[::]:{port} " in held, held
    a.ip("link", "set", "wa", "down")
    wait_until(lambda: f":{port} " not in a.run("ss", "-Hunl").stdout, "the sockets to be closed")
    process.stop()


@test
def a_firewall_mark_is_set_on_what_is_sent(lab):
    need("nft")
    a, b = pair(lab, ours(), ours())
    a.set("fwmark", "0x1234")
    a.ns.run("nft", "add table inet t; add chain inet t o { type filter hook output priority 0; };"
             " add rule inet t o udp dport 51820 meta mark 0x1234 counter")
    a.ns.ping(b.inner4)
    assert "fwmark: 0x1234" in a.ns.run("wg", "show", a.ifname).stdout
    assert "counter packets 0 " not in a.ns.run("nft", "list", "table", "inet", "t").stdout


@test
def handed_descriptors_are_used(lab):
    path = os.path.join(lab.dir, "uapi.sock")
    launcher = lab.file("launch.py", f"""
import fcntl, os, socket, struct
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, {TUNSETIFF}, struct.pack("16sH14x", b"wa", 1 | 0x1000 | 0x4000))
s = socket.socket(socket.AF_UNIX)
s.bind({path!r})
s.listen()
for fd in (tun, s.fileno()):
    os.set_inheritable(fd, True)
os.environ.update(WG_TUN_FD=str(tun), WG_UAPI_FD=str(s.fileno()), WG_PROCESS_FOREGROUND="1")
os.execv({ours()!r}, ["warren-tunnel", "wa"])
""")
    process = lab.ns("a").start("python3", launcher)

    def ask():
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(PATIENCE)
                s.connect(path)
                s.sendall(b"get=1\n\n")
                return s.recv(100)
        except OSError:
            return None
    assert wait_until(ask, "an answer on the handed socket") == b"errno=0\n\n"
    assert process.running() and not os.path.exists(f"{DIRECTORY}/wa.sock")
    failed(lab, ours(), "wb", env={"WG_TUN_FD": "77"}, words=("WG_TUN_FD=77", "not the number of an open descriptor"))


@test
def wg_quick_brings_it_up_and_down(lab):
    need("wg-quick")
    a, b = lab.ns("a"), Side(lab, "b", 2, ours())
    if a.run("ip", "link", "add", "probe", "type", "wireguard", check=False).returncode == 0:
        skip("this kernel has WireGuard, so wg-quick takes that")
    lab.veth(a, "va", "192.0.2.1/24", b.ns, "vb", "192.0.2.2/24")
    b.start()
    key = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout.strip()
    public = subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True, check=True).stdout.strip()
    b.set("peer", public, "allowed-ips", "10.9.0.1/32,fd09::1/128")
    conf = lab.file("wq0.conf", f"""[Interface]
PrivateKey = {key}
Address = 10.9.0.1/24, fd09::1/64
ListenPort = 51820

[Peer]
PublicKey = {b.public}
Endpoint = 192.0.2.2:51820
AllowedIPs = 10.9.0.2/32, fd09::2/128
PersistentKeepalive = 25
""")
    env = dict(os.environ, WG_QUICK_USERSPACE_IMPLEMENTATION=ours(), PATH=os.environ["PATH"])
    a.run("wg-quick", "up", conf, env=env)
    try:
        a.ping("10.9.0.2", count=3)
        a.ping("fd09::2", count=3)
        assert "latest handshake" in a.run("wg", "show", "wq0").stdout
        a.run("wg", "syncconf", "wq0", lab.file("sync.conf", f"[Interface]\nPrivateKey={key}\nListenPort=51820\n"))
        assert "peer" not in a.run("wg", "show", "wq0").stdout
    finally:
        a.run("wg-quick", "down", conf, env=env)
    wait_until(lambda: "wq0" not in links(a), "the interface to go")
    wait_until(lambda: not os.path.exists(f"{DIRECTORY}/wq0.sock"), "the socket to go")


@test
def a_reader_that_does_not_read_delays_nobody(lab):
    a, b = pair(lab, ours(), ours())
    a.ns.ping(b.inner4)
    for i in range(40):
        lines = "".join(f"public_key={os.urandom(32).hex()}\nallowed_ip=10.{i}.{j}.0/24\n" for j in range(50))
        assert uapi(a.ifname, "set=1\n" + lines + "\n") == "errno=0\n\n"
    slow = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for s in slow:
        s.connect(f"{DIRECTORY}/{a.ifname}.sock")
        s.setblocking(False)
        try:
            while True:
                s.send(b"get=1\n\n" * 1000)
        except BlockingIOError:
            pass
    assert "errno=0" in uapi(a.ifname, "get=1\n\n")
    a.ns.ping(b.inner4, count=5)
    for s in slow:
        s.close()
    assert "errno=-22" in uapi(a.ifname, "set=1\nunknown=1\n\n")


@test
def a_large_request_is_taken_as_it_comes(lab):
    a = lab.ns("a")
    a.run(ours(), "wa")
    request = "set=1\n" + "".join(f"public_key={os.urandom(32).hex()}\nallowed_ip=10.{i >> 8}.{i & 255}.1/32\n"
                                  for i in range(20000)) + "\n"
    assert uapi("wa", request, 60) == "errno=0\n\n"
    answer = uapi("wa", "get=1\n\n", 60)
    assert answer.count("public_key=") == 20000 and answer.endswith("errno=0\n\n")
    assert uapi("wa", "set=1\nreplace_peers=true\n\n", 60) == "errno=0\n\n"
    assert uapi("wa", "get=1\n\n") == "errno=0\n\n"
    os.unlink(f"{DIRECTORY}/wa.sock")


main()
