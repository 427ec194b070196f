"""The machine: what it is, and how much of its time went where."""
import os
import platform
import re
import time

TICK = os.sysconf("SC_CLK_TCK")
SCHEDULED = 2  # of clock_getcpuclockid(3): the clock of a whole process, its system time included


def cpu_seconds(pid):
    """CPU time of a process, all threads, user and system; to the nanosecond, which /proc does not give."""
    return time.clock_gettime((~pid << 3) | SCHEDULED)


def machine_seconds():
    """CPU time that was not idle, of all CPUs."""
    with open("/proc/stat") as f:
        fields = [int(x) for x in f.readline().split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / TICK


def busy(seconds=2):
    """The part of all CPUs' time that somebody used, while this process waits."""
    before, start = machine_seconds(), time.monotonic()
    time.sleep(seconds)
    return (machine_seconds() - before) / (time.monotonic() - start) / os.cpu_count()


def resident(pid):
    """Bytes."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^VmRSS:\s*(\d+) kB", f.read(), re.M).group(1)) * 1024


def nice(value):
    """Of this process and what it starts; of its session too, for where sessions are groups the other one says nothing."""
    os.nice(value)
    try:
        with open("/proc/self/autogroup", "w") as f:
            f.write(str(value))
    except OSError:
        pass


def flags():
    with open("/proc/cpuinfo") as f:
        return set(next((line.split(":", 1)[1].split() for line in f if line.startswith(("flags", "Features"))), []))


def describe():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    has = flags()
    vectors = next((words for flag, words in (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("asimd", "NEON")) if flag in has),
                   "no wide vectors")
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) / 2**20
    return {"cpu": f"{model}, {len(os.sched_getaffinity(0))} CPUs, {vectors}", "kernel": platform.release(),
            "memory": f"{memory:.0f} GiB"}
