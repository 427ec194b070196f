"""What keeps warrend from starting is said in one sentence: name, reason, remedy; and nothing is left."""
import errno
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gateway import Gateway, processes, role_of, uplink  # noqa: E402
from lab import main, need, program, test  # noqa: E402


def refuse(gateway, *words, **more):
    """One sentence with all of @words, no process left."""
    text = gateway.refused(**more)
    said = [line for line in text.splitlines() if line.startswith("warrend: ")]
    assert len(said) == 1, text
    for word in words:
        assert word in said[0], (word, said[0])
    left = [argv for _, argv in processes().values() if role_of(argv)]
    assert not left, left
    return said[0]


@test
def root_without_a_user_is_refused(lab):
    host, _ = uplink(lab)
    refuse(Gateway(lab, host), "root", "--user NAME", user=False)


@test
def root_with_a_user_becomes_that_user_for_good(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.start("--user", gateway.user.pw_name, user=False, env={"WARREN_ADMIN_SOCKET": f"{gateway.data}/a.sock",
                                                                   "XDG_RUNTIME_DIR": "/run/user/0"})
    for pid in [gateway.process.pid, *gateway.pids().values()]:
        with open(f"/proc/{pid}/status") as f:
            text = f.read()
        uids = text.split("Uid:")[1].split("\n")[0].split()
        assert set(uids) == {str(gateway.user.pw_uid)}, text
    gateway.stop()


@test
def a_user_that_is_not_there_is_refused(lab):
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    text = gateway.refused("--user", "nobody-of-that-name", user=False)
    assert "no user \"nobody-of-that-name\"" in text, text
    text = gateway.refused("--user", "root", user=False)
    assert "is root" in text, text


@test
def a_bad_value_is_named_with_what_is_allowed(lab):
    host, _ = uplink(lab)
    for name, value in (("WARREN_LISTEN_PORT", "65536"), ("WARREN_POOL", "10.82.0.1/16"), ("WARREN_POOL", "10.82.0.0/33"),
                        ("WARREN_ENDPOINT", "vpn.example.org"), ("WARREN_HTTP_LISTEN", "127.0.0.1"),
                        ("WARREN_UPLINK", "a-name-that-is-too-long"), ("WARREN_DATA_DIR", "relative/path")):
        refuse(Gateway(lab, host, **{name: value}) if name not in ("WARREN_UPLINK", "WARREN_DATA_DIR") else other(lab, host, name, value),
               name, f'"{value}"', "allowed: ")


def other(lab, host, name, value):
    gateway = Gateway(lab, host)
    gateway.env[name] = value
    return gateway


@test
def the_check_prints_the_options_back_and_starts_nothing(lab):
    host, _ = uplink(lab)
    gateway = Gateway(lab, host, WARREN_DATABASE_URL="postgresql://u:geheim@192.0.2.9/w")
    file = lab.file("warren.conf", "# a comment\nWARREN_LISTEN_PORT=4712\nWARREN_POOL=10.99.0.0/24\n", 0o644)
    gateway.env["WARREN_POOL"] = "10.98.0.0/24"
    text = gateway.refused("-n", "-c", file, status=0)
    assert "WARREN_LISTEN_PORT=4712\n" in text and "WARREN_POOL=10.98.0.0/24\n" in text, text
    assert "WARREN_DATABASE_URL=***\n" in text and "geheim" not in text, text
    assert not os.path.exists(gateway.data)
    file = lab.file("wrong.conf", "WARREN_LISTEN_PORT=4712\nWARREN_COLOUR=red\n", 0o644)
    text = gateway.refused("-n", "-c", file)
    assert f"{file} line 2: WARREN_COLOUR: no such option" in text, text


@test
def arguments_that_are_none_are_refused(lab):
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    assert "--help" in gateway.refused("--colour", status=2)
    assert "is no option" in gateway.refused("start", status=2)
    assert "is a part that warrend starts itself" in gateway.refused("control", status=2)
    assert "WARREN_DATA_DIR" in gateway.refused("--help", status=0)
    assert gateway.refused("--version", status=0).startswith("warrend ")


@test
def a_busy_udp_port_is_refused(lab):
    host, _ = uplink(lab)
    host.start("socat", "-u", "UDP4-RECV:51820", "OPEN:/dev/null").wait
    wait_bound(host, "-Huln", ":51820")
    refuse(Gateway(lab, host), "WARREN_LISTEN_PORT", "51820", "in use", "another port")


@test
def a_busy_web_port_is_refused(lab):
    host, _ = uplink(lab)
    host.start("socat", "-u", "TCP4-LISTEN:51821,bind=127.0.0.1", "OPEN:/dev/null")
    wait_bound(host, "-Htln", ":51821")
    refuse(Gateway(lab, host), "WARREN_HTTP_LISTEN", "127.0.0.1:51821", "in use", "another port")


def wait_bound(host, flags, port):
    from lab import wait_until
    wait_until(lambda: port in host.run("ss", flags).stdout, f"{port} to be bound")


@test
def an_address_that_is_not_this_hosts_is_refused(lab):
    host, _ = uplink(lab)
    refuse(Gateway(lab, host, WARREN_HTTP_LISTEN="203.0.113.1:80"), "WARREN_HTTP_LISTEN", "no address of this host")


@test
def a_data_directory_that_cannot_be_written_is_refused(lab):
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.env["WARREN_DATA_DIR"] = "/proc/warren"
    refuse(gateway, "WARREN_DATA_DIR", "/proc/warren", "cannot be made")
    os.mkdir(gateway.data, 0o755)  # root's
    gateway.env["WARREN_DATA_DIR"] = gateway.data
    refuse(gateway, "WARREN_DATA_DIR", "belongs to uid 0", "chown")
    os.chown(gateway.data, gateway.user.pw_uid, gateway.user.pw_gid)
    os.chmod(gateway.data, 0o500)
    refuse(gateway, "WARREN_DATA_DIR", "cannot be written", "chmod u+rwx")


@test
def an_identity_that_others_may_read_is_refused_and_left_as_it_is(lab):
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    os.mkdir(gateway.data, 0o700)
    path = os.path.join(gateway.data, "identity.key")
    with open(path, "w") as f:
        f.write("garbage\n")
    os.chmod(path, 0o600)
    for p in (gateway.data, path):
        os.chown(p, gateway.user.pw_uid, gateway.user.pw_gid)
    refuse(gateway, "identity.key", "does not hold a private key", "backup")
    os.chmod(path, 0o644)
    refuse(gateway, "identity.key", "may be read by others", "chmod 0600")
    assert open(path).read() == "garbage\n"


@test
def a_second_warrend_on_the_same_directory_is_refused_and_the_first_goes_on(lab):
    need("pasta")
    host, _ = uplink(lab)
    first = Gateway(lab, host)
    first.start()
    second = Gateway(lab, host, WARREN_LISTEN_PORT="4000", WARREN_HTTP_LISTEN="127.0.0.1:4001")
    text = second.refused()
    assert f"in use by another warrend (pid {first.process.pid})" in text and "WARREN_DATA_DIR" in text, text
    assert first.process.running()
    first.stop()


@test
def a_gateway_whose_admin_socket_is_answered_by_another_is_refused(lab):
    need("pasta")
    host, _ = uplink(lab)
    first = Gateway(lab, host)
    first.start()
    second = Gateway(lab, host, name="second", WARREN_LISTEN_PORT="4000", WARREN_HTTP_LISTEN="127.0.0.1:4001")
    text = second.refused()
    assert "WARREN_ADMIN_SOCKET" in text and "another program answers" in text, text
    first.stop()


def cover(lab, path, source):
    """@source in the place of @path, in this test alone."""
    subprocess.run(["mount", "--bind", source, path], check=True)
    lab.made.append(["umount", "-l", path])


@test
def no_dev_net_tun_is_refused(lab):
    need("pasta")
    host, _ = uplink(lab)
    empty = os.path.join(lab.dir, "empty")
    os.mkdir(empty)
    gateway = Gateway(lab, host)
    cover(lab, "/dev/net", empty)
    refuse(gateway, "/dev/net/tun", "is not there", "mknod")
    with open(os.path.join(empty, "tun"), "w"):
        os.chmod(os.path.join(empty, "tun"), 0o600)
    refuse(gateway, "/dev/net/tun", "cannot be opened", "chmod 0666 /dev/net/tun")


# In a user namespace of its own, whose limit is its own too; the one outside maps all ids into it.
LIMITED = """
import ctypes, os, sys
libc, up, down = ctypes.CDLL(None), os.pipe(), os.pipe()
pid = os.fork()
if pid:
    os.read(up[0], 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{pid}/{name}", "w") as f:
            f.write("0 0 65536")
    os.write(down[1], b"x")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
assert libc.unshare(0x10000000) == 0
os.write(up[1], b"x")
os.read(down[0], 1)
os.setuid(0)
with open("/proc/sys/user/max_user_namespaces", "w") as f:
    f.write("0")
os.execvp(sys.argv[1], sys.argv[1:])
"""

# A filter that answers unshare(2) with an error, as a container's does.
FILTERED = """
import ctypes, os, platform, struct, sys
number = {"x86_64": 272, "aarch64": 97}[platform.machine()]
code = b"".join(struct.pack("HBBI", *line) for line in (
    (0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | int(sys.argv[1])), (0x06, 0, 0, 0x7fff0000)))
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(Program(4, code)), 0, 0) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""


@test
def user_namespaces_that_are_limited_to_none_are_refused(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    script = lab.file("limited.py", LIMITED, 0o644)
    gateway.process = host.start(
        sys.executable, script, "setpriv", f"--reuid={gateway.user.pw_uid}", f"--regid={gateway.user.pw_gid}",
        "--clear-groups", program("warrend"), env=gateway.env)
    assert gateway.process.wait(60) == 1, gateway.output()
    assert "limited to 0" in gateway.output() and "sysctl -w user.max_user_namespaces" in gateway.output(), gateway.output()


@test
def user_namespaces_that_a_filter_forbids_are_refused(lab):
    need("pasta")
    host, _ = uplink(lab)
    script = lab.file("filtered.py", FILTERED, 0o644)
    for error, words in ((errno.EPERM, "Operation not permitted"), (errno.EACCES, "Permission denied")):
        gateway = Gateway(lab, host)
        gateway.process = host.start(sys.executable, script, error, program("warrend"), user=gateway.user, env=gateway.env)
        assert gateway.process.wait(60) == 1, gateway.output()
        text = gateway.output()
        assert words in text and "seccomp" in text, text


@test
def no_pasta_is_refused(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    cover(lab, shutil.which("pasta"), "/dev/null")
    refuse(gateway, "WARREN_UPLINK", "pasta is not installed", "apt-get install passt")


@test
def no_postgres_is_refused_and_with_a_database_url_not_missed(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    empty = os.path.join(lab.dir, "empty")
    os.mkdir(empty)
    cover(lab, "/usr/lib/postgresql", empty)
    for name in ("postgres", "initdb"):
        at = shutil.which(name)
        if at and os.path.isfile(at):
            cover(lab, at, "/dev/null")
    refuse(gateway, "PostgreSQL", "apt-get install postgresql-15", "WARREN_DATABASE_URL")
    gateway = Gateway(lab, host, WARREN_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    gateway.launch()
    gateway.process.wait_for("child=tunnel pid=[0-9]+ state=ready")
    assert "postgres" not in gateway.pids()
    gateway.stop()


@test
def a_pool_that_the_host_uses_is_refused_at_the_first_start_and_only_told_later(lab):
    need("pasta")
    host, world = uplink(lab)
    lab.veth(host, "lan0", "10.82.3.1/24", world, "lan0", "10.82.3.2/24")
    gateway = Gateway(lab, host)
    said = refuse(gateway, "WARREN_POOL", "10.82.0.0/16", "10.82.3.0/24", "lan0", "free is WARREN_POOL=10.83.0.0/16")
    assert not os.path.exists(os.path.join(gateway.data, "identity.key")), said
    gateway.env["WARREN_POOL"] = "10.83.0.0/16"
    gateway.start()
    gateway.stop()
    host.ip("addr", "add", "10.83.1.1/24", "dev", "lan0")
    gateway.start()
    assert "WARREN_POOL: 10.83.0.0/16 overlaps" in gateway.output()
    gateway.stop()


if __name__ == "__main__":
    main()
