# SPDX-License-Identifier: GPL-3.0-or-later
"""`batten ecs config` against a corpus, against hostile trees, and against a running agent.

tests/golden/ecs-config/NAME.in holds a tree: lines "== PATH" each begin a file, "== user-data" the
instance's user data. Beside it stand NAME.json (the variables that somebody wrote or that are not
well) and NAME.txt (exit code and text). GOLDEN=write writes them anew; read the difference.
"""
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time

import pytest

import lab

GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "ecs-config"
CASES = sorted(p.stem for p in GOLDEN.glob("*.in"))


def unfold(text, root):
    """Writes the files of a case; returns the arguments of the command."""
    arguments = ["--root", str(root)]
    for name, body in re.findall(rb"^== (.+)\n((?:(?!^== ).*(?:\n|\Z))*)", text, re.M):
        path = name.decode()
        if path == "user-data":
            file = root.parent / "user-data"
            arguments += ["--user-data", str(file)]
        else:
            file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    return arguments


def run(batten, arguments, **options):
    p = subprocess.run([batten, "ecs", "config", *arguments], text=True, capture_output=True, timeout=20, **options)
    assert p.returncode in (0, 1), p.stderr
    return p


def written(document):
    """What a person would want to see of the JSON: files and variables as built are left out."""
    def quiet(v):
        return v["known"] and v["verdict"] == "ok" and all(x["source"] == "built-in" for x in v["layers"]) \
            and v["source"] in ("default", "built-in")
    document["files"] = [f for f in document["files"] if f["state"] != "absent"]
    document["variables"] = [v for v in document["variables"] if not quiet(v)]
    for v in document["variables"]:
        v.pop("hardened", None)
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_golden(batten, scratch, case):
    root = scratch / "root"
    root.mkdir()
    arguments = unfold((GOLDEN / f"{case}.in").read_bytes(), root)
    p = run(batten, arguments)
    text = f"exit {p.returncode}\n{p.stdout}"
    document = written(json.loads(run(batten, [*arguments, "--json"]).stdout))
    if os.environ.get("GOLDEN") == "write":
        (GOLDEN / f"{case}.txt").write_text(text)
        (GOLDEN / f"{case}.json").write_text(document)
    assert text == (GOLDEN / f"{case}.txt").read_text()
    assert document == (GOLDEN / f"{case}.json").read_text()


def test_corpus_is_whole():
    assert len(CASES) >= 120
    assert {p.stem for p in GOLDEN.iterdir()} == set(CASES)


def get(batten, root, *arguments):
    return json.loads(run(batten, ["--root", str(root), "--json", *arguments]).stdout)


def by_name(document):
    return {v["name"]: v for v in document["variables"]}


def make(root, text=None):
    (root / "etc/ecs").mkdir(parents=True)
    (root / "var/lib/ecs").mkdir(parents=True)
    if text is not None:
        (root / "etc/ecs/ecs.config").write_text(text)
    return root


SECRET = "s3cr3t-Zq9"


def test_secrets_never_come_out(batten, scratch):
    """Wherever a secret can stand, also where nobody expects one."""
    lines = [
        f'ECS_ENGINE_AUTH_DATA={{"r":{{"username":"u","password":"{SECRET}"}}}}',
        f'ECS_ENGINE_AUTH_DATAS={{"r":"{SECRET}"}}', f'export ECS_ENGINE_AUTH_DATA={SECRET}',
        f'# ECS_ENGINE_AUTH_DATA={SECRET}', f'ECS_ENGINE_AUTH_DATA ={SECRET}',
        f'AWS_SECRET_ACCESS_KEY={SECRET}', f'AWS_SESSION_TOKEN={SECRET}', f'aws_secret_access_key={SECRET}',
        f'HTTP_PROXY=http://user:{SECRET}@proxy:3128', f'https_proxy=user:{SECRET}@proxy:3128',
        f'# HTTPS_PROXY=http://user:{SECRET}@proxy', f'ECS_LOG_OPTS={{"splunk-token":"{SECRET}"}}',
        f'ECS_LOG_OPTS={{"splunk-token":"{SECRET}"', f'ECS_LOG_OPTS={{"x":{{"token":"{SECRET}"}}}}',
        f'ECS_INSTANCE_ATTRIBUTES={{"password":"{SECRET}"}}', f'ECS_BACKEND_HOST=https://u:{SECRET}@host',
        f'MY_TOKEN={SECRET}', f'{SECRET}', f'"auth":"{SECRET}=="', f'{SECRET}=', f'"{SECRET}"=x',
        f'DOCKER_HOST=tcp://u:{SECRET}@h:2375', f'ECS_PRIVILEGED_DISABLED={SECRET}',
        f'ECS_PRIVILEGED_DISABLED=http://u:{SECRET}@h', f'AWS_ENDPOINT_URL_ECS=https://u:{SECRET}@h',
        f'AWS_CONTAINER_CREDENTIALS_FULL_URI=http://u:{SECRET}@h/x', f'NO_PROXY=http://u:{SECRET}@x',
        f'HTTP_PROXY=http://user:pass/{SECRET}@proxy:3128', f'https_proxy=user:pa#s?{SECRET}@proxy:3128',
        f'ECS_LOG_OPTS=[{{"splunk-token":"{SECRET}"}}]', f'ECS_LOG_OPTS={{"x":{{"tok\\u0065n":"{SECRET}"}}}}',
        f'ECS_LOG_OPTS="splunk-token={SECRET}"', f'ECS_CLUSTER="http://u:{SECRET}@h"',
        f'ECS_CONTAINER_INSTANCE_TAGS=[{{"key":"password","value":"{SECRET}"}}]', f'ECS_LOG_OPTS=splunk-token:{SECRET}',
        f'ECS_INSTANCE_ATTRIBUTES={{"a":"https://u:x/{SECRET}@h"}}', f'SECRET_LINE\\\n{SECRET}',
    ]
    documents = [
        "{}", '{"EngineAuthData":{"r":"%s"}}' % SECRET, '{"EngineAuthdata2":"%s"}' % SECRET, '{"%s":1}' % SECRET,
        '{"PauseContainerTag":"%s"}' % SECRET, '{"Cluster":5,"EngineAuthData":"%s"}' % SECRET,
        '{"EngineAuthData":"%s"' % SECRET, '{"InstanceAttributes":{"secret":"%s"}}' % SECRET,
        '{"APIEndpoint":"https://u:%s@h"}' % SECRET,
    ]
    for number, document in enumerate(documents):
        root = make(scratch / f"r{number}", "\n".join(lines))
        (root / "etc/ecs/ecs.config.json").write_text(document)
        user_data = scratch / f"u{number}"
        user_data.write_text('{"ECSAgentConfiguration":%s}' % document)
        for form in ("text", "json"):
            p = subprocess.run([batten, "ecs", "config", "--root", str(root), "--user-data", str(user_data), "-v",
                                "--format", form], text=True, capture_output=True)
            assert p.returncode == 1 and SECRET not in p.stdout + p.stderr, document
    # Each line alone as well: one may have hidden another.
    for number, line in enumerate(lines):
        root = make(scratch / f"l{number}", line + "\n")
        assert SECRET not in run(batten, ["--root", str(root), "--json", "-v"]).stdout, line


def test_a_key_id_is_masked_anywhere(batten, scratch):
    root = make(scratch / "r", "ECS_CLUSTER=AKIAIOSFODNN7EXAMPLE\n")
    assert by_name(get(batten, root))["ECS_CLUSTER"]["effective"] == "***"


@pytest.mark.parametrize("host,directory", [
    ("unix:///run/x.sock", "/run/x.sock"), ("unix://", None), ("/run/x.sock", "default"), ("", "default"),
])
def test_the_socket_that_init_hands_on(batten, scratch, host, directory):
    """Without its scheme and without what stands behind it in the file."""
    root = make(scratch / "r", f"CREDENTIALS_FETCHER_HOST={host}\nECS_LOGLEVEL=warn\nECS_CLUSTER=a\n")
    default = "/var/credentials-fetcher/socket/credentials_fetcher.sock"
    v = by_name(get(batten, root))["CREDENTIALS_FETCHER_HOST_DIR"]
    assert v["effective"] == (default if directory == "default" else directory)


@pytest.mark.parametrize("line,bindings", [
    ("", "false"), ("ECS_EXCLUDE_IPV6_PORTBINDING=yes", "false"), ("ECS_EXCLUDE_IPV6_PORTBINDING=true", "true"),
])
def test_a_host_without_ipv4_shows_its_bindings(batten, scratch, line, bindings):
    root = make(scratch / "r", f"ECS_INSTANCE_IP_COMPATIBILITY=IPv6\n{line}\n")
    assert by_name(get(batten, root))["ECS_EXCLUDE_IPV6_PORTBINDING"]["effective"] == bindings
    root = make(scratch / "v4", f"ECS_INSTANCE_IP_COMPATIBILITY=ipv4\n{line}\n")
    assert by_name(get(batten, root))["ECS_EXCLUDE_IPV6_PORTBINDING"]["effective"] == "true"


@pytest.mark.parametrize("path", ["etc/ecs/ecs.config", "var/lib/ecs/ecs.config", "etc/ecs/ecs.config.json"])
def test_files_that_are_not_what_they_should_be(batten, scratch, path):
    outside = scratch / "outside"
    outside.write_text("ECS_CLUSTER=outside\n")

    def link_out(p):
        p.symlink_to("../" * 20 + str(outside)[1:])

    def large(p):
        with p.open("wb") as f:
            f.truncate(1 << 30)

    kinds = {
        "directory": lambda p: p.mkdir(), "fifo": os.mkfifo, "large": large,
        "dangling": lambda p: p.symlink_to("/nowhere"), "link-out": link_out,
        "absolute-link-out": lambda p: p.symlink_to(outside), "device": lambda p: p.symlink_to("/dev/zero"),
        "loop": lambda p: p.symlink_to(p.name), "socket": lambda p: socket.socket(socket.AF_UNIX).bind(str(p)),
    }
    for kind, place in kinds.items():
        root = make(scratch / kind)
        place(root / path)
        start = time.monotonic()
        document = get(batten, root)
        assert time.monotonic() - start < 10, kind
        assert by_name(document)["ECS_CLUSTER"]["effective"] == "default", kind
        state = {f["path"]: f["state"] for f in document["files"]}["/" + path]
        assert state in ("absent", "unreadable"), kind
        assert bool(document["fatal"]) == (kind == "directory" and path.endswith(".json")), kind


def test_links_inside_the_root_are_followed(batten, scratch):
    root = make(scratch / "r")
    (root / "opt").mkdir()
    (root / "opt/config").write_text("ECS_CLUSTER=inside\n")
    (root / "etc/ecs/ecs.config").symlink_to("/opt/config")
    assert by_name(get(batten, root))["ECS_CLUSTER"]["effective"] == "inside"


def test_which_files_ecs_init_reads_is_up_to_its_unit(batten, scratch):
    name = "ECS_SKIP_LOCALHOST_TRAFFIC_FILTER"
    unit = "[Service]\nExecStart=/usr/libexec/amazon-ecs-init start\n"

    def effective(label, files):
        root = make(scratch / label)
        (root / "var/lib/ecs/ecs.config").write_text(f"{name}=true\n")
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return by_name(get(batten, root))[name]

    user = "EnvironmentFile=-/etc/ecs/ecs.config\n"
    both = "EnvironmentFile=-/var/lib/ecs/ecs.config\n" + user
    place = "usr/lib/systemd/system/ecs.service"
    v = effective("amazon", {place: unit + user})
    assert (v["effective"], v["verdict"]) == ("false", "ignored")
    assert effective("generic", {place: unit + both})["effective"] == "true"
    assert effective("none", {})["verdict"] == "ignored"
    v = effective("suse", {place: unit, "etc/ecs/ecs.config": f"{name}=true\n"})
    assert (v["effective"], v["verdict"]) == ("false", "ignored")
    v = effective("drop-in", {place: unit + user, place + ".d/10.conf": f'[Service]\nEnvironment="{name}=t"\n'})
    assert (v["effective"], v["source"]) == ("true", "environment")
    v = effective("override", {place: unit + both, "etc/systemd/system/ecs.service.d/z.conf":
                               "[Service]\nEnvironmentFile=\n"})
    assert v["effective"] == "false"


def test_wrong_usage(batten, scratch):
    for arguments in (["--root", str(scratch / "none")], ["--user-data", str(scratch / "none")], ["more"]):
        p = subprocess.run([batten, "ecs", "config", *arguments], text=True, capture_output=True)
        assert p.returncode == 2 and p.stderr.count("\n") == 1 and not p.stdout, arguments


def test_what_only_root_may_read_is_not_guessed(batten):
    with tempfile.TemporaryDirectory() as directory:
        root = make(pathlib.Path(directory) / "r", "ECS_CLUSTER=prod\n")
        os.chmod(directory, 0o755)
        os.chmod(root / "etc/ecs/ecs.config", 0o600)
        p = subprocess.run([batten, "ecs", "config", "--root", str(root)], text=True, capture_output=True,
                           user=65534, group=65534, extra_groups=[])
        assert p.returncode == 3 and p.stderr.count("\n") == 1 and "run as root" in p.stderr, p
        assert "prod" not in p.stdout


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask_docker(host, path, body=None):
    connection = UnixConnection(host.socket)
    connection.request("POST", f"/v1.41{path}", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read() or "null")


def test_docker_refuses_what_is_called_fatal(docker_host, batten, scratch):
    """ecs-init hands the lines to Docker's API: what it does with odd ones, from a real dockerd."""
    host = docker_host
    for number, (variable, fatal) in enumerate((("K=v", False), ("=x", True), ("K=a\0b", True), ("# K=v", False),
                                                ("K =v", False), ("export K=v", False))):
        status, answer = ask_docker(host, "/containers/create", {"Image": "busybox", "Cmd": ["true"], "Env": [variable]})
        if status == 201:
            made = answer["Id"]
            status, _ = ask_docker(host, f"/containers/{made}/start")
            host.docker("rm", "-f", made)
        assert (status >= 400) == fatal, (variable, status, answer)
        document = get(batten, make(scratch / str(number), variable + "\nECS_CLUSTER=x\n"))
        assert bool(document["fatal"]) == fatal, variable


class Agent:
    """A process that looks like the agent, in a view of its own with /etc/ecs replaced."""

    def __init__(self, space, scratch, environment, name="/agent"):
        self.space = space
        directory = scratch / "ecs"
        directory.mkdir()
        self.file = directory / "ecs.config"
        space.run("sh", "-c", f"mkdir -p /etc/ecs && mount --bind {directory} /etc/ecs")
        self.start(environment, name)

    def start(self, environment, name="/agent"):
        self.process = self.space.start("env", "-i", *[f"{k}={v}" for k, v in environment.items()],
                                        "bash", "-c", f"exec -a {name} sleep 100")
        lab.wait_for(lambda: pathlib.Path(f"/proc/{self.process.pid}/cmdline").read_bytes().startswith(name.encode()),
                     "the agent")

    def config(self):
        return json.loads(self.space.run(lab.BATTEN, "ecs", "config", "--json", check=False).stdout)


BUILT_IN = {
    "ECS_LOGFILE": "/log/ecs-agent.log", "ECS_DATADIR": "/data",
    "ECS_AGENT_CONFIG_FILE_PATH": "/etc/ecs/ecs.config.json", "ECS_UPDATE_DOWNLOAD_DIR": "/var/cache/ecs",
    "ECS_UPDATES_ENABLED": "true", "ECS_ENABLE_TASK_IAM_ROLE": "true", "ECS_ENABLE_TASK_ENI": "true",
    "ECS_AVAILABLE_LOGGING_DRIVERS": '["json-file","syslog","awslogs","fluentd","none"]',
    "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST": "true", "ECS_EBSTA_SUPPORTED": "true",
    "ECS_VOLUME_PLUGIN_CAPABILITIES": '["efsAuth"]', "ECS_AGENT_LABELS": "",
    "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": "true",
}


def test_the_running_agent_is_compared(spaces, scratch):
    space = spaces.new("host", mounts=True)
    space.run("mount", "-t", "tmpfs", "none", "/opt")
    space.run("sh", "-c", "mkdir -p /opt/u /opt/w && mount -t overlay -o lowerdir=/etc,upperdir=/opt/u,workdir=/opt/w "
              "overlay /etc")
    agent = Agent(space, scratch, BUILT_IN | {"ECS_CLUSTER": "prod", "ECS_AWSVPC_BLOCK_IMDS": "true",
                                              "AWS_SECRET_ACCESS_KEY": SECRET})
    agent.file.write_text(f"ECS_CLUSTER=prod\nECS_AWSVPC_BLOCK_IMDS=true\nAWS_SECRET_ACCESS_KEY={SECRET}\n")
    document = agent.config()
    assert document["agent_pid"] == agent.process.pid
    drift = [v["name"] for v in document["variables"] if v.get("drift")]
    assert drift == []
    # Edited, and not restarted; taken out; a secret exchanged.
    agent.file.write_text("ECS_CLUSTER=prod\nECS_AWSVPC_BLOCK_IMDS=false\nECS_TASK_PIDS_LIMIT=512\n"
                          "AWS_SECRET_ACCESS_KEY=another\n")
    document = agent.config()
    assert SECRET not in json.dumps(document) and "another" not in [v.get("raw") for v in document["variables"]]
    values = by_name(document)
    assert values["ECS_AWSVPC_BLOCK_IMDS"]["drift"] and values["ECS_AWSVPC_BLOCK_IMDS"]["running"] == "true"
    assert "not restarted" in values["ECS_AWSVPC_BLOCK_IMDS"]["reason"]
    assert values["ECS_TASK_PIDS_LIMIT"]["drift"] and values["ECS_TASK_PIDS_LIMIT"]["running"] is None
    assert values["AWS_SECRET_ACCESS_KEY"]["drift"] and values["AWS_SECRET_ACCESS_KEY"]["running"] == "***"
    assert "drift" not in values["ECS_CLUSTER"]
    # A byte that is no UTF-8 does not get through Docker's API as it is.
    agent.file.write_bytes(b"ECS_CLUSTER=prod\nECS_AWSVPC_BLOCK_IMDS=true\nAWS_SECRET_ACCESS_KEY=" + SECRET.encode() +
                           b"\nECS_NVIDIA_RUNTIME=caf\xe9\xe2\x82\n")
    agent.process.kill()
    agent.process.wait()
    agent.start(BUILT_IN | {"ECS_CLUSTER": "prod", "ECS_AWSVPC_BLOCK_IMDS": "true", "AWS_SECRET_ACCESS_KEY": SECRET,
                            "ECS_NVIDIA_RUNTIME": "caf\ufffd\ufffd\ufffd"})
    assert [v["name"] for v in agent.config()["variables"] if v.get("drift")] == []


def test_the_instance_without_the_gpu_of_its_image(spaces, scratch):
    """The line of the AMI for GPUs reaches the agent only where there is one."""
    space = spaces.new("host", mounts=True)
    space.run("sh", "-c", "mount -t tmpfs none /opt && mkdir -p /opt/u /opt/w && mount -t overlay -o "
              "lowerdir=/etc,upperdir=/opt/u,workdir=/opt/w overlay /etc && mount -t tmpfs none /var/lib && "
              "mkdir /var/lib/ecs && echo ECS_ENABLE_GPU_SUPPORT=true >/var/lib/ecs/ecs.config && mount -t tmpfs none /dev")
    agent = Agent(space, scratch, BUILT_IN | {"ECS_CLUSTER": "prod"})
    agent.file.write_text("ECS_CLUSTER=prod\n")
    v = by_name(agent.config())["ECS_ENABLE_GPU_SUPPORT"]
    assert (v["effective"], v["verdict"], "drift" in v) == ("false", "ignored", False)
    assert [(x["file"], x["line"], x["verdict"]) for x in v["layers"]] == [("/var/lib/ecs/ecs.config", 1, "ignored")]
    # The user's file is not asked whether there is one.
    agent.file.write_text("ECS_CLUSTER=prod\nECS_ENABLE_GPU_SUPPORT=true\n")
    assert by_name(agent.config())["ECS_ENABLE_GPU_SUPPORT"]["effective"] == "true"
    agent.file.write_text("ECS_CLUSTER=prod\n")
    space.run("touch", "/dev/nvidia0")
    assert by_name(agent.config())["ECS_ENABLE_GPU_SUPPORT"]["effective"] == "true"
    # With a /dev of one's own the driver still tells.
    space.run("sh", "-c", "rm /dev/nvidia0 && echo '195 nvidia' >/opt/devices && mount --bind /opt/devices /proc/devices")
    assert by_name(agent.config())["ECS_ENABLE_GPU_SUPPORT"]["effective"] == "true"
