# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that the daemon watches: a namespace with an /etc of its own, containers of a stand-in of
Docker, and the daemon with its audit switched on."""
import contextlib
import json

import docker_standin
import groups
import guard
import lab


class Watched:
    """with Watched(space, scratch) as w: w.write("/etc/ecs/ecs.config", ...); w.wait_event(...)"""

    def __init__(self, space, scratch, config=None, managed=False):
        self.space, self.scratch = space, scratch
        self._stack = contextlib.ExitStack()
        self._config, self._managed = config or {}, managed

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            layers = self.scratch / "etc"
            layers.mkdir()
            self.space.run("mount", "-t", "tmpfs", "none", layers)
            self.space.run("mkdir", layers / "upper", layers / "work")
            self.space.run("mount", "-t", "overlay", "overlay", "-o",
                           f"lowerdir=/etc,upperdir={layers}/upper,workdir={layers}/work", "/etc")
            self.tree = stack.enter_context(groups.Groups(self.space, self.scratch))
            self.docker = stack.enter_context(docker_standin.DockerStandin(self.scratch / "docker"))
            self.tasks = docker_standin.Tasks(self.tree, self.docker)
            config = {section: dict(keys) for section, keys in self._config.items()}
            for section, keys in (("daemon", {"docker": self.docker.url, "log-level": "debug"}),
                                  ("imds", {"cgroup-root": self.tree.inside(self.tree.root), "bpf-dir": self.tree.pins}),
                                  ("audit", {"enabled": "yes", "waivers": self.scratch / "none" / "waivers.json"})):
                config[section] = {**keys, **config.get(section, {})}
            directory = self.scratch / "daemon"
            directory.mkdir()
            self.guard = guard.Guard(self.space, directory, config, managed=self._managed)
            stack.callback(self.guard.close)
            self.state = directory / "state"
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self._stack.close()

    def start(self):
        """The daemon, until it has judged the whole host once."""
        before = len(self.guard.log)
        self.guard.start()
        self.guard.wait_log("host audited", "changed=everything", after=before, timeout=60)
        return self

    def write(self, path, text):
        """In place, as `echo >` does."""
        self.space.run("sh", "-c", 'cat > "$0"', path, input=text)

    def replace(self, path, text):
        """As an editor does: a new file that takes the old one's name."""
        self.space.run("sh", "-c", 'cat > "$0.new" && mv "$0.new" "$0"', path, input=text)

    def events(self, **wanted):
        p = self.guard.command("events", "--json")
        return [e for e in map(json.loads, p.stdout.splitlines())
                if all(e.get(k) == v for k, v in wanted.items())]

    def wait_event(self, **wanted):
        return lab.wait_for(lambda: self.events(**wanted), f"an event with {wanted}", timeout=60)[-1]

    def findings(self):
        """What is kept on disk: {(control, name)}."""
        path = self.state / "findings.json"
        return {(f["control"], f["name"]) for f in json.loads(path.read_text())["findings"]} if path.exists() else set()
