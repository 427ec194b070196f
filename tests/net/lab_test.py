#!/usr/bin/env python3
"""The laboratory itself."""
import os
import subprocess

from lab import main, test


@test
def a_ping_crosses_a_veth(lab):
    a, b = lab.ns("a"), lab.ns("b")
    lab.veth(a, "va", "192.0.2.1/24", b, "vb", ["192.0.2.2/24", "2001:db8::2/64"])
    assert a.ping("192.0.2.2")
    assert not a.ping("192.0.2.3", check=False, wait=1)


@test
def the_laboratory_has_its_own_pids_and_namespaces(lab):
    assert os.getpid() < 100
    assert os.listdir("/run/netns") == []
    assert os.stat("/dev/net/tun").st_mode & 0o006 == 0o006


@test
def a_user_of_the_laboratory_is_unprivileged(lab):
    if os.environ.get("SUDO_UID") is None and os.geteuid() != 0:
        return
    user = lab.user()
    who = lab.ns("a").run("id", "-un", user=user, env=lab.environment(user)).stdout.strip()
    assert who == "warren-test"
    done = subprocess.run(["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups", "grep", "CapEff",
                           "/proc/self/status"], capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[1], 16) == 0


main()
