# SPDX-License-Identifier: GPL-3.0-or-later
"""Every road, through the commands and the daemon: host-network tasks, awsvpc tasks, exceptions."""
import json

import pytest

import docker_standin
import ecs_host
import groups
import lab


class Host:
    """An ECS host with cgroups and a stand-in of Docker, and batten configured for them."""

    def __init__(self, spaces, scratch, tree, docker, ecs):
        self.spaces, self.scratch, self.tree, self.docker, self.ecs = spaces, scratch, tree, docker, ecs
        self.host, self.tasks = ecs.host, docker_standin.Tasks(tree, docker)
        self.runtime = scratch / "run"
        self.config = scratch / "batten.conf"
        self.configure()

    def configure(self, *lines):
        self.config.write_text("\n".join([
            "[imds]", f"cgroup-root = {self.tree.inside(self.tree.root)}", f"bpf-dir = {self.tree.pins}", *lines, ""]))

    def batten(self, *arguments, **options):
        return self.host.batten(*arguments, "--config", self.config, "--runtime-dir", self.runtime, **options)

    def layers(self):
        p = self.batten("imds", "status", "--json", check=False)
        return {(x["layer"], x["family"]): x for x in json.loads(p.stdout)["layers"]}

    def roads(self, task, *which, space=None):
        return groups.roads(self.tasks.group(task), space or self.host, *which)


@pytest.fixture
def h(spaces, scratch):
    ecs = ecs_host.EcsHost(spaces, mounts=True)
    with groups.Groups(ecs.host, scratch) as tree, docker_standin.DockerStandin(scratch / "d.sock") as docker:
        yield Host(spaces, scratch, tree, docker, ecs)


def awsvpc(h):
    """A task's namespace with an interface of its own towards the metadata service."""
    task, uplink = h.spaces.new("awsvpc"), h.ecs.uplink.space
    h.spaces.veth(task, "eth0", uplink, "eni1")
    ecs_host.commands(uplink, "addr add 10.1.0.1/24 dev eni1", "addr add 2001:db8:a::1/64 dev eni1 nodad")
    ecs_host.commands(task, "addr add 10.1.0.2/24 dev eth0", "addr add 2001:db8:a::2/64 dev eth0 nodad",
                      "route add default via 10.1.0.1", "route add default via 2001:db8:a::1")
    return task


def test_block_closes_host_network_and_awsvpc_tasks(h):
    web, own = h.tasks.run("web", h.host), awsvpc(h)
    vpc = h.tasks.run("vpc", own)
    assert set({**h.roads(web), **h.roads(vpc, space=own)}.values()) == {"OK"}
    h.batten("imds", "block")
    assert set(h.roads(web).values()) == {"EPERM"} == set(h.roads(vpc, space=own).values())
    assert groups.roads(h.tree.make("system.slice/ssm.service"), h.host, "tcp4", "tcp6") == {"tcp4": "OK", "tcp6": "OK"}
    layers = h.layers()
    for family, packets in (("ipv4", 14), ("ipv6", 8)):
        row = layers["cgroup-ebpf", family]
        assert row["state"] == "active" and row["packets"] == packets, layers
    h.batten("imds", "block")
    h.batten("imds", "unblock")
    assert h.roads(web, "tcp4", "tcp6") == {"tcp4": "OK", "tcp6": "OK"}
    assert h.layers()["cgroup-ebpf", "ipv4"]["state"] == "missing"


def test_each_way_to_be_without_the_layer_is_said(h):
    def reason(*arguments):
        h.batten("imds", "block", *arguments)
        row = {(x["layer"], x["family"]): x for x in json.loads(h.batten(
            "imds", "status", "--json", *arguments, check=False).stdout)["layers"]}["cgroup-ebpf", "ipv6"]
        return row["state"], row["reason"]
    assert reason("--assume-feature=-cgroup-ebpf") == ("off", "turned off by --assume-feature")
    h.configure("cgroup-ebpf = no")
    assert reason() == ("off", "cgroup-ebpf = no")
    h.config.write_text(f"[imds]\nbpf-dir = {h.tree.pins}\n")
    state, why = reason()
    assert state == "off" and "cgroup-root" in why
    h.config.write_text(f"[imds]\ncgroup-root = {h.tree.inside(h.tree.root)}\nbpf-dir = {h.scratch}/plain\n")
    state, why = reason()
    assert state == "missing" and "bpffs" in why


@pytest.mark.parametrize("line, words", [
    ("slices = a/b", "no name of a group"), ("slices = a,,b", "no name of a group"),
    ("cgroup-root = here", "absolute path"), ("bpf-dir = ../bpf", "absolute path")])
def test_bad_settings_are_named_with_their_line(h, line, words):
    h.configure(line) if not line.startswith(("cgroup", "bpf")) else h.config.write_text(f"[imds]\n\n\n{line}\n")
    p = h.batten("imds", "block", check=False)
    assert p.returncode == 2 and words in p.stderr and f"{h.config}:4" in p.stderr and p.stderr.count("\n") == 1
