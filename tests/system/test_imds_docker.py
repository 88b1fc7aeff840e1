# SPDX-License-Identifier: GPL-3.0-or-later
"""Real containers under a real dockerd, in every network mode, beside the running daemon."""
import json
import os
import pathlib

import pytest

import ecs_host
import lab

UNIFIED = pathlib.Path("/sys/fs/cgroup/unified")
ASK = ["sh", "-c", "printf 'GET /latest/meta-data/instance-id HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n' |"
                   f" nc -w 3 {lab.IMDS4} 80"]


class Real:
    """dockerd's containers below a cgroup of ours, the daemon, and a stand-in of the service."""

    parent = f"batten-docker-{os.getpid()}"

    def __init__(self, docker, scratch, spaces):
        self.docker, self.host, self.scratch = docker, docker.space, scratch
        lab.need((UNIFIED / "cgroup.procs").exists(), "cgroup2 is not where a hybrid host has it")
        (UNIFIED / self.parent).mkdir(exist_ok=True)
        self.uplink = ecs_host.Uplink(spaces, self.host)
        (scratch / "bpf").mkdir()
        p = self.host.run("mount", "-t", "bpf", "none", scratch / "bpf", check=False)
        lab.need(p.returncode == 0, f"cannot mount bpffs: {p.stderr}")
        self.config = scratch / "batten.conf"
        self.config.write_text(f"[audit]\nenabled = no\n[daemon]\ndocker = unix://{docker.socket}\nstate-dir = {scratch}/state\n[imds]\n"
                               f"cgroup-root = {UNIFIED / self.parent}\nbpf-dir = {scratch}/bpf/batten\n")
        self.daemon = self.host.start(lab.BATTEN, "daemon", "--config", self.config, "--runtime-dir", scratch / "run",
                                      stderr=open(scratch / "log", "w"))
        lab.wait_for(lambda: (scratch / "run" / "control.sock").exists(), "the daemon")

    def run(self, name, network):
        self.docker.docker("run", "-d", "--init", "--name", name, "--network", network, "--cgroup-parent",
                           f"/{self.parent}", "busybox", "sleep", "3600")

    def reads(self, name):
        return "i-0123456789abcdef0" in self.docker.docker("exec", name, *ASK, check=False).stdout

    def batten(self, *arguments, **options):
        return self.host.batten(*arguments, "--runtime-dir", self.scratch / "run", **options)

    def close(self, names):
        self.docker.docker("rm", "-f", *names, check=False)
        self.batten("imds", "unblock")
        self.daemon.terminate()
        self.daemon.wait()
        self.host.run("ip", "link", "del", "eth0")
        self.host.run("umount", self.scratch / "bpf")
        for pattern in (f"*/{self.parent}/buildkit", f"*/{self.parent}"):
            for group in pathlib.Path("/sys/fs/cgroup").glob(pattern):
                lab.wait_for(lambda: not remove(group), f"{group} to be empty")


def remove(group):
    try:
        group.rmdir()
    except OSError:
        pass
    return group.exists()


@pytest.fixture
def real(docker_host, scratch):
    with lab.Spaces() as spaces:
        r = Real(docker_host, scratch, spaces)
        try:
            yield r
        finally:
            r.close(["hosted", "bridged", "alone"])


def test_host_bridge_and_none(real):
    for name, network in (("hosted", "host"), ("bridged", "bridge"), ("alone", "none")):
        real.run(name, network)
    lab.wait_for(lambda: not real.reads("hosted"), "the row of the host-network container")
    assert not real.reads("bridged") and not real.reads("alone")
    p = real.host.batten("imds", "probe", "--anywhere", "--json", "--timeout", "1s", "--config", real.config, "--docker",
                         f"unix://{real.docker.socket}")
    seen = {(r["container"], r["outcome"]) for r in json.loads(p.stdout)["results"]}
    assert seen == {(name, "blocked") for name in ("hosted", "bridged", "alone")}
    real.batten("imds", "allow", "add", "container:hosted")
    assert real.reads("hosted") and not real.reads("bridged")
    real.docker.docker("restart", "-t", "0", "hosted")
    lab.wait_for(lambda: real.reads("hosted"), "the exception to follow the restart")
    real.batten("imds", "allow", "add", "container:bridged")
    assert real.reads("bridged")
    real.batten("imds", "allow", "remove", "container:hosted")
    real.batten("imds", "allow", "remove", "container:bridged")
    assert not real.reads("hosted") and not real.reads("bridged")
