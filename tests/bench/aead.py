"""The AEAD library's own time for the bytes of a case, in the unit of the case."""
import json
import subprocess

import bars
import programs
from figures import median, values

MTU = 1420


def alone(samples, turn):
    """[(name, figures)]: CPU seconds that sealing, or opening, the packets of a gigabyte of TCP payload takes by itself."""
    out = subprocess.run([programs.bench_program("aead-time"), str(MTU)], capture_output=True, text=True, check=True).stdout
    got = json.loads(out)["sizes"][str(MTU)]
    mss = median(values(samples, "tcp1", programs.WARREN, "mss"))
    if not got["authentic"] or not mss:
        return []
    seal, opening = (got[k] / mss for k in ("seal", "open"))  # ns a packet / bytes of it = s/GB
    return [(bars.AEAD, {"cpu": (seal + opening) / 2, "cpu_a": seal, "cpu_b": opening})]
