# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands, and a daemon with its guard, under memcheck: no use of what was not written, none behind the end, no block lost.
`make check-valgrind` runs all of them, make check a sample. What cannot
run there: processes that the daemon executes anew from /proc/self/exe (Docker's reader, the audit's), for that is then
valgrind's own."""
import json
import os
import re
import shutil
import subprocess

import pytest

import guard
import lab
import test_faults
from test_faults import inputs  # noqa: F401  (a fixture)

pytestmark = pytest.mark.no_sanitizer  # two of a kind

ALL = os.environ.get("VALGRIND") == "all"
SUPPRESSIONS = lab.HERE / "valgrind.supp"
WORDS = ["valgrind", "-q", f"--suppressions={SUPPRESSIONS}", "--leak-check=full", "--show-leak-kinds=definite",
         "--errors-for-leak-kinds=definite", "--error-exitcode=99", "--trace-children=no"]

MORE = {
    "audit-list": ["audit", "--list", "--json"],
    "audit-sarif": ["audit", "--root", "{base}/root", "--format", "sarif"],
    "audit-text": ["audit", "--root", "{base}/root"],
    "fix-dry": ["fix", "--root", "{base}/root", "--dry-run"],
    "seccomp-diff": ["seccomp", "diff", "{profile}", "{profile}"],
    "seccomp-verify": ["seccomp", "verify", "{profile}", "--against", "{base}/a.json"],
    "seccomp-generate-crun": ["seccomp", "generate", "{base}/a.json", "{base}/b.json", "--args", "--runtime", "crun"],
    "plan-json": ["imds", "plan", "--format", "json", "--config", "{base}/none.conf"],
    "help": ["help", "--format", "man", "audit"],
    "bad-config": ["imds", "plan", "--config", "{base}/a.json"],
}
COMMANDS = {**{k: v[0] for k, v in test_faults.COMMANDS.items()}, **MORE}
SAMPLE = ["ecs-config", "generate", "merge", "plan", "strip"]


# Who reads foreign bytes bounds its own memory and its own calls, among which valgrind has no room. Nor does it know seccomp(2),
# so that libseccomp takes the kernel for an old one.
UNCONFINED = """
__attribute__((weak)) int seccomp_api_set(unsigned int level); /* not of the shell that starts valgrind */
__attribute__((constructor)) static void begin(void) { if (seccomp_api_set) seccomp_api_set(5); }
int setrlimit(int resource, const void *limit) { return 0; }
int seccomp_load(void *filter) { return 0; }
"""


@pytest.fixture(scope="module")
def unconfined(tmp_path_factory):
    d = tmp_path_factory.mktemp("unconfined")
    (d / "unconfined.c").write_text(UNCONFINED)
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", d / "unconfined.so", d / "unconfined.c"], check=True)
    return {"LD_PRELOAD": str(d / "unconfined.so")}


def log_of(directory):
    """What memcheck says of errors. What it says of calls that it does not know (openat2) is no error."""
    lines = [line for f in directory.glob("vg.*") for line in f.read_text().splitlines()]
    return "\n".join(line for line in lines if line.startswith("=="))


@pytest.mark.parametrize("name", COMMANDS if ALL else SAMPLE)
def test_a_command(inputs, unconfined, scratch, name):  # noqa: F811
    lab.need(shutil.which("valgrind"), "valgrind is not installed")
    profile = scratch / "profile.json"
    subprocess.run([lab.BATTEN, "seccomp", "generate", inputs / "a.json", "--runtime", "runc", "-o", profile], check=True)
    words = [w.format(base=inputs, out=scratch / "out", profile=profile) for w in COMMANDS[name]]
    environment = {k: v for k, v in os.environ.items() if k != "DOCKER_HOST"} | unconfined
    p = subprocess.run([*WORDS, f"--log-file={scratch}/vg.%p", lab.BATTEN, *words], capture_output=True, text=True, timeout=600,
                       env=environment)
    assert not log_of(scratch), log_of(scratch)
    assert p.returncode in ((2,) if name == "bad-config" else (0, 1)), (p.returncode, p.stdout[-500:], p.stderr[-2000:])


def test_memcheck_is_awake(scratch):
    """A program that errs is reported with these options."""
    lab.need(shutil.which("valgrind"), "valgrind is not installed")
    (scratch / "bad.c").write_text("#include <stdlib.h>\nint main(void) { char *volatile p = malloc(3); volatile char c = p[3]; p = 0; return c * 0; }\n")
    subprocess.run(["gcc", "-w", "-o", scratch / "bad", scratch / "bad.c"], check=True)
    p = subprocess.run([*WORDS, f"--log-file={scratch}/vg.%p", scratch / "bad"], timeout=120)
    assert p.returncode == 99 and re.search("Invalid read of size 1", log_of(scratch)) and "definitely lost" in log_of(scratch)


def the_guard_and_a_daemon(host, make_guard, scratch):
    """Blocked, opened, kept by a daemon that heals, reloads, is asked everything and stops."""
    words = [*WORDS, f"--log-file={scratch}/vg.%p"]
    g = make_guard({"imds": {"table-owner": "no"}})

    def command(*rest, codes=(0,)):
        p = g.space.run(*words, lab.BATTEN, *rest, "--config", g.file, "--runtime-dir", g.runtime, check=False, timeout=600)
        assert p.returncode in codes, (rest, p.returncode, p.stdout, p.stderr, log_of(scratch))
        return p
    command("imds", "block")
    command("imds", "status", codes=(0, 1))
    command("imds", "unblock")
    g.wrapper = words
    g.start(ready=False)

    def ready():
        assert g.process.poll() is None, g.log + log_of(scratch)
        g.manager.pump()
        return "READY=1" in g.manager.seen
    lab.wait_for(ready, "a daemon under valgrind", timeout=600)
    for _ in range(3):
        g.space.run("nft", "delete", "table", "inet", "batten")
        lab.wait_for(lambda: guard.table(g.space), "the table", timeout=120)
    for c in host.containers.values():
        for address in (lab.IMDS4, lab.IMDS6):
            assert lab.connect(c, address)[0] != "OK"
    command("imds", "allow", "add", "container:web")
    command("imds", "allow", "list", "--json")
    command("imds", "allow", "remove", "container:web")
    command("imds", "self-test", codes=(0, 1, 2, 3))
    assert json.loads(command("status", "--json", codes=(0, 1)).stdout)["state"]
    command("metrics")
    command("events", "--json")
    g.configure({"imds": {"allow-address": "192.0.2.7", "proxy-mode": "yes"}})
    g.process.send_signal(lab.signal.SIGHUP)
    lab.wait_for(lambda: "192.0.2.7" in (guard.table(g.space) or ""), "the reload", timeout=120)
    g.process.send_signal(lab.signal.SIGTERM)
    assert g.wait_end(timeout=300) == 0, g.log + log_of(scratch)
    assert not log_of(scratch), log_of(scratch)


if ALL:
    test_the_guard_and_a_daemon = the_guard_and_a_daemon
