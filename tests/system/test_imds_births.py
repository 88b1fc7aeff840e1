# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers outside of the tasks' slice, from their first instruction on: refused as they are born,
until Docker has told who they are. Under a real dockerd, and case by case under a stand-in."""
import json
import os
import re
import shutil
import signal
import struct
import time

import pytest

import docker_standin
import groups
import lab
import programs
import task_host
from docker_host import DockerHost
from test_imds_docker import UNIFIED, Real

# Tries before anything else, then for so many seconds, so that a gap of a moment is hit; with a second
# argument until it gets through.
FIRST = """
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
static int attempt(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(0xa9fea9fe) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), r = connect(fd, (void *)&to, sizeof(to)) < 0 ? errno : 0;
	close(fd);
	return r;
}
int main(int argc, char **argv)
{
	int first = attempt(), n = 1, open = first == 0, last = first;
	time_t end = time(0) + (argc > 1 ? argv[1][0] - '0' : 0);
	for (; time(0) < end && (argc == 2 ? n < 2000 : last); n++, usleep(100))
		open += (last = attempt()) == 0;
	printf("{\\"first\\": %d, \\"tries\\": %d, \\"open\\": %d, \\"last\\": %d}\\n", first, n, open, last);
	return 0;
}
"""
EPERM = 1
RUNS = 20


@pytest.fixture
def real(docker_host, scratch):
    with lab.Spaces() as spaces:
        client = programs.build(scratch, "first", FIRST, "-static")
        docker_host.make_image("first", extra=lambda root: shutil.copy2(client, root / "bin" / "first"))
        r = Real(docker_host, scratch, spaces)
        try:
            yield r
        finally:
            r.close(["one"])


def tries(real, *arguments, options=()):
    p = real.docker.docker("run", "--rm", "--network", "host", "--cgroup-parent", f"/{real.parent}", *options, "first",
                           "/bin/first", *arguments)
    return json.loads(p.stdout)


def follows(real):
    return json.loads(real.batten("status", "--json", check=False).stdout)["docker"]["followed"]


def test_docker_run_is_refused_from_its_first_instruction_on(real):
    lab.wait_for(lambda: follows(real), "the daemon to follow Docker")
    seen = [tries(real, "2") for _ in range(RUNS)]
    assert [t["first"] for t in seen] == [EPERM] * RUNS, seen
    assert sum(t["open"] for t in seen) == 0 and sum(t["tries"] for t in seen) > 10 * RUNS, seen
    # The same with the switch off: what this test looks for is there to be found, where the daemon is not the quicker one.
    real.config.write_text(real.config.read_text() + "runtimes =\n")
    real.daemon.send_signal(signal.SIGHUP)
    lab.wait_for(lambda: "runtimes is empty" in real.batten("imds", "status").stdout, "the switch")
    assert any(tries(real)["first"] == 0 for _ in range(RUNS))


def test_an_exception_opens_when_docker_has_told_of_it(real):
    lab.wait_for(lambda: follows(real), "the daemon to follow Docker")
    real.batten("imds", "allow", "add", "image:first")
    seen = [tries(real, "9", "until") for _ in range(RUNS // 4)]
    assert all(t["last"] == 0 for t in seen), seen
    assert any(t["first"] == EPERM for t in seen), seen  # but where the daemon was the quicker one
    assert not list((UNIFIED / real.parent).glob("*/cgroup.procs")), "the container's group is gone"


def test_the_agent_is_known_before_it_runs(real):
    """Made and started in one go, as ecs-init does it: Docker takes longer to start it than the daemon to hear of it."""
    lab.wait_for(lambda: follows(real), "the daemon to follow Docker")
    for directory in ("/var/lib", "/var/log"):  # in dockerd's view alone
        real.host.run("mount", "-t", "tmpfs", "tmpfs", directory)
    try:
        options = [f"-v{s}:{d}" for s, d in (("/var/lib/ecs/data", "/data"), ("/var/log/ecs", "/log"), ("/proc", "/host/proc:ro"))]
        seen = [tries(real, "9", "until", options=options) for _ in range(RUNS // 2)]
    finally:
        for directory in ("/var/lib", "/var/log"):
            real.host.run("umount", "-l", directory)
    assert [t["last"] for t in seen] == [0] * len(seen), seen
    assert [t["first"] for t in seen].count(0) >= len(seen) - 1, seen


def test_a_build_in_the_host_s_network_is_refused(scratch, spaces):
    """What BuildKit runs is told by no event; its group's name is all that there is to know it by."""
    client = programs.build(scratch, "first", FIRST, "-static")
    (scratch / "context").mkdir()
    (scratch / "context" / "Dockerfile").write_text("FROM first\nARG unlike\nRUN /bin/first 2\n")
    with DockerHost(["--cgroup-parent", f"/{Real.parent}"]) as docker:
        docker.make_image("first", extra=lambda root: shutil.copy2(client, root / "bin" / "first"))
        real = Real(docker, scratch, spaces)

        def build(n):
            # Debian's client, which needs no plugin for BuildKit.
            p = docker.space.run("/usr/bin/docker", "-H", f"unix://{docker.socket}", "build", "--network", "host", "--progress", "plain",
                                 "--build-arg", f"unlike={n}", scratch / "context", env={**os.environ, "DOCKER_BUILDKIT": "1"})
            return json.loads(re.search(r"\{.*\}", p.stdout + p.stderr)[0])
        try:
            lab.wait_for(lambda: follows(real), "the daemon to follow Docker")
            seen = [build(n) for n in range(3)]
            assert all(t["first"] == EPERM and t["open"] == 0 and t["tries"] > 10 for t in seen), seen
            real.config.write_text(real.config.read_text() + "runtimes =\n")
            real.daemon.send_signal(signal.SIGHUP)
            lab.wait_for(lambda: "runtimes is empty" in real.batten("imds", "status").stdout, "the switch")
            assert build("open")["first"] == 0
        finally:
            real.close([])


# ---- case by case ------------------------------------------------------------------------------

@pytest.fixture
def h(spaces, scratch):
    with task_host.make(spaces, scratch) as host:
        yield host


def tcp4(h, group):
    return groups.roads(group, h.host, "tcp4")["tcp4"]


NAMES = {
    "system.slice/docker-{}.scope": "EPERM",      # Docker with the systemd driver
    "docker/{}": "EPERM",                         # with cgroupfs
    "any/where/docker-{}.scope": "EPERM",         # --cgroup-parent
    "kubepods.slice/pod1.slice/cri-containerd-{}.scope": "OK",  # not in the list
    "machine.slice/libpod-{}.scope": "OK",
    "system.slice/docker-{}.service": "OK",
    "system.slice/docker{}.scope": "OK",
    "system.slice/docker-{}.scopes": "OK",
    "system.slice/docker-{}0.scope": "OK",
    "system.slice/amazon-ssm-agent.service": "OK",
    "system.slice/docker.service": "OK",
    "system.slice/docker-builder.scope": "OK",
    "user.slice/user-1000.slice/session-3.scope": "OK",
}

# The same for what BuildKit runs, whose ids are shorter and of more letters.
BUILDS = {
    "docker/buildkit/{}": "EPERM",  # with cgroupfs
    "parent/buildkit/{}": "EPERM",
    "system.slice/system.slice:docker:{}": "EPERM",  # with the systemd driver
    "parent.slice:docker:{}": "EPERM",
    "docker/{}": "OK",
    "docker/buildkits/{}": "OK",
    "docker/buildkit/_{}": "OK",
    "docker/buildkit/{}0": "OK",
    "system.slice/docker-{}.scope": "OK",
    "system.slice/docker:{}0": "OK",
    "system.slice/docker-{}": "OK",
}


def make_all(h, names):
    return {name: tcp4(h, h.tree.make(name.format(f"{i + 10:064x}"))) for i, name in enumerate(names)}


def test_whose_names_are_known(h):
    """Only groups of containers: a service, a session or an unknown runtime is never touched."""
    h.daemon()
    assert make_all(h, NAMES) == NAMES
    digits = h.tree.make(f"system.slice/docker-{'X' * 64}.scope")
    assert tcp4(h, digits) == "OK"
    assert {name: tcp4(h, h.tree.make(name.format(f"z{i:024d}"))) for i, name in enumerate(BUILDS)} == BUILDS


def test_the_list_is_a_setting(h):
    h.configure("runtimes = libpod, cri-containerd")
    p = h.daemon()
    wanted = {**NAMES, "system.slice/docker-{}.scope": "OK", "any/where/docker-{}.scope": "OK",
              "machine.slice/libpod-{}.scope": "EPERM", "kubepods.slice/pod1.slice/cri-containerd-{}.scope": "EPERM"}
    assert make_all(h, NAMES) == wanted
    h.configure("runtimes =")
    p.send_signal(signal.SIGHUP)
    lab.wait_for(lambda: "runtimes is empty" in (h.layers()["cgroup-ebpf", "ipv4"].get("reason") or ""), "the new setting")
    assert h.layers()["cgroup-ebpf", "ipv4"]["state"] == "active", "as it was asked for"
    assert tcp4(h, h.tree.make(f"docker/{'e' * 64}")) == "OK"


@pytest.mark.parametrize("value", ["a/b", ".x", "docker,,podman", "x" * 31])
def test_a_bad_list_is_named_with_its_line(h, value):
    h.configure(f"runtimes = {value}")
    p = h.batten("imds", "block", check=False)
    assert p.returncode == 2 and "no beginning of a group's name" in p.stderr and p.stderr.count("\n") == 1, p.stderr


def test_what_is_born_in_a_container_is_the_container_s(h):
    h.configure("allow = container:outer")
    h.daemon()
    outer = h.tasks.run("outer", h.host, role="plain")
    lab.wait_for(lambda: h.roads(outer, "tcp4") == {"tcp4": "OK"}, "the exception")
    inside = h.tree.make(h.tasks.group(outer).relative_to(h.tree.root) / "docker" / ("d" * 64))
    assert tcp4(h, inside) == "OK"
    task = h.tree.make(f"{groups.SLICE}/ecstasks-1.slice/docker-{'c' * 64}.scope")
    assert tcp4(h, task) == "EPERM" and h.tree.guard("newborns").stdout == "", "the slice's row is enough"


def make_agent(h, name="ecs-agent"):
    """As ecs-init does: made, then started."""
    id = h.docker.add(name, network="host", image="amazon/amazon-ecs-agent:latest", mounts=[
        {"Type": "bind", "Source": s, "Destination": d} for s, d in (
            ("/var/lib/ecs/data", "/data"), ("/var/log/ecs", "/log"), ("/proc", "/host/proc"))])
    h.docker.event("create", id)
    return id


def test_the_ecs_agent_is_never_refused(h):
    """Docker tells of it when it is made, which is before it can run; its first connect gets through."""
    h.daemon()
    for i in range(5):
        agent = make_agent(h, f"agent{i}")
        # Asked about one after another: when the next is asked about, this one has been taken in.
        other = h.docker.add(f"other{i}", network="host")
        h.docker.event("create", other)
        lab.wait_for(lambda: any(other in path for path in h.docker.asked), "the daemon to ask", timeout=60)
        assert tcp4(h, h.tree.make(f"system.slice/docker-{agent}.scope")) == "OK"
        assert tcp4(h, h.tree.make(f"system.slice/docker-{other}.scope")) == "EPERM"


def test_who_is_made_now_goes_before_who_was_there(h):
    """With many containers to ask about after its start, the daemon asks about the agent next."""
    asleep = h.host.start("sleep", "1000")
    there = {h.docker.add(f"old{i}", asleep.pid, "host") for i in range(400)}

    def asked():
        """About whom: by inspect, and by the list of one that is asked for what does not run yet."""
        return re.findall("(?:/|%22)([0-9a-f]{64})", " ".join(list(h.docker.asked)))
    h.daemon()
    lab.wait_for(asked, "the daemon to ask about the first")
    agent = make_agent(h)
    lab.wait_for(lambda: agent in asked(), "the daemon to ask about the agent", timeout=60)
    before = asked()[:asked().index(agent)]
    assert len(set(before) & there) < len(there), f"{len(before)} came first"
    lab.wait_for(lambda: there <= set(asked()), "all the others to be asked about, too", timeout=60)
    assert len(asked()) == len(set(asked())), "each once"


def test_an_agent_that_came_too_soon_is_let_go(h):
    """Born before Docker was asked about it: refused for a moment, which its client tries again after."""
    h.daemon()
    agent = h.tasks.run("ecs-agent", h.host, role="plain", start=False, mounts=[
        {"Type": "bind", "Source": s, "Destination": d} for s, d in (
            ("/var/lib/ecs/data", "/data"), ("/var/log/ecs", "/log"), ("/proc", "/host/proc"))])
    assert h.roads(agent, "tcp4") == {"tcp4": "EPERM"}
    h.docker.event("start", agent)
    lab.wait_for(lambda: h.roads(agent, "tcp4", "tcp6", "icmp_raw") == {"tcp4": "OK", "tcp6": "OK", "icmp_raw": "OK"}, "its release")
    assert h.tree.guard("newborns").stdout == ""


def test_without_a_daemon_nobody_is_refused_at_birth(h):
    """The other programs outlive the daemon; this one must not, for nobody could let the agent go."""
    daemon = h.daemon()
    early = h.tree.make(f"docker/{'1' * 64}")
    assert tcp4(h, early) == "EPERM"
    daemon.kill()
    daemon.wait()
    assert tcp4(h, h.tree.make(f"docker/{'2' * 64}")) == "OK"
    assert "no daemon runs" in h.layers()["cgroup-ebpf", "ipv4"]["reason"]
    assert tcp4(h, h.tree.make(f"{groups.SLICE}/ecstasks-1.slice")) == "EPERM", "a slice is refused by whoever is left"
    # Born just before: refused while the lease lasts, and not for good.
    assert tcp4(h, early) == "EPERM"
    left, = [int(line.split()[1]) for line in h.tree.guard("newborns").stdout.splitlines()]
    assert 0 < left <= 30000, "milliseconds"
    key = " ".join(f"{b:#x}" for b in struct.pack("=Q", os.stat(early).st_ino))
    h.host.run("bpftool", "map", "update", "pinned", h.tree.pins / "newborns", "key", *key.split(), "value", *["0"] * 8)
    assert tcp4(h, early) == "OK", "the lease has ended"


def test_the_next_daemon_takes_over(h):
    daemon = h.daemon()
    early = h.tree.make(f"docker/{'1' * 64}")
    daemon.kill()
    daemon.wait()
    h.daemon()
    assert tcp4(h, early) == "EPERM" and tcp4(h, h.tree.make(f"docker/{'2' * 64}")) == "EPERM"
    for group in (early, early.parent / ("2" * 64)):
        group.rmdir()
    lab.wait_for(lambda: h.tree.guard("newborns").stdout == "", "the newborns to go with their groups")


def test_leases_are_renewed_however_many_come_and_try(h):
    h.daemon()
    unjudged = h.tree.make(f"docker/{'1' * 64}")
    id = str(os.stat(unjudged).st_ino)

    def left():
        """Milliseconds of the lease."""
        rows = dict(line.split() for line in h.tree.guard("newborns").stdout.splitlines())
        return int(rows[id])
    first = before = left()
    while (now := left()) <= before:
        before = now
        assert now > first - 15000, "the timer was put off"
        other = h.tasks.run("other", h.host, role="plain", start=False)
        assert h.roads(other, "tcp4") == {"tcp4": "EPERM"}
        h.docker.start(other, h.tasks._made[other][1].pid)
        lab.wait_for(lambda: str(os.stat(h.tasks.group(other)).st_ino) not in h.tree.guard("newborns").stdout, "its row")
        h.tasks.stop(other)


def test_an_attempt_is_told_with_the_name_that_docker_gives_later(h):
    h.daemon()
    soon = h.tasks.run("soon", h.host, role="plain", start=False)
    assert h.roads(soon, "tcp4") == {"tcp4": "EPERM"}
    h.docker.event("start", soon)
    e = lab.wait_for(lambda: next((e for e in h.events() if e["kind"] == "imds.blocked"), None), "the event", timeout=60)
    assert e["container"] == "soon" and e["container_id"] == soon and e["count"] == 1, e
    # Whoever never gets a name is told of all the same.
    assert tcp4(h, h.tree.make(f"docker/{'9' * 64}")) == "EPERM"
    lab.wait_for(lambda: any("outside of all known" in e["message"] for e in h.events()), "the nameless one's", timeout=60)


def test_an_attempt_that_waits_for_a_name_is_told_at_the_end(h):
    daemon = h.daemon()
    assert tcp4(h, h.tree.make(f"docker/{'9' * 64}")) == "EPERM"
    time.sleep(0.2)
    assert "IMDS attempt blocked" not in h.log(), "it waits"
    daemon.terminate()
    daemon.wait()
    assert "IMDS attempt blocked" in h.log()


def test_a_task_without_a_slice_of_its_own(h):
    """ECS_ENABLE_TASK_CPU_MEM_LIMIT=false: Docker puts the task's containers where it puts all others."""
    h.daemon()
    id = h.docker.new_id()
    group = h.tree.make(f"system.slice/docker-{id}.scope")
    p = groups.start(group, h.host, "sleep", "1000")
    assert tcp4(h, group) == "EPERM", "from its birth"
    h.docker.add("web", p.pid, "host", id=id, labels={f"{docker_standin.ECS}task-arn": "arn:aws:ecs:x:0:task/blue/1",
                                                      f"{docker_standin.ECS}task-definition-family": "web"})
    h.docker.start(id, p.pid)
    h.wait_known("web")
    assert tcp4(h, group) == "EPERM" and h.tree.guard("newborns").stdout == "", "and by a row of its own"
    h.batten("imds", "allow", "add", "family:web")
    lab.wait_for(lambda: tcp4(h, group) == "OK", "the exception")


def test_a_container_whose_first_process_stands_deeper(h):
    """As systemd in a container does it: the row is for the whole container."""
    h.daemon()
    id = h.docker.new_id()
    whole = h.tree.make(f"system.slice/docker-{id}.scope")
    p = groups.start(h.tree.make(f"system.slice/docker-{id}.scope/init.scope"), h.host, "sleep", "1000")
    beside = h.tree.make(f"system.slice/docker-{id}.scope/system.slice")
    h.docker.add("deep", p.pid, "host", id=id)
    h.docker.start(id, p.pid)
    h.wait_known("deep")
    assert h.tree.guard("newborns").stdout == ""
    assert tcp4(h, whole) == tcp4(h, beside) == "EPERM"


def deep(h, name="deep", early=False):
    """A container whose first process stands in a group that it made: its id, the whole, and a group beside the first."""
    id = h.docker.new_id()
    whole = h.tree.make(f"system.slice/docker-{id}.scope")
    p = groups.start(whole if early else h.tree.make(f"system.slice/docker-{id}.scope/init"), h.host, "sleep", "1000")
    h.docker.add(name, p.pid, "host", id=id)
    h.docker.start(id, p.pid)
    h.wait_known(name)
    if early:
        (h.tree.make(f"system.slice/docker-{id}.scope/init") / "cgroup.procs").write_text(str(p.pid))
    return whole, h.tree.make(f"system.slice/docker-{id}.scope/beside")


def test_an_exception_is_for_the_whole_of_a_container(h):
    """Whatever group its first process stands in, and what it makes below is its own."""
    h.daemon()
    whole, beside = deep(h)
    h.batten("imds", "allow", "add", "container:deep")
    assert {tcp4(h, g) for g in (whole, whole / "init", beside)} == {"OK"}
    inner = h.tree.make(beside.relative_to(h.tree.root) / "docker" / ("d" * 64))
    assert tcp4(h, inner) == "OK" and h.tree.guard("newborns").stdout == ""
    h.batten("imds", "allow", "remove", "container:deep")
    assert {tcp4(h, g) for g in (whole, whole / "init", beside, inner)} == {"EPERM"}


def test_a_container_that_is_allowed_from_the_first_has_no_newborns(h):
    """A runtime inside makes groups that Docker never tells of."""
    h.configure("allow = image:busybox:1")
    h.daemon()
    whole, beside = deep(h)
    inner = h.tree.make(whole.relative_to(h.tree.root) / "docker" / ("d" * 64))
    assert h.tree.guard("newborns").stdout == ""
    assert {tcp4(h, g) for g in (whole, beside, inner)} == {"OK"}


def test_the_next_daemon_finds_the_row_of_who_moved_meanwhile(h):
    h.configure("allow = image:busybox:1")
    daemon = h.daemon()
    whole, beside = deep(h, early=True)
    assert tcp4(h, beside) == "OK"
    daemon.kill()
    daemon.wait()
    h.daemon()
    h.wait_known("deep")
    assert {tcp4(h, g) for g in (whole, whole / "init", beside)} == {"OK"}


def test_the_attempt_of_a_group_beside_the_first_is_the_container_s(h):
    h.daemon()
    whole, beside = deep(h)
    assert tcp4(h, beside) == "EPERM"
    e = lab.wait_for(lambda: next((e for e in h.events() if e["kind"] == "imds.blocked"), None), "the event", timeout=60)
    assert e.get("container") == "deep", e


def test_a_kernel_that_cannot_trace(h):
    """Refused once Docker has told of them, slices renewed by the daemon; and the status says both."""
    h.daemon("--assume-feature=-cgroup-tracing")
    plain = h.tasks.run("plain", h.host, role="plain", start=False)
    assert h.roads(plain, "tcp4") == {"tcp4": "OK"}
    h.docker.event("start", plain)
    lab.wait_for(lambda: h.roads(plain, "tcp4") == {"tcp4": "EPERM"}, "the row")
    for family in ("ipv4", "ipv6"):
        row = h.layers()["cgroup-ebpf", family]
        assert row["state"] == "degraded" and "turned off by --assume-feature" in row["reason"], row
        assert "a slice that is made anew is open until the guard is renewed" in row["reason"], row
    web = h.tasks.run("web", h.host)
    lab.wait_for(lambda: h.roads(web, "tcp4", "tcp6") == {"tcp4": "EPERM", "tcp6": "EPERM"}, "the slice's row")


def test_a_kernel_that_cannot_trace_and_a_daemon_that_began_unblocked(h):
    h.runtime.mkdir()
    (h.runtime / "imds.unblocked").touch()
    h.daemon("--assume-feature=-cgroup-tracing")
    h.batten("imds", "block")
    web = h.tasks.run("web", h.host)
    lab.wait_for(lambda: h.roads(web, "tcp4", "tcp6") == {"tcp4": "EPERM", "tcp6": "EPERM"}, "the slice's row")
