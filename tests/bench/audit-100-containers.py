#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an audit of a host with many containers takes, beside a real dockerd of its own:
tests/bench/audit-100-containers.py [CONTAINERS]. Prints wall time, and the peak of resident memory."""
import os
import pathlib
import resource
import statistics
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
os.environ.setdefault("BUILD", str(TOP / "build"))
os.environ.setdefault("BATTEN", str(TOP / "build" / "batten"))
sys.path.insert(0, str(TOP / "tests" / "system"))

import docker_host  # noqa: E402  (needs the path above)
import lab  # noqa: E402


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with docker_host.DockerHost() as d:
        for i in range(n):
            d.docker("run", "-d", "--name", f"c{i}", "--network", "none", "busybox", "sleep", "3600")
        for label, arguments in (("everything", []), ("containers alone", ["--area", "containers"]),
                                 ("images alone", ["--area", "images"]), ("host alone", ["--area", "host"])):
            times, report = [], None
            for _ in range(10):
                begun = time.monotonic()
                report = d.space.run(lab.BATTEN, "audit", *arguments, "--docker", f"unix://{d.socket}", check=False)
                times.append((time.monotonic() - begun) * 1000)
            assert report.returncode in (0, 1), report.stderr
            print(f"{n} containers, {label}: median {statistics.median(times):.0f} ms, "
                  f"best {min(times):.0f} ms, worst {max(times):.0f} ms")
        peak = d.space.run("sh", "-c", f"/usr/bin/time -f %M {lab.BATTEN} audit --docker unix://{d.socket} >/dev/null",
                           check=False).stderr.split()[-1:]
        print("peak resident memory of children:", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, "KiB;",
              "of the audit:", *peak, "KiB")


main()
