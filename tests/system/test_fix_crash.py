# SPDX-License-Identifier: GPL-3.0-or-later
"""batten fix is killed before every system call that changes something, each of them fails in turn, and
the disk is full: a file is the old one or the new one, and the next start puts all in order."""
import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import lab

CALLS = ("openat", "write", "pwrite64", "fsync", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat",
         "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "setxattr", "fsetxattr", "removexattr", "symlinkat",
         "flock", "ftruncate")
OLD = b"# ours\r\nECS_CLUSTER=prod\r\nECS_AWSVPC_BLOCK_IMDS='true'\r\n"
NEW = b"# ours\r\nECS_CLUSTER=prod\r\nECS_AWSVPC_BLOCK_IMDS=true\r\n"


def make_ecs(root):
    (root / "etc/ecs").mkdir(parents=True)
    (root / "etc/ecs/ecs.config").write_bytes(OLD)


def make_docker(root):
    (root / "etc/docker/certs.d").mkdir(parents=True)
    (root / "etc/docker/daemon.json").write_bytes(b"{}\n")
    (root / "etc/docker/daemon.json").chmod(0o666)
    (root / "etc/docker/certs.d").chmod(0o777)
    (root / "etc/docker").chmod(0o775)


def make_nothing(root):
    (root / "etc/ecs").mkdir(parents=True)


# What is mended: one file; several objects of which two stay where they are; a file that comes.
SCENES = {"one file": (make_ecs, "CFG-01"), "several": (make_docker, "DKF-02"), "a new file": (make_nothing, "CFG-16")}


def state_of(root):
    """The tree without the journal, as a value."""
    return {str(p.relative_to(root)): (p.lstat().st_mode, p.lstat().st_uid, p.read_bytes() if p.is_file() else None)
            for p in root.rglob("*") if root / "var" not in (p, *p.parents)}


def command(root, *arguments):
    return [lab.BATTEN, "fix", "--root", str(root), *arguments]


def run(root, *arguments):
    return subprocess.run(command(root, *arguments), capture_output=True, text=True, timeout=60)


def strace(root, injection, *arguments):
    return subprocess.run(["strace", "-f", "-qq", "-o", str(root.parent / "trace"), "-e", f"trace={','.join(CALLS)}", *injection,
                           *command(root, *arguments)], capture_output=True, text=True, timeout=60)


def changing_calls(root, *arguments):
    """(name, n): the calls of a whole run that change something; n counts the calls of that name."""
    p = strace(root, (), *arguments)
    assert p.returncode in (0, 1), p.stderr
    count, found = {}, []
    for line in (root.parent / "trace").read_text().splitlines():
        m = re.match(r"\d+ +(\w+)\((.*)", line)
        if not m:
            continue
        name, rest = m.groups()
        count[name] = count.get(name, 0) + 1
        if name == "openat" and not re.search(r"O_CREAT|O_WRONLY|O_RDWR", rest):
            continue
        if name == "write" and rest.startswith(("1,", "2,")):
            continue
        found.append((name, count[name]))
    assert len(found) > 10
    return found


class Scene:
    def __init__(self, name, directory):
        self.make, self.control = SCENES[name]
        self.directory = directory
        self.root = directory / "root"
        self.fresh()
        self.old = state_of(self.root)
        assert run(self.root, "--control", self.control).returncode == 0
        self.new = state_of(self.root)
        assert self.new != self.old

    def fresh(self):
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        self.make(self.root)

    def history(self):
        return json.loads(run(self.root, "--history", "--json").stdout)["fixes"]

    def check_never_a_third(self):
        """Each object is as before or as after; nothing else but a file that has not got its name."""
        for path, seen in state_of(self.root).items():
            if path.endswith(".batten-fix"):
                continue
            assert seen in (self.old.get(path), self.new.get(path)), path

    def check_recovers(self, goal):
        """The next start leaves the old state or the new, and @goal is reached from there."""
        p = run(self.root, "--recover")
        assert p.returncode == 0, p.stderr
        seen = state_of(self.root)
        assert seen in (self.old, self.new)
        assert not list((self.root / "var/lib/batten/fix").glob(".*"))
        states = [f["state"] for f in self.history()]
        assert states == [] and seen == self.old or (seen == self.new) == (states[-1] == "applied"), states
        if goal == "mended":
            assert run(self.root, "--control", self.control).returncode == 0
            assert state_of(self.root) == self.new
        elif seen == self.new:
            assert run(self.root, "--undo", self.history()[-1]["id"]).returncode == 0
            assert state_of(self.root) == self.old


@pytest.fixture(params=list(SCENES))
def scene(request, scratch):
    return Scene(request.param, scratch)


def undo_arguments(scene):
    return "--undo", scene.history()[-1]["id"]


def test_killed_before_every_call_of_a_fix(scene):
    scene.fresh()
    for name, n in changing_calls(scene.root, "--control", scene.control):
        scene.fresh()
        p = strace(scene.root, ("-e", f"inject={name}:signal=KILL:when={n}"), "--control", scene.control)
        assert p.returncode in (137, -9), (name, n, p)
        scene.check_never_a_third()
        scene.check_recovers("mended")


def test_killed_before_every_call_of_an_undo(scene):
    for name, n in changing_calls(scene.root, *undo_arguments(scene)):
        scene.fresh()
        assert run(scene.root, "--control", scene.control).returncode == 0
        p = strace(scene.root, ("-e", f"inject={name}:signal=KILL:when={n}"), *undo_arguments(scene))
        assert p.returncode in (137, -9), (name, n, p)
        scene.check_never_a_third()
        scene.check_recovers("undone")


def test_every_call_fails_in_turn(scene):
    scene.fresh()
    for name, n in changing_calls(scene.root, "--control", scene.control):
        scene.fresh()
        error = "ENOSPC" if name in ("openat", "write", "mkdir", "mkdirat") else "EIO"
        p = strace(scene.root, ("-e", f"inject={name}:error={error}:when={n}"), "--control", scene.control)
        assert p.returncode in (0, 1, 3, 4), (name, n, p)
        scene.check_never_a_third()
        if p.returncode == 4:
            assert state_of(scene.root) == scene.old, (name, n, p)
        scene.check_recovers("mended")


# Run inside of the mount namespace: makes the tree there, leaves so many pages free, mends, tells.
IN_A_SMALL_ROOM = """
import json, os, pathlib, subprocess, sys
sys.path.insert(0, sys.argv[1])
import test_fix_crash as t
make, control = t.SCENES[sys.argv[2]]
root, pages = pathlib.Path(sys.argv[3]), int(sys.argv[4])
make(root)
st = os.statvfs(root)
with open(root / "filler", "wb") as f:
    os.posix_fallocate(f.fileno(), 0, (st.f_bavail - pages) * st.f_bsize)
p = t.run(root, "--control", control)
os.unlink(root / "filler")
state = t.state_of(root)
q = t.run(root, "--recover")
print(json.dumps({"exit": p.returncode, "said": p.stdout + p.stderr, "recovered": q.returncode,
                  "state": repr(sorted(state.items())), "after": repr(sorted(t.state_of(root).items()))}))
"""


def test_the_disk_is_full(request, scene, spaces):
    """A file system with more and more room, from none to enough."""
    s = spaces.new("host", mounts=True)
    room = scene.directory / "room"
    room.mkdir()
    old, new = repr(sorted(scene.old.items())), repr(sorted(scene.new.items()))
    exits = set()
    for pages in range(0, 12):
        s.run("mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "none", room)
        found = s.json(sys.executable, "-c", IN_A_SMALL_ROOM, pathlib.Path(__file__).parent,
                       request.node.callspec.params["scene"], room, pages)
        s.run("umount", room)
        exits.add(found["exit"])
        assert found["exit"] in (0, 3, 4), found
        assert found["state"] in (old, new), found
        assert found["recovered"] == 0 and found["after"] == (new if found["exit"] == 0 else old), found
    assert 0 in exits and exits & {3, 4}
