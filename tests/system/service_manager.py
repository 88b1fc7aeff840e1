# SPDX-License-Identifier: GPL-3.0-or-later
"""A service manager for batten's jobs, whose units are functions of the test."""
import threading

import lab


class Systemd:
    """The stand-in of the service manager; @actions: unit -> function(verb), called in this process."""

    def __init__(self, space, directory, actions):
        self.directory, self.actions, self.asked = directory, actions, []
        self.socket = directory / "bus"
        requests, answers = directory / "requests", directory / "answers"
        for fifo in (requests, answers):
            space.run("mkfifo", fifo)
        script = directory / "script"
        script.write_text(f"#!/bin/sh\necho \"$1 $2\" > {requests}\nread answer < {answers}\n[ \"$answer\" = yes ]\n")
        script.chmod(0o755)
        threading.Thread(target=self._serve, args=(requests, answers), daemon=True).start()
        self._process = space.start(lab.TOOLS / "systemd-standin", self.socket, script)
        lab.wait_for(self.socket.exists, "the stand-in's socket", timeout=30)

    def _serve(self, requests, answers):
        while True:
            with open(requests) as f:
                verb, unit = f.read().split()
            self.asked.append((verb, unit))
            try:
                good = self.actions[unit](verb) is not False if unit in self.actions else False
            except Exception as e:  # what fails here is the job's failure, and the test sees it
                self.asked.append(repr(e))
                good = False
            with open(answers, "w") as f:
                f.write("yes\n" if good else "no\n")

    def close(self):
        """The thread stays, asleep: what it started dies with it, and that is for the host to end."""
        self._process.kill()
        self._process.wait()

    @property
    def environment(self):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.socket}"}
