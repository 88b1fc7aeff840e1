# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard beside a real dockerd, with its own rules, networks, restarts and clean-ups."""
import contextlib
import os

import pytest

import ecs_host
import guard
import lab

# Not wget: busybox-static asks a name service for the port of "http", and finds none to load.
PROBE = ["sh", "-c", "printf 'GET /latest/meta-data/instance-id HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n' |"
                     f" nc -w 3 {lab.IMDS4} 80"]


class Container:
    """A running container, as far as guard.py needs one: something to connect from."""

    def __init__(self, docker, name, network):
        self._docker, self.name = docker, name
        docker.docker("run", "-d", "--init", "--name", name, "--network", network, "busybox", "sleep", "3600")

    @contextlib.contextmanager
    def inside(self):
        pid = self._docker.inspect(self.name)["State"]["Pid"]
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            with lab.namespace(fd):
                yield
        finally:
            os.close(fd)

    def reads_metadata(self):
        return "i-0123456789abcdef0" in self._docker.docker("exec", self.name, *PROBE, check=False).stdout

    def remove(self):
        self._docker.docker("rm", "-f", self.name)


class DockerNetworks:
    """Shaped as EcsHost: what guard.py asserts holds for both."""

    def __init__(self, docker, spaces):
        self.docker, self.host = docker, docker.space
        self.uplink = ecs_host.Uplink(spaces, self.host)
        docker.docker("network", "create", "shop")
        self.containers = {"default": Container(docker, "c-default", "bridge"),
                           "user": Container(docker, "c-user", "shop")}

    def close(self):
        for c in self.containers.values():
            c.remove()
        self.docker.docker("network", "rm", "shop")
        self.host.run("ip", "link", "del", "eth0")


@pytest.fixture
def networks(docker_host):
    with lab.Spaces() as spaces:
        n = DockerNetworks(docker_host, spaces)
        yield n
        n.close()


def assert_closed(networks):
    for c in networks.containers.values():
        guard.assert_refused(networks, c, (lab.IMDS4,))
        assert not c.reads_metadata()
        assert lab.connect(c, ecs_host.ELSEWHERE4)[0] == "OK"
    assert lab.connect(networks.host, lab.IMDS4)[0] == "OK"


def test_docker_networks_and_what_docker_does_to_them(networks, make_guard):
    docker = networks.docker
    for c in networks.containers.values():
        assert c.reads_metadata(), "without a guard a container reads the metadata"

    rules = ecs_host.other_rules(networks.host)
    g = make_guard(space=networks.host).start()
    assert ecs_host.other_rules(networks.host) == rules
    assert_closed(networks)

    docker.docker("restart", "-t", "0", "c-default", "c-user")
    assert_closed(networks)

    # A network made while the guard runs, with a bridge name of its own.
    docker.docker("network", "create", "-o", "com.docker.network.bridge.name=lan7", "late")
    networks.containers["odd"] = Container(docker, "c-odd", "late")
    try:
        assert_closed(networks)
    finally:
        networks.containers.pop("odd").remove()
        docker.docker("network", "rm", "late")

    # Docker's own chains emptied by somebody: its restart brings them back, ours never left.
    networks.host.run("iptables", "-F")
    for c in networks.containers.values():
        guard.assert_refused(networks, c, (lab.IMDS4,))
        assert not c.reads_metadata()

    docker.stop()
    docker.start()
    for c in networks.containers.values():
        docker.docker("start", c.name)
    assert_closed(networks)

    assert g.process.poll() is None
    assert g.stop() == 0
    assert_closed(networks)
    g.unblock()
    for c in networks.containers.values():
        assert c.reads_metadata()
