# SPDX-License-Identifier: GPL-3.0-or-later
"""A laboratory of network namespaces.

A namespace lives as long as a process that holds it, and that process dies with the test: nothing
is named, so nothing can be left behind. The addresses of the metadata service are only ever
contacted inside such namespaces, where one of them owns the address.
"""
import contextlib
import ctypes
import errno
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

import pytest

HERE = pathlib.Path(__file__).parent
BUILD = pathlib.Path(os.environ.get("BUILD", HERE.parent.parent / "build"))
BATTEN = os.environ.get("BATTEN", str(BUILD / "batten"))
TOOLS = BUILD / "tests" / "system" / "tools"
STRICT = False

IMDS4 = "169.254.169.254"
IMDS6 = "fd00:ec2::254"

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
CLONE_NEWCGROUP = 0x02000000


def need(condition, reason):
    """Skip with a reason where the machine lacks something; with the strict switch, fail."""
    if not condition:
        if STRICT:
            pytest.fail(f"cannot run here: {reason}")
        pytest.skip(reason)


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for(condition, what, timeout=10.0):
    """Poll until the condition returns something true, and return it."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def namespace(fd):
    """The calling thread stands in the network namespace of the descriptor."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(fd, CLONE_NEWNET), "setns")
        try:
            yield
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "setns")
    finally:
        os.close(home)


class Space:
    """One network namespace (with a mount namespace of its own when asked for)."""

    def __init__(self, name, mounts=False):
        self.name = name
        flags = CLONE_NEWNET | (CLONE_NEWNS if mounts else 0)
        self.mounts = mounts

        def enter_new():
            die_with_parent()
            _check(_libc.unshare(flags), "unshare")

        # The holder tells that it is inside by printing a line.
        self._holder = subprocess.Popen(["sh", "-c", "echo up; exec sleep infinity"],
                                        stdout=subprocess.PIPE, preexec_fn=enter_new)
        self._holder.stdout.readline()
        self._fds = {"net": os.open(f"/proc/{self._holder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)}
        if mounts:
            self._fds["mnt"] = os.open(f"/proc/{self._holder.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            self.run("mount", "--make-rprivate", "/")
        self._children = []
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self):
        return self._holder.pid

    def enter(self):
        """For preexec_fn: the child goes inside and dies with the test."""
        die_with_parent()
        for fd in self._fds.values():
            _check(_libc.setns(fd, 0), "setns")

    @contextlib.contextmanager
    def inside(self):
        """The calling thread stands in this network namespace; a socket made here stays in it."""
        with namespace(self._fds["net"]):
            yield

    def run(self, *command, check=True, timeout=60, **options):
        """Run to the end, inside. Returns CompletedProcess with text output."""
        p = subprocess.run([str(c) for c in command], preexec_fn=self.enter, text=True, timeout=timeout,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        if check and p.returncode != 0:
            raise AssertionError(f"{self.name}: {' '.join(map(str, command))}: exit {p.returncode}\n"
                                 f"{p.stdout}{p.stderr}")
        return p

    def start(self, *command, **options):
        """Start in the background, inside; killed at the end of the test."""
        options.setdefault("text", True)
        p = subprocess.Popen([str(c) for c in command], preexec_fn=self.enter, **options)
        self._children.append(p)
        return p

    def batten(self, *arguments, **options):
        return self.run(BATTEN, *arguments, **options)

    def json(self, *command, **options):
        return json.loads(self.run(*command, **options).stdout)

    def close(self):
        for p in self._children:
            if p.poll() is None:
                p.kill()
            p.wait()
            for stream in (p.stdin, p.stdout, p.stderr):
                if stream:
                    stream.close()
        for fd in self._fds.values():
            os.close(fd)
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()


class Spaces:
    """Makes spaces and links, and ends them all."""

    def __init__(self):
        self._spaces = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in reversed(self._spaces):
            s.close()

    def new(self, name, **options):
        s = Space(name, **options)
        self._spaces.append(s)
        return s

    @staticmethod
    def veth(a, name_a, b, name_b):
        """A cable between two spaces, both ends up."""
        a.run("ip", "link", "add", name_a, "type", "veth", "peer", "name", name_b, "netns", str(b.pid))
        a.run("ip", "link", "set", name_a, "up")
        b.run("ip", "link", "set", name_b, "up")


def errno_name(action):
    """Do it; "OK", "TIMEOUT" or the name of the errno."""
    try:
        action()
        return "OK"
    except TimeoutError as e:
        return errno.errorcode[e.errno] if e.errno else "TIMEOUT"
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))


def connect(space, address, port=80, timeout=3.0, source=None):
    """One TCP connect from inside. Returns (errno name or 'OK', milliseconds)."""
    with space.inside():
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    with s:
        s.settimeout(timeout)
        # Closed by a reset, at once: no late packet is counted where the next step expects none.
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if source:
            s.bind((source, 0))
        begin = time.monotonic()
        result = errno_name(lambda: s.connect((address, port)))
        return result, (time.monotonic() - begin) * 1000
