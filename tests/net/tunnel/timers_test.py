#!/usr/bin/env python3
"""Every timer of ours against wireguard-go, as the wire shows it; the cases run side by side."""
import os
import signal
import threading
import time
import traceback

import lab as laboratory
from lab import main, need, test, wait_until
from wires import Side, cable, figures, ours, socket_in

GO = "wireguard-go"
KEEPALIVE_TIMEOUT, REKEY_TIMEOUT, REKEY_ATTEMPT_TIME, REJECT_AFTER_TIME = 10, 5, 90, 180
JITTER = 1 / 3
MAX_TIMER_HANDSHAKES = 18  # what is given up after: the first one, so many more, and one
EARLY, LATE = 0.15, 2.0  # seconds: clocks of 1/16 s, and a machine that is busy with other tests
INITIATION, RESPONSE, DATA = 1, 2, 4
KEEPALIVE = 32  # bytes
SINK = ("import signal, socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('0.0.0.0', 9))\n"
        "print('bound', flush=True)\nsignal.pause()")
SAY = "import socket, sys\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x' * 100, (sys.argv[1], 9))"

cases = []


def case(function):
    cases.append(function)
    return function


class Pair:
    """Our tunnel and wireguard-go on a cable that is watched at our end.  Neither answers a datagram to port 9."""

    def __init__(self, lab, number):
        self.us, self.them = Side(lab, f"u{number}", 1, ours()), Side(lab, f"t{number}", 2, GO)
        cable(self.us, self.them)
        self.wire = self.us.ns.start(os.path.join(laboratory.BUILD, "tests/net/tunnel/wire"), "--list", "v" + self.us.name)
        self.wire.wait_for("listening")
        for side in (self.us, self.them):
            side.start()
            # nothing of the kernel's own passes: no router solicitations, no reports of groups
            side.ns.run("sysctl", "-qw", f"net.ipv6.conf.{side.ifname}.disable_ipv6=1")
            side.ns.start("python3", "-c", SINK).wait_for("bound")

    def meet(self, we_begin, us=None, them=None):
        """They know each other, and one of them knows where the other is."""
        self.us.peer(self.them, self.them.endpoint() if we_begin else None)
        self.them.peer(self.us, None if we_begin else self.us.endpoint())

    def say(self, side):
        """One datagram from @side to the other end."""
        other = self.them if side is self.us else self.us
        side.ns.run("python3", "-c", SAY, other.inner4)

    def messages(self, way=None, kind=None, since=0.0):
        """(when, way, type, length) of what was seen, oldest first."""
        found = []
        for line in self.wire.output().splitlines():
            parts = line.split()
            if len(parts) == 4 and parts[1] in ("in", "out"):
                found.append((float(parts[0]), parts[1], int(parts[2]), int(parts[3])))
        return [m for m in found if m[0] > since and way in (None, m[1]) and kind in (None, m[2])]

    def await_one(self, way, kind, since=0.0, timeout=None):
        """When the first such message was seen."""
        return wait_until(lambda: self.messages(way, kind, since), f"{way} message of type {kind}", timeout)[0][0]

    def nothing(self, way, kind, since, until):
        """There is no such message from @since to @until."""
        time.sleep(max(0.0, until - time.time()))
        found = [m for m in self.messages(way, kind, since) if m[0] < until]
        assert not found, found


def after(then, seconds, now, late=LATE):
    assert seconds - EARLY <= now - then <= seconds + late, f"{now - then:.3f} s instead of {seconds}"


@case
def what_is_received_is_answered_by_a_keepalive_after_ten_seconds(pair):
    pair.meet(we_begin=False)
    pair.say(pair.them)
    heard = pair.await_one("in", DATA)
    sent = pair.await_one("out", DATA, heard, KEEPALIVE_TIMEOUT + 5)
    after(heard, KEEPALIVE_TIMEOUT, sent)
    assert pair.messages("out", DATA)[0][3] == KEEPALIVE
    # a keepalive is not answered by another one, and wireguard-go, which heard it, does not shake hands again
    pair.nothing("out", DATA, sent, sent + KEEPALIVE_TIMEOUT + 3)
    assert len(pair.messages("in", INITIATION)) == 1, pair.messages()


@case
def a_keepalive_of_theirs_is_an_answer(pair):
    pair.meet(we_begin=True)
    pair.say(pair.us)
    sent = pair.await_one("out", DATA)
    heard = pair.await_one("in", DATA, sent, KEEPALIVE_TIMEOUT + 5)
    assert pair.messages("in", DATA)[0][3] == KEEPALIVE
    pair.nothing("out", INITIATION, sent, heard + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + 1)
    assert len(pair.messages("out", DATA)) == 1, pair.messages()


@case
def persistent_keepalives_come_at_once_and_at_their_interval(pair):
    pair.meet(we_begin=True)
    pair.say(pair.us)
    pair.await_one("out", DATA)
    begin = time.time()
    pair.us.set("peer", pair.them.public, "persistent-keepalive", 2)
    sent = lambda: [m[0] for m in pair.messages("out", DATA, begin)]
    wait_until(lambda: len(sent()) >= 5, "five keepalives")
    after(begin, 0, sent()[0])
    for first, second in zip(sent(), sent()[1:]):
        after(first, 2, second)
    assert all(m[3] == KEEPALIVE for m in pair.messages("out", DATA, begin))
    assert not pair.messages("in", DATA, begin), "one of theirs, for they hear us all the time and have nothing to say"
    # traffic the other way puts the next one off
    heard = [m[0] for _ in range(8) if not pair.say(pair.them) and not time.sleep(0.5) for m in pair.messages("in", DATA)[-1:]]
    assert not [m for m in pair.messages("out", DATA) if heard[0] + EARLY < m[0] < heard[-1]], pair.messages()


@case
def persistent_keepalives_of_theirs_are_not_answered(pair):
    pair.meet(we_begin=False)
    pair.them.set("peer", pair.us.public, "persistent-keepalive", 1)
    wait_until(lambda: len(pair.messages("in", DATA)) > KEEPALIVE_TIMEOUT + 3, "keepalives of theirs", 30)
    assert not pair.messages("out", DATA), pair.messages()


@case
def silence_brings_a_handshake_and_silence_for_long_the_end_of_it(pair):
    pair.meet(we_begin=True)
    pair.us.ns.ping(pair.them.inner4)
    pair.them.process.signal(signal.SIGSTOP)
    pair.say(pair.us)
    sent = pair.messages("out", DATA)[-1][0]
    first = pair.await_one("out", INITIATION, sent, KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + 5)
    after(sent, KEEPALIVE_TIMEOUT + REKEY_TIMEOUT, first)
    tries = lambda: [m[0] for m in pair.messages("out", INITIATION, sent)]
    expected = MAX_TIMER_HANDSHAKES + 2
    wait_until(lambda: len(tries()) >= expected, f"{expected} initiations", expected * (REKEY_TIMEOUT + LATE))
    pair.nothing("out", None, tries()[expected - 1], tries()[expected - 1] + REKEY_TIMEOUT + 3)
    gaps = [second - first for first, second in zip(tries(), tries()[1:])]
    for gap in gaps:
        after(0, REKEY_TIMEOUT, gap)
    assert max(gaps) - min(gaps) > JITTER / 10, f"no jitter: {gaps}"
    assert sum(gaps) >= REKEY_ATTEMPT_TIME
    begin = time.time()
    pair.say(pair.us)  # new traffic, a new attempt
    after(begin, 0, pair.await_one("out", INITIATION, begin))
    pair.them.process.signal(signal.SIGCONT)
    wait_until(lambda: pair.us.ns.ping(pair.them.inner4, check=False, wait=1), "an answer when they are back", 30)


@case
def no_session_older_than_three_minutes_is_sent_with(pair):
    pair.meet(we_begin=False)
    pair.them.ns.ping(pair.us.inner4)  # theirs is the part to renew it
    born = pair.await_one("out", RESPONSE)
    pair.them.process.signal(signal.SIGSTOP)
    wait_until(lambda: time.time() > born + REJECT_AFTER_TIME - 4, "the last seconds of the session", REJECT_AFTER_TIME)
    begin = time.time()
    pair.say(pair.us)
    pair.await_one("out", DATA, begin)
    wait_until(lambda: time.time() > born + REJECT_AFTER_TIME + 1, "its end", REJECT_AFTER_TIME)
    begin = time.time()
    pair.say(pair.us)
    pair.await_one("out", INITIATION, begin)
    pair.nothing("out", DATA, begin, time.time() + 2)
    pair.them.process.signal(signal.SIGCONT)
    wait_until(lambda: pair.us.ns.ping(pair.them.inner4, check=False, wait=1), "an answer when they are back", 30)


@case
def no_session_older_than_three_minutes_is_heard(pair):
    """A relay between the two keeps two messages of theirs back, one for less than that time, one for more."""
    relay = socket_in(pair.us.ns, ("192.0.2.1", 7777))
    relay.settimeout(20)
    pair.us.peer(pair.them)
    pair.them.peer(pair.us, "192.0.2.1:7777")
    pair.say(pair.them)
    held, born = [], None
    while len(held) < 2:
        message, source = relay.recvfrom(65536)
        if source[0] == "192.0.2.2" and message[0] == DATA and len(message) > KEEPALIVE:
            held.append(message)
            pair.say(pair.them)
            continue
        theirs = source[0] == "192.0.2.2"
        born = born or (None if theirs else time.time())
        relay.sendto(message, ("192.0.2.1" if theirs else "192.0.2.2", 51820))
    received = lambda: int(pair.us.show("transfer")[0])
    wait_until(lambda: time.time() > born + REJECT_AFTER_TIME - 4, "the last seconds of the session", REJECT_AFTER_TIME)
    before = received()
    relay.sendto(held[0], ("192.0.2.1", 51820))
    wait_until(lambda: received() > before, "what is old to be taken")
    wait_until(lambda: time.time() > born + REJECT_AFTER_TIME + 1, "the end of the session", REJECT_AFTER_TIME)
    before = received()
    dropped = lambda: sum(figures(pair.us.ifname).get("warren_drop_" + why, 0) for why in ("key_expired", "no_session"))
    assert dropped() == 0
    relay.sendto(held[1], ("192.0.2.1", 51820))
    wait_until(lambda: dropped() == 1, "what is too old to be dropped")
    assert received() == before


@test
def every_timer_keeps_its_time(lab):
    need(GO, "wg")
    failed = []

    def run(function, pair):
        try:
            function(pair)
            print(f"#   {function.__name__.replace('_', ' ')}", flush=True)
        except Exception:
            failed.append(f"{function.__name__}:\n{traceback.format_exc()}\n{pair.wire.output()[-1500:]}")

    threads = [threading.Thread(target=run, args=(function, Pair(lab, n))) for n, function in enumerate(cases)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, "\n".join(failed)


main()
