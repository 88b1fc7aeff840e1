# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd/fleet ships, run with what fleets run: an event raised on one simulated host arrives at
another; findings go out in batches; observations of several hosts are merged in any order."""
import configparser
import json
import os
import pathlib
import shutil
import subprocess

import pytest

import lab
import watched

FLEET = pathlib.Path(__file__).parent.parent.parent / "systemd" / "fleet"
MACHINE = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def host(spaces, scratch):
    with watched.Watched(spaces.new("host", mounts=True), scratch) as w:
        yield w


def start_rsyslog(space, scratch, name, shipped, **changes):
    """rsyslogd with a configuration that we ship, and nothing of the machine's."""
    lab.need(shutil.which("rsyslogd"), "Debian's rsyslog")
    text = (FLEET / shipped).read_text()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    work = scratch / name
    work.mkdir()
    config = work / "rsyslog.conf"
    config.write_text(f'global(workDirectory="{work}")\n{text}')
    p = space.run("rsyslogd", "-N1", "-f", config, check=False)
    assert p.returncode == 0, p.stderr
    log = open(work / "log", "w")
    return space.start("rsyslogd", "-n", "-f", config, "-i", work / "pid", stdout=log, stderr=log)


def start_journald(space):
    """A journal of the space's own, in memory."""
    journald = "/lib/systemd/systemd-journald"
    lab.need(os.path.exists(journald) and shutil.which("systemd-cat"), "systemd's journald")
    space.run("mount", "-t", "tmpfs", "none", "/run")
    space.run("mount", "-t", "tmpfs", "none", "/var/log")
    space.run("mkdir", "-p", "/run/log/journal", "/run/systemd/journal")
    space.run("sh", "-c", f"echo {MACHINE} > /etc/machine-id; mkdir -p /etc/systemd/journald.conf.d; "
                          "printf '[Journal]\\nStorage=volatile\\nAudit=no\\nReadKMsg=no\\nRateLimitBurst=0\\n' "
                          "> /etc/systemd/journald.conf.d/test.conf")
    space.start(journald, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lab.wait_for(lambda: space.run("test", "-S", "/run/systemd/journal/socket", check=False).returncode == 0 and
                 space.run("test", "-S", "/run/systemd/journal/stdout", check=False).returncode == 0, "the journal",
                 timeout=60)


# What systemd tells a unit whose standard error is the journal, and systemd-cat does not.
AS_A_UNIT = 'JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2); export JOURNAL_STREAM; exec "$@"'


def test_an_event_of_one_host_arrives_at_another(spaces, scratch, host):
    collector = spaces.new("collector", mounts=True)
    spaces.veth(host.space, "eth0", collector, "eth0")
    host.space.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    collector.run("ip", "address", "add", "192.0.2.2/24", "dev", "eth0")
    arrived = scratch / "arrived"
    start_rsyslog(collector, scratch, "receive", "rsyslog-receive.conf",
                  where=("/var/log/batten-fleet", str(arrived)))
    start_journald(host.space)
    start_rsyslog(host.space, scratch, "forward", "rsyslog-forward.conf",
                  where=("logs.example.internal", "192.0.2.2"))
    host.guard.wrapper = ["systemd-cat", "--identifier=batten", "sh", "-c", AS_A_UNIT, "sh"]
    host.space.run("mkdir", "/etc/ecs")
    host.write("/etc/ecs/ecs.config", "ECS_AWSVPC_BLOCK_IMDS=true\n")
    host.guard.start()
    host.write("/etc/ecs/ecs.config", "ECS_AWSVPC_BLOCK_IMDS=yes\n")
    event = host.wait_event(kind="finding", control="CFG-01", state="new")

    def line():
        file = arrived / "192.0.2.1.json"
        rows = [json.loads(row) for row in file.read_text().splitlines()] if file.exists() else []
        return next((r for r in rows if r.get("BATTEN_CONTROL") == "CFG-01"), None)
    row = lab.wait_for(line, "the event to arrive", timeout=120)
    assert row["BATTEN_FINGERPRINT"] == event["fingerprint"] and row["BATTEN_SEVERITY"] == "high"
    assert row["BATTEN_OCSF_CLASS"] == "2003" and "finding is new" in row["MESSAGE"] and len(row["MESSAGE_ID"]) == 32


AWS = """#!/bin/sh
# Stands in for the AWS command line: notes what it is asked and keeps the file that it is given.
echo "$@" >> "$AWS_NOTES/calls"
for word; do
	case $word in
	file://*) cat "${word#file://}" >> "$AWS_NOTES/bodies" ;;
	esac
done
"""


def test_findings_go_out_in_batches(host, scratch):
    tools = scratch / "tools"
    tools.mkdir()
    (tools / "aws").write_text(AWS)
    # The agent is not there to tell account and region; an instance's role would.
    (tools / "batten").write_text(f'#!/bin/sh\nexec {lab.BATTEN} "$@" --account 123456789012 --region eu-west-1 '
                                  f"--docker {host.docker.url}\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "AWS_NOTES": str(scratch)}
    host.space.run(FLEET / "batten-findings", "security-hub", env=env)
    calls = (scratch / "calls").read_text().splitlines()
    batches = [json.loads(line)["Findings"] for line in (scratch / "bodies").read_text().splitlines()]
    assert len(calls) == len(batches) >= 1
    assert all(call.startswith("securityhub batch-import-findings --cli-input-json file://") for call in calls)
    assert all(1 <= len(b) <= 100 for b in batches)
    assert {"FAILED", "PASSED"} <= {f["Compliance"]["Status"] for b in batches for f in b}
    ocsf = scratch / "ocsf.json"
    for _ in range(2):
        host.space.run(FLEET / "batten-findings", "ocsf", ocsf, env=env)
    rows = [json.loads(line) for line in ocsf.read_text().splitlines()]
    assert {r["class_uid"] for r in rows} == {2003} and len(rows) == 2 * len({r["finding_info"]["uid"] for r in rows})
    p = host.space.run(FLEET / "batten-findings", env=env, check=False)
    assert p.returncode == 2 and "usage" in p.stderr


def observation(path, host, *names):
    calls = {name: {"first": "2026-01-01T00:00:00Z", "phase": "serve"} for name in names}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({
        "schema": "batten.observation/1", "image": "web:1", "digest": f"sha256:{'a' * 64}", "host": host, "arch": "x86_64",
        "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T01:00:00Z", "runs": 1,
        "abis": {"x86_64": {"syscalls": calls}}}))
    return path


def test_observations_of_a_fleet_merge_in_any_order(batten, scratch):
    name = f"sha256-{'a' * 64}.json"
    a = observation(scratch / "one" / name, "one", "read", "write")
    b = observation(scratch / "two" / name, "two", "read", "openat")

    def merged(*files):
        return subprocess.run([batten, "seccomp", "merge", *files], text=True, capture_output=True, check=True).stdout
    once = merged(a, b)
    assert once == merged(b, a) == merged(a, b, a)
    assert set(json.loads(once)["abis"]["x86_64"]["syscalls"]) == {"read", "write", "openat"}


def test_units_and_configurations_are_well_formed():
    for unit in FLEET.glob("*.service"):
        parsed = configparser.RawConfigParser(strict=False, interpolation=None, delimiters="=")
        parsed.optionxform = str
        parsed.read(unit)
        assert parsed.has_option("Service", "ExecStart") and parsed.has_option("Unit", "Description"), unit
        timer = unit.with_suffix(".timer")
        assert parsed.get("Service", "Type", fallback="") != "oneshot" or timer.exists(), unit
    files = json.loads((FLEET / "cloudwatch-agent.json").read_text())["logs"]["logs_collected"]["files"]["collect_list"]
    journal = (FLEET / "batten-journal.service").read_text()
    assert all(f"append:{f['file_path']}" in journal for f in files)
    if shutil.which("systemd-analyze"):
        for unit in [*FLEET.glob("*.service"), *FLEET.glob("*.timer")]:
            p = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], text=True, capture_output=True, timeout=120)
            # What is not installed here, or cannot be asked here, is no fault of the file.
            faults = [line for line in p.stderr.splitlines() if unit.name in line and "is not executable" not in line]
            assert not faults, p.stderr
