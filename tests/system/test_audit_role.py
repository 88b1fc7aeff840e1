# SPDX-License-Identifier: GPL-3.0-or-later
"""Who audits for the daemon is a process of its own that reads and tells: what it is allowed, that it
finds what `batten audit` finds, and that nothing depends on how it ends."""
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


def wait_failures(w, n):
    def failed():
        return json.loads(w.guard.command("status", "--json", check=False).stdout)["audit"]["failed_runs"] >= n
    lab.wait_for(failed, f"{n} failed runs", timeout=60)


def test_a_failed_run_does_not_judge_again_what_has_ended(watched):
    watched.start()
    lab.wait_for(lambda: watched.docker.listeners, "the daemon to follow Docker", timeout=60)
    waivers(watched, "{")
    wait_failures(watched, 1)
    ended, stays = (watched.tasks.run(name, watched.space, Privileged=True) for name in ("ended", "stays"))
    wait_failures(watched, 2)
    watched.tasks.stop(ended)
    # The host's lane and the container's have failed again.
    wait_failures(watched, 4)
    waivers(watched)
    watched.wait_event(kind="finding", control="CTR-01", container_id=stays, state="new")
    assert not watched.events(kind="finding", container_id=ended)


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
