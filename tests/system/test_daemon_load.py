# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand containers come and go: no finding is lost, nothing is kept, and the guard heals meanwhile.
What it costs in time is measured by tests/bench/bench-daemon."""
import json
import os

import pytest

import guard
import lab
import load
import task_host
import watched

N_WARM, N = 100, 900
SANITIZED = "san" in os.path.basename(lab.BUILD)


@pytest.fixture
def host(spaces, scratch):
    with watched.Watched(spaces.new("host", mounts=True), scratch,
                         {"daemon": {"log-level": "info"}, "imds": {"table-owner": "no"}}) as w:
        yield w.start()


def test_a_thousand_containers_come_and_go(host):
    lab.wait_for(lambda: host.docker.listeners, "the daemon to follow Docker", timeout=60)
    wanted = guard.table(host.space)
    under_load = load.Load(host)
    under_load.run(N_WARM)
    before = under_load.descriptors, under_load.resident_kib
    flushes = []

    def flush():
        """Somebody removes the guard in the middle of it all."""
        if len(flushes) < 5:
            host.space.run("nft", "delete", "table", "inet", "batten")
            flushes.append(1)
            lab.wait_for(lambda: guard.table(host.space) == wanted, "the guard to be back", timeout=60)
    under_load.run(N, flush)
    under_load.assert_none_lost()
    status = json.loads(host.guard.command("status", "--json", check=False).stdout)
    assert status["state"] == "protected" and status["docker"]["containers"] == 0, status["degraded"]
    assert status["guard"]["heals"] >= len(flushes) == 5
    assert status["audit"]["failed_runs"] == 0
    # Workers of the last wave may still run; then all is as it was.
    lab.wait_for(lambda: under_load.descriptors <= before[0], "every descriptor to be closed", timeout=120)
    if not SANITIZED:  # which keeps what was freed
        assert under_load.resident_kib < max(before[1] + 2048, 12 * 1024), (before[1], under_load.resident_kib)
        assert under_load.resident_kib < 12 * 1024
    lab.wait_for(lambda: not [c for c, name in host.findings() if name.startswith("load")], "the state on disk",
                 timeout=60)
    assert host.guard.stop() == 0


def test_each_container_has_a_descriptor(spaces, scratch):
    """Service managers give a process 1,024, more or less; here it is that few for as few containers."""
    with task_host.make(spaces, scratch) as h:
        h.configure("allow = container:last")
        h.daemon(wrapper=["prlimit", "--nofile=64:4096"])
        for i in range(30):
            h.tasks.run(f"c{i}", h.host, role="plain")
        space, where = h.on_bridge()
        last = h.tasks.run("last", space, role="plain", **where)
        lab.wait_for(lambda: h.reach(last, space), "the last one's exception", timeout=60)
