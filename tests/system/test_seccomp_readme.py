# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's lines that record, generate and enforce, run as they stand there."""
import json
import os
import pathlib
import re
import subprocess

import pytest

import lab
from docker_host import DockerHost

README = (pathlib.Path(__file__).parent.parent.parent / "README.md").read_text()
LINES = next(block.splitlines() for block in re.findall(r"^```\n(.*?)^```", README, re.M | re.S)
             if "seccomp generate" in block and "--security-opt seccomp=" in block)


@pytest.fixture
def shell(scratch):
    """run(line) on a host of its own, where Docker and the daemon have their usual places, and sudo does nothing."""
    tools = scratch / "tools"
    tools.mkdir()
    (tools / "batten").symlink_to(lab.BATTEN)
    (tools / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (tools / "sudo").chmod(0o755)
    config = scratch / "batten.conf"
    config.write_text("[audit]\nenabled = no\n[imds]\nenabled = no\n[seccomp]\nobserve = yes\n")
    with DockerHost() as host:
        space = host.space
        p = space.batten("seccomp", "record", "--", "true", check=False)
        lab.need(p.returncode != 3, p.stderr.strip())
        space.run("ln", "-s", host.socket, "/run/docker.sock")
        space.run("mount", "-t", "tmpfs", "tmpfs", "/var/lib")
        with open(scratch / "log", "w") as log:
            daemon = space.start(lab.BATTEN, "daemon", "--config", config, stderr=log)
        lab.wait_for(lambda: "following Docker" in (scratch / "log").read_text(), "the daemon", timeout=60)
        environment = {"PATH": f"{tools}:{os.environ['PATH']}"}

        def run(line):
            p = subprocess.run(["sh", "-c", line], preexec_fn=space.enter, env=environment, cwd=scratch, text=True,
                               capture_output=True, timeout=120)
            assert p.returncode == 0, (line, p)
            return p
        yield run
        daemon.terminate()
        assert daemon.wait(timeout=60) == 0


def test_recording_generating_and_enforcing_as_the_readme_says(shell):
    assert len(LINES) == 5 and "docker run" in LINES[0], LINES
    record, show, generate, verify, enforce = LINES

    free = shell(record).stdout
    # Docker may have removed the last one before it has told the daemon of it.
    lab.wait_for(lambda: [i["runs"] for i in json.loads(shell("batten seccomp list --json").stdout)["images"]] == [3],
                 "three runs to be stored", timeout=60)
    print(shell(show).stdout, end="")
    assert "busybox" in shell(show).stdout
    print(shell(generate).stderr, end="")
    print(shell(verify).stderr, end="")
    assert shell(enforce).stdout == free[:len(free) // 3], "behaves as without a profile"
    # And it is in force.
    assert "EPERM" in shell(enforce.split("busybox ")[0] + "busybox sh -c 'busybox chroot / true 2>&1 || echo EPERM'").stdout
