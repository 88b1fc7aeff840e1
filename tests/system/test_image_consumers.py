# SPDX-License-Identifier: GPL-3.0-or-later
"""What batten writes in the hands of those who use it: dockerd, skopeo, umoci, podman."""
import json
import os
import shutil
import subprocess

import images
import lab
import pytest

FIND = ["find", "/", "-xdev", "-perm", "/6000", "-type", "f"]


def batten(host, *arguments, check=True, **options):
    return host.space.run(lab.BATTEN, "image", *arguments, check=check, env={**os.environ, "DOCKER_HOST": f"unix://{host.socket}"},
                          **options)


@pytest.fixture(scope="module")
def host(docker_host):
    """Docker with an image of two layers that has setuid programs in both."""
    def extra(root):
        shutil.copy2(root / "bin" / "busybox", root / "bin" / "su")
        (root / "bin" / "su").chmod(0o4755)
        (root / "bin" / "sg").hardlink_to(root / "bin" / "su")
        (root / "bin" / "write").write_bytes(b"#!/bin/sh\n")
        (root / "bin" / "write").chmod(0o2755)
    docker_host.make_image("with-bits", extra=extra)
    docker_host.docker("run", "--name", "second", "with-bits", "busybox", "cp", "-p", "/bin/su", "/bin/su2")
    docker_host.docker("commit", "second", "two-layers:1")
    docker_host.docker("rm", "second")
    yield docker_host


def found(host, image):
    p = host.docker("run", "--rm", image, *FIND)
    return sorted(p.stdout.split())


def test_docker_load(host, scratch):
    assert found(host, "two-layers:1") == ["/bin/sg", "/bin/su", "/bin/su2", "/bin/write"]
    host.docker("save", "-o", scratch / "in.tar", "two-layers:1")
    batten(host, "strip", f"docker-archive:{scratch}/in.tar", f"docker-archive:{scratch}/out.tar")
    images.images(scratch / "out.tar")
    host.docker("tag", "two-layers:1", "before:1")
    assert "Loaded image" in host.docker("load", "-i", scratch / "out.tar").stdout
    assert found(host, "two-layers:1") == []
    # And a pipe, as the manual says.
    command = (f"docker -H unix://{host.socket} save before:1 | {lab.BATTEN} image strip docker-archive:- docker-archive:- | "
               f"docker -H unix://{host.socket} load")
    host.space.run("sh", "-c", command)
    assert found(host, "before:1") == []
    host.docker("rmi", "before:1")


def test_docker_daemon(host, scratch):
    host.docker("tag", "with-bits", "daemon:1")
    old = json.loads(host.docker("inspect", "daemon:1").stdout)[0]["Id"]
    p = batten(host, "inspect", "docker-daemon:daemon:1", check=False)
    assert p.returncode == 1 and "/bin/su" in p.stdout
    p = batten(host, "strip", "docker-daemon:daemon:1", "docker-daemon:daemon:1")
    assert "daemon:1-unstripped" in p.stderr
    assert found(host, "daemon:1") == []
    assert json.loads(host.docker("inspect", "daemon:1-unstripped").stdout)[0]["Id"] == old
    # Another name leaves the source what it is.
    batten(host, "strip", "docker-daemon:daemon:1-unstripped", "docker-daemon:other:2")
    assert found(host, "other:2") == [] and len(found(host, "daemon:1-unstripped")) == 3
    p = batten(host, "strip", "docker-daemon:daemon:1", "docker-daemon:daemon:1")
    assert "nothing to strip" in p.stderr
    p = batten(host, "inspect", "docker-daemon:nosuch:1", check=False)
    assert p.returncode in (2, 3) and p.stderr.count("\n") == 1
    p = batten(host, "inspect", "--docker", f"unix://{scratch}/none", "docker-daemon:daemon:1", check=False)
    assert p.returncode == 3 and p.stderr.count("\n") == 1
    host.docker("rmi", "daemon:1", "daemon:1-unstripped", "other:2")


def test_skopeo_and_umoci(host, scratch):
    """Go's compressor packs the layers, skopeo and umoci judge the result."""
    for program in ("skopeo", "umoci"):
        lab.need(shutil.which(program), f"{program} is not installed")
    host.docker("save", "-o", scratch / "in.tar", "with-bits")
    layout = scratch / "layout"

    def skopeo(*arguments):
        return host.space.run("skopeo", "--tmpdir", scratch, "--insecure-policy", *arguments).stdout
    skopeo("copy", f"docker-archive:{scratch}/in.tar", f"oci:{layout}:demo")
    subprocess.run([lab.BATTEN, "image", "strip", f"oci:{layout}", f"oci:{scratch}/clean"], check=True, capture_output=True)
    before, after = images.images(layout), images.images(scratch / "clean")
    assert len(before) == len(after) == 1 and images.listing(before[0][1][0]) == images.listing(after[0][1][0])
    told = json.loads(skopeo("inspect", f"oci:{scratch}/clean:demo"))
    assert len(told["Layers"]) == 1
    skopeo("copy", f"oci:{scratch}/clean:demo", f"docker-archive:{scratch}/back.tar:demo:1")
    subprocess.run([lab.BATTEN, "image", "inspect", scratch / "back.tar"], check=True, capture_output=True)
    subprocess.run(["umoci", "unpack", "--image", f"{scratch}/clean:demo", scratch / "bundle"], check=True, capture_output=True)
    p = subprocess.run(["find", scratch / "bundle" / "rootfs", "-perm", "/6000", "-type", "f"], capture_output=True, text=True)
    assert p.stdout == "" and (scratch / "bundle/rootfs/bin/su").exists()
    subprocess.run(["umoci", "stat", "--image", f"{scratch}/clean:demo"], check=True, capture_output=True)


def test_podman(host, scratch):
    lab.need(shutil.which("podman"), "podman is not installed")
    host.docker("save", "-o", scratch / "in.tar", "with-bits")
    subprocess.run([lab.BATTEN, "image", "strip", scratch / "in.tar", scratch / "out.tar"], check=True, capture_output=True)
    podman = ["podman", "--root", scratch / "root", "--runroot", scratch / "run", "--storage-driver", "vfs"]
    host.space.run(*podman, "load", "-i", scratch / "out.tar")
    where = host.space.run(*podman, "image", "mount", "with-bits").stdout.strip()
    p = subprocess.run(["find", where, "-perm", "/6000", "-type", "f"], capture_output=True, text=True)
    assert p.stdout == ""
    host.space.run(*podman, "image", "umount", "--all")
    host.space.run(*podman, "rmi", "--all", check=False)


PACKERS = {
    "gzip -1": ["gzip", "-1", "-c"], "gzip -6": ["gzip", "-6", "-c"], "gzip -9": ["gzip", "-9", "-c"],
    "pigz": ["pigz", "-c"], "igzip": ["igzip", "-c"],
    "libdeflate": ["libdeflate-gzip", "-c"], "python": "gzip", "zstd": "zstd", "zstd -12": ["zstd", "-q", "-12", "-c"], "plain": "tar",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A layer of this machine's own programs, with the bits that its packages gave them."""
    where = tmp_path_factory.mktemp("tree") / "layer.tar"
    names = [f"usr/bin/{n}" for n in ("passwd", "su", "mount", "chfn", "gpasswd", "newgrp", "umount", "chage", "expiry", "sort", "ls",
                                      "tar", "sed", "find", "tail", "who")]
    names = [n for n in names if os.path.exists(f"/{n}")]
    subprocess.run(["tar", "-C", "/", "--format=pax", "--xattrs", "--xattrs-include=security.capability", "-cf", where, "etc/alternatives",
                    *names, "usr/share/perl5/Debconf"], check=True, capture_output=True)
    return where.read_bytes()


@pytest.mark.parametrize("packer", PACKERS)
def test_real_programs_in_every_packing(scratch, tree, packer):
    how = PACKERS[packer]
    lab.need(isinstance(how, str) or shutil.which(how[0]), f"{packer} is not installed")
    marked = images.marked(tree)
    assert len(marked) >= 3, "this machine has no setuid programs"
    source = images.write_tar(scratch / "in.tar", images.oci_files([tree], how))
    subprocess.run([lab.BATTEN, "image", "strip", source, scratch / "out.tar"], check=True, capture_output=True)
    (_, (after,)), = images.images(scratch / "out.tar")
    assert len(after) == len(tree) and images.marked(after) == {} and images.listing(after) == images.listing(tree)
    differ = [i for i in range(0, len(tree), 512) if tree[i:i + 512] != after[i:i + 512]]
    assert len(differ) == len(marked)
    for tool in ("tar", "bsdtar"):
        lines = [subprocess.run([tool, "-tvf-"], input=d, capture_output=True).stdout.splitlines() for d in (tree, after)]
        changed = [b.split()[-1] for a, b in zip(*lines) if a != b]
        assert len(changed) == len(marked) and all(a.split()[1:] == b.split()[1:] for a, b in zip(*lines))
    if not packer.startswith(("zstd", "plain")):
        old, new = [max(len(d) for n, d in images.read(scratch / f).items() if n.startswith("blobs")) for f in ("in.tar", "out.tar")]
        # It grows by bytes, not by the compressor's opinion.
        assert 0 <= new - old < 64 * len(marked)
        blob = max((d for n, d in images.read(scratch / "out.tar").items() if n.startswith("blobs")), key=len)
        assert subprocess.run(["gzip", "-t"], input=blob, capture_output=True).returncode == 0
