# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens, on a host with thousands of connections."""
import json
import subprocess
import sys

import pytest

import lab

# Its connections fill more than a megabyte of /proc/net/tcp.
BUSY = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
s = socket.create_server(("127.0.0.1", 7001), backlog=512)
kept = []
for i in range(4000):
    c = socket.create_connection(("127.0.0.1", 7001))
    kept += [c, s.accept()[0]]
t = socket.create_server(("0.0.0.0", 2323))
print("up", flush=True)
sys.stdin.read()
"""


def listeners(space, *control):
    p = space.batten("audit", "--json", "--control", ",".join(control or ("HST-02",)), "--docker", "unix:///no/docker",
                     check=False)
    return {f["control"]: f for f in json.loads(p.stdout)["findings"]}


@pytest.fixture
def space(spaces):
    return spaces.new("host", mounts=True)


def test_a_listener_is_seen_among_thousands_of_connections(space):
    p = space.start(sys.executable, "-c", BUSY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert p.stdout.readline() == "up\n"
    table = space.run("sh", "-c", "wc -c < /proc/net/tcp").stdout
    assert int(table) > 1 << 20, table
    found = listeners(space)["HST-02"]
    assert found["status"] == "fail" and ":2323 (tcp, 0.0.0.0)" in found["evidence"], found
    assert "7001" not in found["evidence"]


def test_the_text_tells_the_same_where_the_kernel_cannot_be_asked(space):
    p = space.start(sys.executable, "-c", BUSY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert p.stdout.readline() == "up\n"
    asked = listeners(space)["HST-02"]["evidence"]
    refused = space.run("strace", "-f", "-o", "/dev/null", "-e", "trace=socket", "-e", "inject=socket:error=EPROTONOSUPPORT",
                        lab.BATTEN, "audit", "--json", "--control", "HST-02", "--docker", "unix:///no/docker", check=False)
    assert json.loads(refused.stdout)["findings"][0]["evidence"] == asked


def test_who_may_not_look_does_not_pass(space, tmp_path):
    """As nobody: a listener of root's may be sshd, dockerd or anything."""
    p = space.start(sys.executable, "-c", "import socket, sys; s = socket.create_server(('0.0.0.0', 2375)); print('up', flush=True); "
                    "sys.stdin.read()", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert p.stdout.readline() == "up\n"
    nobody = space.run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", lab.BATTEN, "audit", "--json",
                       "--control", "HST-01,HST-02", check=False)
    lab.need("Permission denied" not in nobody.stderr or nobody.stdout, "this user cannot run the binary")
    assert {f["status"] for f in json.loads(nobody.stdout)["findings"]} == {"unknown"}, nobody.stdout
    assert listeners(space, "HST-01")["HST-01"]["status"] == "pass"
    assert listeners(space)["HST-02"]["status"] == "fail"
