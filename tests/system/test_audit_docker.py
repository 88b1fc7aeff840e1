# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit beside a real dockerd: deliberately bad containers and one good one, each finding with
its container's name."""
import json

import pytest

import lab
from test_ecs_config import ask_docker


@pytest.fixture(scope="module")
def report(docker_host):
    d = docker_host
    d.docker("tag", "busybox", "app:1.0")
    sleep = ("app:1.0", "sleep", "600")
    good = ["--user", "1000:1000", "--read-only", "--memory", "64m", "--pids-limit", "64", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges", "--ulimit", "core=0", "--ulimit", "nofile=1024:1024"]
    bad = {
        "privileged": ["--privileged", "--runtime", "lean"],
        "hostnet": ["--network", "host"],
        "hostpid": ["--pid", "host"],
        "hostipc": ["--ipc", "host"],
        "hostuts": ["--uts", "host"],
        "socket": ["-v", f"{d.socket}:/var/run/docker.sock"],
        "hostroot": ["-v", "/:/host:ro"],
        "etc": ["-v", "/etc:/host/etc"],
        "volume": ["--mount", "type=volume,src=bound,dst=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/etc"],
        "proc": ["-v", "/proc:/proc"],
        "capadd": ["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"],
        "unconfined": ["--security-opt", "seccomp=unconfined"],
        "unmasked": ["--security-opt", "systempaths=unconfined"],
        "secret": ["-e", "DB_PASSWORD=correct-horse-battery"],
        "forever": ["--restart", "always"],
        "port": ["-p", "80:80"],
        "device": ["--device", "/dev/null:/dev/xnull"],
    }
    d.docker("run", "-d", "--name", "good", *good, *sleep)
    for name, options in bad.items():
        d.docker("run", "-d", "--name", name, *options, *sleep)
    d.docker("run", "-d", "--name", "latest", "busybox", "sleep", "600")
    d.docker("exec", "-d", "-u", "root", "forever", "sleep", "600")
    d.docker("tag", "busybox", "moved:1")
    d.docker("run", "-d", "--name", "moved", "moved:1", "sleep", "600")
    d.make_image("moved:1", changes=["LABEL release=2"])
    p = d.space.run(lab.BATTEN, "audit", "--json", "--docker", f"unix://{d.socket}", check=False)
    assert p.returncode == 1, p.stderr
    yield json.loads(p.stdout)
    d.docker("rm", "-f", "good", "latest", "moved", *bad)
    d.docker("volume", "rm", "bound")


def failed(report, container):
    return {f["control"]: f for f in report["findings"]
            if f["subject"]["name"] == container and f["status"] in ("fail", "drift")}


@pytest.mark.parametrize("container, control, words", [
    ("privileged", "CTR-01", "--privileged"),
    ("privileged", "CTR-02", "sys_admin"),
    ("privileged", "CTR-12", "Seccomp: 0"),
    ("hostnet", "CTR-03", "net namespace is the host's"),
    ("hostpid", "CTR-04", "pid namespace is the host's"),
    ("hostipc", "CTR-05", "ipc namespace is the host's"),
    ("hostuts", "CTR-05", "uts namespace is the host's"),
    ("socket", "CTR-06", "docker.sock"),
    ("hostroot", "CTR-07", "/ is mounted at /host, read-only"),
    ("etc", "CTR-07", "/etc is mounted at /host/etc, writable"),
    ("volume", "CTR-07", "/etc is mounted at /x, writable"),
    ("proc", "CTR-07", "/proc is mounted at /proc, writable"),
    ("capadd", "CTR-02", "net_admin sys_admin"),
    ("unconfined", "CTR-12", "Seccomp: 0"),
    ("unmasked", "CTR-14", "is not masked"),
    ("secret", "CTR-15", "DB_PASSWORD"),
    ("forever", "CTR-18", "always"),
    ("forever", "CTR-23", "sleep was started"),
    ("port", "CTR-20", "host port 80"),
    ("device", "CTR-07", "device /dev/null"),
    ("latest", "CTR-19", "without a tag"),
    ("moved", "CTR-19", "moved:1 now names"),
    ("capadd", "CTR-08", "writable"),
    ("capadd", "CTR-09", "is root"),
    ("capadd", "CTR-10", "no memory limit"),
    ("capadd", "CTR-16", "gain privileges"),
])
def test_each_bad_container_is_found_by_name(report, container, control, words):
    found = failed(report, container)
    assert control in found, sorted(found)
    assert words in found[control]["evidence"]
    assert found[control]["subject"]["container_id"]


def test_nothing_is_found_on_the_good_one(report):
    assert {c: f["evidence"] for c, f in failed(report, "good").items()} == {}
    passed = [f["control"] for f in report["findings"]
              if f["subject"]["name"] == "good" and f["status"] == "pass"]
    assert len(passed) >= 18, passed


def test_secrets_never_show(report):
    assert "correct-horse" not in json.dumps(report)


@pytest.mark.no_sanitizer  # LeakSanitizer looks for leaks from a process of its own
def test_no_child_process_and_no_exec(docker_host):
    trace = docker_host.directory / "trace"
    docker_host.space.run("strace", "-f", "-e", "trace=execve,clone,clone3,fork,vfork", "-o", trace, lab.BATTEN, "audit",
                          "--json", "--docker", f"unix://{docker_host.socket}", check=False)
    lines = trace.read_text().splitlines()
    assert sum("execve(" in line for line in lines) == 1
    assert not [line for line in lines if "clone" in line and "CLONE_THREAD" not in line]


@pytest.mark.parametrize("odd, status", [
    ({"Labels": {"a\0b": "c"}}, "fail"),
    ({"Labels": {"long": "x" * 9_000_000}}, "unknown"),
    ({"Env": ["A=" + "\x01" * 120_000] * 14}, "unknown")], ids=["nul", "label", "environment"])
def test_one_container_does_not_blind_the_audit(docker_host, odd, status):
    d = docker_host
    d.docker("run", "-d", "--name", "other", "busybox", "sleep", "600")
    code, made = ask_docker(d, "/containers/create?name=odd", {"Image": "busybox", "Cmd": ["sleep", "600"], **odd})
    assert code == 201, made
    d.docker("start", "odd")
    p = d.space.run(lab.BATTEN, "audit", "--json", "--control", "CTR-08", "--docker", f"unix://{d.socket}", check=False)
    d.docker("rm", "-f", "odd", "other")
    found = {f["subject"]["name"]: f["status"] for f in json.loads(p.stdout)["findings"]}
    assert (found.get("odd"), found.get("other")) == (status, "fail"), p.stdout[-2000:] + p.stderr


def test_a_task_that_joins_its_pause_container_shows_nothing_of_the_host(docker_host):
    """As awsvpc has it: Docker gives it the other container's hosts and resolv.conf, and its shared memory."""
    d = docker_host
    d.docker("run", "-d", "--name", "holder", "--ipc", "shareable", "busybox", "sleep", "600")
    d.docker("run", "-d", "--name", "joined", "--network", "container:holder", "--ipc", "container:holder", "-v", "kept:/data",
             "busybox", "sleep", "600")
    p = d.space.run(lab.BATTEN, "audit", "--json", "--control", "CTR-07", "--docker", f"unix://{d.socket}", check=False)
    d.docker("rm", "-f", "joined", "holder")
    found = {f["subject"]["name"]: f for f in json.loads(p.stdout)["findings"]}
    assert found["joined"]["status"] == found["holder"]["status"] == "pass", found["joined"]


@pytest.mark.no_sanitizer  # as above
def test_a_layer_that_images_share_is_walked_once(docker_host):
    d = docker_host

    def extra(root):
        (root / "shared-layer").mkdir()
        (root / "shared-layer/su").write_text("x")
        (root / "shared-layer/su").chmod(0o4755)
    d.make_image("shared:1", extra=extra)
    for i in range(3):
        d.docker("run", "--name", f"change{i}", "shared:1", "sh", "-c", f"echo {i} > /tmp/{i}")
        d.docker("commit", f"change{i}", f"shared-{i}:1")
        d.docker("rm", f"change{i}")
        d.docker("run", "-d", "--name", f"shared{i}", f"shared-{i}:1", "sleep", "600")
    trace = d.directory / "layers"
    p = d.space.run("strace", "-f", "-e", "trace=openat", "-o", trace, lab.BATTEN, "audit", "--json", "--control", "IMG-01",
                    "--docker", f"unix://{d.socket}", check=False)
    d.docker("rm", "-f", *[f"shared{i}" for i in range(3)])
    found = {f["subject"]["name"]: f["evidence"] for f in json.loads(p.stdout)["findings"]}
    for i in range(3):
        assert "/shared-layer/su (setuid)" in found[f"shared-{i}:1"]
    assert trace.read_text().count('"shared-layer"') == 1


def test_the_daemon_is_judged_by_what_it_says(report):
    by_id = {f["control"]: f for f in report["findings"] if f["area"] == "docker-daemon"}
    assert len(by_id) == 13
    assert by_id["DKD-02"]["status"] == "pass", by_id["DKD-02"]
    assert by_id["DKD-04"]["status"] == "pass", by_id["DKD-04"]
    assert by_id["DKD-09"]["status"] == "pass" and by_id["DKD-13"]["status"] == "pass"
    assert by_id["DKD-07"]["status"] == "fail" and by_id["DKD-08"]["status"] == "fail"


def test_flushed_chains_and_an_open_port_are_found(docker_host):
    d = docker_host
    d.docker("run", "-d", "--name", "one", "busybox", "sleep", "600")

    def control(name):
        p = d.space.run(lab.BATTEN, "audit", "--json", "--control", name, "--docker", f"unix://{d.socket}", check=False)
        return json.loads(p.stdout)["findings"][0]
    saved = d.space.run("iptables-save").stdout
    for table in ("nat", "filter"):
        d.space.run("nft", "delete", "table", "ip", table)
    gone = control("DKD-02")
    d.space.run("iptables-restore", input=saved)
    assert gone["status"] == "fail" and "flushed" in gone["evidence"]
    assert control("DKD-02")["status"] == "pass"
    d.docker("rm", "-f", "one")
