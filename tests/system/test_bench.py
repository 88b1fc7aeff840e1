# SPDX-License-Identifier: GPL-3.0-or-later
"""Every benchmark runs, prints its tables and leaves its samples. It is given a moment: no figure is held against anything."""
import json
import os
import subprocess
import sys

import pytest

import lab

pytestmark = pytest.mark.no_sanitizer  # which is what would be measured

BENCHES = lab.HERE.parent / "bench"

# What each has to have measured: batten, and whom it stands beside.
ROWS = {
    "guard": ["no rules", "connections are tracked", "batten", "iptables -i docker+", "iptables, a rule per bridge",
              "of the host, 3 bridges", "batten imds block", "nft -f, the same table", "iptables-restore, one rule"],
    "ready": ["a daemon that does nothing", "batten, the guard alone", "batten with its audit"],
    "audit": ["batten audit", "a loop of docker inspect"],
    "probe": ["batten imds probe", "a loop of nsenter and curl"],
    "seccomp": ["no probe", "empty tp_btf program", "batten seccomp record", "an event for each call", "strace -f -c"],
    "throughput": ["nginx, a file of 1 KiB", "Redis, GET", "off", "batten observes"],
    "image": ["sha256sum of the layer", "gunzip | gzip -6", "gunzip | pigz"],
    "ecs-config": ["comments", "unknown names", "one name", "JSON members"],
    "daemon": ["a container is judged after its start, median"],
}


def test_every_benchmark_is_tried():
    assert {p.name.removeprefix("bench-") for p in BENCHES.glob("bench-*")} == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_a_benchmark_works(name, scratch):
    environment = {k: v for k, v in os.environ.items() if k not in ("ROUNDS", "JSON", "N", "COUNTS", "NAMESPACES", "BRIDGES", "PACKETS")}
    p = subprocess.run([sys.executable, BENCHES / f"bench-{name}"], text=True, capture_output=True, timeout=300,
                       env={**environment, "BATTEN": lab.BATTEN, "BUILD": str(lab.BUILD), "QUICK": "1",
                            "JSON": str(scratch / "samples.json")})
    assert p.returncode == 0, p.stdout + p.stderr
    report = json.loads((scratch / "samples.json").read_text())
    assert report["schema"] == "batten.bench/1" and report["name"] == name and report["quick"] is True
    assert {"cpu", "cores", "kernel", "load", "load_at_the_end"} <= set(report["machine"])
    assert report["samples"] and report["tables"]
    cells = {cell for table in report["tables"] for row in table["rows"] for cell in row}
    assert not [row for row in ROWS[name] if row not in cells], cells
    for table in report["tables"]:
        assert table["title"] in p.stdout
        assert table["rows"] and {len(row) for row in table["rows"]} == {len(table["head"])}
