#!/usr/bin/env python3
"""The manual of warrend: its template with the options as the program itself lists them.

    options.py TEMPLATE WARREND VERSION > warrend.8
"""
import re
import subprocess
import sys


def escape(text):
    return text.replace("\\", "\\\\").replace("-", "\\-")


def main():
    template, program, version = sys.argv[1:]
    text = subprocess.run([program, "--help"], check=True, text=True, capture_output=True).stdout
    found = re.findall(r"^  (WARREN_\w+) +(\S.*)\n +allowed: (.*)$", text, re.M)
    if not found:
        sys.exit(f"{program} --help lists no option")
    lines = []
    for name, words, allowed in found:
        allowed, _, preset = allowed.partition("; default: ")
        lines += [".TP", f".B {name}", escape(words[0].upper() + words[1:]) + ".",
                  "Allowed: " + escape(allowed) + "." + (f" Default: \\fB{escape(preset)}\\fR." if preset else "")]
    with open(template) as f:
        print(f.read().replace("@OPTIONS@", "\n".join(lines)).replace("@VERSION@", version), end="")


main()
