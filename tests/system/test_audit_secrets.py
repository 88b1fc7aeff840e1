# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in every place that the audit reads: found, and never shown. Each of them contains MARK."""
import json
import pathlib
import resource
import signal
import socket
import subprocess

import pytest

import lab

MARK = "Xyzzy7"
FORMATS = ("text", "json", "junit", "sarif", "asff", "ocsf", "html")

ECS_CONFIG = f"""ECS_CLUSTER=blue
ECS_ENGINE_AUTH_TYPE=dockercfg
ECS_ENGINE_AUTH_DATA={{"https://registry.example":{{"username":"u","password":"{MARK}a","email":"e@example"}}}}
#ECS_ENGINE_AUTH_DATA={MARK}b
ECS_ENGINE_AUTH_DATE={{"password":"{MARK}c"}}
HTTP_PROXY=http://user:{MARK}d@proxy.example:3128
https_proxy=user:{MARK}e@proxy.example:3128
AWS_SECRET_ACCESS_KEY={MARK}fgG/bPxRfiCYEXAMPLEKEY00000000000000
AWS_SESSION_TOKEN={MARK}g
ECS_LOG_DRIVER=splunk
ECS_LOG_OPTS={{"splunk-token":"{MARK}h","splunk-url":"https://u:{MARK}i@splunk.example"}}
ECS_CONTAINER_INSTANCE_TAGS={{"password":"{MARK}j"}}
A_LINE_OF_NOBODY_WITH_PASSWORD={MARK}k
"""
USER_DATA = {"ECSAgentConfiguration": {"EngineAuthType": "docker", "EngineAuthData": {
    "https://index.docker.io/v1/": {"username": "u", "password": f"{MARK}l"}}, "Cluster": "blue"},
    "note": f"DB_PASSWORD={MARK}m-correct-horse"}
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{MARK}n\n-----END RSA PRIVATE KEY-----\n"


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def put_everywhere(root):
    put(root / "etc/ecs/ecs.config", ECS_CONFIG)
    put(root / "etc/ecs/ecs.config.json", json.dumps({"EngineAuthData": {"x": {"password": f"{MARK}o"}}}))
    put(root / "var/lib/ecs/ecs.config", f"ECS_ENGINE_AUTH_DATA={MARK}p\n")
    put(root / "etc/docker/daemon.json", json.dumps({"proxies": {"http-proxy": f"http://u:{MARK}q@proxy"},
                                                    "log-opts": {"splunk-token": f"{MARK}r"}}))
    put(root / "etc/systemd/system/ecs.service.d/proxy.conf", f"[Service]\nEnvironment=HTTP_PROXY=http://u:{MARK}s@proxy\n")
    put(root / "var/lib/cloud/instance/user-data.txt", json.dumps(USER_DATA, indent=1))


def everything(run, *arguments):
    """What each format and `ecs config` say, by name; also what they say on stderr."""
    asff = ("--account", "111122223333", "--region", "eu-central-1")
    said = {}
    for form in FORMATS:
        p = run("audit", "--format", form, *arguments, *(asff if form == "asff" else ()), *(("-v",) if form == "text" else ()))
        assert p.returncode in (0, 1), p.stderr
        said[form] = p.stdout + p.stderr
    return said


def clean(said):
    for name, text in said.items():
        assert text and MARK not in text, (name, text[text.find(MARK) - 200:][:300])


def failed(text):
    return {f["control"] for f in json.loads(text)["findings"] if f["status"] in ("fail", "drift")}


def test_secrets_in_files_never_show(tmp_path):
    root = tmp_path / "root"
    put_everywhere(root)

    def run(*arguments):
        return subprocess.run([lab.BATTEN, *map(str, arguments)], text=True, capture_output=True, timeout=60)
    said = everything(run, "--root", root)
    clean(said)
    assert {"CFG-11", "CFG-12", "IMD-07"} <= failed(said["json"])
    for form in ("text", "json"):
        p = run("ecs", "config", "--root", root, "--format", form, "-v")
        clean({form: p.stdout + p.stderr})
    given = tmp_path / "user-data"
    given.write_text(json.dumps(USER_DATA, indent=1))
    (root / "var/lib/cloud/instance/user-data.txt").unlink()
    said = everything(run, "--root", root, "--user-data", given)
    clean(said)
    assert "IMD-07" in failed(said["json"])


def test_secrets_of_containers_and_images_never_show(docker_host):
    d = docker_host

    def extra(root):
        put(root / "root/.aws/credentials", f"[default]\naws_secret_access_key = {MARK}t\n")
        put(root / "srv/id_rsa", KEY)
    d.make_image("leaky", changes=(f"ENV API_TOKEN={MARK}u-whatever", f"LABEL password={MARK}v-whatever"), extra=extra)
    d.docker("run", "-d", "--name", "leaks", "-e", f"DB_PASSWORD={MARK}w-correct", "-e", f"URL=https://u:{MARK}x@host/",
             "-e", f"AWS_SECRET_ACCESS_KEY={MARK}yG/bPxRfiCYEXAMPLEKEY00000000000000", "--label", f"token={MARK}z-whatever",
             "--log-driver", "splunk", "--log-opt", f"splunk-token={MARK}A", "--log-opt", "splunk-url=https://127.0.0.1:1",
             "--log-opt", "splunk-verify-connection=false", "leaky", "sh", "-c", "sleep 600")
    d.docker("exec", "-d", "-e", f"PGPASSWORD={MARK}B-correct", "leaks", "sleep", "600")

    def run(*arguments):
        return d.space.run(lab.BATTEN, *arguments, "--docker", f"unix://{d.socket}", check=False)
    said = everything(run, "--area", "containers,images,docker-daemon,ecs-config")
    d.docker("rm", "-f", "leaks")
    d.docker("rmi", "leaky")
    clean(said)
    assert {"CTR-15", "IMG-04", "IMG-05"} <= failed(said["json"])


@pytest.mark.no_sanitizer  # its shadow memory makes a core dump of terabytes
def test_no_secret_goes_into_a_core_dump(tmp_path):
    root, path = tmp_path / "root", tmp_path / "docker.sock"
    put_everywhere(root)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(4)  # accepts, never answers
    listener.settimeout(60)

    def may_dump():
        resource.setrlimit(resource.RLIMIT_CORE, (1 << 26, 1 << 26))
    p = subprocess.Popen([lab.BATTEN, "audit", "--docker", f"unix://{path}", "--user-data",
                          root / "var/lib/cloud/instance/user-data.txt"], cwd=tmp_path, preexec_fn=may_dump,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listener.accept()  # it is in the middle of its work now
    memory = b""
    for line in pathlib.Path(f"/proc/{p.pid}/maps").read_text().splitlines():
        if "[heap]" in line:
            begin, end = (int(x, 16) for x in line.split()[0].split("-"))
            with open(f"/proc/{p.pid}/mem", "rb") as f:
                f.seek(begin)
                memory += f.read(end - begin)
    held = MARK.encode() in memory
    bits = int(pathlib.Path(f"/proc/{p.pid}/coredump_filter").read_text(), 16)
    limit = resource.prlimit(p.pid, resource.RLIMIT_CORE)
    p.send_signal(signal.SIGABRT)
    p.wait(timeout=60)
    listener.close()
    assert held, "it held no secret when it was stopped: this test shows nothing"
    assert bits == 0
    assert limit == (1, 1), "the one limit that keeps a handler behind a pipe from running, too"
    assert not list(tmp_path.glob("core*"))  # where the kernel would write them depends on the machine
