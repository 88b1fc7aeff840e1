# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens on a host in a day, squeezed into minutes: everything that the daemon watches changes
again and again, and it holds as many descriptors, processes and findings as before. Under a sanitizer the
daemon's end says whether memory leaked, and each role's end whether its did."""
import contextlib
import json
import os
import pathlib
import signal
import socket

import pytest

import guard
import lab
import load
from test_docker_reader import reader, wait_reader
from watched import Watched

WARM, ROUNDS = 4, 24
ECS_CONFIG = "/etc/ecs/ecs.config"


@pytest.fixture
def host(spaces, scratch):
    with Watched(spaces.new("host", mounts=True), scratch, {"daemon": {"log-level": "info"}, "imds": {"table-owner": "no"}},
                 managed=True) as w:
        w.space.run("mkdir", "/etc/ecs")
        yield w.start()


class Day:
    """Each step is one that comes back to where it began."""

    def __init__(self, host):
        self.host, self.space, self.guard = host, host.space, host.guard
        self.wanted = guard.table(host.space)
        self.configured = self.guard.file.read_text()

    def containers(self, i):
        for network in ("host", "host", "bridge"):
            id = self.host.tasks.run(f"c{i}", self.space, network=network)
            self.host.docker.event("rename", id)
            self.host.tasks.stop(id)
            self.host.docker.containers.pop(id)

    def network(self, i):
        for words in (("link", "add", "day", "type", "bridge"), ("addr", "add", "192.0.2.1/24", "dev", "day"),
                      ("link", "set", "day", "up"), ("route", "add", "198.51.100.0/24", "dev", "day"),
                      ("rule", "add", "from", "192.0.2.1", "lookup", "77"), ("rule", "del", "from", "192.0.2.1"),
                      ("link", "del", "day")):
            self.space.run("ip", *words)

    def rules(self, i):
        self.space.run("nft", "add", "table", "inet", "other")
        self.space.run("nft", "add", "chain", "inet", "other", "c")
        self.space.run("nft", "delete", "table", "inet", "other")

    def heals(self, i):
        self.space.run("nft", "delete", "table", "inet", "batten")
        guard.delete_rules(self.space)
        lab.wait_for(lambda: guard.table(self.space) == self.wanted, "the guard to be back", timeout=60)

    def files(self, i):
        self.host.write(ECS_CONFIG, f"ECS_RESERVED_MEMORY={i}\n")
        self.host.replace(ECS_CONFIG, f"ECS_RESERVED_MEMORY={i} # bad\n")
        self.host.write(ECS_CONFIG, "")

    def groups(self, i):
        group = self.host.tree.make(f"ecstasks.slice/day{i}")
        group.rmdir()

    def exceptions(self, i):
        self.guard.command("imds", "allow", "add", f"container:day{i}")
        self.guard.command("imds", "allow", "remove", f"container:day{i}")

    def settings(self, i):
        for text in (self.configured + "[metrics]\n", "nonsense\n", self.configured):
            self.guard.file.write_text(text)
            self.guard.reload()

    def clients(self, i):
        for text in (b"", b"{", b'{"method": "status"}\n', b'{"method": "events", "wait": true}\n', b"\xff\n", b"x" * 70000):
            with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(OSError):
                s.connect(str(self.guard.runtime / "control.sock"))
                s.sendall(text)
        self.guard.command("events", "--json")
        self.guard.command("metrics")

    def docker(self, i):
        self.host.docker.raw_event(b'{"Type": "container"}\n')
        self.host.docker.cut_streams()
        lab.wait_for(lambda: self.host.docker.listeners, "Docker to be followed again", timeout=60)

    def roles(self, i):
        """Seldom: one that ends again and again is waited for longer and longer."""
        if i % 12 != 2:
            return
        pid = wait_reader(self.guard)
        os.kill(pid, signal.SIGKILL)
        wait_reader(self.guard, other_than=pid)

    def pass_by(self, i):
        for step in (self.containers, self.network, self.rules, self.files, self.groups, self.exceptions, self.settings,
                     self.clients, self.docker, self.heals, self.roles):
            step(i)

    # ---- what is left of it

    def children(self):
        pid = self.guard.process.pid
        return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def quiet(self):
        """Nobody works: the reader is there, Docker is followed, and all is judged."""
        self.guard.manager.pump()
        return self.children() == [str(reader(self.guard))] and bool(self.host.docker.listeners)

    def held(self):
        lab.wait_for(self.quiet, "the daemon to rest", timeout=120)
        fds = f"/proc/{self.guard.process.pid}/fd"
        return sorted(os.readlink(f"{fds}/{fd}").split(":")[0] for fd in os.listdir(fds) if os.path.lexists(f"{fds}/{fd}"))


def test_a_day_leaves_nothing_behind(host):
    lab.wait_for(lambda: host.docker.listeners, "the daemon to follow Docker", timeout=60)
    day, under = Day(host), load.Load(host)
    for i in range(WARM):
        day.pass_by(i)
    before, resident_kib, findings = day.held(), under.resident_kib, host.findings()
    for i in range(WARM, WARM + ROUNDS):
        day.pass_by(i)
    assert day.held() == before
    if "asan" not in pathlib.Path(f"/proc/{host.guard.process.pid}/maps").read_text():
        assert under.resident_kib < max(resident_kib + 2048, 12 * 1024), (resident_kib, under.resident_kib)
    lab.wait_for(lambda: host.findings() == findings, "the findings of before", timeout=60)
    status = json.loads(host.guard.command("status", "--json", check=False).stdout)
    assert status["state"] == "protected" and status["docker"]["containers"] == 0, status["degraded"]
    assert status["audit"]["failed_runs"] == 0, host.guard.log[-3000:]
    assert status["guard"]["heals"] >= ROUNDS
    assert host.guard.stop() == 0, host.guard.log[-3000:]
