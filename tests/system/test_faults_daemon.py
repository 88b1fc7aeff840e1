# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon to which things happen while it runs. Whatever it is: IMDS stays closed, what somebody removed comes back, the
daemon stays, answers, and is as it was when it is over. `make faults` tries every occurrence instead of a sample."""
import contextlib
import datetime
import json
import os
import re
import resource
import struct

import pytest

import faults
import guard
import lab

pytestmark = pytest.mark.no_sanitizer  # which brings an allocator of its own

PLAIN = {"imds": {"table-owner": "no"}}  # others can remove the table


def closed(host, what):
    for c in host.containers.values():
        for address in (lab.IMDS4, lab.IMDS6):
            assert lab.connect(c, address, timeout=1)[0] != "OK", (what, c.name, address)


def heals(host, g, what):
    """Somebody removes everything that can be removed; it comes back."""
    def back():
        assert g.process.poll() is None, (what, g.log)
        return guard.table(host.host) and len(guard.rules(host.host)) == 2 and len(guard.rules(host.host, 6)) == 2
    lab.wait_for(back, f"the guard before {what}", timeout=60)
    host.host.run("nft", "delete", "table", "inet", "batten")
    closed(host, what)
    lab.wait_for(back, f"the table to come back after {what}", timeout=60)
    closed(host, what)


def netlink_sockets(g):
    """The daemon's, as {inode: protocol}"""
    rows = [line.split() for line in g.space.run("cat", "/proc/net/netlink").stdout.splitlines()[1:]]
    of_all = {row[-1]: int(row[1]) for row in rows}
    links = [os.readlink(f"/proc/{g.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{g.process.pid}/fd")]
    inodes = [m[1] for m in (re.match(r"socket:\[(\d+)\]", link) for link in links) if m]
    return {i: of_all[i] for i in inodes if i in of_all}


@contextlib.contextmanager
def injected(g, call, effect, path=None):
    """The running daemon's calls fail until this ends. Yields the trace."""
    log = g.file.parent / "injected"
    log.unlink(missing_ok=True)
    p = g.space.start("strace", "-qq", "-o", log, "-p", g.process.pid, *(["-P", path] if path else []), "-e", f"trace={call}",
                      "-e", f"inject={call}:{effect}", stderr=-3)
    lab.wait_for(lambda: "TracerPid:\t0" not in open(f"/proc/{g.process.pid}/status").read(), "strace to attach")
    try:
        yield log
    finally:
        p.terminate()
        p.wait(timeout=30)


def test_every_netlink_socket_overruns(host, make_guard):
    """ENOBUFS says that events were lost: everything is looked at again."""
    g = make_guard(PLAIN).start()
    sockets = netlink_sockets(g)
    assert len(sockets) >= 3, sockets
    hit = 0
    for inode in sockets:
        with injected(g, "recvmsg", "error=ENOBUFS:when=1..3", f"socket:[{inode}]") as log:
            heals(host, g, f"ENOBUFS on {inode}")
            hit += log.read_text().count("INJECTED")
        heals(host, g, f"the end of ENOBUFS on {inode}")
    assert hit >= 3, "some socket was read under the fault"
    assert g.status()["heals"] >= len(sockets)
    assert g.stop() == 0


CALLS = [
    ("recvmsg", ("EINTR", "ENOBUFS")), ("sendto", ("EINTR", "ENOBUFS", "EAGAIN")), ("sendmsg", ("EINTR", "ENOBUFS")),
    ("epoll_wait", ("EINTR",)), ("read", ("EINTR", "EAGAIN")), ("write", ("EINTR", "ENOSPC")), ("openat", ("EMFILE", "ENFILE")),
    ("accept4", ("EINTR", "ECONNABORTED", "EMFILE")), ("clone", ("EAGAIN",)), ("clone3", ("EAGAIN",)),
]


@pytest.mark.parametrize("call, errnos", CALLS if faults.EXHAUSTIVE else CALLS[:2] + CALLS[6:8],
                         ids=lambda v: v if isinstance(v, str) else "")
def test_calls_of_a_running_daemon_fail(host, make_guard, call, errnos):
    g = make_guard(PLAIN).start()
    for errno in errnos:
        with injected(g, call, f"error={errno}:when=1..{40 if faults.EXHAUSTIVE else 4}"):
            heals(host, g, f"{call} with {errno}")
        heals(host, g, f"the end of {errno}")
        assert json.loads(g.command("status", "--json", check=False).stdout)["state"], g.log
    assert g.stop() == 0


def test_a_socket_that_cannot_be_read_ends_the_daemon_with_its_reason(host, make_guard):
    """Better ended, and started again by the service manager, than deaf. The guard stays."""
    g = make_guard(PLAIN).start()
    with injected(g, "recvmsg", "error=ENOMEM:when=1"):
        host.host.run("nft", "delete", "table", "inet", "batten")
        closed(host, "a deaf daemon")
        lab.wait_for(lambda: g.process.poll() is not None, "the daemon to end", timeout=30)
    assert g.process.returncode == 3 and "Cannot allocate memory" in g.log, g.log
    closed(host, "no daemon")
    g.start()
    guard.assert_refused(host, host.containers["user"])
    assert g.stop() == 0


def test_the_wall_clock_jumps(host, make_guard, monkeypatch):
    """Ten years ahead, back before the start, and home again: nothing waits for it, and what happens bears its time."""
    g = make_guard(PLAIN)
    clock = g.file.parent / "clock"
    clock.write_bytes(struct.pack("l", 0))
    with monkeypatch.context() as m:
        m.setenv("LD_PRELOAD", str(faults.build_interposer(g.file.parent)))
        m.setenv("CLOCK", str(clock))
        g.start()
    year = 365 * 86400
    for jump in (0, 10 * year, -10 * year, 86400, -3600, 0):
        with open(clock, "r+b") as f:
            f.write(struct.pack("l", jump))
        heals(host, g, f"a jump by {jump} s")
        wanted = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=jump)

        def told():
            rows = [json.loads(line) for line in g.command("events", "--json").stdout.splitlines()]
            times = [datetime.datetime.fromisoformat(r["time"].replace("Z", "+00:00")) for r in rows if r["kind"] == "imds.healed"]
            return times and abs((times[-1] - wanted).total_seconds()) < 120
        lab.wait_for(told, f"an event of that time, {jump}", timeout=30)
        guard.assert_refused(host, host.containers["user"])
    assert g.stop() == 0


def test_descriptors_of_a_running_daemon_run_out(host, make_guard):
    g = make_guard(PLAIN).start()
    pid = g.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{pid}/fd"))
    for room in range(0, 4 if faults.EXHAUSTIVE else 2):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + room, before[1]))
        clients = []
        for _ in range(8):
            s = lab.socket.socket(lab.socket.AF_UNIX, lab.socket.SOCK_STREAM | lab.socket.SOCK_NONBLOCK)
            clients.append(s)
            with contextlib.suppress(OSError):
                s.connect(str(g.runtime / "control.sock"))
        heals(host, g, f"room for {room} descriptors")
        for s in clients:
            s.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        lab.wait_for(lambda: g.command("status", "--json", check=False).returncode in (0, 1), "an answer", timeout=30)
    # One more stays: the watch for Docker's socket, which it could not open then.
    try:
        lab.wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= used + 1, "descriptors to be closed", timeout=30)
    except TimeoutError as e:
        left = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        raise AssertionError(f"{used} before, now {sorted(left)}") from e
    assert g.stop() == 0


def start_under(g, **environment):
    """Until it is ready or has ended. True: it is ready. The environment is batten's alone, not of who starts it."""
    def decided():
        g.manager.pump()
        return g.process.poll() is not None or "READY=1" in g.manager.seen
    g.wrapper = ["env", *(f"{k}={v}" for k, v in environment.items())]
    g.start(ready=False)
    g.wrapper = []
    lab.wait_for(decided, f"the daemon under {environment}", timeout=60)
    return g.process.poll() is None


def heals_or_ends(host, g, what):
    """False when it ended over it, with its reason: the service manager starts it again then."""
    try:
        heals(host, g, what)
    except AssertionError:
        if g.process.poll() is None:
            raise
        assert g.process.returncode == 3 and "Cannot allocate memory" in g.log, (what, g.process.returncode, g.log)
        return False
    return True


def test_memory_runs_out_in_a_daemon(host, make_guard):
    """At every allocation of its start, and of the healing behind it."""
    g = make_guard(PLAIN)
    g.block()
    library = str(faults.build_interposer(g.file.parent))
    start_under(g, LD_PRELOAD=library, COUNT="1")
    heals(host, g, "nothing")
    assert g.stop() == 0
    total = max(int(n) for n in re.findall(r"^allocations: (\d+)$", g.log, re.M))
    step = 1 if faults.EXHAUSTIVE else max(1, total // 12)
    for n in range(1, total + 1, step):
        g.block()
        if start_under(g, LD_PRELOAD=library, FAIL_AT=str(n)):
            closed(host, f"allocation {n} of {total}")
            if g.process.poll() is None and not heals_or_ends(host, g, f"allocation {n} of {total}"):
                closed(host, f"allocation {n} of {total}")
                g.start()
                heals(host, g, f"allocation {n} of {total}, once started again")
        else:
            assert g.process.returncode in (1, 2, 3, 4), (n, g.process.returncode, g.log[-500:])
        closed(host, f"allocation {n} of {total}")
        g.kill()


def test_death_at_each_step_of_a_start(host, make_guard):
    """Of one that takes over a guard that stands."""
    g = make_guard()
    g.block()
    log = g.file.parent / "strace"
    g.wrapper = ["strace", "-D", "-qq", "-o", log]
    g.start()
    g.stop()
    todo = faults.deaths(faults.counted(log), faults.TOLD)

    def decided():
        g.manager.pump()
        return g.process.poll() is not None or "READY=1" in g.manager.seen
    for fault in todo if faults.EXHAUSTIVE else todo[::max(1, len(todo) // 8)]:
        g.wrapper = [*fault.words(), "-D"]
        g.start(ready=False)
        lab.wait_for(decided, f"the daemon under {fault}", timeout=60)
        g.manager.pump()
        closed(host, fault)
        g.kill()
        closed(host, fault)
        g.wrapper = []

    def started():
        """The dead one's lock goes with the last of its processes."""
        g.start(ready=False)
        lab.wait_for(decided, "the daemon", timeout=60)
        return g.process.poll() is None
    lab.wait_for(started, "a daemon to start", timeout=60)
    guard.assert_refused(host, host.containers["default"])
    assert g.stop() == 0
