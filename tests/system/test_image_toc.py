# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of contents that lazy pullers believe more than the tar: eStargz and zstd:chunked."""
import base64
import json
import struct
import subprocess

import images
import lab
import pytest

CAPS = base64.b64encode(images.CAPS).decode()
CLEAN = {"bin/su": (0o755, b"x" * 3000), "etc/motd": (0o644, b"hello\n")}
BITS = {"bin/su": (0o4755, b"x" * 3000), "etc/motd": (0o644, b"hello\n")}


def entry(name="bin/su", mode=0o755, **more):
    return {"name": name, "type": "reg", "size": 3000, "mode": mode, **more}


def toc(*entries):
    return json.dumps({"version": 1, "entries": list(entries)}).encode()


def member(data, extra=b""):
    if not extra:
        return images.pack(data, "gzip")
    return b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + struct.pack("<H", len(extra)) + extra + bytes([1, 0, 0, 255, 255]) + bytes(8)


def footer(offset, legacy=False):
    text = b"%016xSTARGZ" % offset
    return member(b"", text if legacy else b"SG" + struct.pack("<H", len(text)) + text)


def estargz(files, table, behind=None, legacy=False, at=None):
    """A blob and its tar: a gzip member for the files, one for the table, the footer."""
    body = images.layer(files).rstrip(b"\0")
    body += bytes(-len(body) % 512)
    end = images.layer({"stargz.index.json": (0o644, table), **(behind or {})})
    first = images.pack(body, "gzip")
    return first + images.pack(end, "gzip") + footer(len(first) if at is None else at, legacy), body + end


def frame(data):
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", len(data)) + data


def chunked(files, table, size=64, magic=b"GNUlInUx"):
    """A blob, its tar, and the annotations that name its table."""
    data = images.layer(files)
    blob, packed = images.pack(data, "zstd"), images.pack(table, "zstd")
    at = len(blob) + 8
    blob += frame(packed)
    if size:
        numbers = [at, len(packed), len(table), 1] + [0] * (3 if size == 64 else 0)
        blob += frame(struct.pack(f"<{len(numbers)}Q", *numbers) + magic)
    prefix = "io.github.containers.zstd-chunked.manifest-"
    return blob, data, {prefix + "position": f"{at}:{len(packed)}:{len(table)}:1", prefix + "checksum": "sha256:" + images.sha(table)}


def image(path, blob, data, how="gzip", annotations=None):
    (path.parent / "blob").write_bytes(blob)
    files = images.oci_files([data], ["sh", "-c", f"cat >/dev/null; cat {path.parent}/blob"])
    index = json.loads(files["index.json"])
    old = index["manifests"][0]["digest"][7:]
    manifest = json.loads(files.pop("blobs/sha256/" + old))
    manifest["layers"][0]["mediaType"] = images.LAYER_TYPES[how]
    manifest["layers"][0]["annotations"].update(annotations or {})
    m = json.dumps(manifest).encode()
    index["manifests"][0].update(digest="sha256:" + images.sha(m), size=len(m))
    files["blobs/sha256/" + images.sha(m)] = m
    files["index.json"] = json.dumps(index).encode()
    return images.write_tar(path, files)


def run(*arguments):
    return subprocess.run([lab.BATTEN, "image", *map(str, arguments)], capture_output=True, text=True)


def findings(source, rc=1):
    p = run("inspect", "--json", source)
    assert p.returncode == rc, p.stderr
    return [(f["path"], f["mode"], f.get("table_of_contents", False)) for f in json.loads(p.stdout)["layers"][0]["files"]]


def layer_of(path):
    """The descriptor and blob of an image's only layer."""
    files = images.read(path)
    manifest = json.loads(files["blobs/sha256/" + json.loads(files["index.json"])["manifests"][0]["digest"][7:]])
    return manifest["layers"][0], files["blobs/sha256/" + manifest["layers"][0]["digest"][7:]]


def demoted(source, out):
    p = run("strip", source, out)
    assert p.returncode == 0, p.stderr
    assert "table of contents for lazy pulling was taken out" in p.stderr
    (_, (after,)), = images.images(out)
    assert findings(out, 0) == []
    descriptor, blob = layer_of(out)
    assert not [a for a in descriptor["annotations"] if "stargz" in a or "chunked" in a]
    assert b"STARGZ" not in blob and b"GNUlInUx" not in blob
    # And from the result nothing more is to be taken.
    again = run("strip", out, f"{out}2")
    assert again.returncode == 0 and images.pathlib.Path(f"{out}2").read_bytes() == out.read_bytes()
    return after


LIES = {
    "setuid": entry(mode=0o4755), "setgid": entry(mode=0o2755), "with the type's bits": entry(mode=0o104755),
    "capability": entry(xattrs={"security.capability": CAPS}),
    "override": entry(xattrs={"user.containers.override_stat": base64.b64encode(b"0:0:04755:file").decode()}),
    "a name the tar has not": entry("usr/bin/other", 0o4711),
    "hard link": {"name": "bin/link", "type": "hardlink", "linkName": "bin/su", "mode": 0o4755},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_table_that_says_more_than_the_tar(scratch, lie):
    """The tar is clean; who pulls lazily would still get the bits."""
    table = toc(entry("etc/motd", 0o644), LIES[lie])
    for how in ("estargz", "legacy", "chunked"):
        out = scratch / f"{how}.out"
        if how == "chunked":
            blob, data, annotations = chunked(CLEAN, table)
            source = image(scratch / "in.tar", blob, data, "zstd", annotations)
        else:
            blob, data = estargz(CLEAN, table, legacy=how == "legacy")
            source = image(scratch / "in.tar", blob, data, annotations={"containerd.io/snapshot/stargz/toc.digest": "sha256:" + images.sha(table)})
        (path, _, in_table), = findings(source)
        assert in_table and path == "/" + LIES[lie]["name"]
        assert "in its table" in run("inspect", source).stdout
        after = demoted(source, out)
        assert images.listing(after) == images.listing(images.layer(CLEAN))
        if how == "chunked":
            assert after == data


def test_a_table_that_repeats_the_tar(scratch):
    blob, data = estargz(BITS, toc(entry(mode=0o4755), entry("etc/motd", 0o644)))
    source = image(scratch / "in.tar", blob, data)
    assert findings(source) == [("/bin/su", "4755", False)]
    assert images.marked(demoted(source, scratch / "out.tar")) == {}
    blob, data, annotations = chunked(BITS, toc(entry(mode=0o4755)))
    source = image(scratch / "in.tar", blob, data, "zstd", annotations)
    assert findings(source) == [("/bin/su", "4755", False)]
    assert images.marked(demoted(source, scratch / "out2.tar")) == {}


def test_nothing_to_strip_keeps_the_table(scratch):
    table = toc(entry(mode=0o755), entry("etc", 0o1777, type="dir"), entry("var/mail", 0o2775, type="dir"))
    blob, data = estargz(CLEAN, table)
    first = image(scratch / "a.tar", blob, data)
    blob, data, annotations = chunked(CLEAN, table)
    second = image(scratch / "b.tar", blob, data, "zstd", annotations)
    blob, data = estargz(BITS, toc(entry(mode=0o4755)))
    kept = image(scratch / "c.tar", blob, data)
    for source, options in ((first, ()), (second, ()), (kept, ("--keep", "/bin/su"))):
        p = run("strip", *options, source, scratch / "out.tar")
        assert p.returncode == 0 and "nothing to strip" in p.stderr
        assert (scratch / "out.tar").read_bytes() == source.read_bytes()


def test_every_way_to_the_manifest_is_followed(scratch):
    """With the annotation alone, with either kind of last frame alone, in either spelling."""
    table = toc(entry(mode=0o4755))
    for size, magic, with_annotation in ((0, b"", True), (64, b"GNUlInUx", False), (40, b"GnUlInUx", False), (64, b"GNUlInUx", True)):
        blob, data, annotations = chunked(CLEAN, table, size, magic)
        source = image(scratch / "in.tar", blob, data, "zstd", annotations if with_annotation else None)
        assert findings(source) == [("/bin/su", "4755", True)]
    old = {k.replace("github.", ""): v for k, v in chunked(CLEAN, table, 0)[2].items()}
    assert "io.containers.zstd-chunked.manifest-position" in old
    blob, data, _ = chunked(CLEAN, table, 0)
    demoted(image(scratch / "in.tar", blob, data, "zstd", old), scratch / "out.tar")


def test_edits_behind_the_table(scratch):
    """A member with bits stands behind the table: it must not stay for having been seen too early."""
    blob, data = estargz(CLEAN, toc(entry(mode=0o4755)), behind={"late": (0o6755, b"z" * 700)})
    source = image(scratch / "in.tar", blob, data)
    assert findings(source) == [("/late", "6755", False), ("/bin/su", "4755", True)]
    after = demoted(source, scratch / "out.tar")
    assert [m[0] for m in images.listing(after)] == ["bin/su", "etc/motd", "late"] and images.marked(after) == {}


def test_spellings_that_somebody_accepts(scratch):
    for table in (b'{"ENTRIES": [{"Name": "bin/su", "Mode": 2541}]}',
                  b'{"entries": [], "entries": [{"name": "bin/su", "mode": 493, "mode": 2541}]}',
                  b'{"entries": [{"mode": 2541, "mode": 493, "name": "bin/su"}]}',
                  '{"entrie\u017f": [{"n\\u0061me": "bin/su", "mode": 2541}]}'.encode(),
                  b' { "x": [1, {"entries": [null]}, "\\"}]"], "entries" : [ {"a": {}, "name":"./bin/../bin/su" , "mode":2541} ] } '):
        blob, data = estargz(CLEAN, table)
        assert findings(image(scratch / "in.tar", blob, data)) == [("/bin/su", "4755", True)], table


def test_a_table_larger_than_memory(scratch):
    entries = [entry(f"usr/share/some/long/directory/name/file-{n}", 0o644) for n in range(150000)]
    table = toc(*entries, entry(mode=0o4755))
    assert len(table) > 12 << 20
    blob, data = estargz(CLEAN, table)
    source = image(scratch / "in.tar", blob, data)
    assert findings(source) == [("/bin/su", "4755", True)]
    assert run("strip", source, scratch / "out.tar").returncode == 0


def test_tables_that_cannot_be_read(scratch):
    good = toc(entry(mode=0o4755))
    size = len(images.layer(CLEAN))

    def refused(source, word, commands=("inspect", "strip")):
        for command in commands:
            p = run(command, source, *([scratch / "out.tar"] if command == "strip" else []))
            assert p.returncode == 2 and word in p.stderr and p.stderr.count("\n") == 1, p.stderr
        assert not (scratch / "out.tar").exists()

    for table in (b"", b"[]", b"{}", b'{"entries": [{"mode": -1}]}', b'{"entries": [{"mode": "2541"}]}', b'{"entries": [{"mode": 2541.0}]}',
                  b'{"entries": [{"name": "x"]}', b'{"entries": []', b'{"entries": []} x', b'{"entries": [' + b"[" * 100, b"\0" * 600,
                  b'{"entries": [{"name": "' + b"n" * 70000 + b'"}]}', b'{"entries": [{"name": "\\q"}]}'):
        blob, data = estargz(CLEAN, table)
        refused(image(scratch / "in.tar", blob, data), "cannot be read")
        blob, data, annotations = chunked(CLEAN, table)
        refused(image(scratch / "in.tar", blob, data, "zstd", annotations), "cannot be read")
    for at in (0, 1, size, 1 << 40, (1 << 64) - 1):
        blob, data = estargz(CLEAN, good, at=at)
        refused(image(scratch / "in.tar", blob, data), "cannot be read")
    # A table that the tar does not have, in a member that only the footer knows.
    data = images.layer(CLEAN)
    hidden = images.pack(images.layer({"stargz.index.json": (0o644, good)}), "gzip")
    first = member(b"", b"XX" + struct.pack("<H", len(hidden)) + hidden)
    blob = first + images.pack(data, "gzip") + footer(16)
    source = image(scratch / "in.tar", blob, data)
    assert findings(source) == [("/bin/su", "4755", True)]
    refused(source, "no member of its tar", ("strip",))
    blob, data, annotations = chunked(CLEAN, good)
    for value, word in (("x:1:1:1", "malformed"), ("1", "malformed"), ("0:99999999:1:1", "cannot be read"), ("0:20:1:1", "cannot be read")):
        key = next(iter(annotations))
        refused(image(scratch / "in.tar", blob, data, "zstd", {key: value}), word)
    other = images.pack(toc(), "zstd")
    blob = images.pack(data, "zstd") + frame(other) + blob[len(images.pack(data, "zstd")):]
    at = len(images.pack(data, "zstd")) + 8
    refused(image(scratch / "in.tar", blob, data, "zstd", {next(iter(annotations)): f"{at}:{len(other)}:1:1"}), "")


def test_a_table_in_another_image_is_told_of(scratch):
    data = images.layer(CLEAN)
    text = b"STARGZEXTERNALTOC"
    blob = images.pack(data, "gzip") + member(b"", b"SG" + struct.pack("<H", len(text)) + text)
    p = run("inspect", image(scratch / "in.tar", blob, data))
    assert p.returncode == 0 and "in another image" in p.stderr
