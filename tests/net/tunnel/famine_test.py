#!/usr/bin/env python3
"""The n-th allocation fails, for every n: at the start the program says so and ends, later a request is refused and
everything else goes on."""
import os
import re
import struct

from lab import main, need, test, wait_until
from preload import library
from wires import DIRECTORY, figures, hexadecimal, ours, pair, uapi

MOST = 2000  # allocations of what is tried; there are fewer


class Famine:
    def __init__(self, lab):
        self.path = os.path.join(lab.dir, "famine")
        with open(self.path, "wb") as f:
            f.write(bytes(16))
        self.env = {"LD_PRELOAD": library(lab, "famine"), "FAMINE": self.path}

    def after(self, n):
        """The @n-th allocation from now fails; 0: none does."""
        with open(self.path, "r+b") as f:
            f.write(struct.pack("=q", n))

    def failed(self):
        with open(self.path, "rb") as f:
            return struct.unpack("=2q", f.read())[1]


@test
def a_start_without_memory_ends_with_words(lab):
    famine, ns = Famine(lab), lab.ns("a")
    ours_alone = ["env", "WARREN_WORKERS=2", *(f"{name}={value}" for name, value in famine.env.items()), ours()]
    for n in range(1, MOST):
        before = famine.failed()
        famine.after(n)
        process = ns.start(*ours_alone, "-f", "wf")
        wait_until(lambda: not process.running() or os.path.exists(f"{DIRECTORY}/wf.sock"), f"an end or a socket, without allocation {n}")
        if famine.failed() == before:
            famine.after(0)
            assert process.running(), process.output()
            print(f"# {n - 1} allocations before the socket is there", flush=True)
            return
        if not process.running():
            assert process.popen.returncode == 1, (n, process.popen.returncode, process.output())
            assert re.search("memory|cannot", process.output()), (n, process.output())
        famine.after(0)
        process.stop()
        lab.processes.remove(process)
        wait_until(lambda: "wf:" not in ns.ip("-o", "link", "show"), "the interface to go")
        if os.path.exists(f"{DIRECTORY}/wf.sock"):
            os.unlink(f"{DIRECTORY}/wf.sock")
    raise AssertionError("more allocations than can be")


@test
def a_request_without_memory_is_refused_and_the_rest_goes_on(lab):
    need("wg")
    famine = Famine(lab)
    a, b = pair(lab, ours(), ours(), right_env={"WARREN_WORKERS": "2", **famine.env})
    a.ns.ping(b.inner4)
    refused = 0
    requests = [
        lambda: "set=1\n" + "".join(f"public_key={os.urandom(32).hex()}\nallowed_ip=10.77.{i}.0/24\nallowed_ip=fd77:{i:x}::/64\n"
                                    f"endpoint=192.0.2.9:{i + 1}\n" for i in range(10)) + "\n",
        lambda: f"set=1\npublic_key={hexadecimal(a.public)}\nallowed_ip=10.78.0.0/16\npreshared_key={'0' * 64}\n\n",
        lambda: "get=1\nwarren_protocol=1\n\n",
    ]
    for request in requests:
        for n in range(1, MOST):
            before = famine.failed()
            famine.after(n)
            try:
                answer = uapi(b.ifname, request())
            except OSError:
                answer = ""
            hit = famine.failed() > before
            famine.after(0)
            assert b.process.running(), (n, b.process.output()[-2000:])
            assert hit or answer.endswith("errno=0\n\n"), (n, answer[-200:])
            refused += hit and not answer.endswith("errno=0\n\n")
            if n % 10 == 1:
                a.ns.ping(b.inner4)
            for key in re.findall("public_key=([0-9a-f]{64})", uapi(b.ifname, "get=1\n\n")):
                if key != hexadecimal(a.public):
                    assert uapi(b.ifname, f"set=1\npublic_key={key}\nremove=true\n\n") == "errno=0\n\n"
            if not hit:
                break
        print(f"# {n - 1} allocations of a request", flush=True)
    assert refused > 5, refused
    a.ns.ping(b.inner4, count=3)
    assert figures(b.ifname)["warren_datagrams"] > 0


main()
