# SPDX-License-Identifier: GPL-3.0-or-later
"""`batten image strip --by-daemon`: the daemon does it on request, in a worker, and nothing else."""
import json
import shutil

import pytest

import lab


@pytest.fixture
def batten_at(docker_host, scratch):
    """The daemon beside a real Docker, and image strip asked of it."""
    def extra(root):
        shutil.copy2(root / "bin" / "busybox", root / "bin" / "su")
        (root / "bin" / "su").chmod(0o4755)
    docker_host.make_image("for-the-daemon:1", extra=extra)
    config, run = scratch / "batten.conf", scratch / "run"
    config.write_text(f"[audit]\nenabled = no\n[daemon]\ndocker = unix://{docker_host.socket}\nstate-dir = {scratch}/state\n"
                      "[imds]\ncgroup-ebpf = no\n")
    log = open(scratch / "log", "w")
    daemon = docker_host.space.start(lab.BATTEN, "daemon", "--config", config, "--runtime-dir", run, stderr=log)
    lab.wait_for(lambda: "daemon ready" in (scratch / "log").read_text(), "the daemon", timeout=60)

    def strip(*arguments, **options):
        return docker_host.space.batten("image", "strip", "--by-daemon", "--runtime-dir", run, *arguments,
                                        check=False, timeout=300, **options)
    strip.daemon, strip.log = daemon, scratch / "log"
    yield strip
    if daemon.poll() is None:
        daemon.terminate()
    daemon.wait(timeout=60)
    docker_host.space.batten("imds", "unblock", "--config", config, "--runtime-dir", run)
    docker_host.docker("rmi", "-f", "for-the-daemon:1", "for-the-daemon:2", check=False)


def test_the_daemon_strips_on_request(docker_host, batten_at, scratch):
    p = batten_at("docker-daemon:for-the-daemon:1", "docker-daemon:for-the-daemon:2")
    assert p.returncode == 0 and "stripped 1, removed 0" in p.stderr, p
    seen = docker_host.docker("run", "--rm", "for-the-daemon:2", "busybox", "find", "/bin", "-perm", "-4000").stdout
    assert seen == ""
    assert "image stripped" in batten_at.log.read_text()
    p = batten_at("docker-daemon:for-the-daemon:2", "docker-daemon:for-the-daemon:2")
    assert p.returncode == 0 and "nothing to strip" in p.stderr, p
    # Its unit may write nowhere else, and it says why it cannot.
    for arguments, code, words in (
            (("docker-daemon:for-the-daemon:1", f"oci:{scratch}/out"), 2, "alone"),
            (("docker-daemon:no-such:1", "docker-daemon:x:1"), None, "does not exist"),
            (("--dry-run", "docker-daemon:for-the-daemon:1", "docker-daemon:x:1"), 2, "--dry-run")):
        p = batten_at(*arguments)
        assert p.returncode in ((2, 3) if code is None else (code,)) and words in p.stderr, (arguments, p)
        assert p.stderr.count("\n") == 1, p.stderr
    assert batten_at.daemon.poll() is None
    batten_at.daemon.terminate()
    batten_at.daemon.wait(timeout=60)
    p = batten_at("docker-daemon:for-the-daemon:1", "docker-daemon:for-the-daemon:2")
    assert p.returncode == 3 and "no daemon runs" in p.stderr and json.dumps(p.stderr).count("\\n") == 1
