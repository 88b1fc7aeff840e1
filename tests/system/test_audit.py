# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit from outside: options, exit codes, trees of files that are not what they should be."""
import gzip
import json
import os
import pathlib
import re
import subprocess

import jsonschema
import pytest

import docker_standin
import lab

TOP = pathlib.Path(__file__).parent.parent.parent


def run(*arguments, check=None, timeout=30, **options):
    p = subprocess.run([lab.BATTEN, "audit", *map(str, arguments)], text=True, capture_output=True, timeout=timeout,
                       **options)
    if check is not None:
        assert p.returncode == check, p.stdout[-3000:] + p.stderr
    return p


def findings(*arguments, **options):
    return json.loads(run(*arguments, "--json", **options).stdout)["findings"]


def one_line(p, *words):
    assert p.returncode == 2 and p.stderr.count("\n") == 1, p
    for w in words:
        assert w in p.stderr, p.stderr


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "root"
    for d in ("etc/ecs", "etc/docker", "proc", "sys", "var/lib"):
        (root / d).mkdir(parents=True)
    (root / "etc/hostname").write_text("tree\n")
    return root


def test_this_machine_gives_a_sensible_report():
    p = run()
    assert p.returncode in (0, 1), p.stderr
    assert p.stdout.startswith("batten audit of ") and "controls: " in p.stdout.splitlines()[1]
    report = json.loads(run("--json").stdout)
    assert report["schema"] == "batten.audit/1"
    assert sum(report["summary"].values()) == len(report["findings"])
    prints = [f["fingerprint"] for f in report["findings"]]
    assert len(set(prints)) == len(prints)
    again = json.loads(run("--json").stdout)
    assert {f["fingerprint"] for f in again["findings"] if f["area"] == "host"} == \
        {f["fingerprint"] for f in report["findings"] if f["area"] == "host"}


def test_wrong_words_are_one_line():
    one_line(run("--area", "hots"), "hots", "host")
    one_line(run("--control", "CTR-99"), "CTR-99", "--list")
    one_line(run("--control", ""), "--control", "--list")
    one_line(run("--area", ""), "--area", "host")
    one_line(run("--area", "host", "--control", "HST-01,CTR-01"), "CTR-01", "containers")
    one_line(run("--fail-on", "bad"), "critical")
    one_line(run("--profile", "nosuch"), "nosuch")
    one_line(run("--explain", "X"), "--list")
    one_line(run("--root", "/no/such/dir"), "/no/such/dir")


def test_the_catalogue_and_its_stories():
    rows = json.loads(run("--list", "--json", check=0).stdout)["controls"]
    text = run("--list", check=0).stdout
    assert f"{len(rows)} controls" in text
    assert len({r["control"] for r in rows}) == len(rows)
    for r in rows:
        assert r["title"] and r["means"] and r["remediation"] and r["control"] in text
    story = run("--explain", "CTR-06", check=0).stdout
    assert "When it fails" in story and "5.32" in story


def test_a_tree_of_files_needs_no_host(tree):
    report = json.loads(run("--root", tree, "--json").stdout)
    assert report["host"] == "tree"
    for f in report["findings"]:
        if f["area"] == "containers":
            assert f["status"] == "not_applicable" and "running host" in f["evidence"]


def write_waivers(path, *entries):
    path.write_text(json.dumps({"schema": "batten.waivers/1", "waivers": list(entries)}))
    return path


def waiver(**changes):
    return {"control": "HST-10", "scope": {}, "reason": "r", "owner": "o", "until": "2099-01-01", **changes}


def test_bad_waivers_are_refused_with_the_place(tmp_path):
    w = tmp_path / "w.json"
    for entry, word in ((waiver(control="CTR-00"), "CTR-00"), (waiver(until="soon"), "until"),
                        (waiver(until="2026-02-30"), "until"), (waiver(extra="x"), "extra"),
                        (waiver(scope={"famly": "x"}), "famly"), (waiver(owner=""), "owner")):
        one_line(run("--waivers", write_waivers(w, waiver(), entry)), "waivers[1]", word)
    w.write_text('{"$schema": "waivers",\n "schema": "batten.waivers/1",\n "waivers": [\n  %s,\n\n  {"control": "[{,"}\n]}' %
                 json.dumps(waiver(reason='a " ] } , {')))
    one_line(run("--waivers", w), "w.json:6: ", "waivers[1]")
    w.write_text(json.dumps({"schema": "batten.waivers/1", "waivers": [], "wavers": []}))
    one_line(run("--waivers", w), "wavers")
    w.write_text("{")
    one_line(run("--waivers", w), str(w))
    one_line(run("--waivers", tmp_path / "none.json"), "none.json")


def test_the_shipped_schema_says_the_same_of_waivers(tmp_path, tree):
    schema = jsonschema.Draft7Validator(json.loads((TOP / "profiles/waivers.schema.json").read_text()))
    w = tmp_path / "w.json"
    good = [[], [waiver()], [waiver(scope={"family": "web*", "container": "x", "image": "y", "path": "/z"})]]
    bad = [[waiver(until="soon")], [waiver(extra="x")], [waiver(scope={"famly": "x"})], [waiver(owner="")], [waiver(scope=None)],
           [waiver(until="2026-13-01")], [waiver(control="nonsense")], [{k: v for k, v in waiver().items() if k != "reason"}]]
    for entries in good + bad:
        document = json.loads(write_waivers(w, *entries).read_text())
        assert schema.is_valid(document) == (entries in good), entries
        assert (run("--root", tree, "--control", "DKF-02", "--waivers", w).returncode != 2) == (entries in good), entries


def test_json_goes_to_a_file(tmp_path, tree):
    out = tmp_path / "report.json"
    p = run("--root", tree, "--json", "-o", out)
    assert p.stdout == "" and json.loads(out.read_text())["schema"] == "batten.audit/1"
    assert run("--root", tree, "-o", "/no/dir/x").returncode in (2, 3)


def test_a_missing_docker_is_said_and_counts_only_when_named(tmp_path):
    url = f"unix://{tmp_path}/docker.sock"
    p = run("--docker", url, "--area", "containers")
    assert p.returncode == 3 and p.stderr.count("\n") == 1 and "docker" in p.stderr
    all_of_it = findings("--docker", url, "--control", "CTR-01")
    assert [f["status"] for f in all_of_it] == ["unknown"]


def test_a_docker_that_hangs_delays_nothing_but_itself(tmp_path):
    import socket
    path = tmp_path / "docker.sock"
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen(8)  # accepts, never answers
    report = findings("--docker", f"unix://{path}", timeout=20)
    assert {f["status"] for f in report if f["control"] == "CTR-01"} == {"unknown"}
    assert any(f["status"] == "pass" or f["status"] == "fail" for f in report if f["area"] == "host")
    s.close()


# "well": the stand-in knows containers and nothing else that every Docker knows.
@pytest.mark.parametrize("mood", ["well", "garbage", "error", "cut", "endless", "types"])
def test_what_is_no_docker_is_not_a_host_without_containers(tmp_path, mood):
    with docker_standin.DockerStandin(tmp_path / "docker.sock") as d:
        d.mood = mood
        p = run("--docker", d.url, "--control", "CTR-01,IMG-08,HST-10", "--json", check=3)
    report = {f["control"]: f["status"] for f in json.loads(p.stdout)["findings"]}
    assert (report["CTR-01"], report["IMG-08"]) == ("unknown", "unknown") and report["HST-10"] != "unknown", report
    assert p.stderr.count("\n") == 1 and "docker" in p.stderr


ODD = ["etc/docker/daemon.json", "etc/group", "etc/hostname", "var/lib/cloud/instance/user-data.txt", "etc/ecs/ecs.config",
       "var/log/ecs/ecs-agent.log", "etc/passwd", "var/lib/update-motd/motd", "etc/ecs/ecs.config.json",
       "var/lib/ecs/ecs.config", "etc/os-release", "run/cloud-init/instance-data.json", "etc/nftables.conf",
       "etc/systemd/system/ecs.service", "etc/systemd/system/ecs.service.d/x.conf", "usr/lib/systemd/system/ecs.service",
       "etc/default/docker", "etc/sysconfig/docker", "etc/containerd/config.toml", "run/docker.sock",
       "run/containerd/containerd.sock", "var/lib/cloud/instance/sem/config_scripts_user", "run/motd.d/10-update",
       "var/lib/update-notifier/updates-available", "var/lib/dpkg/info/docker.io.md5sums", "var/lib/dpkg/status",
       "var/lib/rpm/rpmdb.sqlite", "etc/shadow", "var/lib/cloud/data/instance-id"]


def make_odd(kind, path, outside):
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "huge":
        with open(path, "wb") as f:
            f.truncate(1 << 30)
    elif kind == "forbidden":
        path.write_text("x")
        path.chmod(0)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "outside":
        path.symlink_to("../" * 20 + str(outside))
    elif kind == "absolute":
        path.symlink_to(outside)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "nul":
        path.write_bytes(b"\0\xff" * 1000)


@pytest.mark.parametrize("kind", ["directory", "fifo", "huge", "forbidden", "dangling", "loop", "outside", "absolute", "zero",
                                  "nul"])
def test_odd_files_neither_hang_nor_escape(tmp_path, tree, kind):
    outside = tmp_path / "outside"
    outside.write_text("docker:x:1:OUTSIDE\nPASSWORD=OUTSIDE-SECRET\nOUTSIDE\n")
    for name in ODD:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.unlink()
        make_odd(kind, path, outside)
    p = run("--root", tree, "--json", timeout=10)
    assert p.returncode in (0, 1), p.stderr
    assert "OUTSIDE" not in p.stdout
    assert json.loads(p.stdout)["schema"] == "batten.audit/1"


@pytest.mark.parametrize("kind", ["directory", "fifo", "huge", "dangling", "loop", "zero", "nul"])
@pytest.mark.parametrize("option", ["--waivers", "--user-data", "--profile"])
def test_odd_files_that_are_named_are_refused_or_read(tmp_path, tree, option, kind):
    path = tmp_path / "odd.json"
    make_odd(kind, path, tmp_path)
    p = run("--root", tree, option, path, "--json", timeout=20)
    if option == "--user-data" and kind == "nul":
        assert p.returncode in (0, 1)  # user data may be anything
    else:
        one_line(p, "odd.json")


def test_odd_directories_neither_hang_nor_escape(tmp_path, tree):
    outside = tmp_path / "outside"
    (outside / "ecs").mkdir(parents=True)
    (outside / "ecs/ecs.config").write_text("ECS_CLUSTER=OUTSIDE\nECS_FOO=OUTSIDE\n")
    (outside / "group").write_text("docker:x:1:OUTSIDE\n")
    import shutil
    shutil.rmtree(tree / "etc")
    (tree / "etc").symlink_to(outside)
    p = run("--root", tree, "--json", timeout=10)
    assert p.returncode in (0, 1) and "OUTSIDE" not in p.stdout


def test_profiles_choose_and_say_how_far(tmp_path):
    managed = json.loads(run("--profile", "managed-instances", "--json").stdout)
    assert managed["profile"] == "managed-instances"
    assert {f["control"] for f in managed["findings"]} < {r["control"] for r in json.loads(
        run("--list", "--json").stdout)["controls"]}
    far = re.search(r": (\d+) of (\d+) hold(?:, and (\d+) more could not be examined)?\n",
                    run("--profile", "managed-instances", "--docker", f"unix://{tmp_path}/none").stdout)
    assert far and int(far[3]) >= 1, "Docker's controls could not be examined"
    age = [f for f in managed["findings"] if f["control"] == "HST-03"]
    assert age and age[0]["severity"] == "high"
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"schema": "batten.audit-profile/1", "name": "own", "title": "Own", "controls": ["HST-1[01]"]}))
    assert {f["control"] for f in findings("--profile", own)} == {"HST-10", "HST-11"}
    own.write_text(json.dumps({"schema": "batten.audit-profile/1", "name": "own", "title": "Own", "controls": ["XXX-*"]}))
    one_line(run("--profile", own), "XXX-*", "own.json")


def asked_for(*functions):
    """Names that the checks ask a profile for."""
    found = set()
    for path in (TOP / "agent").rglob("*.c"):
        text = path.read_text()
        for f in functions:
            found |= set(re.findall(rf'\b{f}\([^"();]*"([a-z-]+)"', text))
    return found


def test_a_profile_knows_what_the_checks_ask_for(tmp_path, tree):
    own = tmp_path / "own.json"

    def one(**members):
        own.write_text(json.dumps({"schema": "batten.audit-profile/1", "name": "own", "title": "Own", "controls": ["*"], **members}))
        return run("--root", tree, "--control", "DKF-02", "--profile", own)
    parameters, lists = asked_for("audit_parameter"), asked_for("audit_listed", "audit_has_list", "check_hits")
    assert len(parameters) >= 7 and len(lists) >= 11, (parameters, lists)
    manual = (TOP / "agent/man/batten.8").read_text().replace("\\-", "-")
    assert [name for name in parameters | lists if name not in manual] == []
    assert one(parameters={p: 1 for p in parameters}, lists={n: ["x"] for n in lists}).returncode in (0, 1)
    one_line(one(parameters={"image-scan": 1}), "own.json", "image-scan")
    one_line(one(lists={"listener": ["x"]}), "own.json", "listener")


def test_fail_on_decides(tmp_path, tree):
    (tree / "etc/docker").chmod(0o777)  # DKF-02, medium
    for severity, expected in (("low", 1), ("medium", 1), ("high", 0), ("critical", 0)):
        run("--root", tree, "--control", "DKF-02", "--fail-on", severity, check=expected)
    w = write_waivers(tmp_path / "w.json", waiver(control="DKF-02", scope={"path": "/etc/docker"}))
    p = run("--root", tree, "--control", "DKF-02", "--fail-on", "low", "--waivers", w, check=0)
    assert "waived" in p.stdout and "DKF-02" in p.stdout
    w = write_waivers(tmp_path / "w.json", waiver(control="DKF-02", scope={"path": "/etc/other"}))
    p = run("--root", tree, "--control", "DKF-02", "--fail-on", "low", "--waivers", w, check=1)
    assert "WVR-02" in p.stdout


def test_without_root_it_audits_what_it_can():
    p = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", lab.BATTEN, "audit", "--json"],
                       text=True, capture_output=True, timeout=30)
    lab.need("Permission denied" not in p.stderr or p.stdout, "this user cannot run the binary")
    report = json.loads(p.stdout)
    assert p.returncode in (0, 1) and report["summary"]["unknown"] > 0 and report["summary"]["pass"] > 0


def test_packed_user_data_are_looked_into(tmp_path, tree):
    def judged(data):
        given = tmp_path / "user-data"
        given.write_bytes(data)
        return findings("--root", tree, "--control", "IMD-07", "--user-data", given)[0]
    script = b"#!/bin/sh\n" + b"# much\n" * 5000 + b"export DB_PASSWORD=correct-horse\n"
    found = judged(gzip.compress(script))
    assert found["status"] == "fail" and "line 5002 holds a credential (password)" in found["evidence"], found
    assert judged(gzip.compress(b"#!/bin/sh\n"))["status"] == "pass"
    assert judged(gzip.compress(script)[:-20])["status"] == "unknown"
    assert judged(gzip.compress(bytes(2 << 20)))["status"] == "unknown"
    assert judged(b"a\0\nDB_PASSWORD=correct-horse\n")["status"] == "fail"
    harmless = gzip.compress(b"#!/bin/sh\n")
    assert judged(harmless + gzip.compress(script))["status"] == "fail"  # gzip and cloud-init read all members
    assert judged(harmless + bytes(100))["status"] == "pass"
    assert judged(harmless + b"# rest\n")["status"] == "unknown"
    for header in (b"Content-Transfer-Encoding: base64", b"content-transfer-encoding:Base64"):
        found = judged(b"Content-Type: text/x-shellscript\n" + header + b"\n\nZWNobwo=\n")
        assert found["status"] == "unknown", header
