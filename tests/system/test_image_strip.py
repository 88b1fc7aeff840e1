# SPDX-License-Identifier: GPL-3.0-or-later
"""Stripping: every layout that the tools write comes out right in both descriptions, and nothing but
mode digits, checksums and capability records differs."""
import io
import json
import os
import random
import subprocess
import tarfile

import images
import lab
import pytest


def batten_run(*arguments, **options):
    return subprocess.run([lab.BATTEN, *map(str, arguments)], capture_output=True, **options)


def strip(source, destination, *options, rc=0, **more):
    p = batten_run("image", "strip", *options, source, destination, **more)
    assert p.returncode == rc, p.stderr.decode()
    return p


def some_layers(seed=1):
    r = random.Random(seed)

    def text(n):
        words = [b"alpha", b"beta", b"0000755", b"\0\0\0\0\0", b"/usr/bin/", bytes(r.randrange(256) for _ in range(9))]
        return b"".join(r.choice(words) for _ in range(n // 5))

    base = {"etc": (0o755, b"", {"type": tarfile.DIRTYPE}), "var/mail": (0o2775, b"", {"type": tarfile.DIRTYPE}),
            "tmp": (0o1777, b"", {"type": tarfile.DIRTYPE})}
    for n in range(40):
        base[f"usr/lib/file{n}"] = (0o644, text(r.randrange(20000)))
    base["bin/su"] = (0o4755, text(30000))
    base["bin/sg"] = (0o2755, text(3000))
    base["bin/su-too"] = (0o4755, b"", {"type": tarfile.LNKTYPE, "link": "bin/su"})
    base["bin/ping"] = (0o755, text(5000), {"caps": True})
    base["usr/share/" + "long/" * 30 + "name"] = (0o6755, text(900))
    upper = {"opt/plain": (0o644, text(9000)), "bin/.wh.sg": (0o644, b"")}
    top = {"opt/tool": (0o4711, text(70000)), "bin/su": (0o755, text(100))}
    return [images.layer(f) for f in (base, upper, top)]


def check(source, destination):
    before, after = images.images(source), images.images(destination)
    assert len(before) == len(after) > 0
    for (c0, l0), (c1, l1) in zip(before, after):
        assert {k: v for k, v in c0.items() if k not in ("rootfs", "history")} == \
            {k: v for k, v in c1.items() if k not in ("rootfs", "history")}
        for a, b in zip(l0, l1):
            assert len(a) == len(b) and images.listing(a) == images.listing(b)
            left = {n: v for n, v in images.marked(b).items()}
            assert set(left) <= {"var/mail"}
            # Byte for byte: what differs lies in mode, checksum, or the record that became a comment.
            for block in range(0, len(a), 512):
                if a[block:block + 512] != b[block:block + 512]:
                    diff = [i for i in range(512) if a[block + i] != b[block + i]]
                    assert all(100 <= i < 108 or 148 <= i < 156 for i in diff) or b" comment=" in b[block:block + 512]
        changed = l0 != l1
        if c0.get("history"):
            assert len(c1["history"]) == len(c0["history"]) + changed
            if changed:
                assert c1["history"][-1]["empty_layer"] and c1["history"][-1]["created"] == c0["created"]


LAYOUTS = {
    "docker-old": lambda p, l: images.docker_old(p, l),
    "docker-old-twice": lambda p, l: images.docker_old(p, [l[0], l[1], l[0]]),
    "docker-25": lambda p, l: images.docker_25(p, l),
    "docker-25-untagged": lambda p, l: images.docker_25(p, l, tags=()),
    "kaniko": lambda p, l: images.kaniko(p, l),
    "skopeo": lambda p, l: images.skopeo(p, l),
    "oci-gzip": lambda p, l: images.write_tar(p, images.oci_files(l)),
    "oci-zstd": lambda p, l: images.write_tar(p, images.oci_files(l, "zstd")),
    "oci-tar": lambda p, l: images.write_tar(p, images.oci_files(l, "tar")),
    "oci-nested": lambda p, l: images.write_tar(p, images.oci_files(l, nested=True)),
    "oci-directory": lambda p, l: images.write_dir(p, images.oci_files(l)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(scratch, layout):
    source, out, again = scratch / "in", scratch / "out", scratch / "again"
    LAYOUTS[layout](source, some_layers())
    p = batten_run("image", "inspect", source, "--json")
    assert p.returncode == 1, p.stderr.decode()
    found = json.loads(p.stdout)
    assert found["schema"] == "batten.image/1"
    strip(source, out)
    check(source, out)
    assert batten_run("image", "inspect", out).returncode == 0
    # The same again, and from the result: the same bytes.
    strip(source, again)
    assert images.read(again) == images.read(out)
    if source.is_file():
        assert again.read_bytes() == out.read_bytes()
        strip(out, scratch / "third")
        assert (scratch / "third").read_bytes() == out.read_bytes()
    # No blob of a changed layer stays behind.
    old, new = images.read(source), images.read(out)
    for name, data in old.items():
        if name.startswith("blobs/") and name in new:
            assert new[name] == data


def test_nothing_to_strip_is_the_same_file(scratch):
    clean = images.layer({"a": (0o644, b"x" * 5000), "b": (0o1777, b"", {"type": tarfile.DIRTYPE})})
    for name, make in LAYOUTS.items():
        source = scratch / name
        make(source, [clean, clean])
        p = strip(source, scratch / "out")
        assert b"nothing to strip" in p.stderr
        assert images.read(scratch / "out") == images.read(source)
        if source.is_file():
            assert (scratch / "out").read_bytes() == source.read_bytes()
            os.unlink(scratch / "out")
        else:
            subprocess.run(["rm", "-r", scratch / "out"], check=True)


def test_pipes_and_the_file_itself(scratch):
    source = images.docker_25(scratch / "in.tar", some_layers())
    strip(source, scratch / "out.tar")
    p = batten_run("image", "strip", "docker-archive:-", "docker-archive:-", input=source.read_bytes())
    assert p.returncode == 0 and p.stdout == (scratch / "out.tar").read_bytes()
    for packer in ("gzip", "zstd"):
        packed = subprocess.run([packer, "-c", source], capture_output=True, check=True).stdout
        p = batten_run("image", "strip", "-", "-", input=packed)
        assert p.returncode == 0 and p.stdout == (scratch / "out.tar").read_bytes()
        p = batten_run("image", "strip", "-", "-", input=packed[:-9])
        assert p.returncode == 2 and p.stdout == b"" and p.stderr.count(b"\n") == 1
    strip(source, source)
    assert source.read_bytes() == (scratch / "out.tar").read_bytes()
    files = images.oci_files(some_layers())
    layout = images.write_dir(scratch / "layout", files)
    strip(f"oci:{layout}", f"oci:{layout}")
    assert batten_run("image", "inspect", layout).returncode == 0
    assert sorted(os.listdir(scratch)) == ["in.tar", "layout", "out.tar"]
    # By whatever name; but the name is replaced, so it must be one.
    for where, rc in ((f"oci:{scratch}/again/", 0), ("oci:.", 2), ("oci:..", 2)):
        p = batten_run("image", "strip", f"oci:{layout}", where, cwd=layout)
        assert p.returncode == rc and p.stderr.count(b"\n") == 1, p.stderr
    assert sorted(os.listdir(scratch)) == ["again", "in.tar", "layout", "out.tar"]


def test_rules(scratch):
    source = images.write_tar(scratch / "in.tar", images.oci_files(some_layers()))

    def left(*options):
        strip(source, scratch / "out.tar", *options)
        return {n: v for _, layers in images.images(scratch / "out.tar") for l in layers
                for n, v in images.marked(l).items()}

    assert left() == {"var/mail": (0o2000, False)}
    assert left("--dirs") == {}
    assert left("--keep-caps", "--dirs") == {"bin/ping": (0, True)}
    # A hard link shares the inode: it is kept with its target.
    assert left("--keep", "/bin/su", "--dirs") == {"bin/su": (0o4000, False), "bin/su-too": (0o4000, False)}
    assert set(left("--keep", "/bin/s*", "--keep", "/opt/*", "--dirs")) == {"bin/su", "bin/su-too", "bin/sg", "opt/tool"}
    (scratch / "list").write_text("# mine\n\n/opt/tool\n")
    assert set(left("--keep", f"@{scratch}/list", "--dirs")) == {"opt/tool"}
    assert left("--keep", "@login", "--dirs") == {"bin/su": (0o4000, False), "bin/su-too": (0o4000, False)}
    strip(source, scratch / "out.tar", "--remove", "@tools")
    for bad, word in (("bin/su", "absolute"), ("@nosuch", "@login and @tools"), (f"@{scratch}/none", "cannot open")):
        p = strip(source, scratch / "o", "--keep", bad, rc=2)
        assert word in p.stderr.decode() and p.stderr.count(b"\n") == 1
    (scratch / "list").write_text("/a\nbin/su\n")
    assert b"list:2" in strip(source, scratch / "o", "--keep", f"@{scratch}/list", rc=2).stderr
    assert not (scratch / "o").exists()


def test_scope_effective(scratch):
    source = images.docker_old(scratch / "in.tar", some_layers())
    p = batten_run("image", "inspect", source, "--json")
    seen = {(f["path"], n): f["effective"] for n, l in enumerate(json.loads(p.stdout)["layers"]) for f in l["files"]}
    assert seen[("/bin/sg", 0)] is False and seen[("/bin/ping", 0)] is True and seen[("/opt/tool", 2)] is True
    # A hard link in the base still shows what the upper layer replaced.
    assert seen[("/bin/su", 0)] is True and seen[("/bin/su-too", 0)] is True
    strip(source, scratch / "out.tar", "--scope", "effective")
    _, layers = images.images(scratch / "out.tar")[0]
    assert images.marked(layers[0]) == {"bin/sg": (0o2000, False), "var/mail": (0o2000, False)}
    assert images.marked(layers[2]) == {}


def test_what_is_removed_hides_nothing(scratch):
    """A link that leaves uncovers what stands below it."""
    lower = images.layer({"bin/sh": (0o4755, b"dash"), "bin/bash": (0o755, b"bash")})
    upper = images.layer({"bin/sh": (0o777, b"", {"type": tarfile.SYMTYPE, "link": "bash"})})
    source = images.docker_old(scratch / "in.tar", [lower, upper])
    strip(source, scratch / "out.tar", "--scope", "effective")
    assert images.marked(images.images(scratch / "out.tar")[0][1][0]) == {"bin/sh": (0o4000, False)}
    strip(source, scratch / "out.tar", "--scope", "effective", "--remove", "/bin/bash")
    (_, layers), = images.images(scratch / "out.tar")
    assert [images.marked(l) for l in layers] == [{}, {}]
    with tarfile.open(fileobj=io.BytesIO(layers[0])) as tar:
        assert [m.name for m in tar] == ["bin/sh"]


def test_scope_effective_of_a_pipe(scratch):
    """It looks twice; a pipe can be read once."""
    for name, make in (("in.tar", images.docker_25), ("layout", lambda p, l: images.write_dir(p, images.oci_files(l)))):
        source = make(scratch / name, some_layers())
        strip(source, scratch / "out", "--scope", "effective")
        if source.is_file():
            p = batten_run("image", "strip", "--scope", "effective", "-", "-", input=source.read_bytes())
            assert p.returncode == 0 and p.stdout == (scratch / "out").read_bytes()
            (scratch / "out").unlink()


EFFECTIVE = {
    "replaced": ({"a/s": (0o4755, b"x")}, {"a/s": (0o644, b"y")}, False),
    "whiteout": ({"a/s": (0o4755, b"x")}, {"a/.wh.s": (0o644, b"")}, False),
    "parent whiteout": ({"a/b/s": (0o4755, b"x")}, {".wh.a": (0o644, b"")}, False),
    "opaque": ({"a/b/s": (0o4755, b"x")}, {"a/.wh..wh..opq": (0o644, b"")}, False),
    "opaque elsewhere": ({"a/b/s": (0o4755, b"x")}, {"c/.wh..wh..opq": (0o644, b"")}, True),
    "directory above": ({"a/s": (0o4755, b"x")}, {"a": (0o755, b"", {"type": tarfile.DIRTYPE})}, True),
    "file for directory": ({"a/s": (0o4755, b"x")}, {"a": (0o755, b"")}, False),
    "link for directory": ({"a/s": (0o4755, b"x")}, {"a": (0o755, b"", {"type": tarfile.SYMTYPE, "link": "c"})}, False),
    "name alike": ({"a/s": (0o4755, b"x")}, {"a/ss": (0o644, b"y")}, True),
    "below a link": ({"a": (0o777, b"", {"type": tarfile.SYMTYPE, "link": "c"}), "a/s": (0o4755, b"x")},
                     {".wh.a": (0o644, b"")}, True),
    "linked": ({"a/s": (0o4755, b"x"), "b/t": (0o644, b"", {"type": tarfile.LNKTYPE, "link": "a/s"})},
               {"a/.wh.s": (0o644, b"")}, True),
    "whiteout in the same layer": ({"a/.wh.s": (0o644, b""), "a/s": (0o4755, b"x")}, {}, True),
}


@pytest.mark.parametrize("case", EFFECTIVE)
def test_effective_view(scratch, case):
    lower, upper, wanted = EFFECTIVE[case]
    source = images.docker_old(scratch / "in.tar", [images.layer(lower), images.layer(upper)])
    found = json.loads(batten_run("image", "inspect", source, "--json").stdout)
    flags = [f["effective"] for f in found["layers"][0]["files"] if f["setuid"]]
    assert flags == [wanted]


def test_a_size_in_an_extended_header(scratch):
    """Whoever packs an archive may write a member's size there; it is what counts, and it gives way to the new one."""
    for n in (0, 9000):
        files = images.oci_files(some_layers(), pad="x" * n)
        with tarfile.open(scratch / "in.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                info.pax_headers = {"size": str(len(data)), "comment": "size=7"}
                tar.addfile(info, io.BytesIO(data))
        assert (scratch / "in.tar").read_bytes().count(b" size=") == len(files)
        strip(scratch / "in.tar", scratch / "out.tar")
        check(scratch / "in.tar", scratch / "out.tar")


def test_progress_on_a_terminal(scratch):
    """A bar on a terminal, nothing of it elsewhere or when it is not wanted."""
    source = images.docker_25(scratch / "in.tar", some_layers())
    for options, wanted in (((), True), (("-q",), False)):
        ours, theirs = os.openpty()
        p = subprocess.run([lab.BATTEN, "image", "strip", *options, source, scratch / "out.tar"], stderr=theirs, stdout=subprocess.DEVNULL)
        os.close(theirs)
        told = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            told += piece
        os.close(ours)
        assert p.returncode == 0 and (b"stripping [" in told and b"verifying [" in told and b" 100 %" in told) == wanted, told
    assert b"[" not in strip(source, scratch / "out.tar").stderr


def test_removed_tools_leave_their_layer(scratch):
    secret = bytes(random.Random(3).randrange(256) for _ in range(40000))
    files = {"bin/bash": (0o755, secret), "bin/sh": (0o777, b"", {"type": tarfile.SYMTYPE, "link": "bash"}),
             "usr/bin/rbash": (0o777, b"", {"type": tarfile.SYMTYPE, "link": "/bin/bash"}),
             "bin/bash2": (0o755, b"", {"type": tarfile.LNKTYPE, "link": "bin/bash"}), "bin/cat": (0o4755, b"c" * 9000),
             "etc/" + "x/" * 60 + "bash": (0o644, b"stays")}
    for how in ("tar", "gzip", "zstd", ["pigz", "-c"], ["gzip", "-1"]):
        source = images.write_tar(scratch / "in.tar", images.oci_files([images.layer(files)], how))
        strip(source, scratch / "out.tar", "--remove", "/bin/bash")
        (_, (data,)), = images.images(scratch / "out.tar")
        assert secret[100:200] not in data
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert [m.name for m in tar] == ["bin/cat", "etc/" + "x/" * 60 + "bash"]
        assert images.marked(data) == {}


def test_docker_descriptions_agree(scratch):
    source = images.docker_25(scratch / "in.tar", some_layers())
    strip(source, scratch / "out.tar")
    files = images.read(scratch / "out.tar")
    image = json.loads(files["manifest.json"])[0]
    index = json.loads(files["index.json"])
    manifest = json.loads(files["blobs/sha256/" + index["manifests"][0]["digest"][7:]])
    assert image["Config"] == "blobs/sha256/" + manifest["config"]["digest"][7:]
    assert image["Layers"] == ["blobs/sha256/" + l["digest"][7:] for l in manifest["layers"]]
    assert json.loads(files["repositories"])["demo"]["1"] == image["Layers"][-1][-64:]
    assert list(image["LayerSources"]) == ["sha256:" + l[-64:] for l in image["Layers"]]
    for l in manifest["layers"]:
        keys = set(l["annotations"])
        unchanged = l["digest"] in [d["digest"] for d in json.loads(
            images.read(source)["blobs/sha256/" + json.loads(images.read(source)["index.json"])["manifests"][0]["digest"][7:]])["layers"]]
        assert ("containerd.io/distribution.source.docker.io" in keys) == unchanged and "mine" in keys
        assert l["annotations"]["containerd.io/uncompressed"] == l["digest"]
    assert manifest["annotations"] == {"own": "stays"}


def test_attestations(scratch):
    source = images.write_tar(scratch / "in.tar", images.oci_files(some_layers(), attestation=True))
    p = strip(source, scratch / "out.tar")
    assert b"left out" in p.stderr
    index = json.loads(images.read(scratch / "out.tar")["index.json"])
    assert len(index["manifests"]) == 1
    assert not any(b"subject" in d for n, d in images.read(scratch / "out.tar").items() if n.startswith("blobs"))
    p = strip(source, scratch / "out.tar", "--keep-attestations")
    assert b"kept" in p.stderr
    assert len(json.loads(images.read(scratch / "out.tar")["index.json"])["manifests"]) == 2
    images.images(scratch / "out.tar")


def test_parents_get_no_history(scratch):
    source = images.docker_old(scratch / "in.tar", some_layers())
    files = images.read(source)
    manifest = json.loads(files["manifest.json"])
    manifest[0]["Parent"] = "sha256:" + "1" * 64
    files["manifest.json"] = json.dumps(manifest).encode()
    images.write_tar(source, {n: d for n, d in files.items() if not isinstance(d, str)})
    strip(source, scratch / "out.tar")
    (c, _), = images.images(scratch / "out.tar")
    assert len(c["history"]) == 3


def test_dry_run_writes_nothing(scratch):
    source = images.docker_old(scratch / "in.tar", some_layers())
    p = batten_run("image", "strip", "--dry-run", source)
    assert p.returncode == 0 and b"/bin/su" in p.stdout and os.listdir(scratch) == ["in.tar"]
