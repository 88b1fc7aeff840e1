# SPDX-License-Identifier: GPL-3.0-or-later
"""What a profile on trial is said to deny is what the kernel denies under it, argument by argument."""
import collections
import json
import random
import re
import shutil
import subprocess

import pytest

import lab
import oci
import programs

# Calls that look at none of their arguments: they can be given any.
NATIVE = {"getppid": 110, "getuid": 102, "geteuid": 107, "getgid": 104, "getegid": 108, "gettid": 186, "sched_yield": 24}
I386 = {"getppid": 64, "gettid": 224, "sched_yield": 158, "getpgrp": 65}
NUMBERS = [0, 1, 2, 38, 40, 0x20000, 0x7e020000, 0xfffffffe, 0xffffffff, 0x100000000, 0x700000026, 0x7fffffff00000001,
           0xffffffff00000001, 0xffffffffffffffff]


@pytest.fixture
def bundles(spaces, scratch):
    lab.need(shutil.which("crun"), "crun is not installed")
    p = subprocess.run([lab.BATTEN, "seccomp", "record", "--", "true"], text=True, capture_output=True)
    lab.need(p.returncode != 3, p.stderr.strip())
    return oci.Bundles(spaces, scratch)


def random_rules(draw, calls):
    """Rules that deny with errno 77 under conditions of all kinds."""
    rules = []
    for name in calls:
        for _ in range(draw.randint(1, 4)):
            args = [{"index": i, "op": f"SCMP_CMP_{draw.choice(['NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'])}",
                     "value": draw.choice(NUMBERS), "valueTwo": draw.choice(NUMBERS)}
                    for i in draw.sample(range(6), draw.randint(1, 3))]
            rules.append({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 77, "args": args})
    # As generated profiles have it, turned round: many values of one argument.
    rules += [{"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77,
               "args": [{"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": 0xffffffff, "valueTwo": 1000 + i}]}
              for i in range(100)]
    return rules


def denied_by_shadow(scratch, profile, command, storage, abi):
    p = subprocess.run([lab.BATTEN, "seccomp", "record", *storage, "--shadow", profile, "-o", scratch / "o.json", "--",
                        *command], text=True, capture_output=True, timeout=60)
    assert p.returncode in (0, 1), p
    assert "can be tried" not in p.stderr, p.stderr
    found = re.findall(r"would have denied (\w+) \((\w+)\), made (\d+) times", p.stderr)
    assert {a for _, a, _ in found} <= {abi}, found
    return {name: int(times) for name, _, times in found}


@pytest.mark.parametrize("storage", [(), ("--assume-feature", "-task-storage")], ids=["by-task", "by-thread"])
@pytest.mark.parametrize("abi", ["x86_64", "x86"])
def test_what_would_be_denied_is_what_the_kernel_denies(bundles, scratch, storage, abi):
    calls, flags = (NATIVE, ()) if abi == "x86_64" else (I386, ("-m32",))
    programs.build(bundles.programs, "arguments", programs.ARGUMENTS, "-static", *flags)
    denied = 0
    for seed in range(4):
        draw = random.Random(seed)
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
                   "syscalls": random_rules(draw, calls)}
        (scratch / "profile.json").write_text(json.dumps(profile))
        lines = [f"{draw.choice(list(calls.values()))} "
                 + " ".join(str(draw.choice(NUMBERS) + draw.choice([0, 0, 0, -1, 1]) & (2**64 - 1)) for _ in range(6))
                 for _ in range(300)]
        lines += [f"102 0 {1000 + i} 0 0 0 0" for i in range(0, 200, 7)] if abi == "x86_64" else []
        (bundles.programs / "calls").write_text("\n".join(lines) + "\n")
        p = bundles.run("crun", ["/mnt/arguments", "/mnt/calls"], seccomp=profile)
        assert p.returncode == 0 and len(p.stdout.splitlines()) == len(lines), p
        names = {str(n): name for name, n in calls.items()}
        kernel = collections.Counter(names[line.split()[0]] for line in p.stdout.splitlines() if line.endswith("denied"))
        got = denied_by_shadow(scratch, scratch / "profile.json",
                               [bundles.programs / "arguments", bundles.programs / "calls"], storage, abi)
        assert got == dict(kernel)
        denied += kernel.total()
    assert 200 < denied < 1100, denied


def test_a_profile_with_arguments_denies_what_was_not_seen(bundles, scratch):
    """A generated one: socket(AF_UNIX) was seen, other families are told, and nothing else is."""
    python = ["python3", "-S", "-c", "import socket; socket.socket(socket.AF_UNIX).close()"]
    record = [lab.BATTEN, "seccomp", "record"]
    subprocess.run([*record, "-o", scratch / "o.json", "--", *python], check=True, capture_output=True)
    subprocess.run([lab.BATTEN, "seccomp", "generate", scratch / "o.json", "--args", "--runtime", "crun", "-o",
                    scratch / "p.json"], check=True, capture_output=True)
    assert denied_by_shadow(scratch, scratch / "p.json", python, (), "x86_64") == {}
    other = python[:-1] + ["import socket\nfor f in 1, 2, 16: socket.socket(f, socket.SOCK_DGRAM if f == 16 else 1).close()"]
    assert denied_by_shadow(scratch, scratch / "p.json", other, (), "x86_64") == {"socket": 2}


def test_more_rules_than_can_be_tried_let_the_call_through(bundles, scratch):
    """That is said, and nothing is called denied that may not be; other calls are tried all the same."""
    rules = [{"names": ["getppid"], "action": "SCMP_ACT_ERRNO",
              "args": [{"index": i // 60, "op": "SCMP_CMP_MASKED_EQ", "value": 1 << i % 60, "valueTwo": 1 << i % 60}]}
             for i in range(180)]
    rules.append({"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 7}]})
    (scratch / "p.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    program = programs.build(bundles.programs, "arguments", programs.ARGUMENTS, "-static")
    (scratch / "calls").write_text("110 0 0 0 0 0 0\n110 1 0 0 0 0 0\n102 7 0 0 0 0 0\n102 8 0 0 0 0 0\n")
    p = subprocess.run([lab.BATTEN, "seccomp", "record", "--shadow", scratch / "p.json", "-o", scratch / "o.json", "--", program,
                        scratch / "calls"], text=True, capture_output=True)
    assert p.returncode == 1 and "more rules on arguments than can be tried: 1;" in p.stderr, p
    assert "denied getuid (x86_64), made 1 times" in p.stderr and "getppid" not in p.stderr, p


def test_a_filter_that_the_kernel_refuses_is_not_tried(scratch):
    rules = [{"names": ["getppid"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": i, "op": "SCMP_CMP_EQ"}]}
             for i in range(5000)]
    (scratch / "p.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    p = subprocess.run([lab.BATTEN, "seccomp", "record", "--shadow", scratch / "p.json", "--", "true"], text=True,
                       capture_output=True)
    assert p.returncode == 2 and "4096" in p.stderr and p.stderr.count("\n") == 1, p
