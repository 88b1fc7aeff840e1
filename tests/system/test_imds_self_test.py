# SPDX-License-Identifier: GPL-3.0-or-later
"""[imds] self-test: the daemon tries the roads itself after a change, and raises an event."""
import json
import time

import pytest

import ecs_host
import lab
import task_host


@pytest.fixture
def h(spaces, scratch):
    with task_host.make(spaces, scratch) as host:
        yield host


def wait_for(condition, what):
    return lab.wait_for(condition, what, timeout=60)


def self_test(h):
    return json.loads(h.batten("imds", "status", "--json", check=False).stdout).get("self_test")


def opened(h):
    return [e for e in h.events() if e["kind"] == "imds.road-open"]


def another_run(h):
    """Whatever began before now has ended, and one that began later as well."""
    runs = self_test(h)["runs"]
    h.host.run("ip", "rule", "del", "priority", "91")
    wait_for(lambda: self_test(h)["runs"] > runs, "a run after the change")


def test_an_open_road_is_an_event(h):
    """A hole that no layer of this configuration closes: an awsvpc task without programs."""
    h.configure("self-test = anywhere", "cgroup-ebpf = no")
    h.daemon()
    vpc = ecs_host.awsvpc_task(h.spaces, h.ecs)
    report = h.tasks.run("report", vpc, family="report")
    hosted = h.tasks.run("hosted", h.host)
    event = wait_for(lambda: opened(h), "the event")[0]
    assert event["container"] == "report" and event["family"] == "report" and event["certainty"] == "certain"
    assert event["container_id"] == report and "IMDSv2 over IPv6" in event["message"] and event["layer"] == "self-test"
    assert "report reached" in h.log()
    assert self_test(h)["open"] == 1
    another_run(h)
    another_run(h)
    assert len(opened(h)) == 1, "told once while it stays open"
    # Closed, then open again: told again.
    ecs_host.commands(vpc, f"route add blackhole {lab.IMDS4}", f"route add blackhole {lab.IMDS6}")
    another_run(h)
    wait_for(lambda: self_test(h)["open"] == 0, "the road to be found closed")
    ecs_host.commands(vpc, f"route del blackhole {lab.IMDS4}")
    another_run(h)
    wait_for(lambda: len(opened(h)) == 2, "the second event")
    # An exception is no open road.
    h.batten("imds", "allow", "add", "family:report")
    wait_for(lambda: self_test(h)["open"] == 0, "the exception to be heeded")
    assert not list(h.tasks.group(hosted).glob("*probe*"))


def test_its_own_attempts_are_no_events(h):
    """Nobody is accused of what the daemon did; and closed roads are found closed."""
    h.configure("self-test = anywhere")
    h.daemon()
    web = h.tasks.run("web", h.host)
    for i in range(20):  # more than one batch
        h.tasks.run(f"task{i}", h.host)
    h.wait_known("web", "task19")
    another_run(h)
    wait_for(lambda: h.layers()["cgroup-ebpf", "ipv4"]["packets"] >= 21 * 2, "all of them to be tried")
    assert [e for e in h.events() if e["kind"] in ("imds.blocked", "imds.road-open")] == []
    assert self_test(h)["open"] == 0
    assert h.roads(web, "tcp4") == {"tcp4": "EPERM"}
    wait_for(lambda: any(e["kind"] == "imds.blocked" for e in h.events()), "the event of another's attempt")


def test_an_exception_that_comes_and_goes_is_no_open_road(h):
    """A run that began before it must not accuse who was allowed meanwhile."""
    h.configure("self-test = anywhere")
    h.daemon()
    for i in range(20):
        h.tasks.run(f"task{i}", h.host)
    h.wait_known("task19")
    for _ in range(30):
        h.host.run("ip", "rule", "del", "priority", "91", check=False)  # a run begins
        h.batten("imds", "allow", "add", "family:web")
        h.batten("imds", "allow", "remove", "family:web")
    another_run(h)
    assert opened(h) == []


def test_who_is_open_because_all_is_open_is_not_accused(h):
    """A run may be due, or on its way, when an operator unblocks."""
    h.configure("self-test = anywhere")
    h.daemon()
    for i in range(5):
        h.tasks.run(f"task{i}", h.host)
    h.wait_known("task4")
    for delay in (0, 0.4, 0.5, 0.6):
        another_run(h)
        h.host.run("ip", "rule", "del", "priority", "91")  # a run is due
        time.sleep(delay)
        h.batten("imds", "unblock")
        time.sleep(1)
        h.batten("imds", "block")
    another_run(h)
    assert opened(h) == []


def test_changes_that_come_together_are_one_run(h):
    h.configure("self-test = anywhere")
    h.daemon()
    wait_for(lambda: self_test(h)["runs"] > 0, "the first run")
    before = self_test(h)["runs"]
    for i in range(40):
        h.host.run("ip", "rule", "del", "priority", "91", check=False)
    wait_for(lambda: self_test(h)["runs"] > before, "a run")
    wait_for(lambda: h.log().count("healed") > 0, "the heals")
    assert self_test(h)["runs"] - before < 40


def test_off_is_off_and_elsewhere_nobody_is_contacted(h):
    lab.need(not task_host.on_ec2(), "this is an EC2 instance")
    before = h.ecs.uplink.arrivals()
    h.configure("self-test = yes", "cgroup-ebpf = no")
    h.daemon()
    h.tasks.run("web", h.host)
    h.wait_log("no EC2 instance")
    h.tasks.run("second", h.host)
    h.wait_log("following Docker")
    assert self_test(h) == {"runs": 0, "open": 0} and h.ecs.uplink.arrivals() == before
