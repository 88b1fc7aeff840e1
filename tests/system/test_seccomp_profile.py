# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands around profiles, on files: what they print, how they end, and what bad input does."""
import json
import pathlib
import subprocess

import pytest

import lab
from docker_standin import DockerStandin

TOP = pathlib.Path(__file__).parent.parent.parent
TRACE = """execve("/bin/x", ["x"], 0x7ffd) = 0
socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3
uname({sysname="Linux"}) = 0
write(1, "x", 1) = 1
exit_group(0) = ?
"""


def batten(*arguments, **options):
    return subprocess.run([lab.BATTEN, "seccomp", *map(str, arguments)], text=True, capture_output=True, timeout=60,
                          **options)


@pytest.fixture
def observation(scratch):
    (scratch / "trace").write_text(TRACE)
    p = batten("import", "--from", "strace", scratch / "trace", "-o", scratch / "o.json")
    assert p.returncode == 0, p.stderr
    return scratch / "o.json"


@pytest.fixture
def profile(observation, scratch):
    p = batten("generate", observation, "--runtime", "runc", "-o", scratch / "p.json")
    assert p.returncode == 0 and "young" in p.stderr, p.stderr
    return scratch / "p.json"


def test_generated_profiles_are_sorted_grouped_and_commented(profile):
    p = json.loads(profile.read_text())
    assert (p["defaultAction"], p["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 38)
    assert p["architectures"] == ["SCMP_ARCH_X86_64"]
    groups = [r for r in p["syscalls"] if "args" not in r]
    names = [n for r in groups for n in r["names"]]
    assert len(names) == len(set(names)) and all(r["names"] == sorted(r["names"]) and r["comment"] for r in groups)
    # Rules on arguments are one call's each, disjoint, and say so once.
    for rule in p["syscalls"]:
        assert rule in groups or (len(rule["names"]) == 1 and rule["names"][0] not in names
                                  and {a["op"] for a in rule["args"]} == {"SCMP_CMP_MASKED_EQ"})
    by_name = {n: r for r in p["syscalls"] for n in r["names"]}
    for must in ("exit", "exit_group", "rt_sigreturn", "restart_syscall"):
        assert by_name[must]["action"] == "SCMP_ACT_ALLOW"
    assert by_name["clone3"]["errnoRet"] == 38 and by_name["mount"]["errnoRet"] == 1


def test_verify_prints_denied_names_and_exits_1(profile, observation, scratch):
    p = batten("verify", profile, "--against", observation)
    assert (p.returncode, p.stdout) == (0, ""), p
    j = json.loads(profile.read_text())
    for rule in j["syscalls"]:
        rule["names"] = [n for n in rule["names"] if n not in ("uname", "exit_group")] or ["getsid"]
    (scratch / "worse.json").write_text(json.dumps(j))
    p = batten("verify", scratch / "worse.json", "--against", observation)
    assert p.returncode == 1 and sorted(p.stdout.split("\n")) == ["", "exit_group", "uname"], p
    j = json.loads(batten("verify", scratch / "worse.json", "--against", observation, "--json").stdout)
    assert {d["call"] for d in j["denied"]} == {"uname", "exit_group"} and j["checked"] > 5


def test_a_profile_from_elsewhere_is_checked_too(scratch):
    (scratch / "p.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read", "clone", "frobnicate", "exit", "exit_group", "rt_sigreturn", "restart_syscall"],
         "action": "SCMP_ACT_ALLOW"}]}))
    p = batten("verify", scratch / "p.json")
    assert p.returncode == 1 and "frobnicate" in p.stderr and "clone3" in p.stderr
    # No thread would start, though nothing that every program needs is denied.
    p = batten("verify", scratch / "p.json", "--json")
    j = json.loads(p.stdout)
    assert (p.returncode, j["denied"], j["thread_trap"], j["too_long"]) == (1, [], True, False) and j["unknown"] == ["frobnicate"]
    manual = (TOP / "agent" / "man" / "batten.8").read_text().replace("\\-", "-")
    said = manual[manual.index(j["schema"]):].split(".SH")[0]
    assert all(key in said for key in j), j


def test_diff_tells_arguments_and_interfaces(scratch):
    def rule(*names, **more):
        return {"names": names, "action": "SCMP_ACT_ALLOW", **more}

    def write(name, architectures, *rules):
        (scratch / name).write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": rules}))
        return scratch / name

    def only(*pairs):
        return {"args": [{"index": i, "value": v, "op": "SCMP_CMP_EQ"} for i, v in pairs]}
    both = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    p = write("p", both, rule("read", "socketcall"), rule("personality", **only((0, 8))), rule("clone", **only((0, 1), (1, 2))),
              rule("socket", **only((0, 1))), rule("mount"))
    other = write("other", [*both, "SCMP_ARCH_X32"], rule("read", "write"), rule("personality", **only((0, 0))), rule("socket"),
                  rule("clone", **only((1, 2), (0, 1))), rule("mount", **only((0, 1))))
    d = json.loads(batten("diff", p, other, "--json").stdout)
    told = {key: d[key] for key in ("added", "narrowed", "widened", "arguments", "removed")}
    assert told == {"added": [], "narrowed": ["socket"], "widened": ["mount"], "arguments": ["personality"], "removed": ["write"]}
    assert d["architectures"] == {"added": [], "removed": ["SCMP_ARCH_X32"]}
    assert d["other_interfaces"]["x86"]["added"] == ["socketcall"] and not any(d["other_interfaces"]["x32"].values())
    rows = [" ".join(line.split()[:3]) for line in batten("diff", p, other).stdout.splitlines()]
    assert "added socketcall (x86)" in rows and "removed every call" in rows
    assert batten("diff", p, p).stdout.count("\n") == 1
    manual = (TOP / "agent" / "man" / "batten.8").read_text()
    said = manual[manual.index(d["schema"]):].split(".TP")[0]
    assert all(key in said for key in d), d


def test_diff_explain_show_and_list(profile, observation, scratch):
    d = json.loads(batten("diff", profile, "--json").stdout)
    assert "mkdir" in d["removed"] and "ptrace" in d["removed"] and not d["added"]
    assert d["allowed"] < d["allowed_there"]
    assert "against" in d and batten("diff", profile, profile).stdout.startswith(f"{d['allowed']} calls")
    assert "removed" in batten("diff", profile).stdout
    e = json.loads(batten("explain", observation, "--call", "socket", "--json").stdout)["calls"][0]
    assert e["phases"] == "start" and "AF_ALG" in e["denying_stops"]
    assert batten("explain", observation, "--call", "mount").returncode == 2
    s = json.loads(batten("show", observation, "--json").stdout)
    assert s["syscalls"] == 5 and s["young"] and s["runs"] == 1 and s["saturation"] == 0
    assert s["containers"] == 1 and s["calls"] == 0 and s["hours"] == 0
    assert "saturation" in batten("show", observation).stdout
    assert json.loads(batten("list", "--state", scratch / "none", "--json").stdout)["images"] == []


def test_the_store_gives_images_and_the_host_union(observation, scratch):
    store = scratch / "store"
    store.mkdir()
    digests = {}
    for i, image in enumerate(("web:1", "db:2")):
        o = json.loads(observation.read_text())
        digests[image] = "sha256:" + f"{i}" * 64
        o["image"], o["digest"] = image, digests[image]
        o["abis"]["x86_64"]["syscalls"][("listen", "fsync")[i]] = {"phase": "serve"}
        (store / f"sha256-{str(i) * 64}.json").write_text(json.dumps(o))
    p = batten("list", "--state", store, "--json")
    assert [i["image"] for i in json.loads(p.stdout)["images"]] == ["web:1", "db:2"]
    assert "SATURATION" in batten("list", "--state", store).stdout
    for name in ("web:1", digests["web:1"], "000000000000"):
        p = batten("generate", name, "--state", store, "--runtime", "crun")
        names = [n for r in json.loads(p.stdout)["syscalls"] if r["action"] == "SCMP_ACT_ALLOW" for n in r["names"]]
        assert "listen" in names and "fsync" not in names, name
    p = batten("generate", "--host", "--state", store, "--runtime", "runc", "-o", scratch / "host.json")
    assert p.returncode == 0 and "web:1" in p.stderr and "fewer" in p.stderr
    assert batten("verify", scratch / "host.json", "--against", store / f"sha256-{'0' * 64}.json").returncode == 0
    p = batten("generate", "nosuch", "--state", store)
    assert p.returncode == 2 and "nosuch" in p.stderr


def test_a_base_is_allowed_besides(observation, scratch):
    (scratch / "base.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["mkdir", "write"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["rmdir"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2**64 - 1, "op": "SCMP_CMP_EQ"}]}]}))
    p = batten("generate", observation, "--base", scratch / "base.json", "--runtime", "runc")
    rules = {n: r for r in json.loads(p.stdout)["syscalls"] for n in r["names"]}
    rule = rules["mkdir"]
    assert rule["action"] == "SCMP_ACT_ALLOW" and rule["names"] == ["mkdir"] and "base" in rule["comment"]
    # Runtimes refuse a value below 0.
    assert rules["rmdir"]["args"] == [{"index": 0, "value": 2**64 - 1, "op": "SCMP_CMP_EQ"}]


def test_importing_a_profile_and_merging(observation, scratch):
    (scratch / "d.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["mkdir", "open"], "action": "SCMP_ACT_ALLOW"}, {"names": ["mount"], "action": "SCMP_ACT_ERRNO"}]}))
    d = batten("import", "--from", "docker", scratch / "d.json", "-o", scratch / "imported.json")
    assert d.returncode == 0, d.stderr
    one = batten("merge", observation, scratch / "imported.json").stdout
    other = batten("merge", scratch / "imported.json", observation, observation).stdout
    assert json.loads(one) == json.loads(other)
    assert {"mkdir", "open", "socket"} <= set(json.loads(one)["abis"]["x86_64"]["syscalls"])


def test_observations_and_profiles_of_other_machines(observation, profile, scratch):
    """arm64 from here: an observation that came from there, its profile, and what does not go together."""
    o = json.loads(observation.read_text())
    o["arch"] = "aarch64"
    o["abis"] = {"aarch64": o["abis"]["x86_64"]}
    (scratch / "arm.json").write_text(json.dumps(o))
    p = batten("generate", scratch / "arm.json", "--args", "--runtime", "crun", "-o", scratch / "arm-profile.json")
    assert p.returncode == 0, p.stderr
    made = json.loads((scratch / "arm-profile.json").read_text())
    names = {n for r in made["syscalls"] for n in r["names"]}
    assert made["architectures"] == ["SCMP_ARCH_AARCH64"] and "openat" in names
    assert not {"open", "fork", "arch_prctl", "epoll_wait"} & names, "arm64 has no such calls"
    assert batten("verify", scratch / "arm-profile.json", "--against", scratch / "arm.json").returncode == 0
    one_line(batten("verify", scratch / "arm-profile.json", "--against", observation), "another architecture")
    one_line(batten("verify", profile, "--against", scratch / "arm.json"), "another architecture")
    one_line(batten("merge", observation, scratch / "arm.json"), "x86_64", "aarch64")


def test_runtimes_by_version(observation, scratch):
    def names(runtime, *options):
        p = batten("generate", observation, "--runtime", runtime, *options)
        assert p.returncode == 0, p.stderr
        rules = json.loads(p.stdout)["syscalls"]
        return {n for r in rules if r["action"] == "SCMP_ACT_ALLOW" for n in r["names"]}, str(rules), p.stderr
    old, text, said = names("runc@1.1.5")
    assert "capset" in old and "openat2" not in old and "(runc 1.1.5)" in text and "newer" not in said
    every, text, _ = names("runc")
    assert old < every and "openat2" in every and "(runc)" in text
    fewer, text, _ = names("runc@1.1.5", "--no-new-privileges")
    assert fewer < old and "capset" not in fewer and "with no-new-privileges" in text
    _, _, said = names("runc@99.1")
    assert "newer" in said and "measure-runtime runc" in said
    one_line(batten("generate", observation, "--runtime", "runc@new"), "runc@1.1.5")


def test_what_docker_uses_may_be_a_version_that_nobody_measured(observation, scratch):
    """Then what any version needs is allowed, and that is said."""
    def generated(*options):
        p = batten("generate", observation, *options)
        assert p.returncode == 0, p.stderr
        return {n for r in json.loads(p.stdout)["syscalls"] if r["action"] == "SCMP_ACT_ALLOW" for n in r["names"]}, p.stderr
    every, said = generated("--runtime", "runc")
    assert "measured" not in said
    with DockerStandin(scratch / "docker.sock") as docker:
        for version, words in (("1.1.5+ds1", ""), ("1.2.4", "any version"), ("1.0.0-rc93", "any version"),
                               ("1.3.3-1.amzn2023", "any version"), ("9.0", "newer")):
            docker.answers = {"info": {"DefaultRuntime": "runc"},
                              "version": {"Components": [{"Name": "containerd", "Version": "2"}, {"Name": "runc", "Version": version}]}}
            names, said = generated("--runtime", "auto", "--docker", docker.url)
            assert names == every, version
            assert ("measure-runtime runc" in said and words in said) if words else "measure-runtime" not in said, said
    # This version only: what the next ones below and above it need.
    below, above, between = (generated("--runtime", f"runc@{v}") for v in ("1.1.15", "1.3.6", "1.2.4"))
    assert between[0] == below[0] | above[0] != below[0] and "1.1.15 or 1.3.6" in between[1]
    oldest, older = (generated("--runtime", f"runc@{v}") for v in ("1.1.5", "1.0.3"))
    assert older[0] == oldest[0] and "what 1.1.5 needs" in older[1] and "measured" not in oldest[1]


def one_line(p, *words):
    assert p.returncode == 2 and p.stderr.count("\n") == 1 and not p.stdout, p
    assert all(w in p.stderr for w in words), (words, p.stderr)


def test_bad_profiles_and_observations_are_refused_in_one_line(observation, scratch):
    f = scratch / "bad.json"

    def profile(text):
        f.write_text(text if isinstance(text, str) else json.dumps(text))
        return batten("verify", f, "--against", observation)
    one_line(profile("{ broken"), "bad.json")
    one_line(profile(""), "bad.json")
    one_line(profile({"defaultAction": "SCMP_ACT_ALLWO"}), "bad.json", "SCMP_ACT_ALLWO")
    one_line(profile({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_AARCH64"]}), "architecture")
    one_line(profile({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"},
                                                                     {"names": ["x"], "action": "no"}]}), "syscalls[1]")
    text = observation.read_text()
    for cut in (1, len(text) // 3, len(text) // 2, len(text) - 3):
        f.write_text(text[:cut])
        for command in (("generate", f), ("merge", f), ("show", f), ("explain", f)):
            one_line(batten(*command), "bad.json")
    f.write_text("nothing of strace\n")
    one_line(batten("import", "--from", "strace", f), "strace")
    one_line(batten("import", "--from", "audit", f), "audit")
    one_line(batten("import", "--from", "tcpdump", f), "strace, audit or docker")
    one_line(batten("generate", scratch / "missing.json"), "missing.json")
    one_line(batten("generate"), "--host")
    one_line(batten("generate", observation, "--runtime", "lxc"), "lxc")


def test_a_profile_that_libseccomp_comes_to_no_end_with(scratch):
    """Two rules of one call that compare two arguments each keep 2.5.4 busy for hours, in a runtime as well."""
    def rule(op, value):
        return {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "value": 27766, "op": "SCMP_CMP_GT"}, {"index": 2, "value": value, "valueTwo": 65280, "op": op}]}
    (scratch / "p.json").write_text(json.dumps({
        "defaultAction": "SCMP_ACT_TRACE", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [rule("SCMP_CMP_LT", 4), rule("SCMP_CMP_MASKED_EQ", 65280)]}))
    p = batten("verify", scratch / "p.json")
    assert p.returncode == 3 and p.stdout == "" and p.stderr.count("\n") == 1, p
    assert "comes to no end" in p.stderr and "compare fewer arguments" in p.stderr, p.stderr


def test_ten_thousand_rules_are_no_trouble(observation, scratch):
    names = [n for r in json.loads(batten("generate", observation, "--runtime", "runc").stdout)["syscalls"]
             for n in r["names"]]
    rules = [{"names": [names[i % len(names)]], "action": "SCMP_ACT_ALLOW",
              "args": [{"index": 0, "value": i, "op": "SCMP_CMP_EQ"}]} for i in range(10000)]
    rules.append({"names": names, "action": "SCMP_ACT_ALLOW"})
    (scratch / "many.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    p = batten("verify", scratch / "many.json", "--against", observation)
    assert (p.returncode, p.stdout) == (0, ""), p
    # Without the rule that makes them superfluous the kernel would not take the filter, and no container start.
    rules[-1]["names"].remove("ioctl") if "ioctl" in names else None
    for i in range(10000):
        rules[i]["names"] = ["ioctl"]
    (scratch / "long.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    p = batten("verify", scratch / "long.json", "--against", observation)
    assert (p.returncode, p.stdout) == (1, "") and "more than 4096 instructions" in p.stderr, p
    assert json.loads(batten("verify", scratch / "long.json", "--against", observation, "--json").stdout)["too_long"] is True
    (scratch / "more.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules * 2}))
    one_line(batten("verify", scratch / "more.json", "--against", observation), "too many rules")


def test_a_full_disk_loses_nothing(observation, scratch, spaces):
    space = spaces.new("full", mounts=True)
    small = scratch / "small"
    small.mkdir()
    space.run("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small)
    space.run("sh", "-c", f"echo kept > {small}/p.json; dd if=/dev/zero of={small}/fill bs=1k count=100 2>/dev/null",
              check=False)
    p = space.batten("seccomp", "generate", observation, "-o", small / "p.json", check=False)
    assert p.returncode == 3 and "p.json" in p.stderr, p
    assert space.run("cat", small / "p.json").stdout == "kept\n"
    assert space.run("ls", small).stdout.split() == ["fill", "p.json"]
