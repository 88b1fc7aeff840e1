# SPDX-License-Identifier: GPL-3.0-or-later
"""A real dockerd with network, mount view, data root and socket of its own. No registry is needed:
images are made from busybox-static."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import lab


class DockerHost:
    """with DockerHost() as d: d.docker("run", ...). d.space is where dockerd lives."""

    def __init__(self, daemon_options=(), prepare=()):
        """prepare: commands that are run in its views before it starts, whether they succeed or not."""
        self._options = list(daemon_options)
        self._prepare = list(prepare)
        self.dockerd = None

    def __enter__(self):
        for program in ("dockerd", "docker", "containerd", "iptables", "busybox"):
            lab.need(shutil.which(program), f"{program} is not installed")
        self.spaces = lab.Spaces()
        self.space = self.spaces.new("docker", mounts=True)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="batten-docker-"))
        self.socket = self.directory / "docker.sock"
        self.space.run("mount", "-t", "tmpfs", "tmpfs", "/run")
        for command in self._prepare:
            self.space.run(*command, check=False)
        self.start()
        self.make_image("busybox")
        return self

    def start(self):
        self._log = open(self.directory / "dockerd.log", "a")
        self.dockerd = self.space.start(
            "dockerd", "--data-root", self.directory / "data", "--exec-root", self.directory / "exec",
            "--add-runtime", f"lean={lab.HERE / 'lean_runtime'}",
            "--pidfile", self.directory / "pid", "-H", f"unix://{self.socket}", *self._options,
            stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL)

        def answers():
            if self.dockerd.poll() is not None:
                raise AssertionError("dockerd ended:\n" + (self.directory / "dockerd.log").read_text()[-4000:])
            return self.docker("version", check=False).returncode == 0
        lab.wait_for(answers, "dockerd to answer", timeout=60)

    def stop(self):
        if self.dockerd and self.dockerd.poll() is None:
            self.dockerd.send_signal(signal.SIGTERM)
            try:
                self.dockerd.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.dockerd.kill()
                self.dockerd.wait()
        self._log.close()

    def docker(self, *arguments, **options):
        return self.space.run("docker", "-H", f"unix://{self.socket}", *arguments, **options)

    def inspect(self, container):
        return json.loads(self.docker("inspect", container).stdout)[0]

    def make_image(self, name, changes=(), extra=None):
        """An image of busybox and what extra(root) puts beside it."""
        with tempfile.TemporaryDirectory() as root:
            root = pathlib.Path(root)
            for d in ("bin", "etc", "tmp", "proc", "sys", "dev"):
                (root / d).mkdir()
            shutil.copy2(shutil.which("busybox"), root / "bin" / "busybox")
            for applet in ("sh", "sleep", "wget", "nc", "id", "cat", "ls", "find", "true", "ping", "ip", "top"):
                (root / "bin" / applet).symlink_to("busybox")
            (root / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
            if extra:
                extra(root)
            flags = [f for c in changes for f in ("--change", c)]
            tar = subprocess.run(["tar", "-C", root, "--numeric-owner", "-c", "."], stdout=subprocess.PIPE,
                                 check=True).stdout
            p = subprocess.run(["docker", "-H", f"unix://{self.socket}", "import", *flags, "-", name],
                               input=tar, preexec_fn=self.space.enter, capture_output=True)
            assert p.returncode == 0, p.stderr.decode()

    def __exit__(self, *_):
        ids = self.docker("ps", "-aq", check=False).stdout.split()
        if ids:
            self.docker("rm", "-f", *ids, check=False)
        self.stop()
        self.spaces.__exit__()
        # What dockerd mounted lived in the mount view that has just ended.
        for _ in range(50):
            try:
                shutil.rmtree(self.directory)
                return
            except OSError:
                lab.time.sleep(0.1)
        shutil.rmtree(self.directory, ignore_errors=True)
        if os.path.exists(self.directory):
            print(f"left behind: {self.directory}")
