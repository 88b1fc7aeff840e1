# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages: what is in them, what the linters say, and that one commit gives the same bytes anywhere."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest

import lab

TOP = pathlib.Path(__file__).parent.parent.parent
PACKAGING = TOP / "systemd" / "packaging"
VERSION = re.search(r"^VERSION\s*:=\s*(\S+)", (TOP / "Makefile").read_text(), re.M).group(1)
COMMITTED = "1790000000"

# What a package is built of differs under the sanitizers.
pytestmark = pytest.mark.no_sanitizer


def run(*command, cwd=TOP, **environment):
    """To the end, with nothing of make's or the user's in the environment. Returns its output."""
    p = subprocess.run([str(c) for c in command], cwd=cwd, text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=1500,
                       env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment})
    assert p.returncode == 0, f"{command}: exit {p.returncode}\n{p.stdout[-8000:]}"
    return p.stdout


def compiler():
    """What the binary under test was built with: another one gives other bytes."""
    return "clang" if "clang" in run("readelf", "-p", ".comment", lab.BATTEN) else "gcc"


def make_packages(tree, build, out, **environment):
    for kind in ("deb", "rpm"):
        run(tree / "systemd" / "packaging" / f"make-{kind}", build, VERSION, out, cwd=tree, **environment)
    return {p.suffix[1:]: p for p in out.iterdir()}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    for program in ("rpmbuild", "dpkg-deb", "git", "readelf"):
        lab.need(shutil.which(program), f"{program} is not installed")
    return make_packages(TOP, lab.BUILD, tmp_path_factory.mktemp("packages"), SOURCE_DATE_EPOCH=COMMITTED,
                         CC=compiler())


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The source archives of one commit, made in two folders, as (first, second)."""
    found = []
    names = run("git", "ls-files", "-co", "--exclude-standard").split()
    for name in ("one", "another/with/a/longer/name"):
        tree = tmp_path_factory.mktemp("tree") / name
        for f in names:
            if (TOP / f).is_file():
                (tree / f).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(TOP / f, tree / f)
        identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (
            ("NAME", "nobody"), ("EMAIL", "nobody@batten.invalid"), ("DATE", f"{COMMITTED} +0000"))}
        for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "the tree"]):
            run("git", *arguments, cwd=tree, GIT_CONFIG_NOSYSTEM="1", HOME=str(tree), **identity)
        run(tree / "systemd" / "packaging" / "make-dist", VERSION, tree / "out", cwd=tree)
        found.append(tree / "out" / f"batten-{VERSION}.tar.gz")
    return found


def listing(package):
    if package.suffix == ".deb":
        lines = [line.split(None, 5) for line in run("dpkg-deb", "-c", package).splitlines()]
        return {f[5].removeprefix("."): (f[0], f[1]) for f in lines if not f[5].endswith("/")}
    lines = [line.split("|") for line in run(
        "rpm", "-qp", "--dbpath", package.parent / "db", "--qf",
        "[%{FILENAMES}|%{FILEMODES:perms}|%{FILEUSERNAME}/%{FILEGROUPNAME}\n]", package).splitlines()]
    return {name: (mode, owner) for name, mode, owner in lines if not mode.startswith("d")}


def test_both_hold_what_make_install_installs(packages, tmp_path):
    run("make", f"B={lab.BUILD}", f"DESTDIR={tmp_path}", "install", CC=compiler())
    installed = {str(f)[len(str(tmp_path)):] for f in tmp_path.rglob("*") if f.is_file()}
    installed = {f"{f}.gz" if "/man/" in f else f for f in installed}
    assert {"/usr/bin/batten", "/etc/batten/batten.conf", "/usr/lib/systemd/system/batten.service",
            "/usr/share/bash-completion/completions/batten", "/usr/share/zsh/site-functions/_batten",
            "/usr/share/man/man8/batten.8.gz", "/usr/share/man/man8/batten-imds.8.gz",
            "/usr/share/man/man5/batten.conf.5.gz", "/usr/share/man/man5/batten-waivers.5.gz", "/usr/share/batten/profiles/audit-ecs.json"} <= installed
    deb, rpm = listing(packages["deb"]), listing(packages["rpm"])
    assert set(rpm) == installed
    assert set(deb) - installed == {"/usr/share/doc/batten/copyright", "/usr/share/doc/batten/changelog.gz",
                                    "/usr/share/lintian/overrides/batten"}
    for files in (deb, rpm):
        assert all(owner == "root/root" for _, owner in files.values())
        programs = {f for f, (mode, _) in files.items() if mode != "-rw-r--r--"}
        assert {f for f in programs if not f.startswith("/usr/share/batten/")} == {"/usr/bin/batten"}
        assert files["/usr/bin/batten"][0] == "-rwxr-xr-x"


def test_the_configuration_is_the_users(packages):
    assert run("dpkg-deb", "-I", packages["deb"], "conffiles") == "/etc/batten/batten.conf\n"
    flags = run("rpm", "-qp", "--dbpath", packages["rpm"].parent / "db", "--qf",
                "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", packages["rpm"]).splitlines()
    assert [f for f in flags if f.endswith(("c", "n"))][0] == "/etc/batten/batten.conf cn"


def test_the_version_comes_from_one_place(packages, batten):
    assert run(batten, "--version") == f"batten {VERSION}\n"
    assert run("dpkg-deb", "-f", packages["deb"], "Version") == f"{VERSION}\n"
    assert run("rpm", "-qp", "--dbpath", packages["rpm"].parent / "db", "--qf", "%{VERSION}",
               packages["rpm"]) == VERSION


def test_amazon_linux_2023_has_what_it_needs_of_glibc(packages):
    """Its glibc is 2.34; a newer symbol would keep the binary from starting there."""
    needed = run("rpm", "-qp", "--dbpath", packages["rpm"].parent / "db", "--requires", packages["rpm"])
    versions = [tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_([\d.]+)", needed)]
    assert max(versions) <= (2, 34)


def test_lintian_is_content(packages):
    lab.need(shutil.which("lintian"), "lintian is not installed")
    said = run("lintian", "--allow-root", "--fail-on", "error,warning", packages["deb"])
    assert not re.search(r"^[EWI]:", said, re.M), said


def test_rpmlint_is_content(packages):
    lab.need(shutil.which("rpmlint"), "rpmlint is not installed")
    said = run("rpmlint", "-c", PACKAGING / "rpmlint.toml", packages["rpm"], PACKAGING / "batten.spec",
               HOME=str(packages["rpm"].parent))
    assert "0 errors, 0 warnings" in said, said


def test_scripts_pass_shellcheck():
    lab.need(shutil.which("shellcheck"), "shellcheck is not installed")
    scripts = [f for f in PACKAGING.iterdir() if f.read_text().startswith("#!/bin/sh")]
    assert len(scripts) >= 8
    run("shellcheck", *scripts)


def test_completions_parse(tmp_path, batten):
    for shell in ("bash", "zsh"):
        (tmp_path / shell).write_text(run(batten, "completion", shell))
    run("bash", "-n", tmp_path / "bash")
    lab.need(shutil.which("zsh"), "zsh is not installed")
    run("zsh", "-n", tmp_path / "zsh")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_dist_is_the_same_bytes_from_any_folder(archive):
    assert digest(archive[0]) == digest(archive[1])
    run("sha256sum", "-c", f"{archive[0].name}.sha256", cwd=archive[0].parent)
    with tarfile.open(archive[0]) as tar:
        assert {m.name.split("/")[0] for m in tar} == {f"batten-{VERSION}"}
        assert {m.mtime for m in tar} == {int(COMMITTED)}


def test_packages_are_the_same_bytes_from_any_folder(archive, packages, tmp_path):
    """Once in this tree, once in what the archive unpacks to, whose time is that of its files."""
    with tarfile.open(archive[0]) as tar:
        tar.extractall(tmp_path)
    tree, out = tmp_path / f"batten-{VERSION}", tmp_path / "out"
    run("make", "-j2", "-s", "all", cwd=tree, CC=compiler())
    out.mkdir()
    again = make_packages(tree, "build", out, CC=compiler())
    for kind in ("deb", "rpm"):
        assert digest(again[kind]) == digest(packages[kind]), f"{kind}: {again[kind]} differs"
