# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: a workload is recorded, its profile enforced by a real runtime, and it behaves the same;
what it never did is denied."""
import json
import pathlib
import shutil
import subprocess

import pytest

import lab
import oci
import programs

PIPELINE = "echo b a c | tr ' ' '\\n' | sort | while read x; do printf '%s-' $x; done; ls /etc >/dev/null; echo"
PYTHON = ("import threading, socket, tempfile, subprocess\n"
          "t = threading.Thread(target=lambda: print('thread')); t.start(); t.join()\n"
          "a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))\n"
          "with tempfile.TemporaryFile() as f: f.write(b'y')\n"
          "print(subprocess.run(['echo', 'child'], capture_output=True).stdout)")
PERL = "my %h = map { $_ => 1 } 1 .. 9; my $p = open(F, '-|', 'echo from perl'); print <F>; print scalar(keys %h), qq(\\n)"

# Numbers on x86-64 of calls that no workload here makes.
NEVER = {"swapon": 167, "acct": 163, "syslog": 103, "keyctl": 250}
UNKNOWN = 999


@pytest.fixture
def bundles(spaces, scratch):
    lab.need(shutil.which("runc") and shutil.which("crun"), "runc and crun are not installed")
    p = subprocess.run([lab.BATTEN, "seccomp", "record", "--", "true"], text=True, capture_output=True)
    lab.need(p.returncode != 3, p.stderr.strip())
    return oci.Bundles(spaces, scratch)


def generate(observation, output, *options):
    p = subprocess.run([lab.BATTEN, "seccomp", "generate", observation, "-o", output, *options], text=True,
                       capture_output=True)
    assert p.returncode == 0, p.stderr
    return json.loads(output.read_text())


def answers(seccomp, name):
    for rule in seccomp["syscalls"]:
        if name in rule["names"]:
            return rule["action"][9:] + (f" {rule['errnoRet']}" if "errnoRet" in rule else "")
    return f"default {seccomp['defaultErrnoRet']}"


WORKLOADS = {
    "static": ["busybox", "echo", "hello"],
    "glibc": ["echo", "hello"],
    "pipeline": ["sh", "-c", PIPELINE],
    "python": ["python3", "-S", "-c", PYTHON],
    "perl": ["perl", "-e", PERL],
    "threads": ["/mnt/threads"],
    "32-bit": ["/mnt/hello32"],
}


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_workloads_behave_the_same_under_their_profile(bundles, scratch, runtime):
    programs.build(bundles.programs, "threads", programs.THREADS, "-pthread")
    programs.build(bundles.programs, "hello32", programs.HELLO, "-m32", "-static")
    counts = {}
    for name, command in WORKLOADS.items():
        free = {}

        def run(cgroup):
            free["result"] = bundles.run(runtime, command, nnp=False, cgroup=cgroup)
        observation = scratch / f"{name}.json"
        bundles.record(run, observation)
        expected = free["result"]
        assert expected.returncode == 0, expected
        for options in ((), ("--args",)):
            profile = generate(observation, scratch / "profile.json", "--runtime", runtime, *options)
            for nnp in (False, True):
                got = bundles.run(runtime, command, seccomp=profile, nnp=nnp)
                assert (got.returncode, got.stdout) == (0, expected.stdout), (name, options, nnp, got)
        counts[name] = sum(len(r["names"]) for r in profile["syscalls"] if r["action"] == "SCMP_ACT_ALLOW")
        assert ("SCMP_ARCH_X86" in profile["architectures"]) == (name == "32-bit")
        # What was never observed is denied; what is younger than the profile is not there.
        for call, number in NEVER.items():
            assert answers(profile, call) == "ERRNO 1", call
    print(f"{runtime}: calls allowed per workload {counts}; Docker's default has "
          f"{sum(len(r['names']) for r in oci.docker_default()['syscalls'][:1])} names without condition")


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_calls_never_observed_are_denied(bundles, scratch, runtime):
    programs.build(bundles.programs, "calls", programs.CALLS, "-static")
    bundles.record(lambda cgroup: bundles.run(runtime, ["/mnt/calls", "39"], cgroup=cgroup), scratch / "o.json")
    profile = generate(scratch / "o.json", scratch / "p.json", "--runtime", runtime)
    wanted = [str(n) for n in NEVER.values()] + [str(UNKNOWN), "39"]
    got = bundles.run(runtime, ["/mnt/calls", *wanted], seccomp=profile)
    assert got.stdout.splitlines() == [f"{n} EPERM" for n in NEVER.values()] + [f"{UNKNOWN} ENOSYS", "39 ok"]


def test_argument_rules_hold(bundles, scratch):
    """socket(AF_UNIX) was seen; any other family is denied, with and without flags in the type."""
    python = ["python3", "-S", "-c", "import socket; socket.socket(socket.AF_UNIX).close()"]
    bundles.record(lambda cgroup: bundles.run("runc", python, cgroup=cgroup), scratch / "o.json")
    profile = generate(scratch / "o.json", scratch / "p.json", "--args", "--runtime", "runc")
    program = ("import socket\nfor f in (socket.AF_UNIX, socket.AF_INET, socket.AF_NETLINK, 38, 40):\n"
               " for t in (socket.SOCK_STREAM, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, socket.SOCK_DGRAM):\n"
               "  try: socket.socket(f, t); print(int(f), 'ok')\n  except OSError as e: print(int(f), e.errno)")
    got = bundles.run("runc", ["python3", "-S", "-c", program], seccomp=profile)
    assert got.stdout.split("\n")[:3] == ["1 ok", "1 ok", "1 1"], got
    assert set(got.stdout.split("\n")[3:-1]) == {"2 1", "16 1", "38 1", "40 1"}


BY_THREAD = ("--assume-feature", "-task-storage")


@pytest.mark.parametrize("runtime,storage", [("runc", ()), ("crun", ()), ("runc", BY_THREAD)],
                         ids=["runc", "crun", "runc-by-thread"])
def test_recording_under_dockers_default_still_starts_threads(bundles, scratch, runtime, storage):
    programs.build(bundles.programs, "threads", programs.THREADS, "-pthread")
    for nnp in (False, True):
        o = bundles.record(lambda cgroup: bundles.run(runtime, ["/mnt/threads"], seccomp=oci.docker_default(), nnp=nnp,
                                                      cgroup=cgroup), scratch / "o.json", *storage)
        calls = o["abis"]["x86_64"]["syscalls"]
        assert calls["clone3"]["denied"] == ["ENOSYS"] and "phase" not in calls["clone3"], calls["clone3"]
        assert "phase" in calls["clone"]
        # The runtime's set-up before the filter is no need of the workload's.
        assert not {"mount", "pivot_root", "unshare", "sethostname"} & set(calls)
        profile = generate(scratch / "o.json", scratch / "p.json", "--runtime", runtime)
        assert answers(profile, "clone3") == "ERRNO 38"
        got = bundles.run(runtime, ["/mnt/threads"], seccomp=profile, nnp=nnp)
        assert (got.returncode, got.stdout) == (0, "4 threads\n"), got


@pytest.mark.parametrize("runtime,storage", [("runc", ()), ("crun", ()), ("crun", BY_THREAD)],
                         ids=["runc", "crun", "crun-by-thread"])
def test_exec_sessions_are_kept_apart_and_work(bundles, scratch, runtime, storage):
    # Until the session has ended, however long that takes.
    command = ["busybox", "sh", "-c", "while ! [ -e /tmp/end ]; do busybox sleep 0.1; done"]

    def session(inside):
        listed = inside("ls", "-l", "/etc")
        inside("touch", "/tmp/end")
        return listed

    def run(cgroup):
        bundles.run(runtime, command, cgroup=cgroup, during=session)
    o = bundles.record(run, scratch / "o.json", *storage)
    calls = o["abis"]["x86_64"]["syscalls"]
    assert calls["getdents64"]["phase"] == "exec", calls["getdents64"]
    assert not {"mount", "pivot_root", "setns", "unshare"} & set(calls), sorted(calls)
    profile = generate(scratch / "o.json", scratch / "p.json", "--runtime", runtime)

    def during(inside):
        assert "passwd" in session(inside).stdout
    assert bundles.run(runtime, command, seccomp=profile, during=during).returncode == 0
    without = generate(scratch / "o.json", scratch / "p.json", "--runtime", "crun", "--without-exec")
    assert answers(without, "statfs") != "ALLOW"


SERVER = {
    "nginx": (["nginx", "-g", "daemon off; pid /tmp/pid; error_log /dev/null;", "-e", "/tmp/e", "-c", "/mnt/nginx.conf"],
              "import urllib.request\nfor _ in range(50): print(urllib.request.urlopen('http://127.0.0.1:8080/').status)"),
    "redis": (["redis-server", "--save", "", "--dir", "/tmp", "--port", "6379"],
              "import socket\ns = socket.create_connection(('127.0.0.1', 6379)); f = s.makefile('rb')\n"
              "for i in range(50):\n s.sendall(b'INCR a\\r\\n'); print(f.readline().strip().decode())"),
}


@pytest.mark.parametrize("server", list(SERVER))
def test_servers_serve_the_same_under_their_profile(bundles, scratch, server):
    lab.need(shutil.which({"redis": "redis-server"}.get(server, server)), f"{server} is not installed")
    (bundles.programs / "nginx.conf").write_text(
        "user root; worker_processes 2; events {}\nhttp { access_log off; client_body_temp_path /tmp/b; "
        "proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;\n"
        "server { listen 127.0.0.1:8080; location / { return 200 ok; } } }\n")
    command, client = SERVER[server]
    script = (" ".join(f"'{a}'" for a in command) + " >/tmp/log 2>&1 & p=$!; ip link set lo up; "
              "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.3; "
              "python3 -S -c \"$CLIENT\" 2>/tmp/client && break; done || cat /tmp/client /tmp/log; kill $p; wait $p")
    shell = ["env", f"CLIENT={client}", "sh", "-c", script]
    free = {}
    for attempt in range(2):
        def run(cgroup):
            free["result"] = bundles.run("runc", shell, nnp=False, cgroup=cgroup)
        bundles.record(run, scratch / f"o{attempt}.json")
    expected = free["result"].stdout
    assert len(expected.split()) == 50, free["result"]
    merged = subprocess.run([lab.BATTEN, "seccomp", "merge", scratch / "o0.json", scratch / "o1.json", "-o",
                             scratch / "o.json"])
    assert merged.returncode == 0
    profile = generate(scratch / "o.json", scratch / "p.json", "--runtime", "runc")
    for runtime in ("runc", "crun"):
        profile = generate(scratch / "o.json", scratch / "p.json", "--runtime", runtime)
        got = bundles.run(runtime, shell, seccomp=profile)
        assert got.stdout == expected, got


@pytest.mark.parametrize("runtime,needs", [
    ("runc", {"close", "epoll_ctl", "execve", "fstatfs", "getdents64", "getpid", "openat", "write", "capset", "setgroups",
              "prctl"}),
    ("crun", {"close", "execve", "capset", "prctl", "setresuid", "setresgid", "write"})])
def test_the_runtime_is_measured_on_this_host(bundles, scratch, runtime, needs):
    p = subprocess.run([lab.BATTEN, "seccomp", "measure-runtime", runtime, "-o", scratch / "m.json"], text=True,
                       capture_output=True)
    assert p.returncode == 0, p.stderr
    calls = json.loads((scratch / "m.json").read_text())["abis"]["x86_64"]["syscalls"]
    assert needs <= set(calls)
    assert all(c["phase"] == "runtime" for c in calls.values())
    # What ships for this runtime covers what this host's needs.
    bundles.record(lambda cgroup: bundles.run(runtime, ["busybox", "true"], cgroup=cgroup), scratch / "o.json")
    profile = generate(scratch / "o.json", scratch / "p.json", "--runtime", runtime)
    assert all(answers(profile, name) == "ALLOW" for name in calls)


def test_measuring_what_is_not_installed_says_so(scratch):
    for name in ("no-such-runtime", "../runc"):
        p = subprocess.run([lab.BATTEN, "seccomp", "measure-runtime", name], text=True, capture_output=True)
        assert p.returncode == 2 and name in p.stderr and p.stderr.count("\n") == 1, p


@pytest.mark.parametrize("runtime", ["runc", "crun"])
@pytest.mark.parametrize("by", ["cgroup", "mntns"])
def test_containers_are_seen_from_their_first_task_without_being_named(bundles, scratch, runtime, by):
    """Rows are made in the kernel with the cgroup or the mount namespace, as the runtime makes it; other
    groups get none."""
    name = f"t{bundles.space.pid}"
    programs.build(bundles.programs, name, programs.THREADS, "-pthread")
    watcher = bundles.space.start(lab.TOOLS / "seccomp-rows", *(["mntns"] if by == "mntns" else []),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert watcher.stdout.readline() == "watching\n"
    identity = f"{bundles.space.pid:064x}"
    other = bundles.cgroup()
    for cgroup in (pathlib.Path("/sys/fs/cgroup") / identity, other):
        assert bundles.run(runtime, [f"/mnt/{name}"], seccomp=oci.docker_default(), cgroup=cgroup).returncode == 0
    bundles.space.run("rmdir", other, check=False)
    out, _ = watcher.communicate(timeout=60)
    # Whatever else begins on the machine meanwhile may have a mount namespace of its own too.
    observations = [o for o in map(json.loads, out.splitlines())
                    if any(c.get("by") == name for c in o["abis"]["x86_64"]["syscalls"].values())]
    # Two namespaces that follow each other may have the same number.
    assert len(observations) in ([1] if by == "cgroup" else [1, 2])
    (scratch / "o.json").write_text(json.dumps(observations[0]))
    calls = observations[0]["abis"]["x86_64"]["syscalls"]
    assert {"execve", "arch_prctl", "clone", "exit_group"} <= set(calls) and calls["clone3"]["denied"] == ["ENOSYS"]
    assert not {"mount", "pivot_root", "unshare", "sethostname"} & set(calls), sorted(calls)
    profile = generate(scratch / "o.json", scratch / "p.json", "--runtime", runtime)
    assert bundles.run(runtime, [f"/mnt/{name}"], seccomp=profile).stdout == "4 threads\n"
