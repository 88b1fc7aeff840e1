# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon observes the containers of a real Docker, and `seccomp list` tells what it saw."""
import json

import lab


def test_the_daemon_observes_containers(docker_host, scratch):
    config, state, run = scratch / "batten.conf", scratch / "state", scratch / "run"
    config.write_text(f"[audit]\nenabled = no\n[daemon]\ndocker = unix://{docker_host.socket}\nstate-dir = {state}\n"
                      "[imds]\ncgroup-ebpf = no\n[seccomp]\nobserve = yes\n")
    with open(scratch / "log", "w") as log:
        daemon = docker_host.space.start(lab.BATTEN, "daemon", "--config", config, "--runtime-dir", run, stderr=log)

    def said(text):
        return lambda: text in (scratch / "log").read_text()
    lab.wait_for(said("observing the system calls"), "the observer")
    lab.wait_for(said("following Docker"), "the daemon to follow Docker")
    docker_host.docker("run", "--rm", "busybox", "sh", "-c", "sleep 1; cat /etc/passwd; ls /")

    def listed():
        p = docker_host.space.batten("seccomp", "list", "--state", state / "seccomp", "--json", check=False)
        return p.returncode == 0 and "busybox" in p.stdout and p.stdout
    images = json.loads(lab.wait_for(listed, "the observation", timeout=30))
    assert "busybox" in json.dumps(images)
    daemon.terminate()
    assert daemon.wait(timeout=20) == 0
    assert "error" not in (scratch / "log").read_text()
    docker_host.space.batten("imds", "unblock", "--config", config, "--runtime-dir", run)
