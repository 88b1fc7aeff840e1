# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with tasks: namespaces, cgroups, a stand-in of Docker, and batten configured for them."""
import contextlib
import json
import pathlib

import docker_standin
import ecs_host
import groups
import lab


class TaskHost:
    """An ECS host with cgroups and a stand-in of Docker, and batten configured for them."""

    def __init__(self, spaces, scratch, tree, docker, ecs):
        self.spaces, self.scratch, self.tree, self.docker, self.ecs = spaces, scratch, tree, docker, ecs
        self.host, self.tasks = ecs.host, docker_standin.Tasks(tree, docker)
        self.runtime = scratch / "run"
        self.config = scratch / "batten.conf"
        self.configure()

    def configure(self, *lines):
        self.config.write_text("\n".join([
            "[audit]", "enabled = no", "[daemon]", f"docker = {self.docker.url}", f"state-dir = {self.scratch}/state", "[imds]", f"cgroup-root = {self.tree.inside(self.tree.root)}", f"bpf-dir = {self.tree.pins}", *lines, ""]))

    def batten(self, *arguments, **options):
        return self.host.batten(*arguments, "--config", self.config, "--runtime-dir", self.runtime, **options)

    def daemon(self, *options, wrapper=()):
        """Started, and following Docker's stand-in."""
        before = self.docker.listeners
        log = open(self.scratch / "log", "a")
        (self.runtime / "control.sock").unlink(missing_ok=True)  # of one that was killed
        p = self.host.start(*wrapper, lab.BATTEN, "daemon", "--config", self.config, "--runtime-dir", self.runtime, "-v", *options,
                            stderr=log)
        lab.wait_for(lambda: (self.runtime / "control.sock").exists(), "the daemon", timeout=60)
        if self.docker.mood == "well":
            lab.wait_for(lambda: self.docker.listeners > before, "the daemon to follow Docker", timeout=60)
        return p

    def log(self):
        return (self.scratch / "log").read_text()

    def wait_log(self, text, count=1):
        lab.wait_for(lambda: self.log().count(text) >= count, text, timeout=60)

    def events(self):
        return [json.loads(line) for line in self.batten("events", "--json").stdout.splitlines()]

    def layers(self):
        p = self.batten("imds", "status", "--json", check=False)
        return {(x["layer"], x["family"]): x for x in json.loads(p.stdout)["layers"]}

    def roads(self, task, *which, space=None):
        return groups.roads(self.tasks.group(task), space or self.host, *which)

    def wait_known(self, *names):
        """Until the daemon knows the containers: an exception says whom it would be for."""
        for name in names:
            rule = f"container:{name}"

            def known():
                rows = json.loads(self.batten("imds", "allow", "list", "--json").stdout)["allow"]
                return any(r["rule"] == rule and r["containers"] for r in rows)
            self.batten("imds", "allow", "add", rule)
            lab.wait_for(known, f"{name} to be known", timeout=60)
            self.batten("imds", "allow", "remove", rule)

    def on_bridge(self, bridge="default"):
        """The container that stands on a bridge, and what Docker says of its place."""
        c = self.ecs.containers[bridge]
        return c, {"network": "bridge", "address": c.address, "address6": c.address6}

    def reach(self, task, space):
        """Does the task reach the service over IPv4? TCP and UDP have to agree."""
        seen = self.roads(task, "tcp4", "udp4", space=space)
        assert len(set(seen.values())) == 1 or seen == {"tcp4": "ECONNREFUSED", "udp4": "TIMEOUT"}, seen
        return seen["tcp4"] == "OK"

    def add_port(self, name, bridge):
        """A namespace behind a port of its own on a bridge, without an address."""
        space = self.spaces.new(name)
        ecs_host.commands(self.host, f"link add veth-{name} type veth peer name eth0 netns {space.pid}",
                          f"link set veth-{name} master {bridge}", f"link set veth-{name} up")
        ecs_host.commands(space, ecs_host.NO_DAD, "link set eth0 up")
        return space


@contextlib.contextmanager
def make(spaces, scratch):
    ecs = ecs_host.EcsHost(spaces, mounts=True)
    with groups.Groups(ecs.host, scratch) as tree, docker_standin.DockerStandin(scratch / "d.sock") as docker:
        yield TaskHost(spaces, scratch, tree, docker, ecs)


def on_ec2():
    """What the firmware says, as batten asks it."""
    vendor = pathlib.Path("/sys/class/dmi/id/sys_vendor")
    uuid = pathlib.Path("/sys/hypervisor/uuid")
    return vendor.exists() and "Amazon EC2" in vendor.read_text() or uuid.exists() and uuid.read_text().startswith("ec2")
