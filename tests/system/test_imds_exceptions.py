# SPDX-License-Identifier: GPL-3.0-or-later
"""Exceptions: what they open, for whom alone, and that nobody borrows them."""
import json
import signal
import sys

import pytest

import ecs_host
import groups
import lab
import task_host

NO_EBPF = "--assume-feature=-cgroup-ebpf"


@pytest.fixture
def h(spaces, scratch):
    with task_host.make(spaces, scratch) as host:
        yield host


def wait_for(condition, what):
    """A bound on hanging, not on time: the machine may be busy."""
    return lab.wait_for(condition, what, timeout=60)


def tcp(space, timeout=3.0):
    return [lab.connect(space, address, timeout=timeout)[0] for address in (lab.IMDS4, lab.IMDS6)]


def bridge_table(h):
    """Our table of the bridge family as nft lists it; None when it is not there."""
    p = h.host.run("nft", "-s", "list", "table", "bridge", "batten", check=False)
    return p.stdout if p.returncode == 0 else None


def shape(text):
    """The lines of a table, without what tells of its owner."""
    return [li.split(" # ")[0] for li in text.splitlines() if li.strip() and "flags owner" not in li]


def allowed_on_bridge(h):
    space, where = h.on_bridge()
    web = h.tasks.run("web", space, **where)
    wait_for(lambda: tcp(space) == ["OK", "OK"], "the exception")
    return web, space


def take_address(space, thief):
    """The thief gets the addresses of its neighbour, and the neighbour loses them."""
    ecs_host.commands(space, f"addr del {space.address}/16 dev eth0", f"addr del {space.address6}/64 dev eth0")
    ecs_host.commands(thief, f"addr add {space.address}/16 dev eth0", f"addr add {space.address6}/64 dev eth0 nodad",
                      f"route add default via {space.gateway}", f"route add default via {space.gateway6}")
    # The bridge's host side has the addresses under the neighbour's link layer address.
    space.run("ip", "link", "set", "eth0", "down")


@pytest.mark.parametrize("bound", [False, True], ids=["without-bridge-tables", "bound"])
@pytest.mark.parametrize("bridge", ["default", "user"])
def test_a_moved_address_is_not_borrowed(h, bridge, bound):
    """A neighbour on the same bridge, or one on another, that no cgroup program holds back."""
    h.configure("allow = container:web")
    h.daemon(NO_EBPF, *([] if bound else ["--assume-feature=-bridge"]))
    web, space = allowed_on_bridge(h)
    thief = h.add_port("thief", h.ecs.containers[bridge].bridge)
    if bridge == "user":  # answers would go to the other bridge: the thief is seen by what arrives
        before = h.ecs.uplink.arrivals()
        ecs_host.commands(h.host, "sysctl net.ipv4.conf.all.rp_filter=0",
                          f"sysctl net.ipv4.conf.{h.ecs.containers['user'].bridge}.rp_filter=0")
        ecs_host.commands(thief, f"addr add {space.address}/32 dev eth0", "route add 172.18.0.1 dev eth0",
                          "route add default via 172.18.0.1")
        lab.connect(thief, lab.IMDS4, timeout=0.5)
        assert (h.ecs.uplink.arrivals() > before) == (not bound)
        return
    take_address(space, thief)
    row = {f: h.layers()["bridge-ports", f] for f in ("ipv4", "ipv6")}
    if not bound:
        assert tcp(thief) == ["OK", "OK"], "the road that is to be closed is there"
        assert row["ipv4"]["state"] == "off" and row["ipv4"]["reason"]
        return
    before = h.ecs.uplink.arrivals()
    assert tcp(thief, timeout=0.5) == ["TIMEOUT", "TIMEOUT"]
    assert lab.connect(thief, ecs_host.ELSEWHERE4)[0] == "OK", "the address is the thief's but for the service"
    assert h.ecs.uplink.arrivals() == before
    for family in ("ipv4", "ipv6"):
        assert row[family]["state"] == "active" and h.layers()["bridge-ports", family]["packets"] > 0


def test_a_forged_frame_is_not_let_through(h):
    """With cgroup programs in place a frame can still be written below them (AF_PACKET, NET_RAW)."""
    h.configure("allow = container:web")
    h.daemon()
    _, space = allowed_on_bridge(h)
    thief = h.add_port("thief", space.bridge)
    link = json.loads(h.host.run("ip", "-j", "link", "show", space.bridge).stdout)[0]["address"]
    send = f"""
import socket, struct
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
def sum16(d):
    t = sum(struct.unpack(f"!{{len(d) // 2}}H", d))
    while t >> 16: t = (t & 0xffff) + (t >> 16)
    return ~t & 0xffff
ip = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 17, 0) + socket.inet_aton("{space.address}") + \\
    socket.inet_aton("{lab.IMDS4}")
ip = ip[:10] + struct.pack("!H", sum16(ip)) + ip[12:]
frame = bytes.fromhex("{link.replace(':', '')}") + bytes.fromhex("020000000009") + b"\\x08\\x00" + ip + \\
    struct.pack("!HHHH", 4000, 80, 8, 0)
for _ in range(5): s.send(frame)
"""
    def forge(where):
        where.run("/usr/bin/python3", "-S", "-E", "-c", send)
        return h.layers()["bridge-ports", "ipv4"]["packets"]
    before = h.ecs.uplink.arrivals()
    assert forge(thief) == 5 and h.ecs.uplink.arrivals() == before
    assert forge(space) == 5, "through its own port the address passes"
    wait_for(lambda: h.ecs.uplink.arrivals() >= before + 5, "the frames of the genuine one")


@pytest.mark.parametrize("options", [[], ["--assume-feature=-owner"]], ids=["owner", "plain"])
def test_the_bridge_table_is_a_part_of_the_guard(h, options):
    """There with the first exception, put back, listed as nft would write it, gone with the last."""
    daemon = h.daemon(NO_EBPF, *options)
    space, where = h.on_bridge()
    web = h.tasks.run("web", space, **where)
    h.wait_log("following Docker")
    assert bridge_table(h) is None and h.layers()["bridge-ports", "ipv6"]["state"] == "off"
    h.batten("imds", "allow", "add", "container:web")
    text = wait_for(lambda: bridge_table(h), "the table")
    assert f'"veth17" . {space.address}' in text and f'"veth17" . {space.address6}' in text
    assert ("flags owner" in text) == (not options)
    # nft can load what it lists, and lists the same again.
    again = h.spaces.new("again")
    again.run("nft", "-f", "-", input="\n".join(shape(text)))
    assert shape(again.run("nft", "-s", "list", "table", "bridge", "batten").stdout) == shape(text)
    if options:
        h.host.run("nft", "delete", "table", "bridge", "batten")
        wait_for(lambda: bridge_table(h), "the table to be put back")
        h.host.run("nft", "delete", "element", "bridge", "batten", "bound4", f"{{ {space.address} }}")
        wait_for(lambda: space.address in bridge_table(h).split("set ports4")[0], "the element to be put back")
    else:
        assert h.host.run("nft", "delete", "table", "bridge", "batten", check=False).returncode != 0
    h.tasks.stop(web)
    wait_for(lambda: bridge_table(h) is None, "the table to go with the container")
    h.tasks.run("web", space, **where)
    wait_for(lambda: bridge_table(h), "the table for the successor")
    daemon.terminate()
    daemon.wait()
    assert "flags" not in bridge_table(h), "handed over"
    h.batten("imds", "unblock")
    assert bridge_table(h) is None


def test_the_plan_prints_the_bridge_table(h):
    def plan(*options):
        return h.host.batten("imds", "plan", *options, "--config", h.config).stdout
    assert "table bridge" not in plan()
    h.configure("allow = family:web")
    text = plan()
    assert "table bridge batten {" in text
    h.spaces.new("theirs").run("nft", "-f", "-", input="\n".join(li for li in text.splitlines() if li[:1] != "#"))
    assert [c["name"] for c in json.loads(plan("--json"))["bridge_chains"]] == \
        ["verdict", "prerouting"]


def test_the_output_hook_knows_exceptions(h):
    """Without eBPF a task in host network mode is let through by its cgroup, and no other."""
    h.daemon(NO_EBPF)
    web, other = h.tasks.run("web", h.host), h.tasks.run("other", h.host, family="other")
    refused = {"tcp4": "ECONNREFUSED", "tcp6": "ECONNREFUSED"}
    wait_for(lambda: h.roads(web, *refused) == refused, "the rule")
    h.batten("imds", "allow", "add", "family:web")
    wait_for(lambda: h.roads(web, *refused) == {"tcp4": "OK", "tcp6": "OK"}, "the exception")
    below = h.tree.make(f"{h.tasks.group(web).relative_to(h.tree.root)}/below")
    assert groups.roads(below, h.host, "tcp4") == {"tcp4": "OK"}
    assert h.roads(other, *refused) == refused, "for that container alone"
    assert h.layers()["output", "ipv4"]["state"] == "degraded"
    h.batten("imds", "allow", "remove", "family:web")
    assert h.roads(web, *refused) == refused, "closed when the command has ended"
    h.batten("imds", "allow", "add", "container:web")
    assert h.roads(web, *refused) == {"tcp4": "OK", "tcp6": "OK"}
    h.tasks.stop(web)
    wait_for(lambda: "groups3" not in h.host.run("nft", "list", "table", "inet", "batten").stdout, "the set to go")
    assert h.roads(other, *refused) == refused


def test_block_closes_a_slice_that_was_made_anew_while_all_was_open(h):
    h.daemon(NO_EBPF)
    refused = {"tcp4": "ECONNREFUSED", "tcp6": "ECONNREFUSED"}
    first = h.tasks.run("first", h.host)
    wait_for(lambda: h.roads(first, *refused) == refused, "the rule")
    h.batten("imds", "unblock")
    h.tasks.stop(first)
    assert h.tree._remove(h.tree.root / groups.SLICE), "the slice is gone"
    web = h.tasks.run("web", h.host)
    h.batten("imds", "block")
    assert h.roads(web, *refused) == refused


def test_the_output_hook_opens_the_whole_of_a_container(h):
    """Also where its first process stands in a group that it made."""
    h.configure("allow = family:web")
    h.daemon(NO_EBPF)
    web = h.tasks.run("web", h.host, start=False)
    group, first = h.tasks.group(web), h.tasks._made[web][1]
    for name in ("init", "beside"):
        (group / name).mkdir()
    (group / "init" / "cgroup.procs").write_text(str(first.pid))
    h.docker.start(web, first.pid)
    wait_for(lambda: groups.roads(group / "init", h.host, "tcp4") == {"tcp4": "OK"}, "the exception")
    assert groups.roads(group / "beside", h.host, "tcp4") == h.roads(web, "tcp4") == {"tcp4": "OK"}


def test_many_exceptions_are_not_cut(h):
    """More than a configuration holds: each has its address, its routing rule and its row."""
    h.configure("allow = family:web")
    h.daemon()
    n = 70
    ids = [h.tasks.run(f"web{i}", h.host, network="bridge", address=f"172.17.1.{i + 1}") for i in range(n)]

    def listed():
        return h.host.run("nft", "list", "set", "inet", "batten", "allow4").stdout.count("172.17.1.")
    wait_for(lambda: listed() == n, "all addresses")
    assert h.host.run("ip", "rule").stdout.count("172.17.1.") == n
    assert h.roads(ids[-1], "tcp4", "tcp6") == {"tcp4": "OK", "tcp6": "OK"}
    for id in ids[10:]:
        h.tasks.stop(id)
    wait_for(lambda: listed() == 10, "those that ended to go")
    assert h.host.run("ip", "rule").stdout.count("172.17.1.") == 10


@pytest.mark.parametrize("options", [[], [NO_EBPF]], ids=["ebpf", "table"])
def test_exceptions_that_come_and_go_under_a_hammering_client(h, options):
    """When `remove` has returned nothing gets through, nor did a neighbour ever; a connection from
    before is cut. On the way no packet is left to a routing rule, whose ICMP comes at a limited rate: who
    got none would wait."""
    h.daemon(*options)
    space, where = h.on_bridge()
    other_space, other_where = h.on_bridge("user")
    web = h.tasks.run("web", space, **where)
    other = h.tasks.run("other", other_space, family="other", **other_where)

    def hammer(task, where, seconds):
        p = groups.start(h.tasks.group(task), where, lab.TOOLS / "hammer", "-t", "200", "-s", seconds, lab.IMDS4, "80",
                         stdout=-1)
        assert p.stdout.readline() == "up\n"
        return p

    def tally(p):
        p.send_signal(signal.SIGTERM)
        return json.loads(p.communicate(timeout=60)[0])
    h.batten("imds", "allow", "add", "container:web")
    wait_for(lambda: h.reach(web, space), "the exception")
    h.batten("imds", "allow", "remove", "container:web")
    beside, during = hammer(other, other_space, 600), hammer(web, space, 600)
    for _ in range(4):
        for _ in range(5):
            h.batten("imds", "allow", "add", "container:web")
            h.batten("imds", "allow", "remove", "container:web")
        after = json.loads(hammer(web, space, 1).communicate(timeout=60)[0])
        assert after["attempts"] > 0 and after["successes"] == 0, after
    during, beside = tally(during), tally(beside)
    assert during["successes"] > 0 and during["unreachable"] == 0, during
    assert beside["successes"] == 0 and beside["attempts"] > 100, beside
    h.batten("imds", "allow", "add", "container:web")
    wait_for(lambda: h.reach(web, space), "the service, which was busy with the hammer")
    old = groups.start(h.tasks.group(web), space, sys.executable, "-S", "-E", "-c", STAY_CONNECTED, stdin=-1, stdout=-1)
    assert old.stdout.readline() == "answered\n"
    h.batten("imds", "allow", "remove", "container:web")
    before = h.ecs.uplink.arrivals()
    old.stdin.write("\n")
    old.stdin.flush()
    assert old.stdout.readline() == "nothing\n"
    assert h.ecs.uplink.arrivals() == before, "not one packet of it either"


STAY_CONNECTED = """
import socket, sys
s = socket.create_connection(("169.254.169.254", 80)); s.settimeout(2)
def ask():
    try:
        s.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        return "answered" if s.recv(1000) else "nothing"
    except OSError:
        return "nothing"
print(ask(), flush=True); sys.stdin.readline(); print(ask(), flush=True)
"""


@pytest.mark.parametrize("options", [[], [NO_EBPF]], ids=["ebpf", "table"])
def test_an_allowed_container_sees_no_gap_when_the_daemon_restarts(h, options):
    """Not even while Docker does not answer; and who ended meanwhile has left nothing open."""
    daemon = h.daemon(*options)
    space, where = h.on_bridge()
    user, user_where = h.on_bridge("user")
    web = h.tasks.run("web", space, **where)
    second = h.tasks.run("second", user, family="web", **user_where)
    h.batten("imds", "allow", "add", "family:web")
    wait_for(lambda: h.reach(web, space) and h.reach(second, user), "the exception")
    p = groups.start(h.tasks.group(web), space, lab.TOOLS / "hammer", "-t", "5000", lab.IMDS4, "80", stdout=-1)
    assert p.stdout.readline() == "up\n"
    for mood in ("well", "hang", "garbage"):
        h.docker.mood = mood
        if mood == "garbage":  # the second ends while nobody looks
            daemon.kill()
            daemon.wait()
            h.tasks._made[second][1].kill()
            h.tasks._made[second][1].wait()
        else:
            daemon.terminate()
            daemon.wait()
        daemon = h.daemon(*options)
        assert space.address in h.host.run("ip", "rule").stdout
    assert user.address not in h.host.run("ip", "rule").stdout
    p.send_signal(signal.SIGTERM)
    tally = json.loads(p.communicate(timeout=60)[0])
    assert tally["successes"] == tally["attempts"] > 0, tally
    # Its end is the kernel's word, Docker says nothing.
    h.tasks._made[web][1].kill()
    h.tasks._made[web][1].wait()
    wait_for(lambda: space.address not in h.host.run("ip", "rule").stdout, "the address to go")
    # Nor does a removed exception come back from there.
    h.docker.mood = "well"
    third = h.tasks.run("third", space, family="web", **where)
    hosted = h.tasks.run("hosted", h.host, family="web")
    opened = ["OK", "OK"]
    wait_for(lambda: h.reach(third, space) and list(h.roads(hosted, "tcp4", "tcp6").values()) == opened, "both")
    daemon.kill()
    daemon.wait()
    h.docker.mood = "hang"
    (h.scratch / "state" / "imds-allow.json").unlink()
    h.daemon(*options)
    assert not h.reach(third, space)
    wait_for(lambda: "OK" not in h.roads(hosted, "tcp4", "tcp6").values(), "the row to be closed")
