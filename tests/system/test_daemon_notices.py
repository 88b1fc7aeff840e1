# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon notices what changes on its host, judges what looks at it again, and keeps findings."""
import json
import pathlib

import pytest

import lab
import watched

ECS_CONFIG = "/etc/ecs/ecs.config"
GOOD, BAD = "ECS_AWSVPC_BLOCK_IMDS=true\n", "ECS_AWSVPC_BLOCK_IMDS=yes\n"


@pytest.fixture
def space(spaces):
    return spaces.new("host", mounts=True)


@pytest.fixture
def host(space, scratch):
    with watched.Watched(space, scratch) as w:
        yield w


def test_an_edited_ecs_config_is_noticed(host):
    """In a directory that is made later, by a plain write and by an editor's rename."""
    host.start()
    host.space.run("mkdir", "/etc/ecs")
    host.write(ECS_CONFIG, BAD)
    new = host.wait_event(kind="finding", control="CFG-01", state="new")
    assert new["severity"] == "high" and new["certainty"] == "certain" and new["evidence"] and new["fingerprint"]
    assert (new["class_uid"], new["category_uid"], new["activity_id"], new["type_uid"]) == (2003, 2, 1, 200301)
    host.replace(ECS_CONFIG, GOOD)
    gone = host.wait_event(kind="finding", control="CFG-01", state="gone")
    assert gone["fingerprint"] == new["fingerprint"] and gone["type_uid"] == 200303
    # The directory is replaced as a whole, and what is in the new one counts.
    host.space.run("sh", "-c", f"mkdir /etc/ecs.new && echo {BAD.strip()} > /etc/ecs.new/ecs.config && "
                               "mv /etc/ecs /etc/ecs.old && mv /etc/ecs.new /etc/ecs")
    lab.wait_for(lambda: len(host.events(control="CFG-01", state="new")) == 2, "the new directory", timeout=60)
    host.replace(ECS_CONFIG, GOOD)
    lab.wait_for(lambda: len(host.events(control="CFG-01", state="gone")) == 2, "the watch on it", timeout=60)


def test_only_what_looks_at_the_change_runs_again(host):
    host.start()
    host.space.run("mkdir", "/etc/ecs")
    after = len(host.guard.log)
    host.write(ECS_CONFIG, BAD)
    host.guard.wait_log("host audited", "changed=ecs-files", after=after, timeout=60)
    host.write("/etc/docker/daemon.json", "{}\n")
    host.guard.wait_log("host audited", "changed=docker-files", after=after, timeout=60)
    host.space.run("ip", "address", "add", "192.0.2.7/32", "dev", "lo")
    host.guard.wait_log("host audited", "network", after=after, timeout=60)
    host.space.run("nft", "add", "table", "inet", "somebody")
    host.guard.wait_log("host audited", "rules", after=after, timeout=60)
    host.tree.make("ecstasks.slice/x")
    host.guard.wait_log("host audited", "cgroups", after=after, timeout=60)
    assert "changed=everything" not in host.guard.log[after:]


def test_what_an_operator_accepts_is_judged_by_the_new_waivers(host):
    host.start()
    host.space.run("mkdir", "/etc/ecs")
    host.write(ECS_CONFIG, BAD)
    host.wait_event(kind="finding", control="CFG-01", state="new")
    waivers = host.scratch / "none" / "waivers.json"
    waivers.parent.mkdir()
    waivers.write_text(json.dumps({"schema": "batten.waivers/1", "waivers": [
        {"control": "CFG-01", "scope": {}, "reason": "moving", "owner": "ops", "until": "2999-01-01"}]}))
    host.wait_event(kind="finding", control="CFG-01", state="gone")


def test_findings_survive_a_restart_and_a_crash(host):
    host.space.run("mkdir", "/etc/ecs")
    host.write(ECS_CONFIG, BAD)
    host.start()
    host.wait_event(control="CFG-01", state="new")
    assert host.guard.stop() == 0
    assert "CFG-01" in {control for control, _ in host.findings()}
    assert (host.state / "findings.json").stat().st_mode & 0o777 == 0o600
    # What was mended while nobody looked is gone; what is still there is not told twice.
    host.write(ECS_CONFIG, GOOD)
    host.start()
    host.wait_event(control="CFG-01", state="gone")
    assert not host.events(state="new"), host.events(state="new")
    lab.wait_for(lambda: "CFG-01" not in {control for control, _ in host.findings()}, "the state on disk", timeout=60)
    host.guard.kill()
    host.start()
    assert not host.events(kind="finding")


def test_a_state_that_cannot_be_read_is_said_and_replaced(host):
    host.state.mkdir()
    (host.state / "findings.json").write_text('{"schema": "batten.fin')
    host.start()
    host.guard.wait_log("findings of an earlier life cannot be read", "findings.json")
    lab.wait_for(lambda: (host.state / "findings.json").read_text().endswith("]}"), "a new state", timeout=60)


def test_a_container_is_judged_when_it_starts_and_forgotten_when_it_ends(host):
    host.start()
    lab.wait_for(lambda: host.docker.listeners, "the daemon to follow Docker", timeout=60)
    id = host.tasks.run("web", host.space, Privileged=True)
    new = host.wait_event(kind="finding", container_id=id, state="new")
    assert new["container"] == "web" and new["family"] == "web" and "task/blue/" in new["task_arn"]
    lab.wait_for(lambda: host.events(container_id=id, control="CTR-03", state="new"), "the host's network", timeout=60)
    seen = {e["control"] for e in host.events(container_id=id, state="new")}
    other = host.tasks.run("web", host.space)
    again = host.wait_event(control="CTR-03", state="new", container_id=other)
    # The same finding for whoever keeps them by fingerprint: an update, and no second one.
    assert again["type_uid"] == 200302
    host.tasks.stop(other)
    assert host.wait_event(control="CTR-03", state="gone", container_id=other)["type_uid"] == 200302
    host.tasks.stop(id)
    assert host.wait_event(control="CTR-03", state="gone", container_id=id)["type_uid"] == 200303
    lab.wait_for(lambda: {e["control"] for e in host.events(container_id=id, state="gone")} >= seen,
                 "every finding of it to be gone", timeout=60)


def test_an_audit_that_fails_is_said_and_costs_no_finding(host):
    host.space.run("mkdir", "/etc/ecs")
    host.write(ECS_CONFIG, BAD)
    host.start()
    host.wait_event(control="CFG-01", state="new")
    (host.scratch / "none").mkdir()
    (host.scratch / "none" / "waivers.json").write_text("{")
    host.guard.wait_log("audit failed", "waivers.json", timeout=60)
    assert not host.events(state="gone")
    assert host.guard.process.poll() is None


def test_a_fix_is_an_event(host):
    """As `batten fix` writes its journal: an entry replaced as a whole whenever its state changes."""
    host.start()
    journal = host.state / "fix"
    assert journal.stat().st_mode & 0o777 == 0o700
    for state in ("started", "applied", "undone"):
        entry = {"schema": "batten.fix-journal/1", "id": "20260101T000000.000-CFG-01", "control": "CFG-01", "state": state,
                 "proof": {"result": "pass", "reason": "it holds"}, "changes": [{"was": "secret"}]}
        (journal / ".new").write_text(json.dumps(entry))
        (journal / ".new").rename(journal / "20260101T000000.000-CFG-01.json")
        if state != "started":
            host.wait_event(kind="fix", state=state)
    (journal / ".new").write_text("{")
    (journal / ".new").rename(journal / "broken.json")
    events = host.events(kind="fix")
    assert [e["state"] for e in events] == ["applied", "undone"] and "secret" not in json.dumps(events)
    assert {(e["category_uid"], e["class_uid"], e["type_uid"]) for e in events} == {(7, 7002, 700204)}
    assert events[0]["control"] == "CFG-01" and "it holds" in events[0]["message"]


@pytest.mark.no_sanitizer
def test_the_daemon_stays_small(host):
    host.start()
    for i in range(20):
        host.tasks.run(f"c{i}", host.space)
    lab.wait_for(lambda: len({e.get("container_id") for e in host.events(control="CTR-03", state="new")}) == 20,
                 "20 containers to be judged", timeout=60)
    status = pathlib.Path(f"/proc/{host.guard.process.pid}/status").read_text()
    rss_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    assert rss_kib < 12 * 1024
