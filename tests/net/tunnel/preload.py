"""Libraries to be preloaded into a program under test, and the clocks that one of them moves."""
import os
import struct
import subprocess

from lab import skip

HERE = os.path.dirname(os.path.abspath(__file__))


def library(lab, name):
    """The path of NAME.c, built for preloading: always without a sanitizer."""
    path = os.path.join(lab.dir, name + ".so")
    done = subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", path, os.path.join(HERE, name + ".c"), "-ldl"],
                          capture_output=True, text=True)
    if done.returncode:
        skip("no C compiler: " + done.stderr[:100])
    return path


class Clocks:
    """The wall clock and the boot time of programs that run in @self.env, moved by seconds against the machine's."""

    def __init__(self, lab):
        self.path = os.path.join(lab.dir, "wallclock")
        self.moved = [0, 0]
        self.write()
        self.env = {"LD_PRELOAD": library(lab, "wallclock"), "WALLCLOCK": self.path}

    def write(self):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as f:
            f.write(struct.pack("=2q", *self.moved))

    def wall(self, seconds):
        self.moved[0] = seconds
        self.write()

    def pass_by(self, seconds):
        """So much boot time passes at once."""
        self.moved[1] += seconds
        self.write()
