# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reads Docker's answers is a process of its own that can do nothing else: what it is allowed, that
hostile answers reach no further than it, and that nothing depends on it."""
import json
import os
import pathlib
import signal
import subprocess

import pytest

import docker_standin
import guard
import lab
from watched import Watched

NAME = "batten-role"


def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {k: v.strip() for k, v in (line.split(":", 1) for line in lines)}


def reader(g):
    """The pid of the daemon's reader, or None."""
    pids = pathlib.Path(f"/proc/{g.process.pid}/task/{g.process.pid}/children").read_text().split()
    for pid in pids:
        try:
            if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(f"{NAME}\0docker-reader\0".encode()):
                return int(pid)
        except OSError:
            pass
    return None


def links(pid):
    """What the descriptors of a process lead to."""
    return {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}


def wait_reader(g, other_than=None):
    return lab.wait_for(lambda: (pid := reader(g)) != other_than and pid, "a reader", timeout=60)


@pytest.fixture
def watched(spaces, scratch):
    with Watched(spaces.new("host", mounts=True), scratch, {"audit": {"enabled": "no"}}) as w:
        w.guard.start()
        lab.wait_for(lambda: w.docker.listeners, "Docker to be followed", timeout=60)
        yield w


def opened(w, name):
    """Waits until the daemon has heard of a container that it opens the service for."""
    w.guard.wait_log("IMDS opened", f"container={name}", timeout=60)


@pytest.mark.no_sanitizer
def test_it_has_no_rights_and_few_calls(watched):
    pid = wait_reader(watched.guard)
    s = status(pid)
    assert s["Seccomp"] == "2" and s["NoNewPrivs"] == "1"
    assert {int(s[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    values = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
    assert values["Max core file size"] == ["1", "1"] and values["Max open files"] == ["32", "32"]
    assert values["Max data size"] == [str(64 << 20)] * 2
    assert pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text() == "500\n"
    assert pathlib.Path(f"/proc/{pid}/environ").read_bytes() == b""
    # Not the socket that owns the table, no file, no BPF map: sockets and what a loop is made of.
    kinds = {os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) > 2}
    assert kinds == {"socket", "anon_inode"}


def test_the_core_keeps_no_connection_to_docker(watched):
    """It asks and hands the answer on unread."""
    watched.guard.command("imds", "allow", "add", "container:web")
    watched.tasks.run("web", watched.space)
    opened(watched, "web")
    # The stand-in's ends bear the socket's name, and each names the inode of its peer.
    rows = [line.split() for line in watched.space.run("ss", "-xH").stdout.splitlines()]
    peers = {f"socket:[{row[-1]}]" for row in rows if str(watched.docker.path) in row and row[1] == "ESTAB"}
    assert peers & links(wait_reader(watched.guard)) and not peers & links(watched.guard.process.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_it_is_started_again_and_nothing_is_missed(watched, number):
    g = watched.guard
    g.command("imds", "allow", "add", "family:web")
    first = wait_reader(g)
    os.kill(first, number)
    # Started while nobody reads: the next reader finds it in Docker's list.
    watched.tasks.run("web", watched.space)
    opened(watched, "web")
    assert reader(g) not in (None, first)
    assert "the reader of Docker's answers ended" in g.log
    assert g.process.poll() is None


def test_without_it_the_guard_holds_and_ends_are_seen(watched):
    g = watched.guard
    g.command("imds", "allow", "add", "family:web")
    id = watched.tasks.run("web", watched.space)
    opened(watched, "web")
    watched.docker.mood = "hang"
    os.kill(wait_reader(g), signal.SIGKILL)
    watched.tasks.stop(id)
    g.wait_log("IMDS closed again", timeout=60)
    watched.space.run("nft", "flush", "chain", "inet", "batten", "forward", check=False)
    assert g.layer("forward")["state"] == "active"


@pytest.mark.parametrize("mood", ["garbage", "error", "cut", "endless", "types"])
def test_hostile_answers_reach_no_further(watched, mood):
    g = watched.guard
    pid = g.process.pid
    watched.docker.mood = mood
    watched.docker.raw_event(b'{"Type": ' + b"[" * 200000)
    watched.docker.raw_event(b"\n\xff\xfe\n")
    watched.docker.cut_streams()
    g.wait_log("Docker cannot be followed", timeout=60)
    assert g.process.poll() is None and g.process.pid == pid
    assert g.layer("forward")["state"] == "active"
    rss_kib = int(status(pid)["VmRSS"].split()[0])
    watched.docker.mood = "well"
    g.command("imds", "allow", "add", "family:web")
    watched.tasks.run("web", watched.space)
    opened(watched, "web")
    if "asan" not in pathlib.Path(f"/proc/{pid}/maps").read_text():
        assert rss_kib < 12 * 1024


def test_a_container_larger_than_a_socket_s_buffer(watched):
    labels = {f"label{i}": "x" * 1000 for i in range(1000)}
    watched.guard.command("imds", "allow", "add", "container:large")
    watched.tasks.run("large", watched.space, labels=labels)
    opened(watched, "large")


def test_it_dies_with_the_daemon(watched):
    pid = wait_reader(watched.guard)
    watched.guard.kill()
    lab.wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists() or status(pid)["State"].startswith("Z"),
                 "the reader to end", timeout=30)


def test_nobody_starts_it_by_hand():
    for arguments in ((), ("docker-reader",), ("docker-reader", "/run/docker.sock"), ("nosuch", "x")):
        p = subprocess.run([NAME, *arguments], executable=lab.BATTEN, capture_output=True, text=True, timeout=60)
        assert p.returncode == 2 and p.stderr.count("\n") == 1 and "batten daemon" in p.stderr and not p.stdout


def test_a_docker_that_knows_nothing_of_itself_is_not_absent(batten, scratch):
    """It answers 404 to /info: its containers cannot be judged, which is not that there are none."""
    with docker_standin.DockerStandin(scratch / "d") as d:
        p = subprocess.run([batten, "audit", "--docker", d.url, "--area", "containers", "--json"], capture_output=True, text=True)
        assert {f["status"] for f in json.loads(p.stdout)["findings"]} == {"unknown"}, p
        d.whole = True
        p = subprocess.run([batten, "audit", "--docker", d.url, "--area", "containers", "--json"], capture_output=True, text=True)
        assert "unknown" not in {f["status"] for f in json.loads(p.stdout)["findings"]}, p
