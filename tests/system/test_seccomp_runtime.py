# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: a workload is recorded, its profile enforced by a real runtime, and it behaves the same;
what it never did is denied."""
import json
import pathlib
import shutil
import subprocess
import sys

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
def test_workloads_behave_the_same_under_their_profile(bundles, scratch, runtime, capsys):
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
        counts[name] = allowed(scratch / "profile.json")
        assert ("SCMP_ARCH_X86" in profile["architectures"]) == (name == "32-bit")
        # What was never observed is denied; what is younger than the profile is not there.
        for call, number in NEVER.items():
            assert answers(profile, call) == "ERRNO 1", call
    there = allowed_there(scratch / "profile.json")
    with capsys.disabled():
        print(f"\n{runtime}: calls let through per workload {counts}; Docker's default: {there}")
    assert all(n < there for n in counts.values()), (counts, there)


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


@pytest.mark.parametrize("storage", [(), BY_THREAD], ids=["by-task", "by-thread"])
def test_what_a_filter_denied_is_told_from_what_the_kernel_refused(bundles, scratch, storage):
    """keyctl never reaches the kernel; raising a limit does, and is refused there."""
    program = ("import ctypes, resource\nctypes.CDLL(None).syscall(250, 0, 0, 0)\n"
               "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
               "try: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1)); print('raised')\n"
               "except (PermissionError, ValueError): print('refused')")
    free = {}

    def run(cgroup):
        free["result"] = bundles.run("runc", ["python3", "-S", "-c", program], seccomp=oci.docker_default(), cgroup=cgroup)
    o = bundles.record(run, scratch / "o.json", *storage)
    calls = o["abis"]["x86_64"]["syscalls"]
    assert free["result"].stdout == "refused\n", free["result"]
    assert calls["keyctl"]["denied"] == ["EPERM"] and "phase" not in calls["keyctl"], calls["keyctl"]
    assert "phase" in calls["prlimit64"] and "denied" not in calls["prlimit64"], calls["prlimit64"]


@pytest.mark.parametrize("runtime,storage", [("runc", ()), ("crun", ()), ("crun", BY_THREAD)],
                         ids=["runc", "crun", "crun-by-thread"])
def test_exec_sessions_are_kept_apart_and_work(bundles, scratch, runtime, storage):
    # Until the session has ended, however long that takes.
    command = ["busybox", "sh", "-c", "while ! [ -e /tmp/end ]; do busybox sleep 0.1; done"]

    def session(inside):
        listed = inside("ls", "-l", "/etc")
        inside("touch", "/tmp/end", check=False)  # which may end with the container, before it has said so
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
    for nnp in (False, True):
        assert bundles.run(runtime, command, seccomp=profile, during=during, nnp=nnp).returncode == 0
    without = generate(scratch / "o.json", scratch / "p.json", "--runtime", "crun", "--without-exec")
    assert answers(without, "statfs") != "ALLOW"


# A server, and a bounded load on it: so many requests over so many connections at a time. What the load prints
# is the same each time. "replies" and "errors" of Redis count what it did and refused itself.
SERVER = {
    "nginx": (["nginx", "-g", "daemon off; pid /tmp/pid; error_log /dev/null;", "-e", "/tmp/e", "-c", "/mnt/nginx.conf"], """
import http.client, threading
seen, lock = {}, threading.Lock()
def client():
    c = http.client.HTTPConnection("127.0.0.1", 8080)
    for i in range(100):
        for method, path in (("GET", "/"), ("HEAD", "/"), ("GET", "/file"), ("GET", "/missing"), ("POST", "/")):
            c.request(method, path, body=b"x" * 20000 if method == "POST" else None)
            r = c.getresponse()
            key = (method, path, r.status, len(r.read()))
            with lock:
                seen[key] = seen.get(key, 0) + 1
http.client.HTTPConnection("127.0.0.1", 8080).connect()
threads = [threading.Thread(target=client) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
for key in sorted(seen): print(*key, seen[key])
"""),
    "redis": (["redis-server", "--save", "", "--dir", "/tmp", "--port", "6379"], """
import socket, subprocess
s = socket.create_connection(("127.0.0.1", 6379)); f = s.makefile("rb")
def ask(*words):
    s.sendall(b"*%d\\r\\n" % len(words) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(w), w) for w in words))
    return f.readline()[:-2].decode()
print(ask(b"PING"))
p = subprocess.run(["redis-benchmark", "-q", "-n", "2000", "-c", "20", "-P", "4", "-r", "100", "-t",
                    "set,get,incr,lpush,rpop,sadd,hset,mset"], capture_output=True, text=True)
print(p.returncode, p.stderr, sorted(line.split(":")[0] for line in p.stdout.replace(chr(13), chr(10)).split(chr(10))
                                     if "requests per second" in line))
print(ask(b"SET", b"k", b"v"), ask(b"GET", b"k"), f.readline(), ask(b"SAVE"), ask(b"CONFIG", b"REWRITE"))
print(ask(b"EVAL", b"return 7", b"0"), ask(b"NOSUCH")[:20], ask(b"FLUSHALL"))
"""),
}


@pytest.mark.parametrize("server", list(SERVER))
def test_servers_under_load_are_the_same_under_their_profile(bundles, scratch, server, capsys):
    lab.need(shutil.which({"redis": "redis-server"}.get(server, server)), f"{server} is not installed")
    (bundles.programs / "nginx.conf").write_text(
        "user root; worker_processes 2; events {}\nhttp { access_log off; client_body_temp_path /tmp/b; "
        "proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; "
        "sendfile on;\nserver { listen 127.0.0.1:8080; root /mnt; location = / { return 200 ok; } } }\n")
    (bundles.programs / "file").write_bytes(b"f" * 200000)
    command, client = SERVER[server]
    (bundles.programs / "client.py").write_text(client)
    script = (" ".join(f"'{a}'" for a in command) + " >/tmp/log 2>&1 & p=$!; ip link set lo up; "
              "n=0; while [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.3; "
              "python3 -S /mnt/client.py 2>/tmp/client >/tmp/out && break; done; cat /tmp/out; [ $n -lt 100 ] || "
              "cat /tmp/client /tmp/log; kill $p; wait $p; echo ended with $?")
    shell = ["sh", "-c", script]
    free = {}
    for attempt in range(2):
        def run(cgroup):
            free["result"] = bundles.run("runc", shell, nnp=False, cgroup=cgroup)
        bundles.record(run, scratch / f"o{attempt}.json")
    expected = free["result"].stdout
    assert "ended with 0" in expected and len(expected.split("\n")) > 4, free["result"]
    counts = {}
    for runtime, nnp in (("runc", False), ("runc", True), ("crun", False), ("crun", True)):
        p = subprocess.run([lab.BATTEN, "seccomp", "generate", scratch / "o0.json", scratch / "o1.json", "--runtime", runtime,
                            "-o", scratch / "p.json"], capture_output=True, text=True)
        assert p.returncode == 0, p.stderr
        profile = json.loads((scratch / "p.json").read_text())
        got = bundles.run(runtime, shell, seccomp=profile, nnp=nnp)
        assert (got.returncode, got.stdout) == (0, expected), got
        counts[runtime] = allowed(scratch / "p.json")
    with capsys.disabled():
        print(f"\n{server} under load: calls let through {counts}; Docker's default: {allowed_there(scratch / 'p.json')}")


def allowed(profile, key="allowed"):
    """As `seccomp diff` counts: calls let through, at least with some arguments."""
    p = subprocess.run([lab.BATTEN, "seccomp", "diff", profile, "--json"], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    return json.loads(p.stdout)[key]


def allowed_there(profile):
    return allowed(profile, "allowed_there")


def test_programs_that_nobody_observed_run_under_a_host_profile(bundles, scratch):
    """What stands in for the ECS agent, its plugins and an exec session: programs in Go, and a shell."""
    lab.need(shutil.which("docker") and shutil.which("containerd"), "docker and containerd are not installed")
    store = scratch / "store"
    store.mkdir()
    o = bundles.record(lambda cgroup: bundles.run("runc", ["busybox", "true"], cgroup=cgroup), scratch / "o.json")
    (store / f"sha256-{'0' * 64}.json").write_text(json.dumps(dict(o, image="small:1", digest="sha256:" + "0" * 64)))
    p = subprocess.run([lab.BATTEN, "seccomp", "generate", "--host", "--state", store, "--runtime", "runc", "-o",
                        scratch / "host.json"], text=True, capture_output=True)
    assert p.returncode == 0 and "small:1" in p.stderr and "fewer" in p.stderr, p.stderr
    assert "ECS agent's own container was not observed" in p.stderr, p.stderr
    # As dockerd hands it to the runtime: without what a capability is asked for.
    profile = json.loads((scratch / "host.json").read_text())
    assert any(r.get("includes") for r in profile["syscalls"])
    profile["syscalls"] = [{k: v for k, v in r.items() if k != "excludes"} for r in profile["syscalls"]
                           if "includes" not in r]
    service = ("ip link set lo up; containerd --root /tmp/r --state /tmp/s --address /tmp/c.sock >/tmp/log 2>&1 & p=$!; n=0; "
               "while [ $n -lt 200 ]; do n=$((n + 1)); sleep 0.1; ctr -a /tmp/c.sock namespaces create one >/dev/null 2>&1 "
               "&& break; done; ctr -a /tmp/c.sock namespaces ls -q; ls /tmp/r/io.containerd.metadata.v1.bolt; "
               "kill $p; wait $p; tail -n 3 /tmp/log >&2")
    for command in (["docker", "--version"], ["sh", "-c", service],
                    ["sh", "-c", "echo in | (read x; echo $x | tr a-z A-Z); trap 'echo term' TERM; kill $$; ps x >/dev/null; id -u"]):
        for nnp in (False, True):
            free, got = (bundles.run("runc", command, seccomp=s, nnp=nnp) for s in (None, profile))
            assert (got.returncode, got.stdout) == (free.returncode, free.stdout), (got, free)
            assert got.stdout, (got, free)


@pytest.mark.parametrize("runtime,needs", [
    ("runc", {"close", "epoll_ctl", "execve", "fstatfs", "getdents64", "getpid", "openat", "write", "capset", "setgroups",
              "prctl"}),
    ("crun", {"close", "execve", "capset", "prctl", "setresuid", "setresgid", "write"})])
def test_the_runtime_is_measured_on_this_host(bundles, scratch, runtime, needs):
    p = subprocess.run([lab.BATTEN, "seccomp", "measure-runtime", runtime, "-o", scratch / "m.json"], text=True,
                       capture_output=True)
    assert p.returncode == 0, p.stderr
    bases = {b["nnp"]: b for b in json.loads((scratch / "m.json").read_text())["bases"]}
    assert all(b["runtime"] == runtime and b["version"][0].isdigit() for b in bases.values())
    calls, fewer = (set(" ".join(bases[nnp]["calls"]).split()) for nnp in (False, True))
    assert needs <= calls and {"close", "execve"} <= fewer and "capset" not in fewer
    assert not {"mount", "pivot_root", "unshare", "setns"} & (calls | fewer)
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
    # Two namespaces that follow each other may have the same inode number, and are two all the same.
    assert len(observations) == (1 if by == "cgroup" else 2)
    (scratch / "o.json").write_text(json.dumps(observations[0]))
    calls = observations[0]["abis"]["x86_64"]["syscalls"]
    assert {"execve", "arch_prctl", "clone", "exit_group"} <= set(calls) and calls["clone3"]["denied"] == ["ENOSYS"]
    assert not {"mount", "pivot_root", "unshare", "sethostname"} & set(calls), sorted(calls)
    profile = generate(scratch / "o.json", scratch / "p.json", "--runtime", runtime)
    assert bundles.run(runtime, [f"/mnt/{name}"], seccomp=profile).stdout == "4 threads\n"


def test_an_exec_before_the_container_s_own_is_the_runtime_s(bundles):
    """runc begins with executing itself anew, by descriptor, and may have been moved into the container's group by then."""
    identity = f"{bundles.space.pid:064x}"
    watcher = bundles.space.start(lab.TOOLS / "seccomp-rows", identity, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert watcher.stdout.readline() == "watching\n"
    cgroup = pathlib.Path("/sys/fs/cgroup") / identity
    bundles.space.run("mkdir", cgroup)
    bundles.space.run(sys.executable, "-c", f"""import os
with open("{cgroup}/cgroup.procs", "w") as f:
    f.write(str(os.getpid()))
os.execve(os.open("/usr/bin/unshare", os.O_RDONLY), ["unshare", "--mount", "busybox", "sync"], os.environ)""")
    bundles.space.run("rmdir", cgroup, check=False)
    out, _ = watcher.communicate(timeout=60)
    assert watcher.returncode == 0
    calls = {n for n, c in json.loads(out)["abis"]["x86_64"]["syscalls"].items() if "phase" in c}
    assert {"execve", "sync"} <= calls and not {"execveat", "unshare", "mount"} & calls, calls


def test_a_container_that_is_over_is_found_by_its_id(bundles, scratch):
    """With its runs before, each in a row of its own, and nobody else's."""
    identity = f"{bundles.space.pid:064x}"
    watcher = bundles.space.start(lab.TOOLS / "seccomp-rows", identity, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert watcher.stdout.readline() == "watching\n"
    for name, command in ((identity, "sync"), (identity[:-1] + "x", "hostname"), ("f" + identity[1:], "hostname"), (identity, "id")):
        cgroup = pathlib.Path("/sys/fs/cgroup") / name
        assert bundles.run("runc", ["busybox", command], cgroup=cgroup).returncode == 0
        bundles.space.run("rmdir", cgroup, check=False)
    out, _ = watcher.communicate(timeout=60)
    assert watcher.returncode == 0
    last, first = ({n for n, c in json.loads(line)["abis"]["x86_64"]["syscalls"].items() if "phase" in c}
                   for line in out.splitlines())
    assert "sync" in first - last and "getegid" in last - first, (first, last)
    assert "execve" in first & last and "exit_group" in first & last
