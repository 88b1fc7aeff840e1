# SPDX-License-Identifier: GPL-3.0-or-later
"""Pinned programs that somebody deletes, and the directory that holds them moved."""
import json
import signal

import pytest

import groups
import lab
import task_host


@pytest.fixture
def h(spaces, scratch):
    with task_host.make(spaces, scratch) as host:
        yield host


def wait_for(condition, what):
    return lab.wait_for(condition, what, timeout=60)


def pinned(h, directory=None):
    return set(h.host.run("ls", directory or h.tree.pins, check=False).stdout.split())


def attached(h):
    """Ids of the programs that hang at the root of the groups."""
    text = h.host.run("bpftool", "-j", "cgroup", "show", h.tree.inside(h.tree.root)).stdout.strip()
    return sorted(r["id"] for r in json.loads(text or "[]"))


def test_deleted_pins_are_put_back_without_a_gap(h):
    """By the daemon that holds them: nothing is detached meanwhile."""
    lab.need(h.host.run("bpftool", "version", check=False).returncode == 0, "bpftool is not installed")
    daemon = h.daemon()
    web = h.tasks.run("web", h.host)
    assert h.roads(web, "tcp4") == {"tcp4": "EPERM"}
    all_of_it, programs = pinned(h), attached(h)
    assert len(all_of_it) == 13 and len(programs) == 5
    hammer = groups.start(h.tasks.group(web), h.host, lab.TOOLS / "hammer", "-t", "200", lab.IMDS4, "80", stdout=-1)
    assert hammer.stdout.readline() == "up\n"
    for what in ("imds_connect4", "groups", ""):
        # rm may find the directory filled again before it removes it.
        h.host.run("rm", "-rf", h.tree.pins / what if what else h.tree.pins, check=False)
        wait_for(lambda: pinned(h) == all_of_it, f"{what or 'everything'} to be put back")
    h.host.run("mv", h.tree.pins / "imds_egress", h.tree.pins / "elsewhere")
    wait_for(lambda: pinned(h) == all_of_it | {"elsewhere"}, "the one that was moved")
    hammer.send_signal(signal.SIGTERM)
    tally = json.loads(hammer.communicate(timeout=60)[0])
    assert tally["successes"] == 0 and tally["attempts"] > 0, tally
    assert attached(h) == programs, "the same programs: nothing was installed anew"
    assert h.layers()["cgroup-ebpf", "ipv4"]["state"] == "active"
    assert "pinned programs were deleted" in h.log()
    # What was put back outlives the daemon as before, and its rows are the same.
    daemon.kill()
    daemon.wait()
    assert h.roads(web, "tcp4", "icmp_raw") == {"tcp4": "EPERM", "icmp_raw": "EPERM"}
    h.host.run("rm", h.tree.pins / "elsewhere")
    h.batten("imds", "unblock")
    assert h.roads(web, "tcp4") == {"tcp4": "OK"} and not attached(h)


@pytest.mark.parametrize("restart", [False, True], ids=["reload", "restart"])
def test_another_directory_leaves_nothing_in_the_old_one(h, restart):
    lab.need(h.host.run("bpftool", "version", check=False).returncode == 0, "bpftool is not installed")
    daemon = h.daemon()
    web, other = h.tasks.run("web", h.host), h.tasks.run("other", h.host)
    h.batten("imds", "allow", "add", "container:web")
    wait_for(lambda: h.roads(web, "tcp4") == {"tcp4": "OK"}, "the exception")
    old, h.tree.pins = h.tree.pins, h.tree.pins.parent / "other"
    h.configure()
    if restart:
        daemon.kill()
        daemon.wait()
        h.daemon()
    else:
        daemon.send_signal(signal.SIGHUP)
    wait_for(lambda: not pinned(h, old), "the old ones to go")
    assert h.host.run("test", "-e", old, check=False).returncode == 1
    wait_for(lambda: len(attached(h)) == 5, "one program for each hook")
    wait_for(lambda: h.roads(web, "tcp4") == {"tcp4": "OK"}, "the exception")
    assert h.roads(other, "tcp4") == {"tcp4": "EPERM"}
