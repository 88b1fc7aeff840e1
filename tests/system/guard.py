# SPDX-License-Identifier: GPL-3.0-or-later
"""batten's guard as a test drives it: the commands, the daemon, and the service manager's half of
the conversation with it."""
import array
import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import ecs_host
import lab

# Puts the descriptors named in argv[1] where LISTEN_FDS says, and becomes the daemon.
PASS_FDS = """
import os, sys
fds = [int(f) for f in sys.argv[1].split(",") if f]
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
    os.close(fd)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """A stand-in of systemd: reads notifications and keeps descriptors for the next start."""

    def __init__(self):
        # A short path: that of a socket may not be longer than 107 bytes.
        self._directory = tempfile.mkdtemp(prefix="batten-nt-")
        self.path = os.path.join(self._directory, "s")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(self.path)
        self.seen = []  # every assignment, in order
        self.stored = {}  # name -> descriptor

    def pump(self, timeout=0.0):
        """Read what has arrived; systemd does so all the time."""
        while select.select([self._socket], [], [], timeout)[0]:
            data, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(16 * 4))
            fds = array.array("i")
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(payload[:len(payload) - len(payload) % 4])
            self._message(data.decode().splitlines(), list(fds))
            timeout = 0.0

    def _message(self, lines, fds):
        self.seen += lines
        fields = dict(line.split("=", 1) for line in lines)
        name = fields.get("FDNAME", "stored")
        if fields.get("FDSTOREREMOVE") == "1" and name in self.stored:
            os.close(self.stored.pop(name))
        if fields.get("FDSTORE") == "1":
            for fd in fds:
                if name in self.stored:
                    os.close(self.stored.pop(name))
                self.stored[name] = fd
        else:
            for fd in fds:  # BARRIER=1: the sender waits until we close it
                os.close(fd)

    def forget(self):
        """What systemd does with the store when a unit is stopped and not started again."""
        for fd in self.stored.values():
            os.close(fd)
        self.stored.clear()

    def close(self):
        self.forget()
        self._socket.close()
        shutil.rmtree(self._directory)


class Guard:
    """One host's guard. config is {section: {key: value}}; assume names features to do without."""

    def __init__(self, space, directory, config=None, assume=(), managed=True, fd_store=True):
        self.space = space
        self.runtime = pathlib.Path(directory) / "run"
        self.runtime.mkdir()
        self.file = pathlib.Path(directory) / "batten.conf"
        self.log_file = pathlib.Path(directory) / "log"
        self.assume = [word for name in assume for word in ("--assume-feature", f"-{name}")]
        self.manager = Manager() if managed else None
        self.options = ["--fd-store"] if managed and fd_store else []
        self.process = None
        self.wrapper = []  # words before the daemon's command line
        self.configure(config or {})

    def configure(self, config):
        # Nothing of the machine's own: not its state, not its Docker.
        here = self.file.parent
        # And no audit of the machine that the tests run on, unless a test is about it.
        config = {**config, "audit": {"enabled": "no", **config.get("audit", {})}, "daemon": {"state-dir": here / "state", "docker": f"unix://{here}/no-docker",
                                       **config.get("daemon", {})}}
        self.file.write_text("".join(f"[{section}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items())
                                     for section, keys in config.items()))

    # ---- commands

    def command(self, *words, **options):
        """A command of ours beside the daemon, with its configuration and runtime directory."""
        return self.space.batten(*words, "--config", self.file, "--runtime-dir", self.runtime, **options)

    def block(self, **options):
        return self.command("imds", "block", *self.assume, **options)

    def unblock(self, **options):
        return self.command("imds", "unblock", **options)

    def status(self):
        p = self.command("imds", "status", "--json", check=False)
        assert p.returncode in (0, 1), p
        return json.loads(p.stdout)

    def layer(self, name, family=None):
        """The state of one layer, as status tells it."""
        found = [row for row in self.status()["layers"]
                 if row["layer"] == name and (family is None or row.get("family") in (None, family))]
        assert found, f"status has no layer {name}"
        return found[0]

    # ---- the daemon

    def start(self, ready=True):
        environment = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID")}
        command = [*self.wrapper, lab.BATTEN, "daemon", "--config", self.file, "--runtime-dir", self.runtime, *self.options,
                   *self.assume]
        with contextlib.ExitStack() as stack:
            passed = []
            if self.manager:
                environment["NOTIFY_SOCKET"] = self.manager.path
                self.manager.seen.clear()
                if self.manager.stored:
                    # Copies above whatever the launcher itself needs.
                    passed = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in self.manager.stored.values()]
                    for fd in passed:
                        stack.callback(os.close, fd)
                    environment["LISTEN_FDS"] = str(len(passed))
                    environment["LISTEN_FDNAMES"] = ":".join(self.manager.stored)
                    command = [sys.executable, "-S", "-E", "-c", PASS_FDS, ",".join(map(str, passed)), *command]
            log = stack.enter_context(open(self.log_file, "a"))
            self.process = self.space.start(*command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment, pass_fds=passed)
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self):
        def is_ready():
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}:\n{self.log}"
            if self.manager:
                self.manager.pump()
                return "READY=1" in self.manager.seen
            return (self.runtime / "control.sock").exists()
        lab.wait_for(is_ready, "the daemon to be ready", timeout=30)

    def wait_end(self, timeout=20):
        def has_ended():
            if self.manager:
                self.manager.pump()
            return self.process.poll() is not None
        lab.wait_for(has_ended, "the daemon to end", timeout)
        return self.process.returncode

    def stop(self):
        """A clean stop, and nothing is kept."""
        self.process.send_signal(signal.SIGTERM)
        code = self.wait_end()
        if self.manager:
            self.manager.forget()
        return code

    def restart(self):
        """As `systemctl restart`: descriptors that are in the store stay there."""
        self.process.send_signal(signal.SIGTERM)
        assert self.wait_end() == 0, self.log
        self.start()

    def kill(self):
        self.manager and self.manager.pump()
        self.process.kill()
        self.process.wait()
        lab.wait_for(self._unlocked, "the rest of its processes to end, as a service manager sees to it", timeout=30)

    def _unlocked(self):
        with contextlib.suppress(FileNotFoundError, BlockingIOError), open(self.runtime / "daemon.lock") as f:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return not (self.runtime / "daemon.lock").exists()

    def reload(self):
        """As `systemctl reload` of a notify unit: until the daemon says that it has read, or refused."""
        self.manager.pump()
        self.manager.seen.clear()
        self.process.send_signal(signal.SIGHUP)

        def done():
            self.manager.pump()
            seen = self.manager.seen
            return "READY=1" in seen and "RELOADING=1" in seen[:seen.index("READY=1")]
        lab.wait_for(done, "the reload to be told")

    @property
    def log(self):
        return self.log_file.read_text() if self.log_file.exists() else ""

    def wait_log(self, *words, after=0, timeout=10):
        """Wait for a line that holds all the words; `after` skips that much of the log."""
        def line():
            return next((li for li in self.log[after:].splitlines() if all(w in li for w in words)), None)
        try:
            return lab.wait_for(line, f"a log line with {words}", timeout)
        except TimeoutError as e:
            raise AssertionError(f"{e}; the log says:\n{self.log[after:]}") from None

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.manager:
            self.manager.close()


# ---- what the kernel holds ------------------------------------------------------------------------

def table(space):
    """Our table as nft lists it, without counters' values; None when it is not there."""
    p = space.run("nft", "-s", "list", "table", "inet", "batten", check=False)
    return p.stdout if p.returncode == 0 else None


def rules(space, family=4):
    """Our routing rules: [(priority, text)]"""
    out = space.run("ip", f"-{family}", "-d", "rule", "list").stdout
    rows = [line.split(":", 1) for line in out.splitlines() if line]
    return [(int(n), text.strip()) for n, text in rows if 89 <= int(n) <= 91]


def delete_rules(space):
    """What a network manager does that tidies up rules it does not know."""
    for family in (4, 6):
        for priority, _ in rules(space, family):
            space.run("ip", f"-{family}", "rule", "del", "priority", priority, check=False)


# ---- what a client sees ---------------------------------------------------------------------------

def median_ms(values):
    return sorted(values)[len(values) // 2]


def assert_refused(host, container, addresses=(lab.IMDS4, lab.IMDS6), tries=5):
    """Refused, at once, and not one packet arrives at the service."""
    before = host.uplink.arrivals()
    for address in addresses:
        seen = [lab.connect(container, address) for _ in range(tries)]
        assert {name for name, _ in seen} == {"ECONNREFUSED"}, (container.name, address, seen)
        assert median_ms([ms for _, ms in seen]) < 10, (container.name, address, seen)
    assert host.uplink.arrivals() == before


def assert_closed(host, container, addresses=(lab.IMDS4, lab.IMDS6)):
    """Not one packet arrives, whatever the client sees. The routing rules alone do no better than
    that: the kernel bounds the rate of its ICMP errors, and IPv6 clients wait for the second."""
    before = host.uplink.arrivals()
    for address in addresses:
        assert lab.connect(container, address, timeout=1.5)[0] != "OK", (container.name, address)
    assert host.uplink.arrivals() == before


def assert_reachable(container, addresses=(lab.IMDS4, lab.IMDS6)):
    for address in addresses:
        assert lab.connect(container, address)[0] == "OK", (container.name, address)


def assert_roads_kept(host):
    """What must work whatever the guard does."""
    assert_reachable(host.host)
    for space in (host.host, *host.containers.values()):
        assert_reachable(space, (ecs_host.ELSEWHERE4, ecs_host.ELSEWHERE6, ecs_host.CREDENTIALS))


class Hammers:
    """Clients in a tight loop, one per container and address, while something happens."""

    def __init__(self, *pairs):
        self._pairs = pairs

    def __enter__(self):
        self._running = [(c, a, c.start(lab.TOOLS / "hammer", a, 80, stdout=-1)) for c, a in self._pairs]
        for _, _, p in self._running:
            assert p.stdout.readline() == "up\n"
        return self

    def __exit__(self, kind, *_):
        self.tallies = []
        for c, a, p in self._running:
            p.send_signal(signal.SIGTERM)
            self.tallies.append((c.name, a, json.loads(p.communicate(timeout=10)[0])))

    @property
    def successes(self):
        return sum(t["successes"] for _, _, t in self.tallies)

    def assert_no_leak(self, attempts=1000):
        for name, address, t in self.tallies:
            assert t["attempts"] >= attempts, (name, address, t)
            assert t["successes"] == t["other"] == 0, (name, address, t)
