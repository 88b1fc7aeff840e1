# SPDX-License-Identifier: GPL-3.0-or-later
"""The cgroup eBPF layer alone, no other layer in place: every road is open until it closes it."""
import json
import os
import signal
import sys
import threading

import pytest

import ecs_host
import groups
import lab

HAMMER = lab.TOOLS / "hammer"


@pytest.fixture
def host(spaces):
    h = ecs_host.EcsHost(spaces, mounts=True)
    return h


@pytest.fixture
def tree(host, scratch):
    with groups.Groups(host.host, scratch) as g:
        yield g


@pytest.fixture
def task(tree):
    """A container's group where ECS puts it."""
    return tree.make(f"{groups.SLICE}/ecstasks-0123.slice/docker-{'a' * 64}.scope")


def test_every_road_of_a_host_network_task(host, tree, task):
    assert set(groups.roads(task, host.host).values()) == {"OK"}, "open while nothing is installed"
    assert tree.guard("install").returncode == 0
    before = host.uplink.arrivals()
    seen = groups.roads(task, host.host)
    assert set(seen.values()) == {"EPERM"}, seen
    assert host.uplink.arrivals() == before, "not one packet left"
    assert groups.roads(task, host.host, "elsewhere") == {"elsewhere": "OK"}
    system = tree.make("system.slice/amazon-ssm-agent.service")
    assert set(groups.roads(system, host.host).values()) == {"OK"}, "the host goes on"
    totals = tree.totals()
    assert totals["connect4"] == 3 and totals["connect6"] == 2 and totals["sendmsg4"] == 2
    assert totals["sendmsg6"] == 1 and totals["egress4"] == 2 and totals["egress6"] == 1, totals


def test_an_awsvpc_task_with_every_capability(host, tree, task, spaces):
    """A namespace with its own way out: the host's packet filters never see it."""
    awsvpc = ecs_host.awsvpc_task(spaces, host)
    assert set(groups.roads(task, awsvpc).values()) == {"OK"}
    tree.guard("install")
    # CAP_NET_ADMIN: routes, addresses and a firewall of its own change nothing.
    for line in (f"route add {lab.IMDS4} via 10.1.0.1", "addr add 10.1.0.77/24 dev eth0"):
        ecs_host.commands(awsvpc, line)
    assert set(groups.roads(task, awsvpc).values()) == {"EPERM"}


def test_roads_that_are_rare(host, tree, task):
    """MPTCP, a socket made outside and handed in; and the one that stays open, which is documented."""
    tree.guard("install")
    assert groups.roads(task, host.host, "mptcp")["mptcp"] in ("EPERM", "TIMEOUT", "EPROTONOSUPPORT")
    seen = groups.roads(tree.make("system.slice"), host.host, "foreign_socket", env={"GROUP": str(tree.inside(task))})
    assert seen == {"foreign_socket": "EPERM"}
    before = host.uplink.arrivals()
    assert groups.roads(task, host.host, "packet_socket") == {"packet_socket": "OK"}
    lab.wait_for(lambda: host.uplink.arrivals() > before, "the AF_PACKET frame, which no cgroup program sees")


def test_a_connection_from_before(host, tree, task):
    """What was connected when the guard came loses its packets."""
    script = """
import socket, sys
s = socket.create_connection(("169.254.169.254", 80)); s.settimeout(1)
print("up", flush=True); sys.stdin.readline()
try:
    s.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"); s.recv(10); print("answered")
except OSError as e: print("nothing")
"""
    p = groups.start(task, host.host, sys.executable, "-S", "-E", "-c", script, stdin=-1, stdout=-1)
    assert p.stdout.readline() == "up\n"
    tree.guard("install")
    p.stdin.write("\n")
    p.stdin.flush()
    assert p.stdout.readline() == "nothing\n"


def test_exceptions_are_for_one_group(host, tree, task):
    tree.guard("install")
    other = tree.make(f"{groups.SLICE}/ecstasks-0123.slice/docker-{'b' * 64}.scope")
    tree.guard("allow", tree.inside(task))
    below = tree.make(f"{task.relative_to(tree.root)}/child")
    assert groups.roads(task, host.host, "tcp4", "udp6") == {"tcp4": "OK", "udp6": "OK"}
    assert groups.roads(below, host.host, "tcp4") == {"tcp4": "OK"}
    assert groups.roads(other, host.host, "tcp4") == {"tcp4": "EPERM"}
    tree.guard("drop", tree.inside(task))
    assert groups.roads(task, host.host, "tcp4") == {"tcp4": "EPERM"}
    # docker run: a group outside the slice is guarded by a row of its own.
    plain = tree.make(f"system.slice/docker-{'c' * 64}.scope")
    assert groups.roads(plain, host.host, "tcp4") == {"tcp4": "OK"}
    tree.guard("guard", tree.inside(plain))
    assert groups.roads(plain, host.host, "tcp4") == {"tcp4": "EPERM"}


def test_it_stays_and_is_renewed_without_a_gap(host, tree, task):
    """The programs outlive who installed them; installing again while a client hammers leaks nothing."""
    tree.guard("install")
    p = groups.start(task, host.host, HAMMER, "-s", "2", "-t", "200", lab.IMDS4, "80", stdout=-1)
    assert p.stdout.readline() == "up\n"
    for _ in range(20):
        tree.guard("install")
    tally = json.loads(p.stdout.readline())
    assert tally["successes"] == 0 and tally["attempts"] > 1000, tally
    assert tree.totals()["connect4"] >= tally["attempts"]
    assert tree.guard("check").stdout == "2 \n"


def test_a_slice_made_anew_is_guarded_before_anybody_is_in_it(host, tree):
    """Removed and re-created a few hundred times; a client that enters at once never gets through."""
    tree.guard("install")
    client = """
import os, socket, sys
slice = sys.argv[1]; n = leaks = 0
for i in range(int(sys.argv[2])):
    os.mkdir(slice); os.mkdir(slice + "/task")
    r, w = os.pipe()
    if os.fork() == 0:
        open(slice + "/task/cgroup.procs", "w").write("0")
        s = socket.socket(); s.settimeout(1)
        try: s.connect(("169.254.169.254", 80)); os.write(w, b"L")
        except PermissionError: os.write(w, b"r")
        os._exit(0)
    leaks += os.read(r, 1) != b"r"; n += 1; os.wait(); os.close(r); os.close(w)
    os.rmdir(slice + "/task"); os.rmdir(slice)
print(n, leaks)
"""
    system = tree.make("system.slice")
    p = groups.start(system, host.host, sys.executable, "-S", "-E", "-c", client,
                     tree.inside(tree.root / groups.SLICE), "300", stdout=-1)
    assert p.communicate(timeout=60)[0].split() == ["300", "0"]
    # Rows go with their groups.
    lab.wait_for(lambda: tree.guard("rows").stdout == "", "the rows of removed slices to go")


def test_events_name_the_sender_and_are_bounded(host, tree, task):
    tree.guard("install")
    p = tree.host.start(lab.TOOLS / "cgroup-guard", tree.pins, tree.inside(tree.root), groups.SLICE, "events",
                        stdout=-1)
    assert p.stdout.readline() == "up\n"
    groups.roads(task, host.host, "tcp4")
    first = json.loads(p.stdout.readline())
    assert first["address"] == lab.IMDS4 and first["port"] == 80 and first["hook"] == "connect4"
    assert first["comm"].startswith("python3") and first["count"] == 1 and first["sender_known"]
    assert first["cgroup"] == os.stat(task).st_ino
    flood = groups.start(task, host.host, HAMMER, "-s", "2", lab.IMDS4, "80", stdout=-1)
    attempts = json.loads(flood.communicate()[0].splitlines()[-1])["attempts"]
    told = []
    reader = threading.Thread(target=lambda: told.extend(map(json.loads, p.stdout)))
    reader.start()
    groups.roads(tree.make(f"{groups.SLICE}/last"), host.host, "icmp6_raw")
    lab.wait_for(lambda: any(e["hook"] == "egress6" for e in told), "the last event")
    p.send_signal(signal.SIGKILL)
    reader.join()
    mine = [e for e in told if e["cgroup"] == first["cgroup"]]
    assert 1 <= len(mine) <= 4, "about one a second"
    assert attempts > 1000 and sum(e["count"] for e in mine) <= attempts
    assert told[-1]["protocol"] == 58 and told[-1]["address"] == lab.IMDS6


def test_install_and_remove_are_idempotent(host, tree, task):
    assert tree.guard("check").stdout.startswith("0 ")
    tree.guard("uninstall")
    tree.guard("install")
    tree.guard("install")
    tree.guard("uninstall")
    tree.guard("uninstall")
    assert groups.roads(task, host.host, "tcp4") == {"tcp4": "OK"}
    assert host.host.run("test", "-e", tree.pins, check=False).returncode == 1
    p = tree.guard("totals", check=False)
    assert p.returncode == 1 and "not installed" in p.stderr


def test_a_maps_shape_of_another_version(host, tree, task):
    """Pinned maps that do not fit are made anew instead of keeping the guard from being installed."""
    tree.guard("install")
    tree.host.run("rm", tree.pins / "counters")
    tree.host.run("bpftool", "map", "create", tree.pins / "counters", "type", "hash", "key", "4", "value", "4",
                  "entries", "1", "name", "odd")
    tree.guard("install")
    assert groups.roads(task, host.host, "tcp4") == {"tcp4": "EPERM"}


def test_no_bpffs_is_said(host, tree, scratch):
    p = host.host.run(lab.TOOLS / "cgroup-guard", scratch / "nowhere", tree.inside(tree.root), groups.SLICE, "install",
                      check=False)
    assert p.returncode == 1 and "bpffs" in p.stderr and p.stderr.count("\n") == 1
