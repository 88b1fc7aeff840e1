# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles under a real dockerd: observing its containers, and --security-opt seccomp=."""
import json
import shutil
import subprocess

import pytest

import lab
import programs
from recorder import Recorder

SCRIPT = "echo b a | tr ' ' '\\n' | sort; ls -l /etc | wc -l; id -u"


def batten(*arguments, **options):
    return subprocess.run([lab.BATTEN, *map(str, arguments)], text=True, capture_output=True, timeout=60, **options)


@pytest.fixture
def observes():
    p = batten("seccomp", "record", "--", "true")
    lab.need(p.returncode != 3, p.stderr.strip())


def test_containers_start_under_their_profile(observes, docker_host, scratch):
    """The same static program, recorded outside, enforced by dockerd; the runtime's needs are in it."""
    threads = programs.build(scratch, "threads", programs.THREADS, "-static", "-pthread")
    calls = programs.build(scratch, "calls", programs.CALLS, "-static")

    def add(root):
        shutil.copy2(threads, root / "bin" / "threads")
        shutil.copy2(calls, root / "bin" / "calls")
    docker_host.make_image("seccomp", extra=add)
    for name, command in (("shell", ["busybox", "sh", "-c", SCRIPT]), ("threads", [threads])):
        assert batten("seccomp", "record", "-o", scratch / f"{name}.json", "--", *command).returncode == 0
    p = batten("seccomp", "generate", scratch / "shell.json", scratch / "threads.json", "--docker",
               f"unix://{docker_host.socket}", "-o", scratch / "p.json")
    assert p.returncode == 0, p.stderr
    assert any("(runc)" in r.get("comment", "") for r in json.loads((scratch / "p.json").read_text())["syscalls"])

    def run(*arguments, profile=scratch / "p.json"):
        return docker_host.docker("run", "--rm", "--network", "none", *(["--security-opt", f"seccomp={profile}"] if profile
                                                                      else []), *arguments, check=False)
    for nnp in ((), ("--security-opt", "no-new-privileges")):
        free = run(*nnp, "seccomp", "sh", "-c", SCRIPT, profile=None)
        assert (run(*nnp, "seccomp", "sh", "-c", SCRIPT).stdout, free.returncode) == (free.stdout, 0)
        assert run(*nnp, "seccomp", "/bin/threads").stdout == "4 threads\n"
    # acct, keyctl and syslog: no workload made them; 39 is getpid.
    assert run("seccomp", "/bin/calls", "163", "250", "103", "39").stdout.splitlines() == [
        "163 EPERM", "250 EPERM", "103 EPERM", "39 ok"]


def test_a_running_container_is_observed_with_its_exec_sessions(observes, docker_host, scratch):
    name = "batten-observed"
    docker_host.docker("run", "-d", "--rm", "--name", name, "busybox", "sh", "-c",
                       "while true; do sleep 0.2; [ -e /tmp/ask ] && ls / >/dev/null && : > /tmp/answer; done")
    with Recorder(scratch / "o.json", "--container", name, "--docker", docker_host.socket,
                  start=lambda words: docker_host.space.start(*words)) as r:
        docker_host.docker("exec", name, "sh", "-c", "find /etc -name passwd; : > /tmp/ask")
        lab.wait_for(lambda: docker_host.docker("exec", name, "cat", "/tmp/answer", check=False).returncode == 0,
                     "the container's own loop", timeout=60)
    docker_host.docker("rm", "-f", name)
    o = r.observation
    calls = o["abis"]["x86_64"]["syscalls"]
    assert o["image"] == "busybox" and o["digest"].startswith("sha256:")
    assert {"execve", "getdents64", "exit_group"} <= set(calls)
    # By its own process too, in what counts as its start or later, however slow the machine is.
    phases = set(calls["getdents64"]["phases"])
    assert "exec" in phases and phases & {"start", "serve"}, phases
    assert not {"mount", "pivot_root", "unshare"} & set(calls), sorted(calls)


def test_containers_are_stored_by_image(observes, docker_host, scratch):
    """What the daemon does with its containers: each run is one, whatever it is stored how often."""
    store = scratch / "store"
    watch = docker_host.space.start(lab.TOOLS / "seccomp-watch", docker_host.socket, store, "6", stdout=subprocess.PIPE)
    assert watch.stdout.readline() == "watching\n"
    for _ in range(2):
        docker_host.docker("run", "--network", "none", "--name", "stored", "busybox", "sh", "-c",
                           "sleep 1; ls / >/dev/null; sleep 0.5")
        lab.time.sleep(0.4)
        docker_host.docker("rm", "-f", "stored")
    out, _ = watch.communicate(timeout=20)
    assert watch.returncode == 0 and "getdents64" in out
    listed = json.loads(batten("seccomp", "list", "--state", store, "--json").stdout)["images"]
    assert len(listed) == 1 and listed[0]["image"] == "busybox" and listed[0]["runs"] == 2, listed
    assert 0 < listed[0]["saturation"] <= 1
    docker_host.docker("create", "--name", "by-name", "busybox", "true")
    named = batten("seccomp", "generate", "by-name", "--state", store, "--docker", docker_host.socket)
    docker_host.docker("rm", "by-name")
    assert named.returncode == 0 and "getdents64" in named.stdout, named.stderr
    shown = batten("seccomp", "show", "busybox", "--state", store)
    assert shown.returncode == 0 and "getdents64" in shown.stdout
