# SPDX-License-Identifier: GPL-3.0-or-later
"""The control socket: what it refuses, and what a hostile client costs, namely its own connection."""
import contextlib
import json
import os
import pathlib
import resource
import socket
import subprocess
import sys
import time

import pytest

import guard
import lab


@pytest.fixture
def g(spaces, scratch):
    directory = scratch / "d"
    directory.mkdir()
    made = guard.Guard(spaces.new("host"), directory).start()
    yield made
    made.close()


def connect(g):
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(g.runtime / "control.sock"))  # waits while others stand in line
    s.settimeout(60)
    return s


def ask(s, request):
    s.sendall((request if isinstance(request, str) else json.dumps(request)).encode() + b"\n")
    return json.loads(s.makefile("r").readline())


def ends(s):
    """The daemon closes the connection; what it sent before does not matter."""
    try:
        while s.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def works(g):
    """The daemon serves another client, another process, at once."""
    return g.command("imds", "allow", "list", check=False).returncode == 0 and g.process.poll() is None


@pytest.mark.parametrize("request_, words", [
    ("{", "request"), ("[]", "unknown method"), ("7", "request"), ('{"method": 3}', "unknown method"),
    ({"method": "nonsense"}, "unknown method"), ({"method": "imds.allow"}, 'wants "rule"'),
    ({"method": "imds.allow", "rule": 3, "by": "x"}, 'a string as "rule"'),
    ({"method": "imds.allow", "rule": "container:x"}, 'wants "by"'),
    ({"method": "events", "after": "1"}, 'a number as "after"'),
    ({"method": "events", "wait": 1}, 'true or false as "wait"'),
    ({"method": "status", "extra": {}}, 'takes no "extra"'),
    ('{"method": "status", "method": "imds.unblock"}', "duplicate"),
])
def test_a_request_is_checked_before_anything_is_done(g, request_, words):
    with connect(g) as s:
        answer = ask(s, request_)
        assert words in answer["error"] and answer["status"] == 2, answer
        assert ask(s, {"method": "imds.exceptions"})["result"]["allow"] == []


def test_root_alone_may_connect(g):
    path = g.runtime / "control.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    # Credentials count, not only the mode: somebody may have opened the directory.
    for p in (g.runtime.parent, g.runtime, path):
        p.chmod(0o777)
    client = ("import os, socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(60)\nos.setuid(65534)\n"
              "try:\n s.connect(sys.argv[1])\n s.sendall(b'{\"method\": \"status\"}\\n')\n print(len(s.recv(100)))\n"
              "except ConnectionError:\n print(0)\n")
    fd = os.open(g.runtime, os.O_PATH)
    p = subprocess.run([sys.executable, "-S", "-E", "-c", client, f"/proc/self/fd/{fd}/control.sock"], text=True,
                       capture_output=True, timeout=120, pass_fds=[fd])
    os.close(fd)
    assert p.stdout == "0\n", p
    assert works(g)


def test_a_container_may_look_and_change_nothing(g, scratch):
    """A peer whose cgroup has a container's name, as `-v /run/batten:/run/batten` makes one."""
    import groups
    host = lab.Space("view", mounts=True)
    try:
        with groups.Groups(host, scratch) as tree:
            group = tree.make(f"docker-{'a' * 64}.scope")
            client = ("import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(60)\n"
                      "s.connect(sys.argv[1])\ns.sendall(sys.argv[2].encode() + b'\\n')\n"
                      "print(s.makefile().readline())")

            def inside(request):
                p = subprocess.run([sys.executable, "-S", "-E", "-c", client, g.runtime / "control.sock",
                                    json.dumps(request)], text=True, capture_output=True, timeout=120,
                                   preexec_fn=lambda: (group / "cgroup.procs").write_text("0"))
                return json.loads(p.stdout)
            assert inside({"method": "imds.exceptions"})["result"]["allow"] == []
            for request in ({"method": "imds.unblock"}, {"method": "imds.block"},
                            {"method": "imds.allow", "rule": "container:x", "by": "me"}):
                assert "container may look" in inside(request)["error"]
    finally:
        host.close()
    assert json.loads(g.command("imds", "allow", "list", "--json").stdout)["allow"] == []


def test_garbage_floods_and_silence_cost_the_client_its_connection(g):
    with contextlib.ExitStack() as stack:
        # A line that never ends.
        s = stack.enter_context(connect(g))
        with contextlib.suppress(ConnectionError):
            s.sendall(b"x" * 100000)
        assert ends(s) and works(g)
        # Requests without end, whose answers are read; and some whose answers are not.
        s = stack.enter_context(connect(g))
        with contextlib.suppress(ConnectionError):
            s.sendall(b'{"method": "events"}\n' * 5000)
        assert ends(s) and works(g)
        s = stack.enter_context(connect(g))
        s.setblocking(False)
        with contextlib.suppress(ConnectionError, BlockingIOError):
            while True:
                s.send(b'{"method": "status"}\n' * 100)
        assert works(g)
        # Bytes that are no text, and half a request.
        s = stack.enter_context(connect(g))
        s.sendall(bytes(range(256)) + b"\n")
        assert "error" in json.loads(s.makefile("r").readline())
        stack.enter_context(connect(g)).sendall(b'{"method": ')
        assert works(g)
    assert works(g)


def test_one_process_does_not_take_every_place(g):
    with contextlib.ExitStack() as stack:
        mine = [stack.enter_context(connect(g)) for _ in range(64)]
        assert works(g)
        kept = 0
        for s in mine:
            s.settimeout(60)
            try:
                s.sendall(b'{"method": "imds.exceptions"}\n')
                kept += bool(s.recv(4096))
            except ConnectionError:
                pass
        assert kept == 8
    assert works(g)


def test_many_processes_that_hang_make_way(g):
    hang = ("import socket, sys, time\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
            "print('up', flush=True)\ntime.sleep(1000)")
    hanging = [g.space.start(sys.executable, "-S", "-E", "-c", hang, g.runtime / "control.sock", stdout=-1)
               for _ in range(40)]
    for p in hanging:
        assert p.stdout.readline() == "up\n"
    assert works(g)


def test_descriptors_come_back(g):
    def sockets():
        """The daemon's own come and go too, a few of them, but not with each connection."""
        directory = f"/proc/{g.process.pid}/fd"
        names = []
        for fd in os.listdir(directory):
            with contextlib.suppress(FileNotFoundError):  # closed since
                names.append(os.readlink(f"{directory}/{fd}"))
        return sum(name.startswith("socket:") for name in names)
    assert works(g)
    before = sockets()
    for _ in range(50):
        with connect(g) as s:
            s.sendall(b"nonsense\n")
    assert works(g)
    lab.wait_for(lambda: sockets() < before + 5, "every connection to be closed", timeout=60)


def test_who_cannot_be_accepted_is_not_asked_for_all_the_time(g):
    """Without a descriptor left, whoever connects goes on waiting, and wakes the daemon as long as he does."""
    def worked():
        fields = pathlib.Path(f"/proc/{g.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    pid = g.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), before[1]))
    begin = worked()
    with connect(g):
        time.sleep(3)
        assert worked() - begin < 0.5
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        assert works(g)


def test_events_are_waited_for_and_not_polled(g):
    follower = g.space.start(lab.BATTEN, "events", "--follow", "--json", "--runtime-dir", g.runtime, stdout=-1)

    def switches():
        return [int(line.split()[1]) for line in pathlib.Path(f"/proc/{follower.pid}/status").read_text().splitlines()
                if "voluntary" in line]
    lab.wait_for(lambda: pathlib.Path(f"/proc/{follower.pid}/wchan").read_text() not in ("", "0"), "it to wait", timeout=60)
    g.configure({"imds": {"table-owner": "no"}})
    g.process.send_signal(1)
    g.wait_log("configuration read again", timeout=60)
    g.space.run("nft", "delete", "table", "inet", "batten")
    event = json.loads(follower.stdout.readline())
    assert event["kind"] == "imds.healed" and event["class_uid"] == 7004 and event["type_uid"] == 700403
    assert event["schema"] == "batten.event/1" and event["count"] == 1 and "put back" in event["message"]
    # It waits for good: a client that asked now and then would have done so meanwhile.
    def sleeps():
        before = switches()
        time.sleep(2)
        return switches() == before
    lab.wait_for(sleeps, "the follower to sleep for good", timeout=60)
    # A follower that is killed leaves nothing; the end of the daemon ends one that waits.
    g.process.terminate()
    assert follower.wait(timeout=60) in (0, 3)
