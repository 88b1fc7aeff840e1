# SPDX-License-Identifier: GPL-3.0-or-later
"""Observing: what is seen is what strace sees in the same run, and it lands where it belongs."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

import lab
import programs
from recorder import Recorder


def batten(*arguments, **options):
    return subprocess.run([lab.BATTEN, *map(str, arguments)], text=True, capture_output=True, timeout=60, **options)


@pytest.fixture(scope="module")
def observes():
    """Skips where programs cannot be loaded, with batten's own reason."""
    p = batten("seccomp", "record", "--", "true")
    lab.need(p.returncode != 3, p.stderr.strip())


@pytest.fixture(params=[(), ("--assume-feature", "-task-storage")], ids=["by-task", "by-thread"])
def storage(request):
    """What tasks know of themselves is kept by task; before Linux 5.13, in a table by thread."""
    return request.param


@pytest.fixture
def cgroup():
    """An empty cgroup2 group below our own, removed with all that is in it."""
    mount = next(line.split()[4] for line in open("/proc/self/mountinfo") if " - cgroup2 " in line)
    own = next(line.split("::", 1)[1].strip() for line in open("/proc/self/cgroup") if line.startswith("0::"))
    path = pathlib.Path(mount + own.rstrip("/")) / f"batten-test-{os.getpid()}-{time.monotonic_ns()}"
    path.mkdir()
    yield path
    if path.exists():
        for pid in (path / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        lab.wait_for(lambda: not (path / "cgroup.procs").read_text(), "the cgroup to empty")
        path.rmdir()


def calls(observation, abi="x86_64"):
    return {n for n, c in observation["abis"].get(abi, {"syscalls": {}})["syscalls"].items() if "phase" in c}


def strace_names(text):
    return set(re.findall(r"^(?:\d+ +)?([a-z_0-9]+)\(", text, re.M)) | set(
        re.findall(r"<\.\.\. ([a-z_0-9]+) resumed>", text))


@pytest.mark.parametrize("command", [
    ["busybox", "sh", "-c", "echo a b c | tr ' ' '\\n' | sort | head -n 1; ls / >/dev/null"],
    ["python3", "-c", "import threading, socket, subprocess\n"
     "t = [threading.Thread(target=print) for _ in range(3)]\n[x.start() for x in t]\n[x.join() for x in t]\n"
     "socket.socket().close(); subprocess.run(['true'])"],
    ["perl", "-e", "open F, '<', '/etc/passwd'; my @l = <F>; print scalar(@l); fork; wait"],
], ids=["pipeline", "python", "perl"])
def test_nothing_is_missed_that_strace_sees(observes, scratch, command, storage):
    lab.need(shutil.which("strace"), "strace is not installed")
    p = batten("seccomp", "record", *storage, "-o", scratch / "o.json", "--", "strace", "-f", "-o", scratch / "trace", *command)
    assert p.returncode == 0, p.stderr
    traced = strace_names((scratch / "trace").read_text())
    assert len(traced) > 10
    assert traced <= calls(json.loads((scratch / "o.json").read_text()))


def test_32_bit_calls_are_kept_apart(observes, scratch, storage):
    program = programs.build(scratch, "hello32", programs.HELLO, "-m32", "-static")
    o = json.loads(batten("seccomp", "record", *storage, "--", program).stdout)
    assert {"write", "exit_group", "set_thread_area"} <= calls(o, "x86")
    assert "set_thread_area" not in calls(o) and "execve" in calls(o)


def test_x32_calls_are_kept_apart(observes, scratch, storage):
    """Also on a kernel that has no x32: the call comes in all the same."""
    program = programs.build(scratch, "calls", programs.CALLS, "-static")
    o = json.loads(batten("seccomp", "record", *storage, "--", program, str(0x40000000 | 170)).stdout)
    assert "sethostname" in calls(o, "x32") and "sethostname" not in calls(o)


def test_output_of_the_command_does_not_mix_with_the_observation(observes):
    p = batten("seccomp", "record", "--", "echo", "hello")
    assert json.loads(p.stdout)["schema"] == "batten.observation/1"
    assert p.stderr.startswith("hello\n") and "ended with 0" in p.stderr


def test_arguments_are_kept_under_their_masks(observes, storage):
    o = json.loads(batten("seccomp", "record", *storage, "--", "python3", "-c",
                          "import socket\nsocket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)\n"
                          "socket.socket(socket.AF_INET6)").stdout)
    seen = o["abis"]["x86_64"]["syscalls"]["socket"]["args"]["values"]
    # The type without its flags. The C library may ask a name service besides, over a socket of its own.
    assert [1, 2] in seen and [10, 1] in seen and all(v[1] < 16 for v in seen), seen


def test_too_many_argument_values_are_none(observes, storage):
    o = json.loads(batten("seccomp", "record", *storage, "--", "python3", "-c",
                          "import fcntl\nfor i in range(50):\n try: fcntl.ioctl(0, 0x7000 + i)\n except OSError: pass"
                          ).stdout)
    args = o["abis"]["x86_64"]["syscalls"]["ioctl"]["args"]
    assert args["more"] and not args["values"]


def test_a_cgroup_is_observed_from_its_first_task_and_outlives_removal(observes, cgroup, scratch, storage):
    def run(script):
        subprocess.run(["sh", "-c", f"echo $$ > {cgroup}/cgroup.procs; {script}"], check=True)

    def remove(path):
        """The kernel may still be busy with the last task that was in it."""
        def removed():
            try:
                path.rmdir()
            except OSError:
                return False
            return True
        lab.wait_for(removed, "the group to be removed", timeout=30)
    # With a duration, so that it waits for the group to come again.
    with Recorder(scratch / "o.json", *storage, "--cgroup", cgroup, "--duration", "10m") as r:
        run("exec busybox true")
        (cgroup / "below").mkdir()
        subprocess.run(["sh", "-c", f"echo $$ > {cgroup}/below/cgroup.procs; exec busybox hostname"],
                       stdout=subprocess.DEVNULL, check=True)
        remove(cgroup / "below")
        remove(cgroup)
        cgroup.mkdir()
        run("exec busybox sync")
    seen = calls(r.observation)
    assert {"execve", "exit_group"} <= seen
    assert "uname" in seen or "gethostname" in seen      # in the group below
    assert "sync" in seen                                # in the group made anew


def test_recording_ends_with_the_cgroup_and_with_a_signal(observes, cgroup, scratch):
    with Recorder(scratch / "o.json", "--cgroup", cgroup) as r:
        cgroup.rmdir()
        r.wait()
    cgroup.mkdir()
    with Recorder(scratch / "o.json", "--cgroup", cgroup) as r:
        pass
    assert r.observation["schema"] == "batten.observation/1"


def test_a_command_that_outlives_its_duration_is_ended(observes, scratch):
    p = batten("seccomp", "record", "--duration", "3s", "-o", scratch / "o.json", "--", "sleep", "100")
    assert p.returncode == 0 and "ended by signal" in p.stderr, p.stderr
    assert "execve" in calls(json.loads((scratch / "o.json").read_text()))


def test_bad_usage_of_record(scratch):
    for arguments, status, words in (
            ([], 2, "COMMAND"), (["--duration", "5", "--", "true"], 2, "duration"),
            (["--cgroup", "/no/such/group"], 2, "no such cgroup"), (["--cgroup", "/tmp"], 2, "cgroup2"),
            (["--cgroup", "/tmp", "--", "true"], 2, "give one of"),
            (["--assume-feature", "-ringbuf", "--", "true"], 2, "-task-storage"),
            (["--container", "x", "--docker", "/no/docker.sock"], 3, "docker"),
            (["--", "/no/such/program"], 2, "/no/such/program")):
        p = batten("seccomp", "record", *arguments)
        assert p.returncode == status and words in p.stderr and p.stderr.count("\n") == 1, (arguments, p)


def test_no_permission_is_said(scratch):
    p = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all", lab.BATTEN, "seccomp",
                        "record", "--", "true"], text=True, capture_output=True)
    assert p.returncode == 3 and "root" in p.stderr and p.stderr.count("\n") == 1, p


def test_threads_that_look_for_the_same_place_are_both_observed(observes, scratch, storage):
    """Where threads are kept by the end of their numbers, one of two goes elsewhere."""
    program = programs.build(scratch, "neighbours", programs.NEIGHBOURS, "-static")

    def recorded():
        # The number may be somebody's.
        p = batten("seccomp", "record", *storage, "-o", scratch / "o.json", "--", program)
        return p.returncode == 0 and "16384\n" in p.stdout and p
    p = lab.wait_for(recorded, "a number that is free", timeout=60)
    assert "found no room" not in p.stderr
    o = json.loads((scratch / "o.json").read_text())
    assert {"getpriority", "times", "sync", "exit_group"} <= calls(o)
    # Each was counted, too, wherever it was.
    assert sum(s["calls"] for s in o["sources"].values()) > 4000, o["sources"]


def test_a_profile_on_trial_counts_and_denies_nothing(observes, scratch, storage):
    program = programs.build(scratch, "calls", programs.CALLS, "-static")
    assert batten("seccomp", "record", "-o", scratch / "o.json", "--", program, "39").returncode == 0
    assert batten("seccomp", "generate", scratch / "o.json", "--runtime", "crun", "-o", scratch / "p.json").returncode == 0
    p = batten("seccomp", "record", *storage, "--shadow", scratch / "p.json", "-o", scratch / "o2.json", "--", program, "39")
    assert p.returncode == 0 and "would have denied" not in p.stderr, p.stderr
    # 39 is getpid, 63 uname, 110 getppid.
    p = batten("seccomp", "record", *storage, "--shadow", scratch / "p.json", "-o", scratch / "o2.json", "--", program,
               *["110"] * 5, "39", "63")
    assert p.returncode == 1 and "denied getppid (x86_64), made 5 times" in p.stderr and "uname" in p.stderr, p.stderr
    assert "denied getpid " not in p.stderr and "110 ok" in p.stdout
    p = batten("seccomp", "record", *storage, "--shadow", scratch / "calls.c", "--", program)
    assert p.returncode == 2 and p.stderr.count("\n") == 1, p.stderr
