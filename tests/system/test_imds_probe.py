# SPDX-License-Identifier: GPL-3.0-or-later
"""batten imds probe: what it says is what a client in that place sees."""
import ctypes
import json
import os
import sys
import threading
import time

import pytest

import docker_standin
import ecs_host
import groups
import lab
from test_host_model import AGENT


def links(directory, **namespaces):
    """A directory of namespaces, as /run/netns is one."""
    directory.mkdir(exist_ok=True)
    for name, target in namespaces.items():
        (directory / name).symlink_to(target)
    return directory


def net(space):
    return f"/proc/{space.pid}/ns/net"


def inode(space):
    return f"net:[{os.stat(net(space)).st_ino}]"


def probe(space, *arguments, code=None):
    p = space.batten("imds", "probe", "--anywhere", "--json", *arguments, check=False)
    assert code is None or p.returncode == code, (p.returncode, p.stdout, p.stderr)
    return json.loads(p.stdout)


def outcomes(result, name):
    return {(r["target"], r["version"]): r["outcome"] for r in result["results"]
            if name in (r["namespace"], r.get("container"))}


def test_open_blocked_allowed(spaces, scratch):
    h = ecs_host.EcsHost(spaces)
    d = links(scratch / "ns", **{k: net(c) for k, c in h.containers.items()})
    config = scratch / "c.conf"
    config.write_text(f"[imds]\nallow-address = {h.containers['odd'].address}\n")
    where = ("--namespace", d, "--host", "--timeout", "2s", "--config", config)
    open_ = probe(h.host, *where, code=1)
    assert open_["schema"] == "batten.imds-probe/1" and open_["reachable"] == 12 and len(open_["results"]) == 16
    assert set(outcomes(open_, inode(h.host)).values()) == {"allowed"}
    h.host.batten("imds", "block")
    closed = probe(h.host, *where, code=0)
    assert closed["reachable"] == 0
    for c in h.containers.values():
        assert set(outcomes(closed, inode(c)).values()) == {"blocked"}
    assert {r["errno"] for r in closed["results"] if "errno" in r} == {"ECONNREFUSED"}
    assert set(outcomes(closed, inode(h.host)).values()) == {"allowed"}


def test_each_kind_of_no(spaces, scratch):
    """Blackhole, prohibit, no route, silence; and a service that wants tokens is reached all the same."""
    h = ecs_host.EcsHost(spaces, tokens_required=True)
    hole, silent, alone = h.containers["default"], h.containers["user"], spaces.new("alone")
    ecs_host.commands(hole, f"route add blackhole {lab.IMDS4}", f"route add blackhole {lab.IMDS6}")
    silent.run("nft", "-f", "-", input=f"""
        table inet t {{
            chain c {{
                type filter hook output priority 0;
                ip daddr {lab.IMDS4} drop
                ip6 daddr {lab.IMDS6} drop
            }}
        }}""")
    d = links(scratch / "ns", a=net(hole), b=net(silent), c=net(alone), d=net(h.containers["odd"]))
    r = probe(h.host, "--namespace", d, "--timeout", "300ms", code=1)
    assert set(outcomes(r, inode(hole)).values()) == {"blocked"}
    assert set(outcomes(r, inode(silent)).values()) == {"timeout"}
    assert set(outcomes(r, inode(alone)).values()) == {"no-route"}
    assert set(outcomes(r, inode(h.containers["odd"])).values()) == {"reachable"}
    assert {x["status"] for x in r["results"] if x["version"] == "v1" and "status" in x} == {401}
    assert all(x["latency_us"] < 2_000_000 for x in r["results"])


def test_containers_are_tried_in_their_own_cgroup(spaces, scratch):
    """A host-network container: only its cgroup tells it from the host."""
    h = ecs_host.EcsHost(spaces, mounts=True)
    with groups.Groups(h.host, scratch) as tree, docker_standin.DockerStandin(scratch / "d.sock") as docker:
        tasks = docker_standin.Tasks(tree, docker)
        web = tasks.run("web", h.host)
        tasks.run("agent", h.host, role="plain", mounts=[
            {"Type": "bind", "Source": s, "Destination": d} for s, d in (
                ("/var/lib/ecs/data", "/data"), ("/var/log/ecs", "/log"), ("/proc", "/host/proc"))])
        assert set(outcomes(probe(h.host, "--docker", docker.url, code=1), "web").values()) == {"reachable"}
        tree.guard("install")
        r = probe(h.host, "--docker", docker.url, code=0)
        assert set(outcomes(r, "web").values()) == {"blocked"} and r["results"][0]["family"] == "web"
        assert set(outcomes(r, "agent").values()) == {"allowed"}
        assert not list(tasks.group(web).glob("*probe*")), "nothing stays in the container's group"
        # A paused container cannot be entered; the probe says what its network allows and ends.
        (tasks.group(web) / "cgroup.freeze").write_text("1")
        begin = time.monotonic()
        r = probe(h.host, "--docker", docker.url, code=3)
        assert set(outcomes(r, "web").values()) == {"failed"} and time.monotonic() - begin < 10
        (tasks.group(web) / "cgroup.freeze").write_text("0")


def test_the_agent_tells_what_labels_lack(spaces, scratch):
    """A container without labels, of which the ECS agent's introspection says whose it is."""
    h = ecs_host.EcsHost(spaces, mounts=True)
    with groups.Groups(h.host, scratch) as tree, docker_standin.DockerStandin(scratch / "d.sock") as docker:
        bare = docker_standin.Tasks(tree, docker).run("bare", h.host, role="plain")
        tasks = {"Tasks": [{"Arn": "arn:x", "Family": "late", "Containers": [{"DockerId": bare, "Name": "bare"}]}]}
        r = probe(h.host, "--docker", docker.url, code=1)
        assert "family" not in r["results"][0], "nobody answers there, and nobody is waited for"
        p = h.host.start(sys.executable, "-S", "-E", "-c", AGENT, json.dumps(tasks), "well", stdout=-1)
        assert p.stdout.readline() == "up\n"
        r = probe(h.host, "--docker", docker.url, code=1)
        assert (r["results"][0]["family"], r["results"][0]["task_arn"]) == ("late", "arn:x"), r["results"][0]


def test_a_hundred_namespaces(spaces, scratch):
    host = spaces.new("host")
    fds, libc = [], ctypes.CDLL(None)

    def make():  # a thread of its own, so that the test's own place stays what it is
        for _ in range(100):
            assert libc.unshare(lab.CLONE_NEWNET) == 0
            fds.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
    t = threading.Thread(target=make)
    t.start()
    t.join()
    try:
        d = links(scratch / "ns", **{f"n{i}": f"/proc/{os.getpid()}/fd/{fd}" for i, fd in enumerate(fds)})
        r = probe(host, "--namespace", d, code=0)
        assert len(r["results"]) == 400 and len({x["namespace"] for x in r["results"]}) == 100
    finally:
        for fd in fds:
            os.close(fd)


def test_nobody_is_contacted_by_accident(spaces, scratch):
    lab.need("Amazon" not in open("/sys/class/dmi/id/sys_vendor").read()
             if os.path.exists("/sys/class/dmi/id/sys_vendor") else True, "this is an EC2 instance")
    h = ecs_host.EcsHost(spaces)
    before = h.uplink.arrivals()
    p = h.host.batten("imds", "probe", "--host", check=False)
    assert p.returncode == 3 and "no EC2 instance" in p.stderr and h.uplink.arrivals() == before


@pytest.mark.parametrize("arguments, code, words", [
    (["--timeout", "100"], 2, "duration"), (["--namespace", "/nonexistent"], 2, "cannot open"),
    (["--docker", "unix:///nonexistent.sock"], 3, "not running"), (["--docker", "tcp://h:1"], 2, "unix://"),
    (["--namespace", "/dev/null"], 3, None)])
def test_wrong_use(spaces, arguments, code, words):
    p = spaces.new("host").batten("imds", "probe", "--anywhere", *arguments, check=False)
    assert p.returncode == code and (words is None or words in p.stderr and p.stderr.count("\n") == 1), p


def test_text_for_people(spaces, scratch):
    h = ecs_host.EcsHost(spaces)
    p = h.host.batten("imds", "probe", "--anywhere", "--namespace", net(h.containers["default"]), check=False)
    assert p.returncode == 1 and "REACHABLE" in p.stdout and "HTTP 200" in p.stdout
