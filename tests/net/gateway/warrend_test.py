"""warrend as an ordinary user: how it starts, who its children are, what heals, what is refused and how it ends."""
import os
import re
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gateway import Gateway, ROLES, processes, status, uplink  # noqa: E402
from lab import main, need, program, test, wait_until  # noqa: E402

CAP_NET_ADMIN = 1 << 12


def network_of(pid):
    """Its network namespace; None: it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except FileNotFoundError:
        return None


@test
def it_starts_from_an_empty_directory_and_says_all_that_one_needs(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    banner = gateway.start()
    assert banner["endpoint"].startswith("192.0.2.2:51820"), banner
    assert "UDP port 51820" in banner["open"], banner
    assert "http://127.0.0.1:51821/" in banner["web"] and "ssh -L 51821:127.0.0.1:51821" in banner["web"], banner
    assert banner["uplink"].startswith("pasta;"), banner
    assert banner["data"] == gateway.data, banner
    assert banner["first peer"].endswith("peer add NAME --qr"), banner
    assert "at boot" in banner and "stop" in banner, banner
    gateway.stop()


@test
def its_children_are_where_they_belong_and_hold_no_right_but_one(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start()
    pids = gateway.pids()
    assert set(pids) == set(ROLES), pids
    outside = tuple(os.readlink(f"/proc/{gateway.process.pid}/ns/{kind}") for kind in ("user", "net"))
    inside = gateway.namespaces("net")
    assert outside[0] != inside[0] and outside[1] != inside[1], (outside, inside)
    places = {"net": inside, "tunnel": inside, "control": outside, "uplink": outside, "postgres": outside}
    for role, pid in pids.items():
        assert gateway.namespaces(role) == places[role], role
        caps = [int(status(pid, field), 16) for field in ("CapInh", "CapPrm", "CapEff", "CapAmb")]
        rights = CAP_NET_ADMIN if role == "net" else 0
        assert all(c & ~rights == 0 for c in caps), (role, caps)
        assert (caps[1] & rights) == rights, (role, caps)
        assert status(pid, "NoNewPrivs") == "1", role
        assert set(status(pid, "Uid").split()) == {str(gateway.user.pw_uid)}, role
        assert os.getsid(pid) == pid, f"{role} is not in a session of its own"
    gateway.stop()


@test
def nobody_of_the_same_user_reads_the_memory_of_what_holds_secrets(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start()
    pids = gateway.pids()
    for name, pid in [("warrend", gateway.process.pid)] + [(r, pids[r]) for r in ("net", "tunnel", "control", "uplink")]:
        tried = host.run("sh", "-c", f"exec 3</proc/{pid}/mem", check=False, user=gateway.user)
        assert tried.returncode != 0 and "ermission" in tried.stderr, (name, tried)
        assert not os.path.isdir(f"/proc/{pid}") or os.stat(f"/proc/{pid}/mem").st_uid == 0, name
    gateway.stop()


@test
def secrets_are_in_no_argument_and_no_environment(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start()
    with open(os.path.join(gateway.data, "identity.key")) as f:
        secrets = [f.read().strip()]
    with open(os.path.join(gateway.data, "postgres.password")) as f:
        secrets.append(f.read().strip())
    for pid in [gateway.process.pid, *gateway.pids().values()]:
        for what in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{what}", "rb") as f:
                text = f.read()
            assert not any(s.encode() in text for s in secrets), (pid, what)
    assert not any(s in gateway.output() for s in secrets)
    gateway.stop()


@test
def a_second_start_finds_the_same_identity_and_database(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start()
    key = open(os.path.join(gateway.data, "identity.key")).read()
    made = os.stat(os.path.join(gateway.data, "postgres", "PG_VERSION")).st_mtime_ns
    gateway.stop()
    gateway.start()
    assert open(os.path.join(gateway.data, "identity.key")).read() == key
    assert os.stat(os.path.join(gateway.data, "postgres", "PG_VERSION")).st_mtime_ns == made
    gateway.stop(signal.SIGTERM)


@test
def the_data_is_closed_to_others(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start()
    for name, mode in (("", 0o700), ("identity.key", 0o600), ("postgres.password", 0o600), ("postgres", 0o700)):
        found = os.stat(os.path.join(gateway.data, name)).st_mode & 0o7777
        assert found == mode, (name, oct(found))
    gateway.stop()


@test
def ctrl_c_stops_in_order_and_leaves_nothing(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start()
    inside = gateway.namespaces("net")
    gateway.stop(signal.SIGINT)
    ends = re.findall(r"child=(\w+) pid=\d+ state=down", gateway.output())
    ends = [e for e in ends[-5:]]
    assert ends[:2] == ["control", "postgres"] and set(ends[2:4]) == {"net", "uplink"} and ends[4] == "tunnel", ends
    # A last process may still be deleting the devices, which takes the kernel its time.
    wait_until(lambda: inside[1] not in map(network_of, processes()), "the inner namespace to be left")
    state = subprocess.run(["setpriv", f"--reuid={gateway.user.pw_uid}", f"--regid={gateway.user.pw_gid}", "--clear-groups",
                            "/usr/lib/postgresql/15/bin/pg_controldata", os.path.join(gateway.data, "postgres")],
                           text=True, capture_output=True).stdout
    assert not state or re.search(r"cluster state: +shut down$", state, re.M), state


@test
def each_child_that_is_killed_comes_back_and_the_tunnel_is_not_disturbed(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host, WARREN_WORKERS="2")
    gateway.start()
    tunnel = gateway.pid("tunnel")
    inside = gateway.namespaces("net")
    for role in ("control", "postgres", "net", "uplink"):
        count = gateway.ready_count(role)
        gateway.kill(role)
        gateway.wait_ready(role, count + 1)
        assert gateway.pid("tunnel") == tunnel, role
        assert gateway.namespaces("net") == inside, role
    count = gateway.ready_count("tunnel")
    gateway.kill("tunnel")
    gateway.wait_ready("tunnel", count + 1)
    assert gateway.namespaces("tunnel") == inside
    sockets = host.run("ss", "-Hulpn", "sport", "=", ":51820").stdout
    assert len(sockets.splitlines()) == 4, sockets  # the ports never went away, a socket of each family for each worker
    gateway.stop()


@test
def the_tun_device_outlives_net_and_tunnel(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start()
    index = gateway.inner("cat", "/sys/class/net/wg0/ifindex", check=False).stdout or gateway.inner("ip", "-o", "link", "show", "wg0").stdout
    for role in ("net", "tunnel"):
        count = gateway.ready_count(role)
        gateway.kill(role)
        gateway.wait_ready(role, count + 1)
    again = gateway.inner("cat", "/sys/class/net/wg0/ifindex", check=False).stdout or gateway.inner("ip", "-o", "link", "show", "wg0").stdout
    assert index.split(":")[0] == again.split(":")[0], (index, again)
    gateway.stop()


@test
def after_kill_9_of_everything_it_starts_again(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start()
    gateway.kill_all()
    gateway.start()
    gateway.stop()


@test
def when_warrend_alone_is_killed_nobody_stays(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start()
    pids = gateway.pids()
    os.kill(gateway.process.pid, signal.SIGKILL)
    gateway.process.wait()
    wait_until(lambda: not set(pids.values()) & set(processes()), "the children to end")
    gateway.start()
    gateway.stop()


@test
def a_second_signal_hurries(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start()
    os.kill(gateway.pid("control"), signal.SIGSTOP)  # it will not end by itself
    gateway.process.signal(signal.SIGINT)
    gateway.process.wait_for("stopping in order")
    gateway.process.signal(signal.SIGINT)
    assert gateway.process.wait() == 0
    assert not gateway.pids(), gateway.pids()


@test
def a_hangup_changes_nothing(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start()
    pids = gateway.pids()
    gateway.process.signal(signal.SIGHUP)
    gateway.process.wait_for("options are read at the start alone")
    assert gateway.pids() == pids
    gateway.stop()


@test
def sockets_are_taken_from_a_service_manager_which_is_told_when_all_is_ready(lab):
    need("pasta")
    host, _ = uplink(lab)
    notify = os.path.join(lab.dir, "notify.sock")
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(notify)
    os.chmod(notify, 0o666)
    launcher = lab.file("launcher.py", """
import os, socket, sys
u, t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
u.bind(("0.0.0.0", 4000)); t.bind(("127.0.0.1", 4001)); t.listen()
high = [os.dup2(s.fileno(), 60 + i) for i, s in enumerate((u, t))]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
    os.set_inheritable(3 + i, True)
os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="wg:http")
os.execv(sys.argv[1], sys.argv[1:])
""", 0o644)
    gateway = Gateway(lab, host, NOTIFY_SOCKET=notify)
    gateway.process = host.start(sys.executable, launcher, program("warrend"), user=gateway.user, env=gateway.env)
    gateway.process.wait_for(r"^Warren is ready\.", 60)
    manager.settimeout(20)
    assert manager.recv(100) == b"READY=1"
    assert host.run("ss", "-Hulpn", "sport", "=", ":4000").stdout.count("warren") >= 1
    assert not host.run("ss", "-Hulpn", "sport", "=", ":51820").stdout
    assert not host.run("ss", "-Htlpn", "sport", "=", ":51821").stdout
    gateway.stop()
    assert manager.recv(100) == b"STOPPING=1"


@test
def with_an_uplink_of_roots_it_says_what_root_must_type(lab):
    host, world = uplink(lab)
    lab.veth(host, "up0", None, world, "down0", "198.51.100.1/24")
    gateway = Gateway(lab, host, uplink="up0", WARREN_UPLINK_ADDRESS="198.51.100.2/24",
                      WARREN_UPLINK_GATEWAY="198.51.100.1")
    banner = gateway.start()
    assert "uplink" not in gateway.pids()
    command = re.search(r"ip link set up0 netns \d+", banner["uplink"]).group(0)
    assert command.endswith(f" {gateway.pid('net')}"), (command, gateway.pids())
    host.run(*command.split())
    assert "up0" in gateway.inner("ip", "link", "show", "up0").stdout
    gateway.stop()


if __name__ == "__main__":
    main()
