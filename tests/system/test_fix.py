# SPDX-License-Identifier: GPL-3.0-or-later
"""batten fix on trees of files: diffs that patch takes, secrets that stay in, one at a time, undo."""
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest

import lab
from ecs_host import STANDIN
from test_audit_agent import AGENT

CONFIG = (b"\xef\xbb\xbf# ours\r\nECS_CLUSTER=prod\r\n\r\nexport ECS_AWSVPC_BLOCK_IMDS=true\r\n"
          b"# do not touch\r\nECS_LOGLEVEL=warn\r\nECS_DISABLE_PRIVILEGED='true'\r\nECS_IMAGE_PULL_BEHAVIOR=once")
MENDED = (b"\xef\xbb\xbf# ours\r\nECS_CLUSTER=prod\r\n\r\nECS_AWSVPC_BLOCK_IMDS=true\r\n"
          b"# do not touch\r\nECS_LOGLEVEL=warn\r\nECS_DISABLE_PRIVILEGED=true\r\nECS_IMAGE_PULL_BEHAVIOR=always\r\n"
          b"ECS_TASK_PIDS_LIMIT=2048")


@pytest.fixture
def tree(scratch):
    root = scratch / "root"
    (root / "etc/ecs").mkdir(parents=True)
    write(root / "etc/ecs/ecs.config", CONFIG, 0o640)
    return root


def write(path, data, mode=0o644):
    path.write_bytes(data)
    path.chmod(mode)


def fix(tree, *arguments, check=None, **options):
    p = subprocess.run([lab.BATTEN, "fix", "--root", tree, *arguments], capture_output=True, timeout=120, **options)
    if check is not None:
        assert p.returncode == check, p.stdout.decode() + p.stderr.decode()
    return p


def history(tree):
    return json.loads(fix(tree, "--history", "--json", check=0).stdout)["fixes"]


def config(tree):
    return (tree / "etc/ecs/ecs.config").read_bytes()


def listing(tree):
    """Everything but the journal, with what can be told about it."""
    found = {}
    for path in sorted(tree.rglob("*")):
        if tree / "var" in (path, *path.parents):
            continue
        st = path.lstat()
        attributes = {a: os.getxattr(path, a, follow_symlinks=False) for a in os.listxattr(path, follow_symlinks=False)}
        found[str(path)] = (st.st_mode, st.st_uid, st.st_gid, attributes, path.read_bytes() if path.is_file() else None)
    return found


def test_every_other_byte_stays(tree):
    before = listing(tree)
    fix(tree, check=1)  # CFG-03: the BOM's line is for a person
    assert config(tree) == MENDED
    assert (tree / "etc/ecs/ecs.config").stat().st_mode & 0o7777 == 0o640
    done = history(tree)
    assert {f["control"] for f in done} == {"CFG-01", "CFG-02", "CFG-15", "CFG-16"}
    assert all(f["state"] == "applied" and f["proof"]["result"] == "passed" for f in done)
    again = json.loads(fix(tree, "--json", check=1).stdout)
    assert again["fixes"] == [] and config(tree) == MENDED and len(history(tree)) == len(done)
    for f in reversed(done):
        fix(tree, "--undo", f["id"], check=0)
    assert listing(tree) == before
    assert {f["state"] for f in history(tree)} == {"undone"}


def test_a_dry_run_is_a_diff_that_patch_takes(tree, scratch):
    before = listing(tree)
    p = fix(tree, "--dry-run", check=1)
    assert listing(tree) == before
    copy = scratch / "copy"
    shutil.copytree(tree, copy)
    q = subprocess.run(["patch", "-p1", "--binary", "-d", copy], input=p.stdout, capture_output=True)
    assert q.returncode == 0, q.stdout + q.stderr
    assert config(copy) == MENDED
    fix(tree, check=1)
    assert fix(tree, "--dry-run", check=0).stdout.count(b"@@") == 0


def test_new_files_are_in_the_diff(scratch):
    root = scratch / "root"
    (root / "etc/ecs").mkdir(parents=True)
    p = fix(root, "--dry-run", "--control", "CFG-01,CFG-08", check=1)
    assert b"--- /dev/null\n+++ b/etc/ecs/ecs.config\n" in p.stdout
    subprocess.run(["patch", "-p1", "-d", root], input=p.stdout, check=True, capture_output=True)
    assert config(root) == b"ECS_AWSVPC_BLOCK_IMDS=true\nECS_DISABLE_PRIVILEGED=true\n"


def test_secrets_are_never_shown(tree):
    secret = b"ECS_ENGINE_AUTH_DATA={\"r\":{\"username\":\"u\",\"password\":\"hunter2\"}}\n"
    write(tree / "etc/ecs/ecs.config", b"ECS_CLUSTER=x\n" + secret + b"ECS_AWSVPC_BLOCK_IMDS='true'\n" + secret +
          b"HTTPS_PROXY=http://u:hunter2@proxy:3128\nAWS_SECRET_ACCESS_KEY=hunter2hunter2\n", 0o644)
    dry = fix(tree, "--dry-run")
    run = fix(tree)
    shown = dry.stdout + dry.stderr + run.stdout + run.stderr + fix(tree, "--history", "--json").stdout
    assert b"hunter2" not in shown
    assert b"+ECS_AWSVPC_BLOCK_IMDS=true" in dry.stdout
    assert b"ECS_AWSVPC_BLOCK_IMDS=true\n" in config(tree) and config(tree).count(b"hunter2") == 5
    journal = tree / "var/lib/batten/fix"
    assert journal.stat().st_mode & 0o777 == 0o700
    assert all(f.stat().st_mode & 0o777 == 0o600 for f in journal.iterdir())
    journal.chmod(0o755)
    assert b"0700" in fix(tree, check=3).stderr


def test_undo_refuses_what_was_changed_since(tree):
    fix(tree, "--control", "CFG-01", check=0)
    first = history(tree)[0]["id"]
    fix(tree, "--control", "CFG-15", check=0)
    second = history(tree)[1]["id"]
    p = fix(tree, "--undo", first, check=1)
    assert second.encode() in p.stderr and p.stderr.count(b"\n") == 1
    fix(tree, "--undo", second, check=0)
    with open(tree / "etc/ecs/ecs.config", "ab") as f:
        f.write(b"\r\n# a person was here\r\n")
    now = config(tree)
    assert b"changed since" in fix(tree, "--undo", first, check=1).stderr
    assert config(tree) == now
    assert b"not in force" in fix(tree, "--undo", second, check=1).stderr
    assert b"no such fix" in fix(tree, "--undo", "../lock", check=2).stderr


def test_attributes_and_owners_stay(tree):
    path = tree / "etc/ecs/ecs.config"
    os.chown(path, 0, 12)
    try:
        os.setxattr(path, "user.note", b"mine")
    except OSError:
        lab.need(False, "extended attributes on the temporary directory's file system")
    before = listing(tree)
    fix(tree, "--control", "CFG-01", check=0)
    st = path.stat()
    assert (st.st_uid, st.st_gid, st.st_mode & 0o7777) == (0, 12, 0o640) and os.getxattr(path, "user.note") == b"mine"
    fix(tree, "--control", "CFG-14", check=0)
    assert path.stat().st_gid == 0 and os.getxattr(path, "user.note") == b"mine"
    for f in reversed(history(tree)):
        fix(tree, "--undo", f["id"], check=0)
    assert listing(tree) == before


def test_links_lead_to_what_is_mended_and_never_outside(tree, scratch):
    (scratch / "outside").write_bytes(b"ECS_CLUSTER=x\n")
    real = tree / "srv/real.config"
    real.parent.mkdir()
    (tree / "etc/ecs/ecs.config").rename(real)
    (tree / "etc/ecs/ecs.config").symlink_to("/srv/real.config")
    fix(tree, "--control", "CFG-01", check=0)
    assert (tree / "etc/ecs/ecs.config").is_symlink() and b"\r\nECS_AWSVPC_BLOCK_IMDS=true\r\n" in real.read_bytes()
    (tree / "etc/ecs/ecs.config").unlink()
    (tree / "etc/ecs/ecs.config").symlink_to("../../../outside")
    fix(tree, "--control", "CFG-15")
    assert (scratch / "outside").read_bytes() == b"ECS_CLUSTER=x\n"


def test_the_second_one_waits(tree):
    journal = tree / "var/lib/batten/fix"
    journal.mkdir(parents=True)
    journal.chmod(0o700)
    with open(journal / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        p = subprocess.Popen([lab.BATTEN, "fix", "--root", tree, "--control", "CFG-01"], stderr=subprocess.PIPE,
                             stdout=subprocess.PIPE, preexec_fn=lab.die_with_parent)
        try:
            assert b"waiting" in p.stderr.readline()
            assert config(tree) == CONFIG
            # Who has the lock is alive, so that there is nothing to recover.
            fix(tree, "--recover", check=0)
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert p.wait(timeout=60) == 0
        finally:
            p.kill()
            p.communicate()
    assert b"\r\nECS_AWSVPC_BLOCK_IMDS=true\r\n" in config(tree)


@pytest.fixture
def live(spaces, scratch):
    """This machine, with what a fix of kernel switches writes replaced in a view of its own."""
    s = spaces.new("host", mounts=True)
    s.value = scratch / "unprivileged_bpf_disabled"
    s.value.write_text("0\n")
    s.proc = "/proc/sys/kernel/unprivileged_bpf_disabled"
    lab.need(pathlib.Path(s.proc).exists(), "a kernel with bpf() for unprivileged users")
    s.run("mkdir", "-p", "/etc/sysctl.d")
    s.run("mount", "-t", "tmpfs", "none", "/etc/sysctl.d")
    s.run("mount", "--bind", s.value, s.proc)
    s.state = scratch / "state"
    return s


def fix_live(s, *arguments, check=0):
    p = s.batten("fix", "--state-dir", s.state, "--docker", "unix:///no/docker", *arguments, check=False, timeout=120)
    assert p.returncode == check, p.stdout + p.stderr
    return p


def test_a_kernel_switch_is_set_now_and_for_the_next_boot(live):
    done = json.loads(fix_live(live, "--control", "HST-10", "--json").stdout)["fixes"]
    assert [f["state"] for f in done] == ["applied"] and done[0]["proof"]["reason"] == "kernel.unprivileged_bpf_disabled is 2"
    assert live.value.read_text() == "2\n"
    name = "/etc/sysctl.d/99-zz-batten-HST-10.conf"
    assert live.run("cat", name).stdout == "# Written by batten fix.\nkernel.unprivileged_bpf_disabled=2\n"
    fix_live(live, "--undo", done[0]["id"])
    assert live.value.read_text() == "0\n" and live.run("ls", "-A", "/etc/sysctl.d").stdout == ""


def test_what_the_kernel_refuses_is_undone(live):
    live.run("mount", "-o", "remount,bind,ro", live.proc)
    done = json.loads(fix_live(live, "--control", "HST-10", "--json", check=4).stdout)["fixes"]
    assert done[0]["state"] == "failed" and "does not take" in done[0]["proof"]["reason"]
    assert live.value.read_text() == "0\n" and live.run("ls", "-A", "/etc/sysctl.d").stdout == ""


@pytest.fixture
def agent(live):
    """What stops each of those whom a fix asks whether they answer still: the agent's two ports, and the tasks' road to one."""
    redirect = ["OUTPUT", "-t", "nat", "-p", "tcp", "-d", "169.254.170.2", "--dport", "80", "-j", "REDIRECT", "--to-ports", "51679"]
    for command in ("ip link set lo up", "ip link add eth0 type bridge", "ip addr add 10.0.0.2/24 dev eth0", "ip link set eth0 up",
                    "ip route add default via 10.0.0.1"):
        live.run(*command.split())
    live.run("iptables", "-A", *redirect)
    introspection = live.start(sys.executable, "-c", AGENT, "1.105.1", stderr=subprocess.DEVNULL)
    credentials = live.start(sys.executable, STANDIN, "credentials", "127.0.0.1", "51679", stdout=subprocess.PIPE)
    assert credentials.stdout.readline() == "up\n"
    lab.wait_for(lambda: lab.connect(live, "127.0.0.1", 51678)[0] == "OK", "the agent's stand-in")
    assert lab.connect(live, "169.254.170.2", 80)[0] == "OK"
    return {"introspection": introspection.kill, "credentials": credentials.kill, "road": lambda: live.run("iptables", "-D", *redirect),
            "nobody": lambda: None}


@pytest.mark.no_sanitizer  # LeakSanitizer does not work under strace
@pytest.mark.parametrize("who, told", [("introspection", "the ECS agent's introspection port"), ("credentials", "the credentials endpoint"),
                                       ("road", "the credentials endpoint"), ("nobody", None)])
def test_who_answered_before_the_change_has_to_answer_after_it(live, agent, who, told):
    def stop():
        lab.wait_for(lambda: live.value.read_text() == "2\n", "the change", timeout=60)
        agent[who]()
    stopping = threading.Thread(target=stop)
    stopping.start()
    # The change takes a while, so that somebody can fall silent before it is proved.
    p = live.run("strace", "-qq", "-o", "/dev/null", "-P", live.proc, "-e", "trace=write", "-e", "inject=write:delay_exit=2000000",
                 lab.BATTEN, "fix", "--state-dir", live.state, "--docker", "unix:///no/docker", "--control", "HST-10", "--json",
                 check=False, timeout=120)
    stopping.join()
    [done] = json.loads(p.stdout)["fixes"]
    if not told:
        assert (p.returncode, done["state"], live.value.read_text()) == (0, "applied", "2\n"), p
        return
    assert (p.returncode, done["state"]) == (4, "failed") and done["proof"]["reason"] == f"{told} does not answer any more", p
    assert live.value.read_text() == "0\n" and live.run("ls", "-A", "/etc/sysctl.d").stdout == ""


def test_a_file_that_cannot_be_written_is_left_and_said(tree, spaces):
    s = spaces.new("host", mounts=True)
    state = tree.parent / "state"
    s.run("mount", "--bind", tree, tree)
    s.run("mount", "-o", "remount,bind,ro", tree)
    p = s.batten("fix", "--root", tree, "--state-dir", state, "--control", "CFG-01", check=False)
    assert p.returncode == 4 and "Read-only file system" in p.stdout
    assert config(tree) == CONFIG


def test_modes_of_docker_files(tree):
    docker = tree / "etc/docker"
    docker.mkdir()
    docker.chmod(0o777)
    write(docker / "daemon.json", b'{"tlskey": "/etc/docker/key.pem"}\n', 0o664)
    write(docker / "key.pem", b"k", 0o644)
    os.chown(docker / "daemon.json", 1000, 1000)
    before = listing(tree)
    fix(tree, "--control", "DKF-02", check=0)
    modes = {p.name: (p.stat().st_mode & 0o7777, p.stat().st_uid) for p in (docker, *docker.iterdir())}
    assert modes == {"docker": (0o755, 0), "daemon.json": (0o644, 0), "key.pem": (0o400, 0)}
    fix(tree, "--undo", history(tree)[0]["id"], check=0)
    assert listing(tree) == before


def test_usage(tree):
    assert fix(tree, "--undo", "nosuch").returncode == 2
    assert fix(tree, "--control", "NO-SUCH").returncode == 2
    assert fix(tree / "missing").returncode == 2
