"""The cross-platform UAPI, as far as the bench needs it: whole requests and whole answers."""
import os
import socket
import time

import lab

CALLS = ("tun_read", "udp_send", "udp_receive", "tun_write")


def path(ifname):
    return f"/run/wireguard/{ifname}.sock"


def wait(ifname, process):
    """Until the program serves; its last words if it ends instead."""
    def served():
        if not process.running():
            raise AssertionError(f"{process.argv[-3:]} ended: {process.output()[-500:]}")
        return os.path.exists(path(ifname))
    lab.wait_until(served, "the UAPI socket of " + ifname)


def request(ifname, text):
    """(answer, seconds until it was there)"""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(120)
        s.connect(path(ifname))
        start = time.monotonic()
        s.sendall(text.encode())
        parts = []
        while not (parts and (b"".join(parts[-2:])).endswith(b"\n\n")):
            part = s.recv(1 << 20)
            if not part:
                break
            parts.append(part)
        return b"".join(parts).decode(), time.monotonic() - start


def set_lines(ifname, lines):
    """Seconds; fails if the program refuses."""
    answer, seconds = request(ifname, "set=1\n" + "".join(line + "\n" for line in lines) + "\n")
    if "errno=0" not in answer:
        raise AssertionError(f"{ifname}: {answer.strip()}")
    return seconds


def calls(ifname):
    """Warren's own counters of calls and segments; {} from a program that has none."""
    answer, _ = request(ifname, "get=1\nwarren_protocol=1\n\n")
    keys = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    return {n: (int(keys[f"warren_calls_{n}"]), int(keys[f"warren_segments_{n}"]))
            for n in CALLS if f"warren_calls_{n}" in keys}


def segments(before, after):
    """Mean segments a call between two readings."""
    return {f"segments_{n}": (after[n][1] - before[n][1]) / (after[n][0] - before[n][0])
            for n in after if n in before and after[n][0] > before[n][0]}
