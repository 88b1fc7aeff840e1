# SPDX-License-Identifier: GPL-3.0-or-later
"""What batten writes in the hands of those who use it: dockerd, skopeo, umoci, podman, buildah, containerd."""
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
    # Neither does an id, which gives nobody a tag.
    for source in (old, old[7:19]):
        names = set(host.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split())
        batten(host, "strip", f"docker-daemon:{source}", "docker-daemon:other:3")
        assert found(host, "other:3") == [] and len(found(host, old)) == 3
        assert set(host.docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()) - names <= {"other:3", "other:3-unstripped"}
    host.docker("rmi", "daemon:1", "daemon:1-unstripped", "other:2", "other:3", "other:3-unstripped")


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


@pytest.fixture
def stripped(host, scratch):
    """Docker's archive and skopeo's OCI archive of the image, both stripped."""
    lab.need(shutil.which("skopeo"), "skopeo is not installed")
    host.docker("save", "-o", scratch / "in.tar", "with-bits")
    host.space.run("skopeo", "--tmpdir", scratch, "--insecure-policy", "copy", f"docker-archive:{scratch}/in.tar", f"oci-archive:{scratch}/in.oci:demo")
    for name in ("in.tar", "in.oci"):
        subprocess.run([lab.BATTEN, "image", "strip", scratch / name, scratch / name.replace("in", "out")], check=True, capture_output=True)
    return scratch


def test_podman(spaces, stripped):
    lab.need(shutil.which("podman"), "podman is not installed")
    space = spaces.new("podman", mounts=True)
    space.run("mount", "-t", "tmpfs", "tmpfs", "/run")
    # crun wants one kind of control groups; and what limits and logs a machine allows is not the question.
    space.run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    podman = ["podman", "--root", stripped / "root", "--runroot", stripped / "run", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
    options = ["--rm", "--network", "none", "--cgroups", "disabled", "--log-driver", "none", "--ulimit", "nofile=256:256",
               "--ulimit", "nproc=1024:1024"]
    for archive, wanted in (("out.tar", ""), ("in.tar", "/bin/su")):
        space.run(*podman, "load", "-i", stripped / archive)
        p = space.run(*podman, "run", *options, "with-bits", "/bin/busybox", *FIND)
        assert wanted in p.stdout and bool(wanted) == bool(p.stdout), archive
        space.run(*podman, "rmi", "--all", "--force")


def test_buildah(host, stripped):
    lab.need(shutil.which("buildah"), "buildah is not installed")
    buildah = ["buildah", "--root", stripped / "root", "--runroot", stripped / "run", "--storage-driver", "vfs"]
    for archive in (f"docker-archive:{stripped}/out.tar", f"oci-archive:{stripped}/out.oci"):
        name = host.space.run(*buildah, "from", "--pull-never", archive).stdout.split()[-1]
        assert host.space.run(*buildah, "run", "--isolation", "chroot", name, "--", "/bin/busybox", *FIND).stdout == ""
    host.space.run(*buildah, "rm", "--all")
    host.space.run(*buildah, "rmi", "--all", check=False)


CONTAINERD = """version = 2
root = "{d}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "/run/containerd.sock"
"""


def test_containerd(spaces, stripped):
    """The image store that Docker 29 has by default; Debian's Docker is too old for it, its containerd is not."""
    for program in ("containerd", "ctr"):
        lab.need(shutil.which(program), f"{program} is not installed")
    space = spaces.new("containerd", mounts=True)
    space.run("mount", "-t", "tmpfs", "tmpfs", "/run")
    (stripped / "config.toml").write_text(CONTAINERD.format(d=stripped))
    with open(stripped / "log", "w") as log:
        space.start("containerd", "-c", stripped / "config.toml", stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def ctr(*arguments, check=True):
        return space.run("ctr", "-a", "/run/containerd.sock", *arguments, check=check)
    lab.wait_for(lambda: ctr("version", check=False).returncode == 0, "containerd to answer", timeout=60)
    for n, (archive, wanted) in enumerate((("out.oci", ""), ("out.tar", ""), ("in.oci", "/bin/su"))):
        ctr("images", "import", "--snapshotter", "native", "--base-name", f"demo{n}", stripped / archive)
        image = ctr("images", "ls", "-q").stdout.split()[0]
        p = ctr("run", "--rm", "--snapshotter", "native", "--net-host", image, f"find{n}", "/bin/busybox", *FIND)
        assert wanted in p.stdout and bool(wanted) == bool(p.stdout), archive
        ctr("images", "rm", *ctr("images", "ls", "-q").stdout.split())
