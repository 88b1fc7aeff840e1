# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold whatever fails: no crash and no hang; an exit code of the table, and words when it is not success; no
secret printed; an output file is the old one or the whole new one; IMDS stays closed. `make faults` tries every
occurrence of every call instead of a sample."""
import json
import os
import resource
import signal
import subprocess

import pytest

import ecs_host
import faults
import guard
import images
import lab

pytestmark = pytest.mark.no_sanitizer  # which brings an allocator of its own

SECRET = "hunter2-do-not-print"
OLD = "what was there before\n"


def observation(path, *names):
    path.write_text(json.dumps({
        "schema": "batten.observation/1", "arch": "x86_64", "started": "2026-01-01T00:00:00Z",
        "finished": "2026-01-01T01:00:00Z", "runs": 1,
        "abis": {"x86_64": {"syscalls": {n: {"count": 1, "first": "2026-01-01T00:00:00Z"} for n in names}}}}))
    return path


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    base = tmp_path_factory.mktemp("faults")
    root = base / "root"
    (root / "etc/ecs").mkdir(parents=True)
    (root / "etc/docker").mkdir()
    (root / "etc/ecs/ecs.config").write_text(
        f"ECS_CLUSTER=a\nECS_ENGINE_AUTH_TYPE=docker\nECS_ENGINE_AUTH_DATA={{\"x\":{{\"password\":\"{SECRET}\"}}}}\n"
        f"HTTP_PROXY=http://user:{SECRET}@proxy:3128\nECS_AWSVPC_BLOCK_IMDS=\"true\"\n")
    (root / "etc/docker/daemon.json").write_text('{"icc": false}\n')
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    base.joinpath("none.conf").write_text("")
    images.docker_old(base / "in.tar", [images.layer({"bin/su": (0o4755, b"x" * 3000), "etc/a": (0o644, b"a")})])
    observation(base / "a.json", "read", "write", "execve")
    observation(base / "b.json", "read", "openat", "clone3")
    base.joinpath("profile.json").write_text(json.dumps({
        "defaultAction": "SCMP_ACT_ERRNO", "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}],
        "syscalls": [{"names": ["read", "write", "execve", "exit_group"], "action": "SCMP_ACT_ALLOW"}]}))
    base.joinpath("trace").write_text('read(0, "", 1) = 0\nwrite(1, "a", 1) = 1\nexit_group(0) = ?\n' * 50)
    return base


# name -> (words, does it write OUT?). Exit codes other than 0 to 4 are no codes of ours.
COMMANDS = {
    "ecs-config": (["ecs", "config", "--root", "{base}/root", "--json"], False),
    "audit": (["audit", "--root", "{base}/root", "--format", "json", "-o", "{out}"], True),
    "audit-html": (["audit", "--root", "{base}/root", "--format", "html", "-o", "{out}"], True),
    "generate": (["seccomp", "generate", "{base}/a.json", "--runtime", "runc", "-o", "{out}"], True),
    "merge": (["seccomp", "merge", "{base}/a.json", "{base}/b.json", "-o", "{out}"], True),
    "import": (["seccomp", "import", "--from", "strace", "{base}/trace", "-o", "{out}"], True),
    "inspect": (["image", "inspect", "{base}/in.tar", "--format", "json"], False),
    "strip": (["image", "strip", "{base}/in.tar", "docker-archive:{out}"], True),
    "plan": (["imds", "plan", "--config", "{base}/none.conf"], False),
    "plan-json": (["imds", "plan", "--config", "{base}/none.conf", "--json"], False),
    "diff": (["seccomp", "diff", "{base}/profile.json", "--json"], False),
}


# libseccomp and stdio do not try again. Their files are in memory, where that cannot happen; or the output, and then it is said.
SEEN = {("write", "generate"), ("read", "inspect"), ("read", "strip"), ("write", "inspect")}


class Case:
    def __init__(self, name, inputs, scratch):
        words, self.writes = COMMANDS[name]
        self.out = scratch / "out"
        self.words = [w.format(base=inputs, out=self.out) for w in words]
        self.scratch = scratch
        self.environment = {k: v for k, v in os.environ.items() if k != "DOCKER_HOST"}
        self.old()
        self.good = self.run()
        assert self.good.returncode in (0, 1), self.good
        self.result = self.output()

    def old(self):
        if self.writes:
            self.out.write_text(OLD)

    def output(self):
        text = self.out.read_bytes() if self.writes else self.good.stdout.encode()
        return self.timeless(text)

    @staticmethod
    def timeless(text):
        """What differs from run to run of an audit or an import goes."""
        lines = text.split(b"\n")
        return [line for line in lines if not any(w in line for w in (b"started", b"finished", b"first", b"20"))]

    def run(self, fault=None, timeout=60, **options):
        return faults.run(self.words, fault, timeout=timeout, cwd=self.scratch, env={**self.environment, **options.pop("env", {})},
                          **options)

    def check(self, p, what, same=False):
        """@same: the fault must not be seen at all."""
        assert 0 <= p.returncode <= 4, (what, p.returncode, p.stderr[-2000:])
        assert SECRET not in p.stdout + p.stderr, what
        if p.returncode in (2, 3, 4):
            assert p.stderr.strip() or p.stdout.strip(), (what, "no word about it")
        if same:
            assert p.returncode == self.good.returncode, (what, p.returncode, p.stderr)
        if not self.writes:
            if same:
                assert self.timeless(p.stdout.encode()) == self.result, what
            return
        now = self.out.read_bytes()
        assert SECRET.encode() not in now, what
        if p.returncode in (0, 1):
            assert now != OLD.encode(), (what, "success, and no output")
        if same:
            assert self.timeless(now) == self.result, what
        if now != OLD.encode():
            self.whole(now, what)
        left = [f.name for f in self.scratch.iterdir() if f.name not in ("out", "log", "interposer.c", "interposer.so")]
        assert not left, (what, "left behind", left)
        self.old()

    def whole(self, now, what):
        """A new file is complete, though a fault may have changed what it says."""
        if self.words[0] == "image":
            assert self.timeless(now) == self.result, what
        elif "html" in self.words:
            assert now.rstrip().endswith(b"</html>"), what
        else:
            json.loads(now)


@pytest.fixture(params=COMMANDS)
def case(request, inputs, scratch):
    return Case(request.param, inputs, scratch)


def test_calls_that_fail(case):
    counts = faults.calls([lab.BATTEN, *case.words], log=case.scratch / "log", stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, cwd=case.scratch)
    case.old()
    todo = faults.failing(counts)
    assert len(todo) > 10
    for fault in todo:
        same = fault.effect == "error=EINTR" and (fault.call, case.words[1]) not in SEEN
        case.check(case.run(fault), fault, same=same)


def test_memory_that_runs_out(case):
    library = faults.build_interposer(case.scratch)
    counted = case.run(env={"LD_PRELOAD": str(library), "COUNT": "1"})
    case.old()
    total = max(int(line.split()[1]) for line in counted.stderr.splitlines() if line.startswith("allocations: "))
    step = 1 if faults.EXHAUSTIVE else max(1, total // 60)
    for n in range(1, total + 1, step):
        p = case.run(env={"LD_PRELOAD": str(library), "FAIL_AT": str(n)})
        # What an audit could not look at it says; all others have the whole of their answer, or none.
        case.check(p, f"allocation {n} of {total}", same=p.returncode < 2 and case.words[0] != "audit")


@pytest.mark.parametrize("most", [1, 7, 511])
def test_short_reads_and_writes(case, most):
    library = faults.build_interposer(case.scratch)
    case.check(case.run(env={"LD_PRELOAD": str(library), "SHORT": str(most)}), f"{most} bytes at most", same=True)


def test_a_file_that_may_not_grow(case):
    if not case.writes:
        return
    size = case.out.stat().st_size
    step = 1 if faults.EXHAUSTIVE else max(1, size // 40)

    def limit(n):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n, n))
    case.old()
    for n in [*range(0, size, step), size - 1]:
        p = case.run(preexec_fn=lambda n=n: limit(n))
        assert p.returncode in (2, 3, 4), (n, p.returncode, p.stderr)
        case.check(p, f"at most {n} bytes")


def test_a_disk_that_is_full_at_each_byte(case):
    """A short write, then ENOSPC: what is said is said, and the old file stays."""
    if not case.writes:
        return
    library = faults.build_interposer(case.scratch)
    case.old()
    counted = case.run(env={"LD_PRELOAD": str(library), "COUNT": "1"})
    case.old()
    total = max(int(line.split()[1]) for line in counted.stderr.splitlines() if line.startswith("written: "))
    if total == 0:  # by a worker's copy_file_range(), which no interposer sees: the file that may not grow is for it
        assert "strip" in case.words
        return
    step = 1 if faults.EXHAUSTIVE else max(1, total // 8)
    for n in [*range(0, total, step), total - 1]:
        p = case.run(env={"LD_PRELOAD": str(library), "FULL_AT": str(n)})
        assert p.returncode in (2, 3, 4) and "No space left" in p.stderr, (n, p.returncode, p.stderr)
        case.check(p, f"room for {n} bytes of {total}")


def test_death_at_each_step(case):
    if not case.writes:
        return
    counts = faults.calls([lab.BATTEN, *case.words], log=case.scratch / "log", stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, cwd=case.scratch)
    for fault in faults.deaths(counts):
        case.old()
        p = case.run(fault)
        now = case.out.read_bytes()
        assert SECRET not in p.stdout + p.stderr
        if now != OLD.encode():
            case.whole(now, fault)


def test_descriptors_that_run_out(case):
    def limit(n):
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))
    for n in range(4, 16):
        p = case.run(preexec_fn=lambda n=n: limit(n))
        if p.returncode != 127:  # the loader's own
            case.check(p, f"{n} descriptors")


# ---- the guard

def closed(host, what):
    for c in host.containers.values():
        for address in (lab.IMDS4, lab.IMDS6):
            assert lab.connect(c, address, timeout=1)[0] != "OK", (what, c.name, address)


def guard_faults(g, *words):
    log = g.file.parent / "strace"
    counts = faults.calls([lab.BATTEN, *words, "--config", g.file, "--runtime-dir", g.runtime], log=log,
                          run=lambda command, **o: g.space.run(*command, check=False))
    return faults.failing(counts)


@pytest.mark.parametrize("words", [("imds", "block"), ("imds", "status")], ids=" ".join)
def test_a_closed_guard_stays_closed(host, make_guard, words):
    g = make_guard()
    g.block()
    for fault in guard_faults(g, *words):
        p = g.space.run(*fault.words(), lab.BATTEN, *words, "--config", g.file, "--runtime-dir", g.runtime, check=False)
        assert 0 <= p.returncode <= 4 and (p.returncode == 0 or p.stdout or p.stderr), (fault, p)
        closed(host, fault)
    g.block()
    guard.assert_closed(host, host.containers["default"])
    guard.assert_roads_kept(host)


def test_a_guard_says_truly_whether_it_closed(host, make_guard):
    g = make_guard()
    for fault in guard_faults(g, "imds", "block"):
        g.unblock()
        p = g.space.run(*fault.words(), lab.BATTEN, "imds", "block", "--config", g.file, "--runtime-dir", g.runtime,
                        check=False)
        assert 0 <= p.returncode <= 4, (fault, p)
        if p.returncode == 0:
            closed(host, fault)
        else:
            assert p.stderr.strip(), fault


@pytest.mark.parametrize("words", [("imds", "block"), ("imds", "unblock")], ids=" ".join)
def test_death_in_the_middle_leaves_it_closed_or_says_what_it_is(host, make_guard, words):
    """Killed while it blocks again: closed as before. While it opens: open or closed, and the next one closes."""
    g = make_guard()
    g.block()
    log = g.file.parent / "strace"
    counts = faults.calls([lab.BATTEN, *words, "--config", g.file, "--runtime-dir", g.runtime], log=log,
                          run=lambda command, **o: g.space.run(*command, check=False))
    for fault in faults.deaths(counts, faults.TOLD):
        g.block()
        p = g.space.run(*fault.words(), lab.BATTEN, *words, "--config", g.file, "--runtime-dir", g.runtime, check=False)
        if words[1] == "unblock":
            g.block()
        closed(host, (fault, p.returncode))


def test_a_daemon_that_starts_badly_opens_nothing(host, make_guard):
    """The guard was there; whatever fails while a daemon takes it over, it holds, or the daemon says why not."""
    g = make_guard()
    g.block()
    log = g.file.parent / "strace"
    g.wrapper = ["strace", "-D", "-qq", "-o", log]
    g.start()
    g.stop()
    counts = faults.counted(log)
    todo = faults.failing(counts)

    def decided():
        g.manager.pump()
        return g.process.poll() is not None or "READY=1" in g.manager.seen
    for fault in todo if faults.EXHAUSTIVE else todo[::max(1, len(todo) // 24)]:
        g.wrapper = [*fault.words(), "-D"]
        g.start(ready=False)
        lab.wait_for(decided, f"the daemon under {fault}", timeout=60)
        closed(host, fault)
        g.kill()
        closed(host, fault)
