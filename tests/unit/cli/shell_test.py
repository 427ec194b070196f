#!/usr/bin/env python3
"""What the table of commands makes: help, completions, manual.  Prints TAP."""
import json
import os
import re
import shutil
import subprocess

from case import main, MANUAL, peer, test, WARREN
from standin import raw, send


@test
def help_is_there_at_every_level_and_mistakes_are_named(case):
    assert "peer add NAME" in case.warren("--help").stdout
    assert "add NAME" in case.warren("peer", "--help").stdout
    for argv in (["peer", "add", "--help"], ["help", "peer", "add"], ["peer", "-h", "add"]):
        assert "--expires WHEN" in case.warren(*argv).stdout
    assert re.fullmatch(r"warren \d+\.\d+\.\d+\n", case.warren("--version").stdout)
    for argv, words in ((["pear"], "did you mean peer"), (["peer", "ad", "x"], "did you mean add"), (["peer"], "wants a verb"),
                        (["peer", "add", "x", "--expire", "1d"], "did you mean --expires"), ([], "no command"),
                        (["peer", "add"], "wants NAME"), (["peer", "add", "a b"], "not a name"),
                        (["peer", "add", "12"], "digits alone"), (["peer", "show", "../x"], "not a name"),
                        (["peer", "list", "x"], "too much"), (["status", "--qr"], "takes no --qr"),
                        (["status", "-o", "xml"], "table or json"), (["peer", "add", "x", "--force"], "--out"),
                        (["peer", "add", "x", "--qr", "-ojson"], "--qr"), (["peer", "add", "x", "--routes", "10.0.0.1/8"], "10.0.0.0/8"),
                        (["help", "pear"], "no such command"), (["completion", "tcsh"], "bash, zsh and fish")):
        assert words in case.warren(*argv, status=2).stderr, argv
    assert not case.gateway.requests


@test
def every_shell_reads_its_completions(case):
    skipped = []
    for shell in ("bash", "zsh", "fish"):
        script = case.warren("completion", shell).stdout
        assert "rekey" in script
        if not shutil.which(shell):
            skipped.append(shell)
            continue
        with open(case.path("script"), "w") as f:
            f.write(script)
        done = subprocess.run([shell, "-n", case.path("script")], text=True, capture_output=True)
        assert done.returncode == 0 and not done.stderr, done
    return f"not installed: {', '.join(skipped)}; the others are well" if skipped else None


def bash_completes(case, *words):
    with open(case.path("c"), "w") as f:
        f.write(case.warren("completion", "bash").stdout)
    os.makedirs(case.path("bin"), exist_ok=True)
    if not os.path.exists(case.path("bin/warren")):
        os.symlink(os.path.abspath(WARREN), case.path("bin/warren"))
    line = " ".join(f"'{w}'" for w in words)
    done = subprocess.run(["bash", "--norc", "-c", f". ./c; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _warren; "
                           "printf '%s\\n' \"${COMPREPLY[@]}\""], cwd=case.dir, text=True, capture_output=True,
                          env={**case.env, "PATH": case.path("bin") + ":" + case.env["PATH"]})
    assert not done.stderr, done
    return done.stdout.split()


@test
def bash_completes_commands_options_and_the_names_of_peers(case):
    if not shutil.which("bash"):
        return "bash is not installed"
    case.gateway.says["GET /peers"] = (200, {"peers": [peer("laptop"), peer("lamp"), peer("phone")], "next": None})
    assert bash_completes(case, "warren", "p") == ["peer", "pool"]
    assert bash_completes(case, "warren", "peer", "re") == ["renew", "rekey", "remove"]
    assert bash_completes(case, "warren", "peer", "add", "x", "--w") == ["--wait"]
    assert bash_completes(case, "warren", "-o", "json", "peer", "show", "la") == ["laptop", "lamp"]
    assert bash_completes(case, "warren", "peer", "show", "laptop", "-o", "") == ["table", "json"]


@test
def a_name_from_the_gateway_is_no_command_for_the_shell(case):
    @raw
    def evil(request, connection):
        send(connection, 200, "application/json", json.dumps({"peers": [
            {"name": f"$(touch {case.path('pwned')})"}, {"name": "ok"}, {"name": "`id`"}, {"name": "a b"}], "next": None}).encode())
    case.gateway.says["GET /peers"] = evil
    assert case.warren("completion", "peers").stdout == "ok\n"
    assert bash_completes(case, "warren", "peer", "show", "") == ["ok"]
    assert not os.path.exists(case.path("pwned"))


@test
def the_manual_renders_without_warnings(case):
    if not shutil.which("man"):
        return "man is not installed"
    done = subprocess.run(["man", "--warnings=w", "-l", MANUAL], env={**case.env, "MANWIDTH": "80"}, text=True, capture_output=True)
    assert done.returncode == 0 and not done.stderr, done
    text = re.sub(".\b", "", done.stdout)
    for words in ("EXIT STATUS", "WARREN_ADMIN_SOCKET", "warren peer rekey PEER", "--expires WHEN"):
        assert words in text, words
    if shutil.which("mandoc"):
        lint = subprocess.run(["mandoc", "-T", "lint", MANUAL], text=True, capture_output=True).stdout
        assert "WARNING" not in lint and "ERROR" not in lint, lint


main()
