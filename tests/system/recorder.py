# SPDX-License-Identifier: GPL-3.0-or-later
"""`batten seccomp record` in the background: told when it watches, and ended by a signal."""
import json
import pathlib
import signal
import subprocess

import lab


class Recorder:
    """with Recorder(output, "--cgroup", path) as r: ...; then r.observation"""

    def __init__(self, output, *arguments, start=subprocess.Popen):
        self.output = output
        self._process = start([lab.BATTEN, "seccomp", "record", "-o", str(output), *map(str, arguments)])

    def __enter__(self):
        lab.wait_for(lambda: self._process.poll() is not None or self._watches(), "the recorder", timeout=60)
        assert self._process.poll() is None, f"the recorder ended with {self._process.returncode}"
        return self

    def _watches(self):
        """It takes signals once the group is watched."""
        try:
            fds = pathlib.Path(f"/proc/{self._process.pid}/fd").iterdir()
            return any(str(f.readlink()) == "anon_inode:[signalfd]" for f in fds)
        except OSError:
            return False

    def wait(self):
        """Until it ends by itself."""
        assert self._process.wait(timeout=60) == 0

    def __exit__(self, kind, *_):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL if kind else signal.SIGINT)
        status = self._process.wait(timeout=60)
        if not kind:
            assert status == 0
            self.observation = json.loads(pathlib.Path(self.output).read_text())
