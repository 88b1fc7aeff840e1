# SPDX-License-Identifier: GPL-3.0-or-later
"""Every road, through the commands and the daemon: host-network tasks, awsvpc tasks, exceptions."""
import json
import os
import pathlib
import signal
import time

import pytest

import docker_standin
import ecs_host
import groups
import lab
import task_host


@pytest.fixture
def h(spaces, scratch):
    with task_host.make(spaces, scratch) as host:
        yield host


def test_block_closes_host_network_and_awsvpc_tasks(h):
    web, own = h.tasks.run("web", h.host), ecs_host.awsvpc_task(h.spaces, h.ecs)
    vpc = h.tasks.run("vpc", own)
    assert set({**h.roads(web), **h.roads(vpc, space=own)}.values()) == {"OK"}
    h.batten("imds", "block")
    assert set(h.roads(web).values()) == {"EPERM"} == set(h.roads(vpc, space=own).values())
    assert groups.roads(h.tree.make("system.slice/ssm.service"), h.host, "tcp4", "tcp6") == {"tcp4": "OK", "tcp6": "OK"}
    layers = h.layers()
    for family, packets in (("ipv4", 14), ("ipv6", 8)):
        row = layers["cgroup-ebpf", family]
        assert row["state"] == "active" and row["packets"] == packets, layers
    h.batten("imds", "block")
    h.batten("imds", "unblock")
    assert h.roads(web, "tcp4", "tcp6") == {"tcp4": "OK", "tcp6": "OK"}
    assert h.layers()["cgroup-ebpf", "ipv4"]["state"] == "missing"


def test_each_way_to_be_without_the_layer_is_said(h):
    def reason(*arguments):
        h.batten("imds", "block", *arguments)
        row = {(x["layer"], x["family"]): x for x in json.loads(h.batten(
            "imds", "status", "--json", *arguments, check=False).stdout)["layers"]}["cgroup-ebpf", "ipv6"]
        return row["state"], row["reason"]
    assert reason("--assume-feature=-cgroup-ebpf") == ("off", "turned off by --assume-feature")
    h.configure("cgroup-ebpf = no")
    assert reason() == ("off", "cgroup-ebpf = no")
    h.config.write_text(f"[imds]\nbpf-dir = {h.tree.pins}\n")
    state, why = reason()
    assert state == "off" and "cgroup-root" in why
    h.config.write_text(f"[imds]\ncgroup-root = {h.tree.inside(h.tree.root)}\nbpf-dir = {h.scratch}/plain\n")
    state, why = reason()
    assert state == "off" and "bpffs" in why


def line_number(h, line):
    return h.config.read_text().splitlines().index(line) + 1


@pytest.mark.parametrize("line, words", [
    ("allow = web", "container:NAME"), ("allow = label:x", "container:NAME"), ("slices = a/b", "no name of a group"), ("slices = a,,b", "no name of a group"),
    ("cgroup-root = here", "absolute path"), ("bpf-dir = ../bpf", "absolute path")])
def test_bad_settings_are_named_with_their_line(h, line, words):
    h.configure(line) if not line.startswith(("cgroup", "bpf")) else h.config.write_text(f"[imds]\n\n\n{line}\n")
    p = h.batten("imds", "block", check=False)
    assert p.returncode == 2 and words in p.stderr and f"{h.config}:{line_number(h, line)}" in p.stderr and p.stderr.count("\n") == 1


def reload(h, daemon):
    before = h.log().count("configuration read again")
    daemon.send_signal(signal.SIGHUP)
    h.wait_log("configuration read again", before + 1)


@pytest.mark.parametrize("restart", [False, True])
def test_a_slice_that_is_named_no_more_is_let_go(h, restart):
    """Who named too much takes it back, and has not to boot the host for it: the maps outlive the daemon."""
    service = h.tree.make("system.slice/ssm.service")
    task = h.tree.make("ecstasks.slice/ecstasks-1.slice")
    h.configure("slices = ecstasks.slice, system.slice")
    daemon = h.daemon()
    assert groups.roads(service, h.host, "tcp4") == {"tcp4": "EPERM"} == groups.roads(task, h.host, "tcp4")
    h.configure()
    if restart:
        daemon.terminate()
        daemon.wait()
        h.daemon()
    else:
        reload(h, daemon)
    assert groups.roads(service, h.host, "tcp4") == {"tcp4": "OK"}
    assert groups.roads(task, h.host, "tcp4") == {"tcp4": "EPERM"}


def test_the_slice_is_the_one_below_the_root(h):
    """What a container names like it, in groups of its own or of its parent's, is guarded by no slice's row."""
    h.daemon()
    id = h.docker.new_id()
    elsewhere = h.tree.make(f"pods/ecstasks.slice/{id}")
    p = groups.start(elsewhere, h.host, "sleep", "1000")
    h.docker.add("odd", p.pid, "host", id=id)
    h.docker.start(id, p.pid)
    web = h.tasks.run("web", h.host, role="plain")
    h.wait_known("odd", "web")
    assert groups.roads(elsewhere, h.host, "tcp4") == {"tcp4": "EPERM"} == h.roads(web, "tcp4")
    own = h.tree.make(h.tasks.group(web) / "ecstasks.slice" / "x")
    (own / "cgroup.procs").write_text((h.tasks.group(web) / "cgroup.procs").read_text().split()[0])
    h.docker.event("update", web)
    h.batten("imds", "allow", "add", "container:nobody")
    h.wait_known("web")
    assert groups.roads(own, h.host, "tcp4") == {"tcp4": "EPERM"}


def test_an_exception_follows_its_container(h):
    space, where = h.on_bridge()
    h.daemon()
    web = h.tasks.run("web", space, **where)
    other_space, other_where = h.on_bridge("user")
    other = h.tasks.run("other", other_space, family="other", **other_where)
    assert not h.reach(web, space) and not h.reach(other, other_space)
    h.batten("imds", "allow", "add", "family:web")
    lab.wait_for(lambda: h.reach(web, space), "the exception")
    assert not h.reach(other, other_space), "for that container alone"
    rows = json.loads(h.batten("imds", "allow", "list", "--json").stdout)["allow"]
    probed = h.host.json(lab.BATTEN, "imds", "probe", "--anywhere", "--json", "--docker", h.docker.url, "--timeout", "1s",
                         "--config", h.config)
    assert {(r["container"], r["outcome"]) for r in probed["results"] if r["target"] == lab.IMDS4} == \
        {("web", "allowed"), ("other", "blocked")} and probed["reachable"] == 0
    assert rows[0]["rule"] == "family:web" and rows[0]["containers"] == ["web"] and rows[0]["since"] > 0 and rows[0]["by"]
    p = h.batten("imds", "allow", "add", "family:web", check=False)
    assert p.returncode == 2 and "already" in p.stderr
    assert space.address in h.host.run("ip", "rule").stdout
    # It ends: its address, which somebody else may get, is closed before that.
    h.tasks.stop(web)
    lab.wait_for(lambda: space.address not in h.host.run("ip", "rule").stdout, "the rule to go")
    assert space.address not in h.host.run("nft", "list", "set", "inet", "batten", "allow4").stdout
    successor = h.tasks.run("successor", space, family="other", **where)
    assert not h.reach(successor, space)
    h.batten("imds", "allow", "remove", "family:web")
    assert h.batten("imds", "allow", "remove", "family:web", check=False).returncode == 2


def test_who_is_left_of_an_exception_is_none(h):
    """With the host's processes beside it, say: the first ends, the group and who is in it stay."""
    h.configure("allow = container:web")
    h.daemon()
    web = h.tasks.run("web", h.host, role="plain")
    lab.wait_for(lambda: h.roads(web, "tcp4") == {"tcp4": "OK"}, "the exception")
    groups.start(h.tasks.group(web), h.host, "sleep", "1000")
    h.tasks.stop(web)
    h.wait_log("IMDS closed again")
    assert h.roads(web, "tcp4") == {"tcp4": "EPERM"}


@pytest.mark.parametrize("ends", [False, True])
def test_a_container_that_is_renamed_is_no_exception_any_more(h, ends):
    """Without the programs, which would refuse it all the same: its address is not left to who comes next."""
    space, where = h.on_bridge()
    h.configure("allow = container:web", "cgroup-ebpf = no")
    h.daemon()
    web = h.tasks.run("web", space, role="plain", **where)
    lab.wait_for(lambda: h.reach(web, space), "the exception")
    h.docker.containers[web]["Name"] = "/web-old"
    h.docker.event("rename", web)
    lab.wait_for(lambda: not json.loads(h.batten("imds", "allow", "list", "--json").stdout)["allow"][0]["containers"],
                 "its new name to be known")
    if ends:
        h.tasks.stop(web)
    lab.wait_for(lambda: space.address not in h.host.run("ip", "rule").stdout, "the rule to go")
    assert space.address not in h.host.run("nft", "list", "set", "inet", "batten", "allow4").stdout
    assert not h.reach(web, space)
    h.wait_log("IMDS closed again")


def test_every_kind_of_exception(h):
    h.daemon()
    web = h.tasks.run("web", h.host, labels={"team": "ops", f"{docker_standin.ECS}container-name": "app"})
    h.wait_known("web")
    for rule, matches in (("container:web", True), ("container:app", True), ("container:we", False), ("family:web", True),
                          ("family:app", False), ("image:busybox:1", True), ("image:busybox", False),
                          (f"image:sha256:{'1' * 64}", True), (f"image:sha256:{'2' * 64}", False),
                          ("label:team=ops", True), ("label:team=dev", False), ("label:team=", False)):
        h.batten("imds", "allow", "add", rule)
        assert h.roads(web, "tcp4") == {"tcp4": "OK" if matches else "EPERM"}, rule
        row, = json.loads(h.batten("imds", "allow", "list", "--json").stdout)["allow"]
        assert row["rule"] == rule and row["containers"] == (["web"] if matches else []) and row["by"] and row["since"] > 0
        h.batten("imds", "allow", "remove", rule)
        assert h.roads(web, "tcp4") == {"tcp4": "EPERM"}, rule


def test_the_list_says_who_allowed_what_and_when(h):
    h.configure("allow = container:tool")
    h.daemon()
    h.tasks.run("web", h.host)
    h.wait_known("web")
    begin = time.time()
    h.batten("imds", "allow", "add", "family:web", env={**os.environ, "SUDO_USER": "alice"})
    rows = {r["rule"]: r for r in json.loads(h.batten("imds", "allow", "list", "--json").stdout)["allow"]}
    assert rows["family:web"]["by"] == "alice" and begin - 1 <= rows["family:web"]["since"] <= time.time() + 1
    assert "since" not in rows["container:tool"] and rows["container:tool"]["by"]
    text = {line.split()[0]: line for line in h.batten("imds", "allow", "list").stdout.splitlines()}
    assert "alice" in text["family:web"] and "web" in text["family:web"].split("alice")[1], text
    assert time.strftime("%Y-", time.gmtime(begin)) in text["family:web"] and rows["container:tool"]["by"] in text["container:tool"], text


def test_an_exception_survives_the_daemon(h):
    space, where = h.on_bridge()
    web = h.tasks.run("web", space, **where)
    h.configure("allow = container:tool")
    p = h.daemon()
    h.batten("imds", "allow", "add", "image:busybox:1")
    lab.wait_for(lambda: h.reach(web, space), "the exception")
    p.kill()
    p.wait()
    assert h.reach(web, space), "what stands, stands without the daemon"
    h.daemon()
    lab.wait_for(lambda: h.reach(web, space), "the exception to be back")
    assert [r["rule"] for r in json.loads(h.batten("imds", "allow", "list", "--json").stdout)["allow"]] == \
        ["container:tool", "image:busybox:1"]


@pytest.mark.parametrize("text", ["", "{", '{"allow": [{"rule": "nonsense"}]}', '{"allow": [{}]}'])
def test_exceptions_that_cannot_be_read_are_none(h, text):
    """And keep no daemon from starting; the file is put aside, for the next exception writes it anew."""
    state = h.scratch / "state"
    state.mkdir()
    (state / "imds-allow.json").write_text(text)
    h.daemon()
    assert json.loads(h.batten("imds", "allow", "list", "--json").stdout)["allow"] == []
    assert "cannot be read" in h.log() and (state / "imds-allow.json.bad").read_text() == text
    h.batten("imds", "allow", "add", "family:web")
    assert json.loads((state / "imds-allow.json").read_text())["allow"][0]["rule"] == "family:web"


def test_a_host_network_exception_is_for_its_cgroup(h):
    daemon = h.daemon()
    h.configure("allow = label:team=ops")
    one, two = h.tasks.run("one", h.host, labels={"team": "ops"}), h.tasks.run("two", h.host)
    assert h.roads(one, "tcp4") == {"tcp4": "EPERM"}
    daemon.send_signal(signal.SIGHUP)
    lab.wait_for(lambda: h.roads(one, "tcp4", "tcp6") == {"tcp4": "OK", "tcp6": "OK"}, "the exception")
    assert h.roads(two, "tcp4") == {"tcp4": "EPERM"}


def test_a_moved_address_is_not_borrowed(h):
    """A neighbour with NET_ADMIN takes the allowed one's address on the same bridge."""
    space, where = h.on_bridge()
    h.configure("allow = container:web")
    h.daemon()
    web = h.tasks.run("web", space, **where)
    lab.wait_for(lambda: h.reach(web, space), "the exception")
    thief_space = h.spaces.new("thief")
    ecs_host.commands(h.host, f"link add vethT type veth peer name eth0 netns {thief_space.pid}",
                      f"link set vethT master {space.bridge}", "link set vethT up")
    ecs_host.commands(thief_space, "link set eth0 up")
    thief = h.tasks.run("thief", thief_space, network="bridge", address="172.17.0.9", role="plain")
    h.wait_log("following Docker")
    ecs_host.commands(space, f"addr del {space.address}/16 dev eth0")
    ecs_host.commands(thief_space, f"addr add {space.address}/16 dev eth0", f"route add default via {space.gateway}")
    ipv4 = ("tcp4", "udp4", "icmp_raw", "whole_packet")
    lab.wait_for(lambda: set(h.roads(thief, *ipv4, space=thief_space).values()) == {"EPERM"}, "the thief's row")


def test_docker_run_and_the_agent(h):
    """Outside of the slice: docker run is guarded once it runs, the ECS agent never."""
    h.daemon()
    plain = h.tasks.run("plain", h.host, role="plain")
    agent = h.tasks.run("whatever", h.host, role="plain", mounts=[
        {"Type": "bind", "Source": s, "Destination": d} for s, d in (
            ("/var/lib/ecs/data", "/data"), ("/var/log/ecs", "/log"), ("/proc", "/host/proc"))])
    lab.wait_for(lambda: h.roads(plain, "tcp4") == {"tcp4": "EPERM"}, "the row of docker run")
    assert h.roads(agent, "tcp4", "tcp6") == {"tcp4": "OK", "tcp6": "OK"}


def test_who_tried(h):
    h.daemon()
    web = h.tasks.run("web", h.host)
    h.wait_log("following Docker")
    lab.wait_for(lambda: h.roads(web, "tcp6") and h.events(), "an event")
    e = h.events()[-1]
    c = h.docker.containers[web]["Config"]["Labels"]
    assert e["schema"] == "batten.event/1" and e["kind"] == "imds.blocked" and e["layer"] == "cgroup-ebpf"
    assert e["container"] == "web" and e["family"] == "web" and e["image"] == "busybox:1"
    assert e["task_arn"] == c["com.amazonaws.ecs.task-arn"] and e["process"].startswith("python3")
    assert e["destination"] == lab.IMDS6 and e["port"] == 80 and e["certainty"] == "certain"
    nested = h.tree.make(h.tasks.group(web).relative_to(h.tree.root) / "nested")
    assert groups.roads(nested, h.host, "icmp_raw") == {"icmp_raw": "EPERM"}
    e = lab.wait_for(lambda: next((e for e in h.events() if e["hook"] == "egress4"), None), "the nested group's event")
    assert e["container"] == "web", "what a container makes inside its group is the container's"
    for _ in range(3):  # counted, whatever the events leave out
        h.roads(web, "tcp4")
    p = h.host.json(lab.BATTEN, "imds", "status", "--json", "--config", h.config, "--runtime-dir", h.runtime)
    assert [(row["container"], row["count"]) for row in p["tried"] if "container" in row] == [("web", 4)], p["tried"]
    assert sum(row["count"] for row in p["tried"]) == 5 and "Refused by cgroup-ebpf: web 4" in h.batten("imds", "status").stdout
    assert "container=web" in h.log() and "web tried to reach" in h.batten("events").stdout


@pytest.mark.parametrize("mood", ["hang", "garbage", "error", "cut", "endless", "types"])
def test_docker_in_a_bad_mood_changes_nothing(h, mood):
    """The guard stands, the daemon answers at once, and follows again when Docker is well."""
    web = h.tasks.run("web", h.host)
    h.docker.mood = mood
    h.daemon()
    assert h.roads(web, "tcp4") == {"tcp4": "EPERM"}
    assert h.layers()["forward", "ipv4"]["state"] == "active"
    h.docker.mood = "well"
    h.batten("imds", "allow", "add", "container:web")
    lab.wait_for(lambda: h.roads(web, "tcp4") == {"tcp4": "OK"}, "the daemon to follow Docker", timeout=20)
    # A stream of nonsense, then its end: followed again.
    h.docker.raw_event(b"\xff{]\n" + b"[1]\n" + b'{"Type": 3}\n' + b"x" * 300000)
    h.docker.cut_streams()
    h.tasks.stop(web)
    second = h.tasks.run("web", h.host)
    lab.wait_for(lambda: h.roads(second, "tcp4") == {"tcp4": "OK"}, "the second one", timeout=20)


def test_a_container_that_ends_while_docker_hangs(h):
    space, where = h.on_bridge()
    h.configure("allow = container:web")
    web = h.tasks.run("web", space, **where)
    h.daemon()
    lab.wait_for(lambda: h.reach(web, space), "the exception")
    h.docker.mood = "hang"
    h.tasks._made[web][1].kill()
    lab.wait_for(lambda: space.address not in h.host.run("ip", "rule").stdout, "the kernel's word to be enough")


def test_docker_comes_and_goes(h):
    """No socket, then one; then the socket is made anew, as a restart of Docker does."""
    web = h.tasks.run("web", h.host)
    h.configure("allow = container:web")
    h.docker.__exit__()
    h.docker.mood = "away"
    h.daemon()
    assert h.roads(web, "tcp4") == {"tcp4": "EPERM"}
    h.docker.mood = "well"
    for _ in range(2):
        with h.docker:
            lab.wait_for(lambda: h.docker.listeners == 1, "the daemon to find Docker")
            lab.wait_for(lambda: h.roads(web, "tcp4") == {"tcp4": "OK"}, "the exception")
        assert h.roads(web, "tcp4") == {"tcp4": "OK"}, "what runs stays allowed while Docker is away"


def test_packets_that_the_table_refused_are_told_as_claims(h):
    """A bridged container where the cgroup layer is off; then a neighbour that writes its address."""
    h.configure("cgroup-ebpf = no")
    h.daemon()
    space, where = h.on_bridge()
    h.tasks.run("web", space, **where)
    h.wait_log("following Docker")
    assert lab.connect(space, lab.IMDS4)[0] == "ECONNREFUSED"
    e = lab.wait_for(h.events, "an event")[-1]
    assert e["layer"] == "prerouting" and e["source"] == space.address and e["device"] == space.bridge
    assert e["destination"] == lab.IMDS4 and e["port"] == 80 and e["certainty"] == "claimed"
    assert "[claimed]" in h.batten("events").stdout
    assert lab.connect(h.ecs.containers["user"], lab.IMDS6)[0] == "ECONNREFUSED"
    lab.wait_for(lambda: any(e["destination"] == lab.IMDS6 for e in h.events()), "the event of IPv6")


def test_without_ebpf_the_output_hook_takes_over(h):
    """Forced off: host-network tasks are refused by the firewall, and a slice made anew at once again."""
    h.daemon("--assume-feature=-cgroup-ebpf")
    assert h.layers()["output", "ipv4"]["reason"] == "there is no slice of tasks yet"
    web = h.tasks.run("web", h.host)
    lab.wait_for(lambda: h.roads(web, "tcp4", "tcp6") == {"tcp4": "ECONNREFUSED", "tcp6": "ECONNREFUSED"}, "the rule")
    assert groups.roads(h.tree.make("system.slice/ssm.service"), h.host, "tcp4", "tcp6") == {"tcp4": "OK", "tcp6": "OK"}
    layers = h.layers()
    assert layers["output", "ipv4"]["state"] == "degraded" and layers["output", "ipv4"]["packets"] > 0
    assert layers["output", "ipv4"]["reason"] == "a slice that is made anew is open until its rule is renewed"
    e = lab.wait_for(lambda: next((e for e in h.events() if e["destination"] == lab.IMDS6), None), "an event")
    assert e["layer"] == "output" and e["certainty"] == "claimed" and e["port"] == 80, e
    assert layers["cgroup-ebpf", "ipv4"]["state"] == "off"
    h.tasks.stop(web)
    h.tree._remove(h.tree.root / groups.SLICE)
    again = h.tasks.run("again", h.host)
    lab.wait_for(lambda: h.roads(again, "tcp4") == {"tcp4": "ECONNREFUSED"}, "the rule of the new slice")
    # And without that feature too, status says so.
    p = h.host.batten("imds", "plan", "--format", "json", "--config", h.config, "--assume-feature=-cgroup-ebpf",
                      "--assume-feature=-socket-cgroup")
    row = next(x for x in json.loads(p.stdout)["layers"] if x["layer"] == "output")
    assert not row["wanted"] and row["reason"] == "turned off by --assume-feature"


def test_with_ebpf_the_output_hook_is_not_needed(h):
    h.batten("imds", "block")
    row = h.layers()["output", "ipv6"]
    assert row["state"] == "off" and "not needed" in row["reason"]


@pytest.mark.parametrize("mode", ["verify", "enforce", "no"])
def test_routes_of_awsvpc_tasks(h, mode):
    """verify tells of a road that the task's routes leave open, enforce closes it there."""
    h.configure(f"awsvpc = {mode}", "cgroup-ebpf = no")
    h.daemon()
    assert h.layers()["awsvpc", "ipv4"]["state"] == "off"
    own = ecs_host.awsvpc_task(h.spaces, h.ecs)
    pause = h.tasks.run("pause", own, network="none")
    h.tasks.run("report", own, network=f"container:{pause}")
    wanted = {"verify": "degraded", "enforce": "active", "no": "off"}[mode]
    for family in ("ipv4", "ipv6"):
        lab.wait_for(lambda: h.layers()["awsvpc", family]["state"] == wanted, f"{family} to be {wanted}")
    closed = "EINVAL" if mode == "enforce" else "OK"
    assert (lab.connect(own, lab.IMDS4)[0], lab.connect(own, lab.IMDS6)[0]) == (closed, closed)
    opened = [e for e in h.events() if e["kind"] == "imds.road-open"]
    assert [e["container"] for e in opened] == (["report"] if mode == "verify" else [])
    if mode == "verify":  # what ECS_AWSVPC_BLOCK_IMDS makes, is found in the next container of the task
        ecs_host.commands(own, f"route add blackhole {lab.IMDS4}", f"route add blackhole {lab.IMDS6}")
        h.tasks.stop(next(i for i, c in h.docker.containers.items() if c["Name"] == "/report"))
        h.tasks.run("second", own, network=f"container:{pause}")
        lab.wait_for(lambda: h.layers()["awsvpc", "ipv6"]["state"] == "active", "the blackholes to be found")


def blackholes(space):
    return sum(space.run("ip", f"-{v}", "route", "show", "type", "blackhole").stdout.count("blackhole") for v in (4, 6))


def awsvpc(h, *names):
    """A task of containers that share an interface of their own: its namespace, and their ids."""
    own = ecs_host.awsvpc_task(h.spaces, h.ecs)
    pause = h.tasks.run("pause", own, network="none")
    return own, [h.tasks.run(name, own, network=f"container:{pause}") for name in names]


def of(h, id, space):
    return h.roads(id, "tcp4", "tcp6", space=space)


OPEN, CLOSED, REFUSED = ({"tcp4": e, "tcp6": e} for e in ("OK", "EINVAL", "EPERM"))


def test_enforced_routes_do_not_close_an_exception(h):
    """Routes belong to all containers of a task: where one is allowed ours go, and the programs refuse the others."""
    h.configure("awsvpc = enforce")
    h.daemon()
    own, (web, side) = awsvpc(h, "web", "side")
    lab.wait_for(lambda: blackholes(own) == 2, "the routes")
    h.batten("imds", "allow", "add", "container:web")
    lab.wait_for(lambda: blackholes(own) == 0, "ours to go")
    lab.wait_for(lambda: of(h, web, own) == OPEN, "the exception")
    assert of(h, side, own) == REFUSED
    row = lab.wait_for(lambda: next((r for r in [h.layers()["awsvpc", "ipv6"]] if "left open" in r.get("reason", "")), None),
                       "the status to say so")
    assert row["state"] == "active" and "left open for web" in row["reason"] and "cgroup-ebpf" in row["reason"], row
    assert not [e for e in h.events() if e["kind"] == "imds.road-open"]
    # Back again, by the end of the exception and by that of the container.
    h.batten("imds", "allow", "remove", "container:web")
    lab.wait_for(lambda: blackholes(own) == 2, "the routes to be back")
    h.batten("imds", "allow", "add", "container:web")
    lab.wait_for(lambda: blackholes(own) == 0, "ours to go again")
    h.tasks.stop(web)
    lab.wait_for(lambda: blackholes(own) == 2, "the routes to be back")
    # Allowed from its start.
    h.batten("imds", "allow", "add", "container:late")
    late = h.tasks.run("late", own, network=f"container:{next(iter(h.docker.containers))}")
    lab.wait_for(lambda: of(h, late, own) == OPEN, "the exception of who came later")
    assert of(h, side, own) == REFUSED


def test_routes_that_are_not_ours_stay(h):
    """Those of ECS_AWSVPC_BLOCK_IMDS close the exception as well: the status says whose they are."""
    h.configure("awsvpc = enforce", "allow = container:web")
    h.daemon()
    own = ecs_host.awsvpc_task(h.spaces, h.ecs)
    ecs_host.commands(own, f"route add blackhole {lab.IMDS4}", f"route add blackhole {lab.IMDS6}")
    h.tasks.run("web", own, network="container:" + h.tasks.run("pause", own, network="none"))
    for family in ("ipv4", "ipv6"):
        lab.wait_for(lambda: "not batten's" in h.layers()["awsvpc", family].get("reason", ""), "the status to say whose")
    assert blackholes(own) == 2


def test_a_task_s_own_route_is_neither_kept_nor_lost(h):
    """A host route to the service: ours comes before it, and leaves it behind."""
    h.configure("awsvpc = enforce", "cgroup-ebpf = no")
    h.daemon()
    own = ecs_host.awsvpc_task(h.spaces, h.ecs)
    gateway4 = own.run("ip", "-4", "route", "show", "default").stdout.split()[2]
    gateway6 = own.run("ip", "-6", "route", "show", "default").stdout.split()[2]
    ecs_host.commands(own, f"route add {lab.IMDS4} via {gateway4}", f"route add {lab.IMDS6} via {gateway6}")
    web = h.tasks.run("web", own, network="container:" + h.tasks.run("pause", own, network="none"))
    lab.wait_for(lambda: of(h, web, own) == CLOSED, "our routes")
    h.batten("imds", "allow", "add", "container:web")
    lab.wait_for(lambda: of(h, web, own) == OPEN, "ours to go")
    assert f"{lab.IMDS4} via {gateway4}" in own.run("ip", "-4", "route").stdout
    assert f"{lab.IMDS6} via {gateway6}" in own.run("ip", "-6", "route").stdout


def test_without_the_programs_a_shared_namespace_stays_closed(h):
    h.configure("awsvpc = enforce", "cgroup-ebpf = no", "allow = container:web")
    h.daemon()
    own, (web, side) = awsvpc(h, "web", "side")
    lab.wait_for(lambda: "without cgroup-ebpf" in h.layers()["awsvpc", "ipv4"].get("reason", ""), "the status to say why")
    assert of(h, web, own) == of(h, side, own) == CLOSED
    h.tasks.stop(side)
    lab.wait_for(lambda: of(h, web, own) == OPEN, "the last container's road")


def test_unblock_opens_enforced_routes_and_block_closes_them(h):
    h.configure("awsvpc = enforce")
    h.daemon()
    own, (web, _) = awsvpc(h, "web", "side")
    lab.wait_for(lambda: blackholes(own) == 2, "the routes")
    h.batten("imds", "unblock")
    lab.wait_for(lambda: blackholes(own) == 0, "the routes to go")
    assert of(h, web, own) == OPEN
    row = h.layers()["awsvpc", "ipv6"]
    assert (row["state"], row["reason"]) == ("off", "unblocked by an operator"), row
    h.batten("imds", "block")
    lab.wait_for(lambda: blackholes(own) == 2, "the routes to be back")
    assert not [e for e in h.events() if e["kind"] == "imds.road-open"]


def test_a_guard_that_is_switched_off_takes_its_routes_away(h):
    h.configure("awsvpc = enforce")
    daemon = h.daemon()
    own, (web, _) = awsvpc(h, "web", "side")
    lab.wait_for(lambda: blackholes(own) == 2, "the routes")
    h.configure("awsvpc = enforce", "enabled = no")
    reload(h, daemon)
    lab.wait_for(lambda: blackholes(own) == 0, "the routes to go")
    assert of(h, web, own) == OPEN
    row = h.layers()["awsvpc", "ipv6"]
    assert (row["state"], row["reason"]) == ("off", "enabled = no"), row
    h.configure("awsvpc = enforce")
    reload(h, daemon)
    lab.wait_for(lambda: blackholes(own) == 2, "the routes to be back")
    assert not [e for e in h.events() if e["kind"] == "imds.road-open"]


@pytest.mark.parametrize("allowed", [False, True])
def test_while_all_is_open_no_task_gets_routes(h, allowed):
    """Neither one that starts, nor at a reload one that was left open for an exception."""
    h.configure("awsvpc = enforce", *(["allow = container:web"] if allowed else []))
    daemon = h.daemon()
    if not allowed:
        h.batten("imds", "unblock")
    own, (web, side) = awsvpc(h, "web", "side")
    h.wait_known("side")
    if allowed:
        lab.wait_for(lambda: "left open" in h.layers()["awsvpc", "ipv4"].get("reason", ""), "it to be left open")
        h.batten("imds", "unblock")
        daemon.send_signal(signal.SIGHUP)
        h.wait_log("configuration read again")
    for _ in range(10):
        assert of(h, web, own) == of(h, side, own) == OPEN
    h.batten("imds", "block")
    assert of(h, side, own) == REFUSED
    lab.wait_for(lambda: blackholes(own) == (0 if allowed else 2), "the routes as they are to be")
    assert of(h, web, own) == (OPEN if allowed else REFUSED)


def test_the_capabilities_of_the_unit_are_enough(h):
    """With what systemd/batten.service leaves of root: programs, exceptions, awsvpc namespaces."""
    unit = (pathlib.Path(__file__).parent.parent.parent / "systemd" / "batten.service").read_text()
    line = next(li for li in unit.splitlines() if li.startswith("CapabilityBoundingSet="))
    keep = ["+" + word.removeprefix("CAP_").lower() for word in line.split("=")[1].split()]
    h.configure("awsvpc = enforce")
    h.daemon(wrapper=["setpriv", "--bounding-set=-all," + ",".join(keep), "--inh-caps=-all", "--no-new-privs"])
    web, own = h.tasks.run("web", h.host), ecs_host.awsvpc_task(h.spaces, h.ecs)
    h.tasks.run("report", own, network="container:" + h.tasks.run("pause", own, network="none"))
    assert h.roads(web, "tcp4", "icmp_raw") == {"tcp4": "EPERM", "icmp_raw": "EPERM"}
    lab.wait_for(lambda: h.layers()["awsvpc", "ipv4"]["state"] == "active", "the blackholes")
    assert lab.connect(own, lab.IMDS6)[0] == "EINVAL"
    h.batten("imds", "allow", "add", "container:web")
    lab.wait_for(lambda: h.roads(web, "tcp4") == {"tcp4": "OK"}, "the exception")
    assert h.layers()["cgroup-ebpf", "ipv6"]["state"] == "active"


def test_programs_that_cannot_be_installed_leave_the_output_hook(h):
    """A kernel may have eBPF and refuse just these programs: found out only by trying."""
    h.host.run("mkdir", "-p", h.tree.pins / "imds_connect4")  # where a program has to be pinned
    web = h.tasks.run("web", h.host)
    h.daemon()
    layers = h.layers()
    assert layers["cgroup-ebpf", "ipv4"]["state"] == "off"
    assert "cannot pin" in layers["cgroup-ebpf", "ipv4"]["reason"]
    assert layers["output", "ipv4"]["state"] == "degraded"
    assert h.roads(web, "tcp4", "tcp6") == {"tcp4": "ECONNREFUSED", "tcp6": "ECONNREFUSED"}
