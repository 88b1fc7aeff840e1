# SPDX-License-Identifier: GPL-3.0-or-later
"""batten fix --update-agent (AGT-02): a real dnf replaces a package of a real repository, a stand-in of the agent tells
its version, and batten is killed in the middle of it."""
import json
import shutil
import signal
import subprocess
import sys

import pytest

import faults
import lab
from service_manager import Systemd
from test_audit_agent import AGENT

OLD, TOO_OLD, NEW = "1.85.0", "1.96.0", "1.105.1"
STEPS = ("write", "fsync", "rename", "renameat", "clone", "clone3", "vfork", "sendto", "sendmsg", "unlinkat", "flock")
VERSION_FILE = "/var/cache/ecs/version"

SPEC = """Name: ecs-init
Version: {version}
Release: 1.amzn2023
Summary: What brings the agent
License: none
BuildArch: noarch
AutoReqProv: no
%description
The test's.
%install
mkdir -p %{{buildroot}}/var/cache/ecs
echo {version} > %{{buildroot}}{file}
{script}
%files
{file}
"""

# Of a transaction that takes as long as the test wants.
WAIT = """%{when} -p <lua>
if posix.stat("/var/cache/slow") then
  posix.mkdir("/var/cache/begun")
  while posix.stat("/var/cache/slow") do posix.sleep(1) end
end"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """directory -> a repository there of these versions"""
    for program in ("rpmbuild", "dnf", "createrepo_c"):
        lab.need(shutil.which(program), f"{program} is not installed")
    d = tmp_path_factory.mktemp("packages")
    run = {"check": True, "capture_output": True, "cwd": d, "timeout": 120,
           "env": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(d)}}
    for version in (OLD, TOO_OLD, NEW):
        script = "".join(WAIT.replace("%{when}", when) + "\n" for when in ("%pre", "%post")) if version == NEW else ""
        (d / "ecs-init.spec").write_text(SPEC.format(version=version, file=VERSION_FILE, script=script))
        subprocess.run(["rpmbuild", "-bb", "--nodeps", "--define", f"_topdir {d}", "ecs-init.spec"], **run)

    def make(to, *versions):
        to.mkdir()
        for version in versions:
            shutil.copy(next(d.rglob(f"ecs-init-{version}-*.rpm")), to)
        subprocess.run(["createrepo_c", "-q", to], **run)
        return to
    return make


class Host:
    """A host of rpm's with the agent of @version, and a repository of @offered."""

    def __init__(self, spaces, scratch, repository, version=OLD, offered=(OLD, NEW)):
        self.space, self.scratch = spaces.new("host", mounts=True), scratch
        for path in ("/root", "/var/cache", "/var/lib", "/var/log"):
            self.space.run("mount", "-t", "tmpfs", "tmpfs", path)
        self.repositories = scratch / "dnf.conf"
        self.point_at(repository(scratch / "first", version))
        self.space.run("mount", "--bind", self.repositories, "/etc/dnf/dnf.conf")
        self.dnf("install", "ecs-init")
        self.point_at(repository(scratch / "repository", *offered))
        self.agent, self.new_starts = None, True
        self.start_agent("start")
        self.systemd = Systemd(self.space, scratch, {"ecs.service": self.start_agent})

    def point_at(self, repository):
        self.repositories.write_text(f"[main]\ncachedir=/var/cache/dnf\n[of-the-test]\nname=x\nbaseurl=file://{repository}\n"
                                     "gpgcheck=0\nmetadata_expire=0\n")

    def dnf(self, *words):
        return self.space.run("dnf", "-q", "-y", *words, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"})

    def start_agent(self, verb):
        if self.agent:
            self.agent.kill()
            self.agent.wait()
        if not self.new_starts and self.package() == NEW:
            return False
        version = self.space.run("cat", VERSION_FILE).stdout.strip()
        self.agent = self.space.start(sys.executable, "-c", AGENT, version, stderr=subprocess.DEVNULL)
        lab.wait_for(lambda: lab.connect(self.space, "127.0.0.1", 51678)[0] == "OK", "the agent's stand-in")
        return True

    def package(self):
        return self.space.run("rpm", "-q", "--qf", "%{VERSION}", "ecs-init", env={"PATH": "/usr/bin", "HOME": "/root"}).stdout

    def runs(self):
        found = json.loads(self.space.run("curl", "-s", "http://127.0.0.1:51678/v1/metadata").stdout)["Version"]
        return found.split()[4].lstrip("v")

    def words(self, *arguments):
        return [lab.BATTEN, "fix", "--state-dir", self.scratch / "state", "--docker", "unix:///no/docker", *arguments]

    def batten(self, *arguments, check=0):
        p = self.space.run(*self.words(*arguments), env=self.systemd.environment, check=False, timeout=300)
        assert p.returncode == check, (p.returncode, p.stdout + p.stderr)
        return p

    def fix(self, *arguments, check=0):
        return json.loads(self.batten("--control", "AGT-02", "--json", *arguments, check=check).stdout)

    def history(self):
        return json.loads(self.batten("--history", "--json").stdout)["fixes"]

    def left(self):
        """Why not; nothing was touched."""
        result = self.fix("--update-agent", "--restart-agent", check=1)
        assert result["fixes"] == [] and self.history() == [] and self.systemd.asked == []
        return result["left"][0]["reason"]

    def close(self):
        self.systemd.close()


@pytest.fixture
def make_host(spaces, scratch, repository):
    made = []

    def make(**options):
        made.append(Host(spaces, scratch, repository, **options))
        return made[-1]
    yield make
    for h in made:
        h.close()


def test_the_agent_is_updated_proved_and_put_back(make_host):
    h = make_host()
    left = h.fix("--restart-agent", check=1)
    assert left["fixes"] == [] and "--update-agent" in left["left"][0]["reason"]
    dry = h.batten("--control", "AGT-02", "--update-agent", "--dry-run", check=1).stdout
    assert f"ecs-init: {OLD}-1.amzn2023 becomes {NEW}-1.amzn2023" in dry and "--restart-agent" in dry
    assert h.package() == OLD and h.history() == []

    [done] = h.fix("--update-agent", "--restart-agent")["fixes"]
    assert done["state"] == "applied" and done["proof"]["result"] == "passed" and done["proof"]["reason"].startswith(NEW)
    assert h.package() == NEW and h.runs() == NEW and h.systemd.asked == [("restart", "ecs.service")]
    assert h.fix("--update-agent") == {"schema": "batten.fix/1", "fixes": [], "left": []}

    undone = h.fix("--undo", done["id"], "--restart-agent")
    assert undone["state"] == "undone" and undone["proof"]["result"] == "passed"
    assert h.package() == OLD and h.runs() == OLD


def test_without_a_restart_it_waits_for_one(make_host):
    h = make_host()
    [done] = h.fix("--update-agent")["fixes"]
    assert done["state"] == "applied" and done["proof"]["result"] == "pending" and "restart" in done["proof"]["reason"]
    assert h.package() == NEW and h.runs() == OLD and h.systemd.asked == []
    [again] = h.fix("--update-agent", check=0)["left"]
    assert again["waits"] and "--restart-agent" in again["reason"]
    [restarted] = h.fix("--update-agent", "--restart-agent")["fixes"]
    assert restarted["files"] == [] and restarted["proof"]["result"] == "passed" and h.runs() == NEW
    undone = h.fix("--undo", done["id"])
    assert undone["proof"]["result"] == "pending" and h.package() == OLD and h.runs() == NEW


def test_an_agent_that_does_not_start_is_put_back(make_host):
    h = make_host()
    h.new_starts = False
    [failed] = h.fix("--update-agent", "--restart-agent", check=4)["fixes"]
    assert failed["state"] == "failed" and "the job ended as" in failed["proof"]["reason"]
    assert h.package() == OLD and h.runs() == OLD


def test_what_no_repository_has_is_left(make_host):
    h = make_host(offered=(OLD,))
    assert f"nothing after ecs-init {OLD}-1.amzn2023" in h.left()


def test_what_would_not_mend_is_left(make_host):
    h = make_host(offered=(OLD, TOO_OLD))
    assert "too old as well" in h.left() and h.package() == OLD


def test_what_could_not_be_undone_is_left(make_host):
    h = make_host(offered=(NEW,))
    assert "could not be undone" in h.left() and h.package() == OLD


def test_a_repository_that_is_gone_is_told(make_host):
    h = make_host()
    h.space.run("rm", "-rf", "/var/cache/dnf")
    h.point_at("/no/such/repository")
    assert "/usr/bin/dnf: Error: Failed to download metadata for repo 'of-the-test'" in h.left()


def test_a_host_without_the_package_is_left(make_host):
    h = make_host()
    h.dnf("remove", "ecs-init")
    assert "no package ecs-init" in h.left()


@pytest.mark.parametrize("program", ["rpm", "dnf"])
def test_a_host_without_the_package_manager_is_left(make_host, program):
    h = make_host()
    h.space.run("mount", "--bind", "/dev/null", f"/usr/bin/{program}")
    assert f"/usr/bin/{program}: " in h.left()


def killed_in_the_middle(h):
    """batten is killed while dnf is at it. Returns dnf's pid."""
    h.space.run("touch", "/var/cache/slow")
    p = h.space.start(*h.words("--control", "AGT-02", "--update-agent"), env=h.systemd.environment)
    lab.wait_for(lambda: h.space.run("ls", "/var/cache/begun", check=False).returncode == 0, "dnf to be at it", timeout=60)
    [dnf] = h.space.run("pgrep", "-P", str(p.pid)).stdout.split()
    p.send_signal(signal.SIGKILL)
    p.wait()
    return dnf


def test_after_a_crash_it_is_found_out_when_dnf_has_ended(make_host):
    h = make_host()
    killed_in_the_middle(h)
    # Who recovers at a boot does not wait; anybody else does.
    assert h.batten("--recover").stderr == ""
    waits = h.space.start(*h.words("--history", "--json"), env=h.systemd.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert "another batten fix is at work" in waits.stderr.readline() and waits.poll() is None
    h.space.run("rm", "/var/cache/slow")
    told, _ = waits.communicate(timeout=60)
    [entry] = json.loads(told)["fixes"]
    assert entry["state"] == "applied" and entry["proof"]["result"] == "pending"
    assert "cut short by a crash, but done" in entry["proof"]["reason"]
    assert h.package() == NEW and h.runs() == OLD
    assert h.fix("--undo", entry["id"])["state"] == "undone" and h.package() == OLD


def test_after_a_crash_of_both_nothing_was_done(make_host):
    h = make_host()
    h.space.run("kill", "-9", killed_in_the_middle(h))
    h.space.run("rm", "/var/cache/slow")
    p = h.batten("--history", "--json")
    [entry] = json.loads(p.stdout)["fixes"]
    assert entry["state"] == "interrupted" and "as it was before" in entry["proof"]["reason"] and "as it was before" in p.stderr
    assert h.package() == OLD


@pytest.mark.no_sanitizer  # LeakSanitizer does not work under strace
def test_killed_before_a_call(make_host):
    """Whatever dnf did of what it was told, the next start knows; and from there it is mended."""
    h = make_host()
    words = h.words("--control", "AGT-02", "--update-agent", "--restart-agent")
    counts = faults.calls(words, run=lambda w, **o: h.space.run(*w, **o), log=h.scratch / "trace", env=h.systemd.environment)
    assert h.package() == NEW
    seen = set()
    for fault in faults.deaths(counts, STEPS):
        if h.package() == NEW:
            h.dnf("downgrade", "ecs-init")
            h.start_agent("start")
        shutil.rmtree(h.scratch / "state")
        p = h.space.run(*fault.words(), *words, env=h.systemd.environment, check=False, timeout=300)
        assert p.returncode in (137, -9), (fault, p)
        history, package = h.history(), h.package()
        states = [entry["state"] for entry in history]
        assert states in ([[], ["interrupted"]] if package == OLD else [["applied"]]), (fault, package, history)
        seen.add((package, *states))
        h.fix("--update-agent", "--restart-agent")
        assert h.package() == NEW == h.runs(), fault
    assert seen == {(OLD,), (OLD, "interrupted"), (NEW, "applied")}
