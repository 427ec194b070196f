"""deploy/run, which `make run` calls: for an ordinary user, for root, and the units and manuals that are installed."""
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gateway import Gateway, processes, role_of, status, uplink  # noqa: E402
from lab import BUILD, PATIENCE, ROOT, main, need, skip, test, wait_until  # noqa: E402

RUN = os.path.join(ROOT, "deploy", "run")
PREFIX = "/usr/local"


def mount(lab, *argv):
    subprocess.run(["mount", *argv], check=True)
    lab.made.append(["umount", "-l", argv[-1]])


def machine(lab):
    """What root's run changes, each as a copy that this test alone sees: /etc, /usr/local, /var/lib, /run/warren."""
    built = subprocess.run(["meson", "introspect", "--buildoptions", BUILD], text=True, capture_output=True)
    if f'"value": "{PREFIX}"' not in built.stdout:
        skip(f"the build is not configured for {PREFIX}")
    etc = os.path.join(lab.dir, "etc")
    shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
    mount(lab, "--bind", etc, "/etc")
    os.makedirs("/run/warren", exist_ok=True)
    for path in (PREFIX, "/var/lib", "/run/warren"):
        mount(lab, "-t", "tmpfs", "-o", "mode=755", "tmpfs", path)


@test
def an_ordinary_user_gets_a_gateway_from_the_build_tree(lab):
    need("pasta")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    gateway.process = host.start(RUN, user=gateway.user, env={**gateway.env, "WARREN_BUILD": BUILD})
    gateway.process.wait_for(r"^Warren is ready\.", 3 * PATIENCE)
    banner = gateway.banner()
    command = banner["first peer"]
    assert os.access(command.split()[0], os.X_OK), command
    wait_until(gateway.healthy, "health", 3 * PATIENCE)
    assert "deploy/run --unit" in banner["at boot"], banner
    gateway.stop()


@test
def an_ordinary_user_gets_a_unit_and_is_told_how_to_enable_it(lab):
    need("systemd-analyze")
    host, _ = uplink(lab)
    gateway = Gateway(lab, host)
    said = host.run(RUN, "--unit", user=gateway.user, env={**gateway.env, "WARREN_BUILD": BUILD}).stdout
    path = os.path.join(gateway.user.pw_dir, ".config/systemd/user/warrend.service")
    assert path in said and "systemctl --user enable --now warrend" in said and "enable-linger" in said, said
    with open(path) as f:
        program = re.search(r'^ExecStart="?([^"\n]*)"?$', f.read(), re.M).group(1)
    assert os.access(program, os.X_OK), program
    verify(path)


def verify(path):
    """systemd's own judgement; what it says of other units and of manuals that are not in its path does not count."""
    done = subprocess.run(["systemd-analyze", "verify", path], text=True, capture_output=True)
    wrong = [line for line in (done.stdout + done.stderr).splitlines()
             if os.path.basename(path) in line and "Command 'man" not in line]
    assert not wrong, wrong


@test
def root_gets_a_user_an_installation_and_a_gateway_that_is_not_roots(lab):
    need("pasta")
    host, _ = uplink(lab)
    machine(lab)
    os.chmod("/dev/net/tun", 0o600)
    env = {"PATH": os.environ["PATH"], "HOME": "/root", "WARREN_BUILD": BUILD, "LC_ALL": "C.UTF-8", "WARREN_LOG_LEVEL": "debug"}
    process = host.start(RUN, env=env)
    process.wait_for(r"^Warren is ready\.", 3 * PATIENCE)
    text = process.output()
    for words in ("made user warren", f"installed below {PREFIX}", "made /var/lib/warren", "chmod 0666 /dev/net/tun"):
        assert words in text, (words, text)
    assert re.search(r"^  data +/var/lib/warren$", text, re.M), text
    assert re.search(r"^  first peer +warren peer add NAME --qr$", text, re.M), text
    uid = status(process.pid, "Uid").split()[0]
    assert uid != "0"
    assert os.stat("/run/warren/admin.sock").st_uid == int(uid)
    wait_until(lambda: host.run("curl", "-sf", "http://127.0.0.1:51821/health", check=False).returncode == 0, "health")
    shown = host.run(f"{PREFIX}/bin/warren", "status", env={"PATH": os.environ["PATH"], "HOME": "/root"})
    assert "database up" in shown.stdout, shown.stdout
    process.signal(signal.SIGINT)
    assert process.wait(3 * PATIENCE) == 0
    assert not [a for _, a in processes().values() if role_of(a)]
    assert not os.path.exists("/run/warren/admin.sock")
    # again: all is there, so nothing is said to be made
    again = host.start(RUN, env=env)
    again.wait_for(r"^Warren is ready\.", 3 * PATIENCE)
    assert "run: made" not in again.output() and "chmod" not in again.output(), again.output()
    again.signal(signal.SIGTERM)
    assert again.wait(3 * PATIENCE) == 0


@test
def an_installation_has_programs_units_and_manuals(lab):
    need("systemd-analyze", "man")
    machine(lab)
    done = subprocess.run([RUN, "--unit"], env={**os.environ, "WARREN_BUILD": BUILD}, text=True, capture_output=True)
    assert done.returncode == 0 and "systemctl enable --now warrend" in done.stdout, done
    for path in ("bin/warrend", "bin/warren", "bin/warren-tunnel", "lib/systemd/system/warrend.service",
                 "lib/systemd/user/warrend.service"):
        assert os.path.exists(f"{PREFIX}/{path}"), path
    verify(f"{PREFIX}/lib/systemd/system/warrend.service")
    verify(f"{PREFIX}/lib/systemd/user/warrend.service")
    found = subprocess.run(["find", PREFIX, "-name", "*.8*", "-o", "-name", "*.1*"], text=True, capture_output=True).stdout
    for name in ("warrend.8", "warren-tunnel.8"):
        path = next(p for p in found.split() if p.endswith("/" + name))
        shown = subprocess.run(["man", "--warnings", "-l", path], text=True, capture_output=True,
                               env={**os.environ, "MANWIDTH": "80"})
        assert shown.returncode == 0 and not shown.stderr, shown.stderr
        if name == "warrend.8":
            for option in re.findall(r"^  (WARREN_\w+) .*\n +allowed", subprocess.run([f"{PREFIX}/bin/warrend", "--help"], text=True,
                                                                         capture_output=True).stdout, re.M):
                assert option in shown.stdout, option


if __name__ == "__main__":
    main()
