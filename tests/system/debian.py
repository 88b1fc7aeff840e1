# SPDX-License-Identifier: GPL-3.0-or-later
"""A layer as a base image has it: a minimal Debian of its own, made once and kept in the build directory."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import lab

INCLUDE = "iputils-ping,libcap2-bin,sudo,openssh-client"
# What slim images leave out; packing it in ten ways would cost minutes and show nothing more.
EXCLUDE = ["./var/cache/apt", "./var/lib/apt/lists", "./usr/share/doc", "./usr/share/locale", "./usr/share/man", "./usr/share/zoneinfo",
           "./usr/lib/*/gconv", "./dev", "./proc", "./sys"]
OWN = ["passwd", "login", "mount", "util-linux", "libpam-modules-bin", "coreutils", "dash", "bash", "tar", "perl-base", "libc-bin", "libc6"]


# In memory: dpkg syncs every file that it writes. Mounts and processes end with the script.
SCRIPT = """set -e
mount -t tmpfs -o mode=0755,size=1500m tmpfs "$1"
debootstrap --variant=minbase --include="$2" bookworm "$1"
"""


def _pack(root, to):
    """Where a capability could not be set when it was installed, ping became setuid."""
    excluded = " ".join(f"--exclude='{e}'" for e in EXCLUDE)
    return f"""chmod 0755 "{root}/usr/bin/ping"
setcap cap_net_raw+ep "{root}/usr/bin/ping"
tar -C "{root}" --format=pax --xattrs --xattrs-include=security.capability --numeric-owner --sort=name {excluded} -cf "{to}" .
"""


def _debootstrap(root, to):
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT + _pack(root, to), "sh", root, INCLUDE]
    environment = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment, timeout=600)
    except subprocess.TimeoutExpired:
        print("debootstrap: no end within ten minutes")
        return False
    if p.returncode:
        print("debootstrap:", p.stdout.decode(errors="replace")[-2000:])
    return p.returncode == 0


def _own_packages(root, to):
    """When no mirror answers: the same programs as this machine's packages have them, and one capability."""
    names = subprocess.run(["dpkg", "-L", *OWN], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode().split("\n")
    # A package says /bin where a merged /usr has a link.
    names = {os.path.join(os.path.realpath(os.path.dirname(n)), os.path.basename(n))[1:] for n in names if n.startswith("/")}
    names = sorted(n for n in names if n and os.path.lexists(f"/{n}") and (os.path.islink(f"/{n}") or not os.path.isdir(f"/{n}")))
    packed = subprocess.run(["tar", "-C", "/", "--no-recursion", "-cf", "-", "-T", "-"], input="\n".join(names).encode(),
                            stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-C", root, "-xpf", "-"], input=packed, check=True)
    os.makedirs(root / "usr/bin", exist_ok=True)
    shutil.copy("/usr/bin/env", root / "usr/bin/ping")
    subprocess.run(["sh", "-ec", _pack(root, to)], check=True, capture_output=True)


def layer():
    """Path of the layer, a pax archive as GNU tar writes it."""
    kept = lab.BUILD / "debian-layer.tar"
    if kept.exists():
        return kept
    lab.BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=lab.BUILD, prefix="debian-") as d:
        root, made = pathlib.Path(d) / "root", pathlib.Path(d) / "layer.tar"
        root.mkdir()
        if not shutil.which("debootstrap") or not _debootstrap(root, made):
            _own_packages(root, made)
        made.rename(kept)
    return kept
