# SPDX-License-Identifier: GPL-3.0-or-later
"""A cgroup2 hierarchy to play with: one group of the machine's own hierarchy stands for the root,
mounted in a private view, and is removed with all that is in it."""
import json
import os
import pathlib
import subprocess
import sys
import time

import lab

CLIENT = pathlib.Path(__file__).parent / "group_client.py"
SLICE = "ecstasks.slice"


class Groups:
    """with Groups(host, scratch) as g: g.root stands for /sys/fs/cgroup, g.pins lies in a bpffs.
    @host is a space with a mount view of its own."""

    def __init__(self, host, scratch):
        self.host, self.scratch = host, scratch

    def __enter__(self):
        mount, bpf = self.scratch / "cgroup2", self.scratch / "bpf"
        for directory, kind in ((mount, "cgroup2"), (bpf, "bpf")):
            directory.mkdir()
            p = self.host.run("mount", "-t", kind, "none", directory, check=False)
            lab.need(p.returncode == 0, f"cannot mount {kind}: {p.stderr}")
        self.pins = bpf / "batten"
        self._inside = mount / f"batten-test-{os.getpid()}-{id(self):x}"
        # Outside of the view the same hierarchy may be mounted nowhere: go through the holder's root.
        self.root = pathlib.Path(f"/proc/{self.host.pid}/root{self._inside}")
        self.root.mkdir()
        return self

    def __exit__(self, *_):
        for _ in range(200):
            if self._remove(self.root):
                return
            time.sleep(0.01)
        raise AssertionError(f"left behind: {self._inside}")

    def _remove(self, group):
        (group / "cgroup.kill").write_text("1")
        for child in [c for c in group.iterdir() if c.is_dir()]:
            self._remove(child)
        try:
            group.rmdir()
            return True
        except OSError:
            return False

    def make(self, name):
        group = self.root / name
        group.mkdir(parents=True, exist_ok=True)
        return group

    def guard(self, *arguments, slice=SLICE, check=True):
        """The test tool on this hierarchy."""
        return self.host.run(lab.TOOLS / "cgroup-guard", self.pins, self._inside, slice, *arguments, check=check)

    def inside(self, group):
        """The group's path as the host's view has it."""
        return self._inside / group.relative_to(self.root)

    def totals(self):
        return json.loads(self.guard("totals").stdout)


def enter(group, space):
    """For preexec_fn: into the group first, for the way to it leads through our own view."""
    def go():
        (group / "cgroup.procs").write_text("0")
        space.enter()
    return go


def roads(group, space, *which, timeout=1.0, env=None):
    """{road: errno name or "OK"} as a process in @group and the namespace of @space sees them."""
    p = subprocess.run([sys.executable, "-S", "-E", CLIENT, str(timeout), *which], preexec_fn=enter(group, space),
                       text=True, capture_output=True, timeout=60, env=env)
    assert p.returncode == 0, p.stderr
    return json.loads(p.stdout)


def start(group, space, *command, **options):
    """In the background; ends with the space."""
    options.setdefault("text", True)
    p = subprocess.Popen([str(c) for c in command], preexec_fn=enter(group, space), **options)
    space._children.append(p)
    return p
