# SPDX-License-Identifier: GPL-3.0-or-later
"""make demo keeps its word: it checks what it promises, and its exit code is the answer."""
import os
import pathlib
import subprocess
import sys

import lab

DEMO = pathlib.Path(__file__).parent / "demo.py"


def demo(**environment):
    return subprocess.run([sys.executable, DEMO], text=True, capture_output=True, timeout=60,
                          env={**os.environ, "BATTEN": lab.BATTEN, "BUILD": str(lab.BUILD), **environment})


def test_the_demonstration_ends_well():
    p = demo()
    assert p.returncode == 0, p.stdout + p.stderr
    assert not p.stderr and "\033" not in p.stdout
    assert p.stdout.rstrip().endswith("exit code 0") and "NOT AS PROMISED" not in p.stdout
    assert max(map(len, p.stdout.splitlines())) <= 120


def test_a_binary_that_does_nothing_is_found_out(scratch):
    idle = scratch / "idle"
    idle.write_text("#!/bin/sh\nexit 0\n")
    idle.chmod(0o755)
    p = demo(BATTEN=str(idle))
    assert p.returncode == 1 and "NOT AS PROMISED" in p.stdout and "Traceback" not in p.stderr
