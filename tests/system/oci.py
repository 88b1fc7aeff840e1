# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI bundles run by a real runc or crun, inside a space that has cgroup2 to itself."""
import itertools
import json
import pathlib
import shutil
import subprocess

import lab
import recorder

TOP = pathlib.Path(__file__).parent.parent.parent
CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
                "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD",
                "CAP_AUDIT_WRITE", "CAP_SETFCAP"]
_numbers = itertools.count()


def docker_default():
    """Docker's default rules as the runtime gets them: resolved for x86-64 and the usual capabilities."""
    data = json.loads((TOP / "profiles" / "seccomp-docker-default.json").read_text())
    rules = []
    for g in data["groups"]:
        if any(c not in CAPABILITIES for c in g.get("with", [])) or "amd64" not in g.get("machines", ["amd64"]):
            continue
        if any(c in CAPABILITIES for c in g.get("without", [])):
            continue
        rule = {"names": " ".join(g["calls"]).split(), "action": "SCMP_ACT_ALLOW"}
        if "answer" in g:
            rule.update(action="SCMP_ACT_ERRNO", errnoRet={"ENOSYS": 38, "EPERM": 1}[g["answer"]])
        for condition in g.get("when", []):
            words = condition.split()
            arg = {"index": int(words[0][3:])}
            if words[1] == "&":
                arg.update(op="SCMP_CMP_MASKED_EQ", value=int(words[2], 16), valueTwo=int(words[4]))
            else:
                arg.update(op={"<": "SCMP_CMP_LT", ">": "SCMP_CMP_GT", "==": "SCMP_CMP_EQ"}[words[1]],
                           value=int(words[2]))
            rule.setdefault("args", []).append(arg)
        rules.append(rule)
    return {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": rules}


class Bundles:
    """Runs containers; the root is the machine's own, read-only, with places to write in memory."""

    def __init__(self, spaces, directory):
        self.space = spaces.new("oci", mounts=True)
        self.directory = directory
        self.root = directory / "root"
        self.root.mkdir()
        self.space.run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
        self.space.run("mount", "--bind", "/", self.root)
        # Programs that a test has built.
        self.programs = directory / "programs"
        self.programs.mkdir()

    def cgroup(self):
        """An empty group for one container; the runtime removes it."""
        path = pathlib.Path("/sys/fs/cgroup") / f"batten-oci-{self.space.pid}-{next(_numbers)}"
        self.space.run("mkdir", path)
        return path

    def config(self, command, cgroup, seccomp=None, nnp=True):
        def tmpfs(path):
            return {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}
        c = {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": False, "user": {"uid": 0, "gid": 0}, "args": [str(a) for a in command], "cwd": "/",
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp"], "noNewPrivileges": nnp,
                "capabilities": {k: CAPABILITIES for k in ("bounding", "effective", "permitted")},
            },
            "root": {"path": str(self.root), "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
                {"destination": "/mnt", "type": "bind", "source": str(self.programs), "options": ["bind", "ro"]},
                *map(tmpfs, ("/tmp", "/run", "/var/log", "/var/lib")),
            ],
            "linux": {
                "namespaces": [{"type": t} for t in ("pid", "mount", "ipc", "uts", "network")],
                "cgroupsPath": "/" + cgroup.name,
            },
        }
        if seccomp:
            c["linux"]["seccomp"] = seccomp
        return c

    def run(self, runtime, command, seccomp=None, nnp=True, cgroup=None, during=None):
        """Run to the end; during(exec) is called while it runs, with a function that execs into it."""
        own = cgroup is None
        cgroup = cgroup or self.cgroup()
        name = f"c{self.space.pid}-{next(_numbers)}"
        bundle = self.directory / name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(self.config(command, cgroup, seccomp, nnp)))
        root = self.directory / "state"
        p = self.space.start(runtime, "--root", root, "run", "--bundle", bundle, name, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def inside(*arguments, check=True):
            return self.space.run(runtime, "--root", root, "exec", name, *arguments, check=check)
        try:
            if during:
                lab.wait_for(lambda: '"running"' in self.space.run(runtime, "--root", root, "state", name,
                                                                    check=False).stdout.replace(" ", "")
                             or p.poll() is not None, "the container to run")
                during(inside)
            out, err = p.communicate(timeout=60)
        finally:
            self.space.run(runtime, "--root", root, "delete", "--force", name, check=False)
            shutil.rmtree(bundle)
            if own:
                self.space.run("rmdir", cgroup, check=False)
        return subprocess.CompletedProcess(command, p.returncode, out, err)

    def record(self, runs, output, *options):
        """Record while runs(cgroup) happens; returns the observation."""
        cgroup = self.cgroup()
        with recorder.Recorder(output, "--cgroup", cgroup, "--duration", "10m", *options,
                               start=lambda words: self.space.start(*words)) as r:
            runs(cgroup)
        self.space.run("rmdir", cgroup, check=False)
        return r.observation
