# SPDX-License-Identifier: GPL-3.0-or-later
"""HST-13 on a host of rpm's: a database that rpm itself made, in a mount view of its own, and a
"dockerd" that runs there."""
import json
import shutil
import sqlite3
import subprocess

import pytest

import lab

SPEC = """Name: docker
Version: 25.0.16
Release: 1.amzn2023
Summary: Something that is called dockerd
License: none
%description
The test's.
%install
mkdir -p %{buildroot}/usr/local/bin
cp PROGRAM %{buildroot}/usr/local/bin/dockerd
%files
/usr/local/bin/dockerd
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    for program in ("rpm", "rpmbuild"):
        lab.need(shutil.which(program), f"{program} is not installed")
    d = tmp_path_factory.mktemp("rpm")
    (d / "docker.spec").write_text(SPEC.replace("PROGRAM", shutil.which("sleep")))
    run = {"check": True, "capture_output": True, "cwd": d, "timeout": 120}
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(d)}
    subprocess.run(["rpmbuild", "-bb", "--nodeps", "--define", f"_topdir {d}", "--define", "_build_id_links none", "--define",
                    "debug_package %{nil}", "--define", "__os_install_post %{nil}", "docker.spec"], env=environment, **run)
    root = d / "root"
    root.mkdir()
    subprocess.run(["rpm", "--root", root, "--dbpath", "/var/lib/rpm", "--define", "_db_backend sqlite", "--nodeps",
                    "--ignoreos", "--ignorearch", "-i", next((d / "RPMS").rglob("*.rpm"))], env=environment, **run)
    return root


def control(spaces, root, program):
    """HST-13 as a host sees it that has @root's database, no dpkg, and runs @program as dockerd."""
    s = spaces.new("rpm-host", mounts=True)
    s.run("mount", "-t", "tmpfs", "tmpfs", "/var/lib")
    s.run("mkdir", "/var/lib/rpm")
    s.run("cp", "-r", f"{root}/var/lib/rpm/.", "/var/lib/rpm")
    s.run("mount", "-t", "tmpfs", "tmpfs", "/usr/local")
    s.run("mkdir", "/usr/local/bin")
    s.run("cp", program, "/usr/local/bin/dockerd")
    # The processes of the machine are not this host's.
    script = f"/usr/local/bin/dockerd 60 & while ! grep -q dockerd /proc/$!/comm; do sleep 0.05; done; " \
             f"{lab.BATTEN} audit --json --control HST-13; kill $!"
    before = s.run("ls", "/var/lib/rpm").stdout
    p = s.run("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script, check=False)
    assert s.run("ls", "/var/lib/rpm").stdout == before  # looking made no file
    return json.loads(p.stdout)["findings"][0]


def test_the_packaged_program_is_known(spaces, package):
    f = control(spaces, package, package / "usr/local/bin/dockerd")
    assert f["status"] == "pass", f


def test_another_program_in_its_place_is_found(spaces, package, tmp_path):
    other = tmp_path / "dockerd"
    other.write_bytes((package / "usr/local/bin/dockerd").read_bytes() + b"one byte more")
    other.chmod(0o755)
    f = control(spaces, package, other)
    assert f["status"] == "fail" and "not the file of docker-25.0.16-1.amzn2023" in f["evidence"], f


def test_a_program_of_no_package_is_found(spaces, package, tmp_path):
    empty = tmp_path / "root"
    shutil.copytree(package, empty)
    db = sqlite3.connect(empty / "var/lib/rpm/rpmdb.sqlite")
    db.execute("DELETE FROM Basenames")
    db.commit()
    db.close()  # the last one to leave takes the journal away
    assert not (empty / "var/lib/rpm/rpmdb.sqlite-wal").exists()
    f = control(spaces, empty, package / "usr/local/bin/dockerd")
    assert f["status"] == "fail" and "belongs to no package" in f["evidence"], f


def test_a_broken_database_is_no_answer(spaces, package, tmp_path):
    broken = tmp_path / "root"
    shutil.copytree(package, broken)
    database = broken / "var/lib/rpm/rpmdb.sqlite"
    for journal in database.parent.glob("*-*"):
        journal.unlink()
    for content in (b"", b"x" * 5000, database.read_bytes()[:20000]):
        database.write_bytes(content)
        f = control(spaces, broken, package / "usr/local/bin/dockerd")
        assert f["status"] == "unknown" and "rpm's database" in f["evidence"], f
