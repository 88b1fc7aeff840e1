# SPDX-License-Identifier: GPL-3.0-or-later
"""Many containers that come and go under a daemon that judges them."""
import pathlib
import re
import time

import lab

WAVE = 25  # that run at the same time
CONTROL = "CTR-03"  # what every one of them shows: the host's network


class Load:
    """Containers come and go on a watched.Watched host; what the log says of each is counted."""

    def __init__(self, host):
        self.host = host
        self._after = host.guard.log_file.stat().st_size
        self._told = {"new": [], "gone": []}
        self.started = {}  # id: when Docker told of it, on the wall clock

    def run(self, n, between=lambda: None):
        """@n containers, a wave at a time; @between is called after each wave."""
        running = []
        for i in range(n):
            id = self.host.tasks.run(f"load{len(self.started)}", self.host.space, start=False)
            process = self.host.tasks._made[id][1]
            self.started[id] = time.time()
            self.host.docker.start(id, process.pid)
            running.append(id)
            if len(running) == WAVE or i == n - 1:
                self.wait(lambda: self.judged >= set(running), "every container to be judged")
                for id in running:
                    self.host.tasks.stop(id)
                    self.host.docker.containers.pop(id)
                running = []
                between()
        self.wait(lambda: self.forgotten >= set(self.started), "every finding to be gone")

    def wait(self, condition, what):
        def holds():
            assert self.host.guard.process.poll() is None, self.host.guard.log[-2000:]
            return condition()
        lab.wait_for(holds, what, timeout=120)

    def _seen(self, step):
        """Ids in the order of the log, of which only what is new is read."""
        with open(self.host.guard.log_file, "rb") as log:
            log.seek(self._after)
            text = log.read()
        end = text.rfind(b"\n") + 1
        self._after += end
        for which, id in re.findall(rf"finding is (new|gone) control={CONTROL} .*?container_id=([0-9a-f]+)",
                                    text[:end].decode()):
            self._told[which].append(id)
        return self._told[step]

    @property
    def judged(self):
        return set(self._seen("new"))

    @property
    def forgotten(self):
        return set(self._seen("gone"))

    def assert_none_lost(self):
        """Each is told once as new and once as gone."""
        for step in ("new", "gone"):
            seen = self._seen(step)
            assert len(seen) == len(set(seen)) and set(seen) == set(self.started), \
                (step, len(seen), len(set(seen)), len(self.started))

    # ---- what the daemon takes

    @property
    def descriptors(self):
        return len(list(pathlib.Path(f"/proc/{self.host.guard.process.pid}/fd").iterdir()))

    @property
    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.host.guard.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
