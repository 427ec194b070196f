#!/usr/bin/env python3
"""embed.py OUT FILE…: the migrations as a C array, in the order of their numbers, which have no gap."""
import os
import re
import sys


def literal(text):
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")


def main():
    out, files = sys.argv[1], sorted(sys.argv[2:], key=os.path.basename)
    lines = ['#include "server/store/migrations.h"', "", "const struct migration migrations[] = {"]
    for number, path in enumerate(files, 1):
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", os.path.basename(path))
        if not match or int(match.group(1)) != number:
            sys.exit(f"{path}: number {number:04} was expected, as NNNN_name.sql")
        with open(path, encoding="utf-8") as f:
            body = "\n".join(f'\t "{literal(line)}\\n"' for line in f.read().splitlines())
        lines.append(f'\t{{{number}, "{match.group(2)}",\n{body}}},')
    lines += ["};", "", f"const size_t n_migrations = {len(files)};", ""]
    with open(out, "w", encoding="utf-8") as f:
        f.write("\n".join(lines))


main()
