# SPDX-License-Identifier: GPL-3.0-or-later
"""batten fix beside a real dockerd that reads its file again, and that a stand-in of systemd restarts
while its containers go on; and the agent restarted the same way."""
import json

import pytest

import docker_host as module
import ecs_host
import lab
from service_manager import Systemd

DAEMON_JSON = '{\n    "experimental": true,\n    "labels": ["a=b"]\n}\n'


@pytest.fixture
def docker(scratch):
    with module.DockerHost() as host:
        host.space.run("mkdir", "-p", "/etc/docker")
        host.space.run("mount", "-t", "tmpfs", "tmpfs", "/etc/docker")
        host.space.run("tee", "/etc/docker/daemon.json", input=DAEMON_JSON)
        host.stop()
        host.start()
        yield host


@pytest.fixture
def systemd(docker, scratch):
    def restart(verb):
        docker.stop()
        docker.start()
    s = Systemd(docker.space, scratch, {"docker.service": restart})
    yield s
    s.close()


def fix(docker, scratch, *arguments, environment=None, check=0):
    p = docker.space.batten("fix", "--state-dir", scratch / "state", "--docker", f"unix://{docker.socket}", "--json", *arguments,
                            env=environment, check=False, timeout=300)
    assert p.returncode == check, p.stdout + p.stderr
    return json.loads(p.stdout)


def info(docker):
    return json.loads(docker.docker("info", "--format", "{{json .}}").stdout)


def daemon_json(docker):
    return docker.space.run("cat", "/etc/docker/daemon.json").stdout


def test_dockerd_reads_its_file_again(docker, scratch):
    assert not info(docker)["LiveRestoreEnabled"]
    pid = docker.dockerd.pid
    done = fix(docker, scratch, "--control", "DKD-08")["fixes"]
    assert done[0]["proof"] == {"result": "passed", "reason": "containers outlive a restart of dockerd"}
    assert info(docker)["LiveRestoreEnabled"] and docker.dockerd.poll() is None and docker.dockerd.pid == pid
    assert daemon_json(docker) == '{\n    "experimental": true,\n    "labels": ["a=b"],\n    "live-restore": true\n}\n'
    assert fix(docker, scratch, "--control", "DKD-08")["fixes"] == []
    undone = fix(docker, scratch, "--undo", done[0]["id"])
    assert undone["state"] == "undone" and undone["proof"]["result"] == "pending"
    assert daemon_json(docker) == DAEMON_JSON


# DKD-10 is what an old dockerd tells of itself; somebody else's docker-proxy on this machine is "later".
def test_containers_outlive_the_restart_that_proves(docker, systemd, scratch):
    docker.docker("run", "-d", "--name", "task", "busybox", "sleep", "1000")
    before = docker.inspect("task")["State"]["Pid"]
    # Not without the word for it, and then not while a restart would stop the container.
    first = fix(docker, scratch, "--control", "DKD-10", environment=systemd.environment)["fixes"]
    assert first[0]["proof"]["result"] == "pending" and systemd.asked == []
    assert daemon_json(docker) == DAEMON_JSON.replace("true", "false") and info(docker)["ExperimentalBuild"]
    left = fix(docker, scratch, "--control", "DKD-10", "--restart-docker", environment=systemd.environment)["left"]
    assert any("live-restore is off" in x["reason"] for x in left) and systemd.asked == []
    fix(docker, scratch, "--control", "DKD-08", environment=systemd.environment)
    done = fix(docker, scratch, "--control", "DKD-10", "--restart-docker", environment=systemd.environment)["fixes"]
    assert systemd.asked == [("restart", "docker.service")]
    assert done[0]["state"] == "applied" and done[0]["proof"]["result"] in ("passed", "pending")
    assert not info(docker)["ExperimentalBuild"]
    assert docker.inspect("task")["State"]["Pid"] == before
    docker.docker("rm", "-f", "task")


def test_a_daemon_that_does_not_start_gets_its_old_file_back(docker, systemd, scratch):
    fix(docker, scratch, "--control", "DKD-08", environment=systemd.environment)
    before = daemon_json(docker)

    def restart(verb):
        docker.stop()
        if '"experimental": false' in daemon_json(docker):
            return False
        docker.start()
    systemd.actions["docker.service"] = restart
    result = fix(docker, scratch, "--control", "DKD-10", "--restart-docker", environment=systemd.environment, check=4)
    assert result["fixes"][0]["state"] == "failed" and "ended as \"failed\"" in result["fixes"][0]["proof"]["reason"]
    assert systemd.asked == [("restart", "docker.service")] * 2
    assert daemon_json(docker) == before and info(docker)["LiveRestoreEnabled"]


def test_without_a_service_manager_it_is_undone(docker, scratch):
    fix(docker, scratch, "--control", "DKD-08")
    before = daemon_json(docker)
    nobody = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/no/bus"}
    p = docker.space.batten("fix", "--state-dir", scratch / "state", "--docker", f"unix://{docker.socket}", "--json", "--control",
                            "DKD-10", "--restart-docker", env=nobody, check=False, timeout=300)
    assert p.returncode != 0 and "system bus does not answer" in p.stdout + p.stderr
    assert daemon_json(docker) == before


# The metadata service is contacted on EC2 alone: a view in which this machine is an instance.
ON_EC2 = ("unshare", "--mount", "sh", "-c", "mount -t tmpfs none /sys/class && mkdir -p /sys/class/dmi/id && "
          "echo Amazon EC2 >/sys/class/dmi/id/sys_vendor && exec \"$@\"", "sh")


def test_the_guard_closes_the_road_that_the_audit_found(docker, scratch, spaces):
    ecs_host.Uplink(spaces, docker.space)
    docker.docker("run", "-d", "--name", "task", "busybox", "sleep", "1000")
    config = scratch / "batten.conf"
    config.write_text("[imds]\ncgroup-ebpf = no\n")

    def on_ec2(*arguments):
        p = docker.space.run(*ON_EC2, lab.BATTEN, *arguments, "--docker", f"unix://{docker.socket}", "--config", config, "--json",
                             check=False, timeout=120)
        return json.loads(p.stdout) if p.stdout else p.stderr

    def fix_it(*arguments):
        return on_ec2("fix", "--state-dir", scratch / "state", "--runtime-dir", scratch / "run", *arguments)
    assert on_ec2("audit", "--control", "IMD-03")["summary"]["fail"] == 1
    done = fix_it("--control", "IMD-03")["fixes"]
    assert [f["path"] for f in done[0]["files"]] == ["inet batten"]
    assert done[0]["state"] == "applied" and "neither version answers" in done[0]["proof"]["reason"], done
    assert "table inet batten" in docker.space.run("nft", "list", "tables").stdout
    assert fix_it("--control", "IMD-03")["fixes"] == []
    assert fix_it("--undo", done[0]["id"])["state"] == "undone"
    assert "table inet batten" not in docker.space.run("nft", "list", "tables").stdout
    docker.docker("rm", "-f", "task")
