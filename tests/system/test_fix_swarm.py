# SPDX-License-Identifier: GPL-3.0-or-later
"""batten fix --leave-swarm: real swarms are left when nothing is lost with them; a stand-in of Docker answers nonsense,
hangs up and is slow, and batten is killed before every call. What the journal says in the end is true."""
import json
import re
import shutil
import threading

import pytest

import docker_host
import docker_standin
import lab

NODE = "n0de0ne"


class Fixer:
    """batten fix of DKD-13 with a journal of its own."""

    def __init__(self, space, docker, state):
        self.space, self.docker, self.state = space, docker, state

    def words(self, *arguments):
        return [lab.BATTEN, "fix", "--state-dir", self.state, "--docker", f"unix://{self.docker}", *arguments]

    def run(self, *arguments, check=0):
        p = self.space.run(*self.words(*arguments), check=False, timeout=300)
        assert p.returncode == check, (p.returncode, p.stdout + p.stderr)
        return p

    def fix(self, *arguments, check=0):
        return json.loads(self.run("--control", "DKD-13", "--json", *arguments, check=check).stdout)

    def leave(self, check=0):
        return self.fix("--leave-swarm", check=check)

    def refused(self):
        """The reason; nothing was written down."""
        before = self.history()
        result = self.leave(check=1)
        assert result["fixes"] == [] and self.history() == before
        assert self.run("--control", "DKD-13", "--leave-swarm", "--dry-run").stdout.startswith("# DKD-13 is left: ")
        return result["left"][0]["reason"]

    def history(self):
        return json.loads(self.run("--history", "--json").stdout)["fixes"]


# ---- real swarms

@pytest.fixture
def manager(scratch):
    with docker_host.DockerHost() as host:
        host.docker("swarm", "init", "--advertise-addr", "127.0.0.1")
        yield host


def swarm(host):
    return json.loads(host.docker("info", "--format", "{{json .Swarm}}").stdout)


def test_a_lone_manager_leaves_for_good(manager, scratch):
    f = Fixer(manager.space, manager.socket, scratch / "state")
    node = swarm(manager)["NodeID"]
    left = f.fix(check=1)
    assert left["fixes"] == [] and "--leave-swarm" in left["left"][0]["reason"]
    dry = f.run("--control", "DKD-13", "--leave-swarm", "--dry-run", check=1).stdout
    assert "cannot be undone" in dry and "docker swarm join" in dry and node in dry
    assert swarm(manager)["LocalNodeState"] == "active" and f.history() == []
    told = f.run("--control", "DKD-13", "--leave-swarm").stdout
    assert "mended" in told and "cannot be undone" in told and "--undo" not in told
    assert swarm(manager)["LocalNodeState"] == "inactive"
    [done] = f.history()
    assert done["state"] == "applied" and done["final"] and done["proof"] == {"result": "passed", "reason": "inactive"}
    assert "cannot be undone" in done["files"][0]["change"]
    assert f.leave() == {"schema": "batten.fix/1", "fixes": [], "left": []}
    p = f.run("--undo", done["id"], check=1)
    assert p.stdout == "" and len(p.stderr.splitlines()) == 1
    assert done["id"] in p.stderr and "docker swarm join" in p.stderr and "token of a manager" in p.stderr
    assert f.history() == [done]


def test_what_would_be_lost_is_named_and_kept(manager, scratch):
    f = Fixer(manager.space, manager.socket, scratch / "state")
    things = {"service": ("service", "create", "--detach", "--name", "x", "busybox", "sleep", "1000"),
              "secret": ("secret", "create", "x", "-"), "config": ("config", "create", "x", "-"),
              "network": ("network", "create", "--driver", "overlay", "x")}
    for kind, words in things.items():
        manager.docker(*words, input="text")
        if kind == "service":  # whose container would come after the service went, else
            lab.wait_for(lambda: manager.docker("ps", "-q").stdout, "the service's container", timeout=60)
        reason = f.refused()
        assert f"{kind}s: 1" in reason and "nothing was changed" in reason and "docker swarm leave --force" in reason
        assert [k for k in things if f" {k}s:" in reason] == [kind]
        assert swarm(manager)["LocalNodeState"] == "active"
        manager.docker(kind, "rm", "x")
        lab.wait_for(lambda: not manager.docker("ps", "-q").stdout, "containers of the service to end", timeout=60)
    assert f.leave()["fixes"][0]["state"] == "applied"


def test_a_worker_leaves_without_force(scratch):
    with docker_host.DockerHost() as a, docker_host.DockerHost() as b:
        lab.Spaces.veth(a.space, "swarm0", b.space, "swarm0")
        for host, address in ((a, "10.77.0.1"), (b, "10.77.0.2")):
            host.space.run("ip", "address", "add", f"{address}/24", "dev", "swarm0")
        a.docker("swarm", "init", "--advertise-addr", "10.77.0.1")
        token = a.docker("swarm", "join-token", "-q", "worker").stdout.strip()
        b.docker("swarm", "join", "--advertise-addr", "10.77.0.2", "--token", token, "10.77.0.1:2377")
        of_a = Fixer(a.space, a.socket, scratch / "a")
        of_b = Fixer(b.space, b.socket, scratch / "b")
        node = swarm(b)["NodeID"]
        assert "other nodes: 1" in of_a.refused()
        a.docker("service", "create", "--detach", "--mode", "global", "--constraint", f"node.id=={node}", "--name", "x",
                 "busybox", "sleep", "1000")
        lab.wait_for(lambda: b.docker("ps", "-q").stdout, "the service's container", timeout=60)
        reason = of_b.refused()
        assert "containers of services: 1" in reason and "drain this node" in reason
        assert swarm(b)["LocalNodeState"] == "active" and b.docker("ps", "-q").stdout
        a.docker("node", "update", "--availability", "drain", node)
        lab.wait_for(lambda: not b.docker("ps", "-q").stdout, "the node to be drained", timeout=60)
        assert of_b.leave()["fixes"][0]["state"] == "applied"
        assert "a worker" in of_b.history()[0]["files"][0]["change"]
        assert swarm(b)["LocalNodeState"] == "inactive" and swarm(a)["LocalNodeState"] == "active"


# ---- a stand-in of Docker

class SwarmStandin(docker_standin.DockerStandin):
    """@leave: what becomes of the request to leave: "well", "late" (it is out when told to be), "cut" (out, without an
    answer), "refuse", "mute" (out, and nothing is answered any more) or "again" (out, and in another swarm)."""

    def __init__(self, path):
        super().__init__(path)
        self.whole = True
        self.reset()

    def reset(self):
        self.member, self.manager, self.state, self.leave, self.posts = True, True, "active", "well", []
        self.node, self.mood = NODE, "well"
        self.asked_to_leave, self.may_leave = threading.Event(), threading.Event()
        self.answers = {"networks?filters=%7B%22scope%22%3A%5B%22swarm%22%5D%7D": [{"Id": "i", "Ingress": True}],
                        "nodes": [{"ID": NODE}], "services": [], "secrets": [], "configs": []}

    def _well(self, h, path):
        if path == "info" and path not in self.answers:
            self._answer(h, {**docker_standin.DAEMON["info"], "Swarm": {
                "LocalNodeState": self.state if self.member else "inactive", "NodeID": self.node if self.member else "",
                "ControlAvailable": self.member and self.manager}})
        elif path.startswith("swarm/leave"):
            self.posts.append(path)
            self._leave(h)
        else:
            super()._well(h, path)

    def _leave(self, h):
        self.asked_to_leave.set()
        if self.leave == "refuse":
            self._answer(h, {"message": "not today"}, 503)
            return
        if self.leave == "late":
            self.may_leave.wait()
        self.member = False
        if self.leave == "mute":
            self.mood = "error"
        if self.leave == "again":
            self.member, self.node = True, "another"
        if self.leave != "cut":
            self._answer(h, "")


@pytest.fixture
def standin(scratch):
    with SwarmStandin(scratch / "docker.sock") as d:
        yield d


@pytest.fixture
def fixer(standin, spaces, scratch):
    return Fixer(spaces.new("host"), standin.path, scratch / "state")


def test_force_is_for_managers(standin, fixer):
    assert fixer.leave()["fixes"][0]["state"] == "applied" and standin.posts == ["swarm/leave?force=true"]
    standin.reset()
    standin.manager = False
    for path in ("nodes", "services", "secrets", "configs"):
        del standin.answers[path]
    assert fixer.leave()["fixes"][0]["state"] == "applied" and standin.posts == ["swarm/leave"]


@pytest.mark.parametrize("path", ["nodes", "services", "secrets", "configs", "networks"])
@pytest.mark.parametrize("answer", [None, {}, "text", 7, [{"ID": "another"}], ["x"], [{}]])
def test_nonsense_leaves_nothing(standin, fixer, path, answer):
    name = next(a for a in standin.answers if a.startswith(path))
    standin.answers[name] = answer
    assert fixer.refused()
    assert standin.member and standin.posts == []


def test_nodes_without_this_one_are_nonsense(standin, fixer):
    standin.answers["nodes"] = []
    assert "does not tell other nodes" in fixer.refused() and standin.posts == []


@pytest.mark.parametrize("info", [{"LocalNodeState": "active", "ControlAvailable": True}, {"LocalNodeState": 7},
                                  {"LocalNodeState": "active", "NodeID": ["n"], "ControlAvailable": True}])
def test_a_node_without_a_name_stays(standin, fixer, info):
    standin.answers["info"] = {**docker_standin.DAEMON["info"], "Swarm": info}
    standin.answers["nodes"] = [{}]
    fixer.run("--control", "DKD-13", "--leave-swarm", check=1 if info["LocalNodeState"] == "active" else 0)
    assert standin.posts == [] and fixer.history() == []


@pytest.mark.parametrize("state", ["pending", "locked", "error"])
def test_a_node_that_is_not_active_stays(standin, fixer, state):
    standin.state = state
    assert f"not active but {state}" in fixer.refused() and standin.posts == []


def test_a_docker_that_does_not_answer_is_told(standin, fixer):
    for mood in ("error", "garbage", "cut", "types"):
        standin.mood = mood
        assert fixer.refused()
    standin.mood = "well"
    assert standin.posts == [] and fixer.leave()["fixes"][0]["state"] == "applied"


def test_dockers_no_is_told(standin, fixer):
    standin.leave = "refuse"
    [failed] = fixer.leave(check=4)["fixes"]
    assert failed["state"] == "failed" and "not today" in failed["proof"]["reason"] and standin.member
    assert fixer.history() == [failed]
    assert "not in force" in fixer.run("--undo", failed["id"], check=1).stderr
    standin.leave = "well"
    assert fixer.leave()["fixes"][0]["state"] == "applied"


def test_an_answer_that_was_lost_changes_nothing_of_the_truth(standin, fixer):
    standin.leave = "cut"
    [done] = fixer.leave()["fixes"]
    assert done["state"] == "applied" and done["proof"]["result"] == "passed" and not standin.member


def test_a_docker_that_is_mute_afterwards_is_asked_again(standin, fixer):
    standin.leave = "mute"
    p = fixer.run("--control", "DKD-13", "--leave-swarm", check=3)
    assert "server is sad" in p.stderr and not standin.member
    standin.mood = "well"
    fixer.run("--recover")
    assert [f["state"] for f in fixer.history()] == ["applied"]


def test_what_is_not_proved_and_has_no_way_back_says_so(standin, fixer):
    standin.leave = "again"
    p = fixer.run("--control", "DKD-13", "--leave-swarm", check=4)
    assert "done for good, not proved" in p.stdout and "undone" not in p.stdout.replace("cannot be undone", "")
    [done] = fixer.history()
    assert done["state"] == "applied" and done["proof"]["result"] == "failed"
    assert "manager in a swarm" in done["proof"]["reason"]


# ---- killed

# What writes to the disk, and what talks to Docker.
CALLS = ("openat", "write", "fsync", "rename", "renameat", "renameat2", "mkdir", "flock", "connect", "sendto")


def strace(fixer, log, *injection):
    return fixer.space.run("strace", "-f", "-qq", "-o", log, "-e", f"trace={','.join(CALLS)}", *injection,
                           *fixer.words("--control", "DKD-13", "--leave-swarm"), check=False, timeout=300)


def changing_calls(fixer, log):
    assert strace(fixer, log).returncode == 0
    count, found = {}, []
    for line in log.read_text(errors="replace").splitlines():
        m = re.match(r"(\d+) +(\w+)\((.*)", line)
        if not m:
            continue
        pid, name, rest = m.groups()
        count[pid, name] = count.get((pid, name), 0) + 1
        if name == "openat" and not re.search(r"O_CREAT|O_WRONLY|O_RDWR", rest):
            continue
        if name == "write" and rest.startswith(("1,", "2,")):
            continue
        found.append((name, count[pid, name]))
    return found


def make_old(state):
    """The entries become a minute old: nothing that Docker was asked for is under way any more."""
    for path in state.glob("*.json"):
        entry = json.loads(path.read_text())
        entry["time"] = "2020-01-01T00:00:00Z"
        path.write_text(json.dumps(entry))


@pytest.mark.no_sanitizer  # LeakSanitizer does not work under strace
def test_killed_before_every_call(standin, fixer, scratch):
    calls = changing_calls(fixer, scratch / "log")
    assert {"connect", "fsync", "sendto"} <= {name for name, _ in calls}
    seen = set()
    for name, n in calls:
        shutil.rmtree(fixer.state)
        standin.reset()
        p = strace(fixer, scratch / "log", "-e", f"inject={name}:signal=KILL:when={n}")
        assert p.returncode in (137, -9), (name, n, p)
        make_old(fixer.state)
        fixer.run("--recover")
        states = [f["state"] for f in fixer.history()]
        assert states in ([[], ["interrupted"]] if standin.member else [["applied"]]), (name, n, states)
        seen.add((standin.member, *states))
        fixer.leave()
        assert not standin.member and fixer.history()[-1]["state"] == "applied" and len(standin.posts) == 1, (name, n)
    assert seen == {(True,), (True, "interrupted"), (False, "applied")}


def killed_while_docker_leaves(standin, fixer):
    standin.leave = "late"
    p = fixer.space.start(*fixer.words("--control", "DKD-13", "--leave-swarm"))
    assert standin.asked_to_leave.wait(60)
    p.kill()
    p.wait()


def test_docker_goes_on_when_batten_is_killed(standin, fixer):
    killed_while_docker_leaves(standin, fixer)
    asked = len(standin.asked)
    recovering = fixer.space.start(*fixer.words("--recover"))
    lab.wait_for(lambda: standin.asked[asked:].count("info") >= 2, "the next start to have asked twice", timeout=60)
    standin.may_leave.set()
    assert recovering.wait(60) == 0
    [done] = fixer.history()
    assert done["state"] == "applied" and "cut short by a crash, but done" in done["proof"]["reason"]
    assert "cannot be undone" in fixer.run("--undo", done["id"], check=1).stderr


def test_while_docker_is_down_others_are_mended(standin, fixer):
    killed_while_docker_leaves(standin, fixer)
    standin.mood = "error"
    p = fixer.run("--recover")
    assert "shows when Docker answers" in p.stderr
    assert fixer.history()[0]["proof"]["result"] == "pending"
    standin.mood = "well"
    standin.may_leave.set()
    fixer.run("--recover")
    assert [f["state"] for f in fixer.history()] == ["applied"]
