# SPDX-License-Identifier: GPL-3.0-or-later
"""make bench-guard runs and prints its tables; no figure is held against anything here."""
import json
import os
import pathlib
import subprocess
import sys

import lab

BENCH = pathlib.Path(__file__).parent.parent / "bench" / "bench-guard"


def test_the_guard_s_benchmark_works(scratch):
    raw = scratch / "raw.json"
    p = subprocess.run([sys.executable, BENCH], text=True, capture_output=True, timeout=120,
                       env={**os.environ, "BATTEN": lab.BATTEN, "BUILD": str(lab.BUILD), "ROUNDS": "1",
                            "PACKETS": "1000", "BRIDGES": "1,3", "RAW": str(raw)})
    assert p.returncode == 0, p.stdout + p.stderr
    assert "forwarded, 3 bridges" in p.stdout and "nft -f" in p.stdout and "leaked" in p.stdout
    assert {"apply", "heal", "leak", "host"} <= set(json.loads(raw.read_text()))
