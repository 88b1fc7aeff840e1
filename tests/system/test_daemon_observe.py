# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon observes the containers of a real Docker, tells what an image does for the first time, and tries
profiles without enforcing them; `seccomp list` tells what it saw."""
import json
import signal

import pytest

import lab
from docker_host import DockerHost

# Runs until it is told to end, for the machine may be slow to notice it.
UNTIL_END = "while ! [ -e /tmp/end ]; do sleep 0.1; done"
WITHOUT_CHROOT = {"defaultAction": "SCMP_ACT_ALLOW",
                  "syscalls": [{"names": ["chroot"], "action": "SCMP_ACT_ERRNO"}]}


class Observing:
    """A daemon that observes, on the host of the test's Docker."""

    def __init__(self, docker_host, directory, shadow=""):
        self.host, self.directory = docker_host, directory
        self.config, self.state, self.run = (directory / n for n in ("batten.conf", "state", "run"))
        self.configure(shadow)
        with open(directory / "log", "w") as log:
            self.process = docker_host.space.start(lab.BATTEN, "daemon", "--config", self.config, "--runtime-dir", self.run,
                                                   stderr=log)
        self.wait_for("observing the system calls")
        self.wait_for("following Docker")

    def configure(self, shadow):
        self.config.write_text(f"[audit]\nenabled = no\n[daemon]\ndocker = unix://{self.host.socket}\nstate-dir = {self.state}\n"
                               f"[imds]\ncgroup-ebpf = no\n[seccomp]\nobserve = yes\nshadow = {shadow}\n")

    def log(self):
        return (self.directory / "log").read_text()

    def wait_for(self, text, times=1):
        lab.wait_for(lambda: self.log().count(text) >= times, text, timeout=60)

    def batten(self, *words):
        return self.host.space.batten(*words, check=False)

    def images(self):
        p = self.batten("seccomp", "list", "--state", self.state / "seccomp", "--json")
        return json.loads(p.stdout)["images"] if p.returncode == 0 else []

    def wait_for_runs(self, image, n):
        def seen():
            return next((i for i in self.images() if i["image"] == image and i["runs"] >= n), None)
        return lab.wait_for(seen, f"run {n} of {image}", timeout=60)

    def shadow(self):
        p = self.batten("seccomp", "shadow", "--runtime-dir", self.run, "--json")
        assert p.returncode in (0, 1), p.stderr
        return p.returncode, {(i["image"], d["call"]): d["count"] for i in json.loads(p.stdout)["images"]
                              for d in i["denied"]}

    def events(self, kind):
        out = self.batten("events", "--runtime-dir", self.run, "--json").stdout
        return [e for e in map(json.loads, out.splitlines()) if e["kind"] == kind]

    def end(self):
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0
        self.batten("imds", "unblock", "--config", self.config, "--runtime-dir", self.run)


@pytest.fixture(scope="module")
def cgroup2_host():
    """A Docker whose containers have groups in cgroup2, whatever the machine's have."""
    with DockerHost(prepare=[["umount", "-R", "/sys/fs/cgroup"], ["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]]) as h:
        yield h


@pytest.fixture(params=["as-it-is", "cgroup2"])
def either_host(request):
    return request.getfixturevalue("docker_host" if request.param == "as-it-is" else "cgroup2_host")


@pytest.fixture
def observing(scratch):
    made = []

    def make(host, shadow=""):
        p = host.space.batten("seccomp", "record", "--", "true", check=False)
        lab.need(p.returncode != 3, p.stderr.strip())
        made.append(Observing(host, scratch, shadow))
        return made[-1]
    yield make
    for daemon in made:
        ids = daemon.host.docker("ps", "-aq", "--filter", "label=observed").stdout.split()
        if ids:
            daemon.host.docker("rm", "-f", *ids)
        daemon.end()


def start(docker_host, name, image="busybox", script=UNTIL_END):
    docker_host.docker("run", "-d", "--label", "observed", "--network", "none", "--name", name, image, "sh", "-c", script)


def inside(docker_host, name, script, **options):
    return docker_host.docker("exec", name, "sh", "-c", script, **options)


def finish(docker_host, name):
    # The container may end, and the session with it, before the session has said so.
    inside(docker_host, name, ": > /tmp/end", check=False)
    docker_host.docker("wait", name)


def test_the_daemon_lists_every_image_with_its_saturation(observing, docker_host):
    docker_host.make_image("other")
    daemon = observing(docker_host)
    for image, n in (("busybox", 3), ("other", 1)):
        for i in range(n):
            name = f"{image}-{i}"
            start(docker_host, name, image, f"cat /etc/passwd >/dev/null; {UNTIL_END}; ls /")
            finish(docker_host, name)
            listed = daemon.wait_for_runs(image, i + 1)
        assert listed["runs"] == n and (listed["saturation"] > 0.5) == (n > 1), listed
    stored = {json.loads(f.read_text())["image"]: json.loads(f.read_text())["abis"]["x86_64"]["syscalls"]
              for f in (daemon.state / "seccomp").glob("sha256-*.json")}
    assert set(stored) == {"busybox", "other"}
    # From the first instruction on: what a static program does before anybody could have told the daemon of it.
    for calls in stored.values():
        assert {"execve", "arch_prctl", "set_tid_address", "openat", "getdents64", "exit_group"} <= set(calls)
        assert not {"mount", "pivot_root", "unshare", "sethostname"} & set(calls), sorted(calls)
    assert "by mount namespace" in daemon.log() or "by cgroup" in daemon.log()
    text = daemon.batten("seccomp", "list", "--state", daemon.state / "seccomp").stdout
    assert all(any(line.startswith(image) and "%" in line for line in text.splitlines()) for image in stored), text
    assert "error" not in daemon.log()


def test_no_short_container_is_lost(observing, either_host, request):
    """Over, and removed, before anybody can have asked Docker for it; many in a row, of two images by turns."""
    either_host.make_image("other")
    daemon = observing(either_host)
    assert "cgroup2" not in request.node.name or "by cgroup" in daemon.log()
    n = 8
    for i in range(n):
        for image, command in (("busybox", "true"), ("other", "sync")):
            either_host.docker("run", "--rm", "--network", "none", "--label", "observed", image, "busybox", command)
    for image in ("busybox", "other"):
        assert daemon.wait_for_runs(image, n)["runs"] == n
    stored = {json.loads(f.read_text())["image"]: json.loads(f.read_text())["abis"]["x86_64"]["syscalls"]
              for f in (daemon.state / "seccomp").glob("sha256-*.json")}
    for calls in stored.values():
        assert {"execve", "arch_prctl", "set_tid_address", "exit_group"} <= set(calls)
        assert not {"mount", "pivot_root", "unshare", "sethostname"} & set(calls), sorted(calls)
    assert "sync" in stored["other"] and "sync" not in stored["busybox"], "nobody's calls are another's"
    # One that fails at once, and is started again and again.
    either_host.docker("run", "-d", "--network", "none", "--label", "observed", "--name", "loops", "--restart",
                       "on-failure:4", "busybox", "sh", "-c", "busybox hostname >/dev/null; exit 1")
    either_host.docker("wait", "loops")
    assert daemon.wait_for_runs("busybox", n + 1)["runs"] == n + 1
    assert "error" not in daemon.log()


def test_new_calls_and_what_a_profile_on_trial_would_deny_are_told(observing, docker_host, scratch):
    profile = scratch / "trial.json"
    profile.write_text(json.dumps(WITHOUT_CHROOT))
    daemon = observing(docker_host, profile)
    assert daemon.shadow() == (0, {})
    start(docker_host, "first")
    finish(docker_host, "first")
    daemon.wait_for_runs("busybox", 1)
    assert daemon.events("seccomp.new") == [], "an image that is seen for the first time has no news"
    start(docker_host, "second")

    def told():
        # Once the daemon knows the container, what it does is told at once.
        out = inside(docker_host, "second", "busybox chroot / busybox echo 5; busybox sync").stdout
        assert out == "5\n", "a profile on trial denies nothing"
        return [e for e in daemon.events("seccomp.new") if e["syscall"] == "sync"]
    event = lab.wait_for(told, "the event", timeout=60)[0]
    assert (event["container"], event["image"], event["process"]) == ("second", "busybox", "busybox"), event
    status, counts = daemon.shadow()
    assert status == 1 and set(counts) == {("busybox", "chroot")}, counts
    shadow = [e for e in daemon.events("seccomp.shadow") if e.get("container") == "second"]
    assert len(shadow) <= 1, "one event for a call, however often it is made"
    inside(docker_host, "second", "busybox chroot / true")
    assert daemon.shadow()[1][("busybox", "chroot")] > counts[("busybox", "chroot")]
    finish(docker_host, "second")
    daemon.wait_for_runs("busybox", 2)
    # What an ended container did stays counted.
    assert daemon.shadow()[1][("busybox", "chroot")] > counts[("busybox", "chroot")]
    text = daemon.batten("seccomp", "shadow", "--runtime-dir", daemon.run)
    assert text.returncode == 1 and "chroot" in text.stdout


def test_the_profile_on_trial_changes_with_the_configuration(observing, docker_host, scratch):
    broken, by_image = scratch / "broken.json", scratch / "profiles"
    broken.write_text("{")
    daemon = observing(docker_host, broken)
    daemon.wait_for("cannot be tried")
    start(docker_host, "tried")
    inside(docker_host, "tried", "busybox chroot / true")
    assert daemon.shadow() == (0, {})
    digest = docker_host.inspect("tried")["Image"].replace(":", "-")
    by_image.mkdir()
    (by_image / f"{digest}.json").write_text(json.dumps(WITHOUT_CHROOT))

    def reload(shadow, n):
        daemon.configure(shadow)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("configuration read again", n)
    reload(by_image, 1)

    def counted():
        inside(docker_host, "tried", "busybox chroot / true")
        return daemon.shadow()[1].get(("busybox", "chroot"))
    assert lab.wait_for(counted, "the container's image to be tried", timeout=60)
    reload("", 2)
    inside(docker_host, "tried", "busybox chroot / true")
    assert daemon.shadow() == (0, {})
    p = daemon.batten("seccomp", "shadow", "--runtime-dir", scratch / "nowhere")
    assert p.returncode == 3 and "no daemon runs" in p.stderr and p.stderr.count("\n") == 1
    finish(docker_host, "tried")
