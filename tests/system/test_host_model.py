# SPDX-License-Identifier: GPL-3.0-or-later
"""The host as a model: what is known of real containers under a real Docker."""
import json
import sys

import pytest

import lab

TOOL = lab.TOOLS / "host-model"
ECS = "com.amazonaws.ecs."


@pytest.fixture(scope="module")
def containers(docker_host):
    """One of each kind; all of them sleep."""
    def run(name, *options, command=("sleep", "1000")):
        docker_host.docker("run", "-d", "--name", name, *options, "busybox", *command)

    def labels(task, name):
        return [a for key, value in (("task-arn", task), ("container-name", name),
                                     ("task-definition-family", "web"), ("task-definition-version", "7"),
                                     ("cluster", "blue")) for a in ("--label", f"{ECS}{key}={value}")]
    arn = "arn:aws:ecs:eu-west-1:123456789012:task/blue/0123456789abcdef0123456789abcdef"
    docker_host.docker("network", "create", "backend")
    run("plain", "-e", "PASSWORD=secret", "-e", "EMPTY=", "--memory", "64m", "--cap-drop", "ALL", "--cap-add",
        "net_raw", "--security-opt", "no-new-privileges", "--read-only", "-p", "127.0.0.1:8080:80",
        "-v", "/etc:/mnt:ro")
    run("user-network", "--network", "backend")
    run("host-network", "--network", "host", "--security-opt", "seccomp=unconfined")
    run("pause", "--network", "none", *labels(arn, "~internal~ecs~pause"))
    run("task", "--network", "container:pause", *labels(arn, "web"))
    run("ebs", "--network", "host", *labels("arn:::::/ebs-csi-1234", "ecs-managed-ebs-csi-driver"))
    run("any-name", "--network", "host", "-v", "/var/lib/ecs/data:/data", "-v", "/var/log/ecs:/log",
        "-v", "/proc:/host/proc:ro")
    run("ecs-agent", "--network", "host")
    docker_host.docker("create", "--name", "stopped", "--privileged", "busybox", "true")
    yield docker_host
    docker_host.docker("rm", "-f", *docker_host.docker("ps", "-aq").stdout.split())
    docker_host.docker("network", "rm", "backend")


def model(host, *arguments):
    return host.space.json(TOOL, f"unix://{host.socket}", *arguments)


def test_everything_that_docker_and_the_kernel_know(containers):
    m = {c["name"]: c for c in model(containers)["containers"]}
    assert model(containers)["api"] == "1.41"
    plain, info = m["plain"], containers.inspect("plain")
    assert plain["id"] == info["Id"] and plain["image_id"] == info["Image"] and plain["image"] == "busybox"
    assert plain["pid"] == info["State"]["Pid"] and plain["running"]
    assert plain["networks"] == [{"name": "bridge", "ip4": info["NetworkSettings"]["IPAddress"]}]
    assert plain["cap_add"] == ["NET_RAW"] and plain["cap_drop"] == ["ALL"]
    assert plain["cap_effective"] == 1 << 13 and plain["seccomp_mode"] == 2
    assert plain["no_new_privileges"] and plain["readonly_rootfs"] and plain["memory"] == 64 << 20
    assert {"PASSWORD", "EMPTY"} <= set(plain["env_names"]) and "secret" not in json.dumps(m)
    assert plain["command"] == ["sleep", "1000"] and plain["n_mounts"] == 1 and plain["n_ports"] == 1
    assert m["stopped"]["privileged"] and m["host-network"]["seccomp"] == m["stopped"]["seccomp"] == 1
    assert m["host-network"]["seccomp_mode"] == 0
    assert not m["stopped"]["running"] and m["stopped"]["pid"] == 0 and m["stopped"]["netns"] == 0
    modes = {n: c["network_mode"] for n, c in m.items()}
    assert (modes["plain"], modes["user-network"], modes["host-network"], modes["pause"], modes["task"]) == \
        ("bridge", "user", "host", "none", "container")
    assert m["task"]["network_of"] == m["pause"]["id"] and m["task"]["netns"] == m["pause"]["netns"] != 0
    host_netns = containers.space.run("stat", "-Lc", "%i", "/proc/self/ns/net").stdout.strip()
    assert str(m["host-network"]["netns"]) == host_netns


def test_ecs_containers_are_known_by_what_they_are(containers):
    roles = {c["name"]: c["role"] for c in model(containers)["containers"]}
    assert roles == {"plain": "plain", "user-network": "plain", "host-network": "plain", "stopped": "plain",
                     "pause": "ecs-pause", "task": "ecs-task", "ebs": "ecs-internal", "any-name": "ecs-agent",
                     "ecs-agent": "plain"}


AGENT = """
import http.server, json, sys
tasks = json.loads(sys.argv[1])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = {"/v1/metadata": json.dumps({"Cluster": "blue", "Version": "Amazon ECS Agent - v1.105.1"}),
                "/v1/tasks": json.dumps(tasks)}.get(self.path)
        if sys.argv[2] == "nonsense": body = "[[["
        self.send_response(200); self.end_headers(); self.wfile.write(body.encode())
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 51678), Handler)
print("up", flush=True); s.serve_forever()
"""


@pytest.mark.parametrize("mood", ["well", "nonsense"])
def test_the_agent_fills_gaps_and_overrides_nothing(containers, mood):
    ids = {c["name"]: c["id"] for c in model(containers)["containers"]}
    tasks = {"Tasks": [{"Arn": "arn:x", "Family": "other", "Version": "3", "Containers": [
        {"DockerId": ids["plain"], "Name": "late"}, {"DockerId": ids["task"], "Name": "forged"},
        {"DockerId": "f" * 64, "Name": "gone"}, {"DockerId": 7}, 5]}, []]}
    p = containers.space.start(sys.executable, "-S", "-E", "-c", AGENT, json.dumps(tasks), mood, stdout=-1)
    assert p.stdout.readline() == "up\n"
    m = model(containers, "introspect")
    p.kill()
    p.wait()
    by_name = {c["name"]: c for c in m["containers"]}
    assert by_name["task"]["family"] == "web" and by_name["task"]["container_name"] == "web"
    if mood == "well":
        assert m["cluster"] == "blue" and m["agent"].endswith("1.105.1") and m["introspection"] == 0
        assert by_name["plain"]["family"] == "other" and by_name["plain"]["role"] == "ecs-task"
    else:
        assert m["introspection"] < 0 and by_name["plain"]["role"] == "plain"


def test_no_docker_no_agent(containers, scratch):
    p = containers.space.run(TOOL, f"unix://{scratch}/none.sock", check=False)
    assert p.returncode == 1 and "Docker is not running there" in p.stderr
    assert model(containers, "introspect")["introspection"] < 0
