# SPDX-License-Identifier: GPL-3.0-or-later
"""Who audits for the daemon is a process of its own that reads and tells: what it is allowed, that it
finds what `batten audit` finds, and that nothing depends on how it ends."""
import contextlib
import json
import os
import pathlib
import shutil
import signal

import pytest

import guard
import lab
from test_docker_reader import status
from watched import Watched

CAP_SYS_PTRACE = 1 << 19


def auditors(g):
    """The pids of the daemon's auditors."""
    pids = pathlib.Path(f"/proc/{g.process.pid}/task/{g.process.pid}/children").read_text().split()
    found = []
    for pid in pids:
        try:
            if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"batten-role\0audit\0"):
                found.append(int(pid))
        except OSError:
            pass
    return found


@pytest.fixture
def watched(spaces, scratch):
    with Watched(spaces.new("host", mounts=True), scratch) as w:
        yield w


def waivers(w, text='{"schema": "batten.waivers/1", "waivers": []}'):
    """What is in them does not matter: the whole host is judged by them."""
    (w.scratch / "none").mkdir(exist_ok=True)
    (w.scratch / "none" / "waivers.json").write_text(text)


def held(w):
    """An auditor that waits for Docker: it has given up what it gives up."""
    w.docker.mood = "hang"
    w.docker.cut_streams()
    waivers(w)

    def waits():
        return next((p for p in auditors(w.guard) if status(p)["NoNewPrivs"] == "1"), None)
    return lab.wait_for(waits, "an auditor that waits", timeout=60)


def start_and_hold(w):
    w.start()
    lab.wait_for(lambda: not auditors(w.guard), "the auditors to end", timeout=60)
    return held(w)


@pytest.mark.no_sanitizer
def test_it_may_look_at_processes_and_nothing_else(watched):
    pid = start_and_hold(watched)
    lab.wait_for(lambda: status(pid)["Seccomp"] == "2", "its filter", timeout=10)
    os.kill(pid, signal.SIGSTOP)
    s = status(pid)
    assert s["NoNewPrivs"] == "1"
    assert {int(s[k], 16) for k in ("CapPrm", "CapEff")} == {CAP_SYS_PTRACE}
    assert {int(s[k], 16) for k in ("CapInh", "CapAmb", "CapBnd")} == {0}
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    values = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
    assert values["Max core file size"] == ["1", "1"] and values["Max open files"] == ["512", "512"]
    assert values["Max data size"] == [str(256 << 20)] * 2
    assert pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text() == "500\n"
    assert pathlib.Path(f"/proc/{pid}/environ").read_bytes() == b""
    # The core's connection, Docker's, and what it reads: no netlink, no BPF map, nothing to write to.
    for fd in os.listdir(f"/proc/{pid}/fd"):
        if int(fd) > 2 and not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:"):
            flags = next(line.split()[1] for line in pathlib.Path(f"/proc/{pid}/fdinfo/{fd}").read_text().splitlines()
                         if line.startswith("flags:"))
            assert int(flags, 8) & os.O_ACCMODE == os.O_RDONLY or "memfd:known" in os.readlink(f"/proc/{pid}/fd/{fd}")
    netlink = {line.split()[9] for line in pathlib.Path(f"/proc/{pid}/net/netlink").read_text().splitlines()[1:]}
    assert not {f"socket:[{i}]" for i in netlink} & {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSYS])
def test_one_that_ends_early_is_said_and_costs_no_finding(watched, number):
    watched.space.run("mkdir", "/etc/ecs")
    watched.write("/etc/ecs/ecs.config", "ECS_RESERVED_MEMORY=256 # with a comment\n")
    pid = start_and_hold(watched)
    before = watched.events(kind="finding", state="new")
    assert before
    os.kill(pid, number)
    watched.guard.wait_log("audit failed", "ended early", f"signal {int(number)}", timeout=60)
    assert not watched.events(kind="finding", state="gone")
    assert watched.guard.process.poll() is None
    assert watched.guard.layer("forward")["state"] == "active"


def test_the_reason_is_that_of_the_last_failure(watched):
    watched.start()
    waivers(watched, "{")
    watched.guard.wait_log("audit failed", "waivers.json", timeout=60)
    pid, mark = held(watched), len(watched.guard.log)
    os.kill(pid, signal.SIGKILL)
    watched.guard.wait_log("audit failed", "ended early", after=mark, timeout=60)


def audit_status(w):
    return json.loads(w.guard.command("status", "--json", check=False).stdout)["audit"]


def containers(w):
    return json.loads(w.guard.command("status", "--json", check=False).stdout)["docker"]["containers"]


def wait_failures(w, n, timeout=60):
    lab.wait_for(lambda: audit_status(w)["failed_runs"] >= n, f"{n} failed runs", timeout)


def test_a_failed_run_does_not_judge_again_what_has_ended(watched):
    watched.start()
    lab.wait_for(lambda: watched.docker.listeners, "the daemon to follow Docker", timeout=60)
    waivers(watched, "{")
    wait_failures(watched, 1)
    ended, stays = (watched.tasks.run(name, watched.space, Privileged=True) for name in ("ended", "stays"))
    wait_failures(watched, 2)
    watched.tasks.stop(ended)
    lab.wait_for(lambda: containers(watched) == 1, "the daemon to know of it", timeout=60)
    # The host's lane and the container's fail again, and do not wait for it: what failed them has changed.
    waivers(watched, "[")
    wait_failures(watched, 4, timeout=20)
    waivers(watched)
    watched.wait_event(kind="finding", control="CTR-01", container_id=stays, state="new")
    assert not watched.events(kind="finding", container_id=ended)


@contextlib.contextmanager
def poisoned(w, call, path, effect="signal=SYS"):
    """Whoever the daemon starts meets its end where it reads this."""
    p = w.space.start("strace", "-f", "-qq", "-o", "/dev/null", "-p", w.guard.process.pid, "-P", path, "-e", f"trace={call}",
                      "-e", f"inject={call}:{effect}", stderr=-3)
    traced = pathlib.Path(f"/proc/{w.guard.process.pid}/status")
    lab.wait_for(lambda: "TracerPid:\t0" not in traced.read_text(), "strace to attach")
    try:
        yield
    finally:
        p.terminate()
        p.wait(timeout=30)


def start_whole(w):
    """With all that Docker is asked for."""
    w.docker.whole = True
    w.start()
    lab.wait_for(lambda: w.docker.listeners, "the daemon to follow Docker", timeout=60)


def run_at(w, name):
    """A container that is not started yet, and its first process."""
    id = w.tasks.run(name, w.space, start=False, role="plain", Privileged=True)
    return id, w.docker.containers[id]["State"]["Pid"]


def judge_everything(w):
    mark = len(w.guard.log)
    waivers(w)
    w.guard.wait_log("host audited", "changed=everything", after=mark, timeout=60)


UNKNOWN = {"kind": "finding", "status": "unknown"}


@pytest.mark.no_sanitizer
def test_a_container_that_ends_its_auditor_is_named_and_costs_the_others_nothing(watched):
    w = watched
    start_whole(w)
    bad, pid = run_at(w, "bad")
    with poisoned(w, "read", f"/proc/{pid}/limits"):
        w.docker.start(bad, pid)
        one, two = w.tasks.run("one", w.space, Privileged=True), w.tasks.run("two", w.space)
        said = w.wait_event(**UNKNOWN, state="new", container_id=bad)
        assert said["name"] == "bad" and "judging it ended the auditor: killed by signal 31" in said["evidence"]
        w.wait_event(kind="finding", control="CTR-01", container_id=one, state="new")
        # What changes in another one is noticed, and everything can be judged again.
        w.docker.containers[two]["HostConfig"]["Privileged"] = True
        w.docker.event("update", two)
        w.wait_event(kind="finding", control="CTR-01", container_id=two, state="new")
        judge_everything(w)
        s = audit_status(w)
        assert s["unjudged"] == [{"subject": "container", "name": "bad", "container_id": bad, "evidence": said["evidence"]}]
        assert s["state"] == "degraded" and s["reason"] == f"1 not judged: bad: {said['evidence']}"
        failed = s["failed_runs"]
        judge_everything(w)
        assert audit_status(w)["failed_runs"] == failed
        assert len(w.events(**UNKNOWN)) == 1
    w.tasks.stop(bad)
    w.wait_event(**UNKNOWN, state="gone", container_id=bad)
    s = audit_status(w)
    assert s["unjudged"] == [] and s["state"] == "active"
    assert not w.events(kind="finding", control="CTR-01", container_id=bad)


@pytest.mark.no_sanitizer
def test_a_container_that_was_left_out_is_judged_when_it_changes(watched):
    w = watched
    start_whole(w)
    bad, pid = run_at(w, "bad")
    with poisoned(w, "read", f"/proc/{pid}/limits"):
        w.docker.start(bad, pid)
        w.wait_event(**UNKNOWN, state="new", container_id=bad)
    judge_everything(w)
    assert not w.events(kind="finding", control="CTR-01", container_id=bad)
    w.docker.event("update", bad)
    w.wait_event(**UNKNOWN, state="gone", container_id=bad)
    w.wait_event(kind="finding", control="CTR-01", container_id=bad, state="new")
    assert audit_status(w)["unjudged"] == []


@pytest.mark.no_sanitizer
def test_one_death_alone_accuses_nobody(watched):
    w = watched
    start_whole(w)
    good, pid = run_at(w, "good")
    path = f"/proc/{pid}/limits"

    def reads():
        for auditor in auditors(w.guard):
            with contextlib.suppress(OSError):
                if path in [os.readlink(f.path) for f in os.scandir(f"/proc/{auditor}/fd")]:
                    return auditor
        return None
    with poisoned(w, "read", path, "delay_enter=60s"):
        w.docker.start(good, pid)
        os.kill(lab.wait_for(reads, "an auditor that reads it", timeout=60), signal.SIGKILL)
    w.guard.wait_log("audit failed", "signal 9", timeout=60)
    w.wait_event(kind="finding", control="CTR-01", container_id=good, state="new")
    assert not w.events(**UNKNOWN) and audit_status(w)["unjudged"] == []


@pytest.mark.no_sanitizer
def test_a_death_at_nobody_s_data_accuses_no_image_without_an_id(watched):
    w = watched
    w.space.run("mkdir", "/etc/ecs")
    start_whole(w)
    id, pid = run_at(w, "anon")
    w.docker.containers[id]["Image"] = ""
    w.docker.start(id, pid)
    w.wait_event(kind="finding", control="CTR-01", container_id=id, state="new")
    failed = audit_status(w)["failed_runs"]
    with poisoned(w, "read,pread64", "/etc/ecs/ecs.config"):
        w.write("/etc/ecs/ecs.config", "ECS_RESERVED_MEMORY=256\n")
        wait_failures(w, failed + 1)
    assert not w.events(**UNKNOWN) and audit_status(w)["unjudged"] == []


@pytest.mark.no_sanitizer
def test_an_image_that_ends_its_auditor_is_named_and_its_containers_are_judged(watched):
    w = watched
    id, layer = f"sha256:{'1' * 64}", w.scratch / "layer"
    (layer / "etc").mkdir(parents=True)
    w.docker.answers["images/json"] = [{"Id": id, "RepoTags": ["busybox:1"]}]
    w.docker.answers[f"images/{id.replace(':', '%3A')}/json"] = {
        "Id": id, "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": str(layer)}}}
    start_whole(w)
    with poisoned(w, "getdents64", layer / "etc"):
        one, two = (w.tasks.run(name, w.space, Privileged=True) for name in ("one", "two"))
        said = w.wait_event(**UNKNOWN, state="new", image_id=id)
        assert said["name"] == "busybox:1" and said["subject"] == "image"
        judge_everything(w)
        for container in (one, two):
            w.wait_event(kind="finding", control="CTR-01", container_id=container, state="new")
        assert [u["image_id"] for u in audit_status(w)["unjudged"]] == [id]
    w.tasks.stop(one)
    lab.wait_for(lambda: containers(w) == 1, "the daemon to know of it", timeout=60)
    assert audit_status(w)["unjudged"]
    w.tasks.stop(two)
    w.wait_event(**UNKNOWN, state="gone", image_id=id)


@pytest.mark.no_sanitizer
def test_an_answer_that_takes_all_memory_blinds_it_to_nobody_else(watched):
    w = watched
    large, pid = run_at(w, "large")
    w.docker.containers[large]["Config"]["Env"] = [{}] * 1_500_000  # 6 MB, and fifty times that as a tree
    w.tasks.run("other", w.space)
    start_whole(w)
    w.wait_event(kind="finding", control="DKD-07", state="new")
    assert audit_status(w)["failed_runs"] == 0


@pytest.mark.parametrize("mood", ["garbage", "error", "cut", "endless", "types"])
def test_hostile_answers_reach_no_further(watched, mood):
    watched.start()
    watched.docker.mood = mood
    mark = len(watched.guard.log)
    waivers(watched)
    watched.guard.wait_log("host audited", "changed=everything", after=mark, timeout=60)
    assert "signal" not in watched.guard.log[mark:]
    assert watched.guard.process.poll() is None


def found_by_daemon(state):
    path = state / "findings.json"
    rows = json.loads(path.read_text())["findings"] if path.exists() else []
    return {(f["control"], f["name"]) for f in rows}


def test_it_finds_what_the_command_finds(docker_host, scratch):
    """Beside a real dockerd, whose layers and containers it reads."""
    d = docker_host
    bad = {
        "privileged": ["--privileged", "--runtime", "lean"],
        "hostpid": ["--pid", "host"],
        "hostnet": ["--network", "host"],
        "etc": ["-v", "/etc:/host/etc"],
        "unconfined": ["--security-opt", "seccomp=unconfined"],
        "secret": ["-e", "DB_PASSWORD=correct-horse-battery"],
    }

    def with_key(root):
        (root / "bin" / "su").write_bytes(b"x")
        (root / "bin" / "su").chmod(0o4755)
        (root / "id_rsa").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    d.make_image("layers:1", extra=with_key)
    for name, options in bad.items():
        d.docker("run", "-d", "--name", name, *options, "layers:1", "sleep", "600")
    config = {"daemon": {"docker": f"unix://{d.socket}", "log-level": "debug"},
              "audit": {"enabled": "yes", "waivers": scratch / "none.json"}}
    directory = scratch / "daemon"
    directory.mkdir()
    g = guard.Guard(d.space, directory, config)
    try:
        g.start()
        g.wait_log("host audited", "changed=everything", timeout=60)
        p = d.space.run(lab.BATTEN, "audit", "--json", "--docker", f"unix://{d.socket}", check=False)
        report = json.loads(p.stdout)
        wanted = {(f["control"], f["subject"]["name"]) for f in report["findings"] if f["status"] in ("fail", "drift")}
        assert {c for c, name in wanted if name in bad} >= {"CTR-01", "CTR-03", "CTR-04", "CTR-07", "CTR-12", "CTR-15"}
        assert {c for c, _ in wanted if c.startswith("IMG")} >= {"IMG-01"}, sorted(wanted)

        def same():
            return found_by_daemon(directory / "state") == wanted
        try:
            lab.wait_for(same, "the same findings", timeout=30)
        except TimeoutError:
            found = found_by_daemon(directory / "state")
            raise AssertionError(f"missed {sorted(wanted - found)}, invented {sorted(found - wanted)}") from None
        assert "audit failed" not in g.log
        assert "correct-horse" not in g.log + (directory / "state" / "findings.json").read_text()
        assert g.stop() == 0
    finally:
        g.close()
        d.docker("rm", "-f", *bad)
