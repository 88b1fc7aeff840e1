#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit costs: tests/bench/audit-100-containers.py [CONTAINERS]

Beside a real dockerd of its own: the whole audit and a shell loop of `docker inspect`, round by round in turn,
with wall time, processor time and system calls. Then Docker's answers as they were recorded there, for 0, 10,
100 and 1,000 containers: processor time must grow with their number and not faster. ROUNDS=N, 11 by default."""
import copy
import ctypes
import json
import os
import pathlib
import re
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
os.environ.setdefault("BUILD", str(TOP / "build"))
os.environ.setdefault("BATTEN", str(TOP / "build" / "batten"))
sys.path.insert(0, str(TOP / "tests" / "system"))

import docker_host  # noqa: E402  (needs the path above)
import lab  # noqa: E402
from test_ecs_config import UnixConnection  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "11"))
OWN_VIEWS = 0x7C020000  # mounts, network, IPC, UTS, processes, cgroups: CLONE_NEW*


def measure(space, *command):
    """(wall ms, processor ms) of a command that may say no."""
    begun = time.monotonic()
    p = subprocess.Popen([str(c) for c in command], preexec_fn=space.enter, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    assert p.returncode in (0, 1), p.returncode
    return (time.monotonic() - begun) * 1000, (used.ru_utime + used.ru_stime) * 1000


def peak(space, *command):
    """KiB of resident memory; of a process that is small when it begins, for what it was counts too."""
    return int(space.run("/usr/bin/time", "-f", "%M", *command, check=False).stderr.split()[-1])


def calls(space, *command):
    with tempfile.NamedTemporaryFile("r") as f:
        space.run("strace", "-f", "-c", "-o", f.name, *command, check=False, timeout=300)
        return int(re.search(r"(\d+)(?:\s+\d+)?\s+total\s*$", f.read()).group(1))


def medians(rows):
    return [statistics.median(column) for column in zip(*rows)]


def beside_docker(d, n):
    audit = (lab.BATTEN, "audit", "--docker", f"unix://{d.socket}")
    loop = ("sh", "-c", f"for c in $(docker -H unix://{d.socket} ps -q); do docker -H unix://{d.socket} inspect $c; done")
    commands = {"audit": audit, "containers alone": (*audit, "--area", "containers"),
                "docker inspect, one by one": loop}
    rows = {label: [] for label in commands}
    for _ in range(ROUNDS):
        for label, command in commands.items():
            rows[label].append(measure(d.space, *command))
    print(f"{n} containers of a real dockerd, medians of {ROUNDS} rounds")
    print(f"  {'':28}{'wall ms':>9}{'best':>7}{'cpu ms':>9}{'best':>7}{'peak KiB':>10}{'calls':>9}")
    n_calls = {}
    for label, command in commands.items():
        wall, cpu = medians(rows[label])
        n_calls[label] = calls(d.space, *command)
        print(f"  {label:28}{wall:9.0f}{min(r[0] for r in rows[label]):7.0f}{cpu:9.1f}{min(r[1] for r in rows[label]):7.1f}"
              f"{peak(d.space, *command):10}{n_calls[label]:9}")
    print(f"  the loop makes {n_calls['docker inspect, one by one'] / n_calls['audit']:.0f} times the system calls of the audit")


def ask(path, what):
    c = UnixConnection(path)
    c.request("GET", f"/v1.41{what}")
    return json.loads(c.getresponse().read())


def record(d):
    id = d.docker("ps", "-q", "--no-trunc").stdout.split()[0]
    inspect = ask(d.socket, f"/containers/{id}/json")
    whats = ("/info", "/version", "/images/json", "/networks/bridge", f"/images/{inspect['Image']}/json",
             f"/images/{inspect['Image']}/history")
    return inspect, {w.replace(":", "%3A"): json.dumps(ask(d.socket, w)).encode() for w in whats}


class Recorded:
    """Docker's answers about processes of ours, on a socket."""

    def __init__(self, path, inspect, answers, pids):
        self.path, self.answers = path, dict(answers)
        self.answers["/_ping"] = b"OK"
        ids = [f"{i + 1:064x}" for i in range(len(pids))]
        self.answers["/containers/json"] = json.dumps([{"Id": i} for i in ids]).encode()
        for number, (id, pid) in enumerate(zip(ids, pids)):
            one = copy.deepcopy(inspect)
            one.update(Id=id, Name=f"/c{number}")
            one["State"]["Pid"] = pid
            self.answers[f"/containers/{id}/json"] = json.dumps(one).encode()
        recorded = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                asked = self.request.recv(4096).split(b" ")[1].decode()
                body = recorded.answers.get(re.sub(r"^/v1\.\d+", "", asked), b"{}")
                self.request.sendall(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        class Server(socketserver.UnixStreamServer):
            request_queue_size = 128

        self.server = Server(str(path), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        os.unlink(self.path)


def sleepers(space, n):
    libc = ctypes.CDLL(None)

    def apart():
        space.enter()
        libc.unshare(OWN_VIEWS & ~0x20000000)  # the next one's processes are its own in any case
    return [subprocess.Popen(["sleep", "3600"], preexec_fn=apart) for _ in range(n)]


def with_answers(d, inspect, answers, directory):
    print(f"recorded answers ({len(json.dumps(inspect))} bytes for each container), medians of {ROUNDS} rounds")
    print(f"  {'containers':>10}{'cpu ms':>9}{'best':>7}{'peak KiB':>10}{'calls':>9}{'us each':>9}{'KiB each':>10}{'calls each':>12}")
    none, made = None, []
    try:
        for n in (0, 10, 100, 1000):
            made += sleepers(d.space, n - len(made))
            server = Recorded(directory / "docker.sock", inspect, answers, [p.pid for p in made])
            command = (lab.BATTEN, "audit", "--docker", f"unix://{directory}/docker.sock")
            rows = [measure(d.space, *command) for _ in range(ROUNDS if n < 1000 else 5)]
            cpu, kib, n_calls = medians(rows)[1], peak(d.space, *command), calls(d.space, *command)
            server.close()
            each = "" if none is None else (f"{(cpu - none[0]) / n * 1000:9.0f}{(kib - none[1]) / n:10.1f}"
                                            f"{(n_calls - none[2]) / n:12.1f}")
            print(f"  {n:10}{cpu:9.1f}{min(r[1] for r in rows):7.1f}{kib:10}{n_calls:9}{each}")
            none = none or (cpu, kib, n_calls)
    finally:
        for p in made:
            p.kill()
            p.wait()


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with docker_host.DockerHost() as d, tempfile.TemporaryDirectory(prefix="batten-bench-") as directory:
        for i in range(n):
            d.docker("run", "-d", "--name", f"c{i}", "--network", "none", "busybox", "sleep", "3600")
        beside_docker(d, n)
        inspect, answers = record(d)
        d.docker("rm", "-f", *d.docker("ps", "-aq").stdout.split(), timeout=300)
        with_answers(d, inspect, answers, pathlib.Path(directory))


main()
