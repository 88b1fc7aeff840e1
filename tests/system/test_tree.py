# SPDX-License-Identifier: GPL-3.0-or-later
"""The house itself: what stands where, which way includes point, and which calls are not made."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import lab

TOP = pathlib.Path(__file__).parent.parent.parent
LAYERS = ["base", "kernel", "host", "imds", "seccomp", "image", "audit", "daemon", "cli"]
SIDE_BY_SIDE = {"imds", "seccomp", "image"}
BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|strtol|strtoul|strtoull|system|popen|"
                    r"alloca|gets)\s*\(")


def files(*patterns):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *patterns], cwd=TOP, text=True,
                         capture_output=True, check=True).stdout
    return [TOP / f for f in out.splitlines() if (TOP / f).is_file()]


def layer_of(path):
    parts = path.relative_to(TOP).parts
    if parts[0] == "agent" and len(parts) > 2:
        return parts[1]
    if parts[:2] == ("include", "batten") and len(parts) > 3:
        return parts[2]
    return None


def test_top_level_holds_what_the_design_names():
    known = {"agent", "include", "profiles", "systemd", "tests", "Makefile", "README.md", "LICENSE"}
    top = {f.relative_to(TOP).parts[0] for f in files()}
    assert {t for t in top if not t.startswith(".")} <= known


def test_includes_point_down():
    wrong = []
    for f in files("agent/*.[ch]", "include/*.h"):
        here = layer_of(f)
        if here is None or f.suffixes == [".bpf", ".c"]:
            continue
        for there in re.findall(r'#include "(?:batten/)?(\w+)/', f.read_text()):
            if there not in LAYERS:
                continue
            up = LAYERS.index(there) > LAYERS.index(here)
            sideways = there != here and {here, there} <= SIDE_BY_SIDE
            if up or sideways:
                wrong.append(f"{f.relative_to(TOP)} includes {there}")
    assert not wrong


def test_every_source_has_a_licence_line():
    missing = [str(f.relative_to(TOP)) for f in files("*.[ch]", "*.py", "*.sh", "Makefile", "*.service")
               if "SPDX-License-Identifier:" not in "\n".join(f.read_text().splitlines()[:3])]
    assert not missing


def test_banned_calls_are_not_made():
    found = [f"{f.relative_to(TOP)}:{n}: {line.strip()}" for f in files("agent/*.c", "include/*.h")
             for n, line in enumerate(f.read_text().splitlines(), 1) if BANNED.search(line)]
    assert not found


def test_files_keep_one_idea():
    long = [str(f.relative_to(TOP)) for f in files("agent/*.[ch]", "include/*.h")
            if len(f.read_text().splitlines()) > 800]
    assert not long


def test_the_manual_names_every_command_and_option(batten):
    pages = "".join(p.read_text() for p in (TOP / "agent" / "man").glob("batten*.8")).replace("\\-", "-")
    rows = json.loads(subprocess.run([batten, "help", "--json"], text=True, capture_output=True,
                                     check=True).stdout)
    missing = []
    for c in rows["commands"]:
        if f"batten {c['name']}" not in pages:
            missing.append(c["name"])
        missing += [f"{c['name']} --{o['name']}" for o in c["options"] if f"--{o['name']}" not in pages]
    assert not missing


def test_every_command_explains_itself(batten):
    rows = json.loads(subprocess.run([batten, "help", "--json"], text=True, capture_output=True,
                                     check=True).stdout)
    for c in rows["commands"]:
        p = subprocess.run([batten, *c["name"].split(), "--help"], text=True, capture_output=True)
        assert p.returncode == 0 and f"Usage: batten {c['name']}" in p.stdout
        # A word may be longer than a line; two are not.
        assert all(len(line) <= 80 or len(line.split()) == 1 for line in p.stdout.splitlines()), p.stdout
        p = subprocess.run([batten, *c["name"].split(), "--no-such-option"], text=True, capture_output=True)
        assert p.returncode == 2 and p.stderr.count("\n") == 1 and "--no-such-option" in p.stderr


def test_the_overview_fits_a_terminal(batten):
    p = subprocess.run([batten, "help"], text=True, capture_output=True, check=True)
    assert all(len(line) <= 80 for line in p.stdout.splitlines())


def test_manual_pages_are_well_formed(batten, tmp_path):
    """Those that are written, those that are made of the command rows, and that of the configuration."""
    lab.need(shutil.which("mandoc"), "mandoc is not installed")
    nouns = subprocess.run([batten, "help", "--format", "man"], text=True, capture_output=True, check=True).stdout
    rows = json.loads(subprocess.run([batten, "help", "--json"], text=True, capture_output=True, check=True).stdout)
    assert set(nouns.split()) == {c["name"].split()[0] for c in rows["commands"]}
    pages = list((TOP / "agent" / "man").glob("*.[1-9]"))
    for noun in nouns.split():
        pages.append(tmp_path / f"batten-{noun}.8")
        with open(pages[-1], "w") as f:
            subprocess.run([batten, "help", "--format", "man", noun], stdout=f, check=True)
        text = pages[-1].read_text().replace("\\-", "-").replace("\\fR", "").replace("\\fB", "").replace("\\fI", "")
        for c in rows["commands"]:
            if c["name"].split()[0] == noun:
                assert f".SS batten {c['name']}" in text
                assert all(f"--{o['name']}" in text for o in c["options"])
    shipped = TOP / "systemd" / "batten.conf"
    pages.append(tmp_path / "batten.conf.5")
    with open(pages[-1], "w") as f:
        subprocess.run(["awk", "-f", TOP / "agent" / "man" / "conf-page.awk", shipped], stdout=f, check=True)
    text = pages[-1].read_text().replace("\\-", "-")
    for key in re.findall(r"^(\S+) =", shipped.read_text(), re.M):
        assert f".TP\n.B {key}\n" in text
    p = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], text=True, capture_output=True)
    said = [line for line in (p.stdout + p.stderr).splitlines() if "missing date" not in line]
    assert not said, "\n".join(said)
    p = subprocess.run([batten, "help", "--format", "man", "nosuch"], text=True, capture_output=True)
    assert p.returncode == 2 and "no such command" in p.stderr


def test_completion_lists_every_command(batten):
    script = subprocess.run([batten, "completion", "bash"], text=True, capture_output=True, check=True).stdout
    rows = json.loads(subprocess.run([batten, "help", "--json"], text=True, capture_output=True).stdout)

    def complete(*words):
        line = " ".join(f"'{w}'" for w in words)
        p = subprocess.run(["bash", "-c", f"{script}\nCOMP_WORDS=(batten {line}); COMP_CWORD={len(words)}; "
                            "_batten; printf '%s\\n' \"${COMPREPLY[@]}\""], text=True, capture_output=True)
        assert p.returncode == 0 and not p.stderr, p.stderr
        return p.stdout.split()
    first = complete("")
    for c in rows["commands"]:
        words = c["name"].split()
        assert words[0] in first
        if len(words) == 2:
            assert words[1] in complete(words[0], "")
        assert "--help" in complete(*words, "--h")


def test_usage_errors_are_one_line_with_exit_2(batten):
    for arguments, expected in ((["nosuch"], "no command"), (["hlep"], "did you mean"),
                                (["help", "nosuch"], "no such command"), (["completion", "fish"], "bash or zsh"),
                                (["completion"], "missing"), (["help", "a", "b", "c"], "unexpected argument")):
        p = subprocess.run([batten, *arguments], text=True, capture_output=True)
        assert p.returncode == 2 and p.stderr.count("\n") == 1 and expected in p.stderr, (arguments, p)


@pytest.mark.no_sanitizer
def test_the_stripped_binary_is_small(batten, tmp_path):
    subprocess.run(["strip", "-o", tmp_path / "batten", batten], check=True)
    assert (tmp_path / "batten").stat().st_size < 1024 * 1024


def test_lab_cleans_up():
    # Nobody else on this machine sleeps for exactly so long.
    seconds = f"{10 ** 6 + os.getpid()}.25"

    def sleepers():
        found = []
        for p in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                found += [p] * (seconds.encode() in p.read_bytes().split(b"\0"))
        return found
    with lab.Spaces() as s:
        a, b = s.new("a"), s.new("b")
        s.veth(a, "x", b, "y")
        a.start("sleep", seconds)
        lab.wait_for(sleepers, "the process inside", 60)
    assert not sleepers()
