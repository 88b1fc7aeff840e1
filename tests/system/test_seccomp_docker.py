# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles under a real dockerd: observing its containers, and --security-opt seccomp=."""
import json
import shutil
import subprocess

import pytest

import lab
import programs
from docker_host import DockerHost
from recorder import Recorder

SCRIPT = "echo b a | tr ' ' '\\n' | sort; ls -l /etc | wc -l; id -u"


def batten(*arguments, **options):
    return subprocess.run([lab.BATTEN, *map(str, arguments)], text=True, capture_output=True, timeout=60, **options)


@pytest.fixture
def observes():
    p = batten("seccomp", "record", "--", "true")
    lab.need(p.returncode != 3, p.stderr.strip())


@pytest.fixture(scope="module")
def docker_with_crun():
    """A Docker that knows both runtimes."""
    lab.need(shutil.which("crun"), "crun is not installed")
    # crun knows cgroup v1 and v2, and refuses a host that has both.
    with DockerHost(["--add-runtime", f"crun={shutil.which('crun')}"], [["umount", "/sys/fs/cgroup/unified"]]) as host:
        yield host


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_containers_start_under_their_profile(observes, docker_with_crun, scratch, runtime):
    """Static programs, recorded outside, enforced by dockerd; the runtime's needs are in the profile."""
    docker_host = docker_with_crun
    built = [programs.build(scratch, "threads", programs.THREADS, "-static", "-pthread"),
             programs.build(scratch, "calls", programs.CALLS, "-static"),
             programs.build(scratch, "hello32", programs.HELLO, "-m32", "-static")]
    docker_host.make_image("seccomp", extra=lambda root: [shutil.copy2(f, root / "bin" / f.name) for f in built])
    for name, command in (("shell", ["busybox", "sh", "-c", SCRIPT]), ("threads", [built[0]]), ("hello32", [built[2]])):
        assert batten("seccomp", "record", "-o", scratch / f"{name}.json", "--", *command).returncode == 0
    p = batten("seccomp", "generate", *(scratch / f"{n}.json" for n in ("shell", "threads", "hello32")), "--docker",
               f"unix://{docker_host.socket}", *(["--runtime", "crun"] if runtime == "crun" else []), "-o", scratch / "p.json")
    assert p.returncode == 0, p.stderr
    # auto is what Docker uses.
    assert any(f"({runtime})" in r.get("comment", "") for r in json.loads((scratch / "p.json").read_text())["syscalls"])

    def run(*arguments, profile=scratch / "p.json"):
        return docker_host.docker("run", "--rm", "--network", "none", "--runtime", runtime,
                                  *(["--security-opt", f"seccomp={profile}"] if profile else []), *arguments, check=False)
    for n, nnp in enumerate(((), ("--security-opt", "no-new-privileges"))):
        free = run(*nnp, "seccomp", "sh", "-c", SCRIPT, profile=None)
        assert (run(*nnp, "seccomp", "sh", "-c", SCRIPT).stdout, free.returncode) == (free.stdout, 0), free
        assert run(*nnp, "seccomp", "/bin/threads").stdout == "4 threads\n"
        assert run(*nnp, "seccomp", "/bin/hello32").stdout == "hello\n"
        # Into one that runs.
        name = f"into-{runtime}-{n}"
        assert run(*nnp, "-d", "--name", name, "seccomp", "sh", "-c", "while true; do sleep 0.2; done").returncode == 0
        inside = docker_host.docker("exec", name, "sh", "-c", SCRIPT, check=False)
        assert (inside.returncode, inside.stdout) == (0, free.stdout), inside
        docker_host.docker("rm", "-f", name)
    # acct, keyctl and syslog: no workload made them; 39 is getpid.
    assert run("seccomp", "/bin/calls", "163", "250", "103", "39").stdout.splitlines() == [
        "163 EPERM", "250 EPERM", "103 EPERM", "39 ok"]


def test_dockerd_takes_a_host_profile(observes, scratch):
    """As seccomp-profile of the daemon: its conditions are understood, containers and exec sessions run."""
    (scratch / "trace").write_text("uname({}) = 0\n")
    assert batten("seccomp", "import", "--from", "strace", scratch / "trace", "-o", scratch / "o.json").returncode == 0
    store = scratch / "store"
    store.mkdir()
    o = json.loads((scratch / "o.json").read_text())
    (store / f"sha256-{'1' * 64}.json").write_text(json.dumps(dict(o, image="x", digest="sha256:" + "1" * 64)))
    p = batten("seccomp", "generate", "--host", "--state", store, "--runtime", "runc", "-o", scratch / "host.json")
    assert p.returncode == 0, p.stderr
    with DockerHost(["--seccomp-profile", scratch / "host.json"]) as host:
        calls = programs.build(scratch, "calls", programs.CALLS, "-static")
        host.make_image("small", extra=lambda root: shutil.copy2(calls, root / "bin" / "calls"))
        setns = ["/bin/calls", "308:-1", "163"]
        plain = host.docker("run", "--rm", "--network", "none", "small", *setns)
        assert plain.stdout.splitlines() == ["308:-1 EPERM", "163 EPERM"], plain
        agent = host.docker("run", "--rm", "--network", "none", "--cap-add", "SYS_ADMIN", "small", *setns)
        # The kernel's own answer: no such descriptor.
        assert agent.stdout.splitlines() == ["308:-1 error", "163 EPERM"], agent
        host.docker("run", "-d", "--init", "--network", "none", "--name", "lives", "small", "sh", "-c",
                    "while true; do sleep 0.2; done")
        inside = host.docker("exec", "lives", "sh", "-c", "ls / | wc -l; id -u", check=False)
        assert inside.returncode == 0 and inside.stdout.split()[1] == "0", inside
        host.docker("rm", "-f", "lives")


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
    with open(scratch / "sights", "w") as sights:
        watch = docker_host.space.start(lab.TOOLS / "seccomp-watch", docker_host.socket, store, stdin=subprocess.PIPE,
                                        stdout=sights)
    lab.wait_for(lambda: "watching" in (scratch / "sights").read_text(), "the watcher", timeout=60)

    def images(n):
        p = batten("seccomp", "list", "--state", store, "--json")
        found = json.loads(p.stdout)["images"] if p.returncode == 0 else []
        return [i for i in found if i["runs"] == n]
    for n in (1, 2):
        identity = docker_host.docker("run", "-d", "--network", "none", "--name", "stored", "busybox", "sh", "-c",
                                      "while ! [ -e /tmp/end ]; do sleep 0.1; done; ls / >/dev/null").stdout.strip()
        lab.wait_for(lambda: f"{identity[:12]} runs" in (scratch / "sights").read_text(), "the container to be known",
                     timeout=60)
        docker_host.docker("exec", "stored", "sh", "-c", ": > /tmp/end", check=False)
        docker_host.docker("wait", "stored")
        # Before it is removed: the watcher asks Docker, and must find that it has ended.
        lab.wait_for(lambda: images(n), f"run {n} to be stored", timeout=60)
        docker_host.docker("rm", "-f", "stored")
    watch.stdin.close()
    assert watch.wait(timeout=60) == 0 and "getdents64" in (scratch / "sights").read_text()
    listed = images(2)
    assert len(listed) == 1 and listed[0]["image"] == "busybox", listed
    assert 0 < listed[0]["saturation"] <= 1
    docker_host.docker("create", "--name", "by-name", "busybox", "true")
    named = batten("seccomp", "generate", "by-name", "--state", store, "--docker", docker_host.socket)
    docker_host.docker("rm", "by-name")
    assert named.returncode == 0 and "getdents64" in named.stdout, named.stderr
    shown = batten("seccomp", "show", "busybox", "--state", store)
    assert shown.returncode == 0 and "getdents64" in shown.stdout
