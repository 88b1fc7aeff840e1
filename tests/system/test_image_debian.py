# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Debian layer in the hands of every compressor: what comes out is the tar with fifteen edits, whoever packed it."""
import io
import json
import os
import shutil
import subprocess
import tarfile

import debian
import images
import lab
import pytest

COMMENT = b"comment="


def edited(data):
    """The tar as it must become, by a few plain lines; and the names of the members that are edited."""
    out, names = bytearray(data), []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for m in tar:
            header = m.offset_data - 512
            if m.mode & 0o6000 and not m.isdir():
                digits = out[header + 100:header + 107]
                new = b"%07o" % (int(digits, 8) & ~0o6000)
                out[header + 100:header + 107] = new
                checksum = int(out[header + 148:header + 154], 8) + sum(new) - sum(digits)
                out[header + 148:header + 154] = b"%06o" % checksum
                names.append(m.name)
            at = data.find(b"SCHILY.xattr.security.capability=", m.offset, header)
            if at >= 0:
                begin = data.rindex(b" ", m.offset, at)
                digits = data[:begin].rsplit(b"\n", 1)[-1][-4:]
                length = int(bytes(c for c in digits if 48 <= c < 58))
                end = begin - len(b"%d" % length) + length - 1
                assert data[end:end + 1] == b"\n"
                out[at:end] = COMMENT + b" " * (end - at - len(COMMENT))
                names.append(m.name)
    return bytes(out), names


@pytest.fixture(scope="module")
def tree():
    for program in ("setcap", "bsdtar"):
        lab.need(shutil.which(program), f"{program} is not installed")
    return debian.layer().read_bytes()


def command(*words):
    def pack(plain, scratch):
        lab.need(shutil.which(words[0]), f"{words[0]} is not installed")
        return images.pack(plain, list(words))
    return pack


def through_skopeo(plain, scratch):
    """Go's compressor, as skopeo uses it on its way from an archive to a layout."""
    lab.need(shutil.which("skopeo"), "skopeo is not installed")
    images.docker_old(scratch / "plain.tar", [plain])
    subprocess.run(["skopeo", "--tmpdir", scratch, "--insecure-policy", "copy", f"docker-archive:{scratch}/plain.tar", f"oci:{scratch}/go:t"],
                   check=True, capture_output=True)
    return largest(scratch / "go")


def through_umoci(plain, scratch):
    lab.need(shutil.which("umoci"), "umoci is not installed")
    (scratch / "plain").write_bytes(plain)
    for words in (["init", "--layout", scratch / "go"], ["new", "--image", f"{scratch}/go:t"],
                  ["raw", "add-layer", "--image", f"{scratch}/go:t", scratch / "plain"]):
        subprocess.run(["umoci", *words], check=True, capture_output=True)
    return largest(scratch / "go")


def largest(layout):
    return max((p for p in (layout / "blobs/sha256").iterdir()), key=lambda p: p.stat().st_size).read_bytes()


PACKERS = {
    "gzip -1": command("gzip", "-1", "-c"), "gzip -6": command("gzip", "-6", "-c"), "gzip -9": command("gzip", "-9", "-c"),
    "pigz": command("pigz", "-c"), "igzip": command("igzip", "-c"), "libdeflate": command("libdeflate-gzip", "-c"),
    "python": lambda plain, _: images.pack(plain, "gzip"), "skopeo": through_skopeo, "umoci": through_umoci,
    "zstd": command("zstd", "-q", "-c"), "plain": lambda plain, _: plain,
}


def strip(source, destination):
    p = subprocess.run([lab.BATTEN, "image", "strip", f"oci:{source}", f"oci:{destination}"], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    return p.stderr


def layer_blob(layout):
    files = {p.name: p for p in (layout / "blobs/sha256").iterdir()}
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(files[index["manifests"][0]["digest"][7:]].read_text())
    return files[manifest["layers"][0]["digest"][7:]].read_bytes()


@pytest.mark.parametrize("packer", PACKERS)
def test_packed_by(scratch, tree, packer):
    wanted, names = edited(tree)
    assert len(names) >= 9
    blob = PACKERS[packer](tree, scratch)
    kind = "tar" if packer == "plain" else packer.split()[0] if packer.startswith("zstd") else "gzip"
    images.write_dir(scratch / "in", layout_of(tree, blob, kind))
    assert "nothing" not in strip(scratch / "in", scratch / "out")
    new = layer_blob(scratch / "out")
    assert images.unpack(new) == wanted
    if kind == "gzip":
        # It grows by bytes, not by a compressor's opinion.
        assert 0 <= len(new) - len(blob) < 64 * len(names)
        assert subprocess.run(["gzip", "-t"], input=new, capture_output=True).returncode == 0
    # The same again is the same, and from the result nothing is to be stripped.
    strip(scratch / "in", scratch / "again")
    assert images.read(scratch / "again") == images.read(scratch / "out")
    assert "nothing to strip" in strip(scratch / "out", scratch / "third")
    assert images.read(scratch / "third") == images.read(scratch / "out")
    assert subprocess.run([lab.BATTEN, "image", "inspect", scratch / "out"], capture_output=True).returncode == 0


def layout_of(plain, blob, kind):
    c = images.config([images.sha(plain)])
    m = json.dumps({"schemaVersion": 2, "mediaType": images.OCI_MANIFEST, "config": images.descriptor(c, images.OCI_CONFIG),
                    "layers": [images.descriptor(blob, images.LAYER_TYPES[kind])]}).encode()
    index = json.dumps({"schemaVersion": 2, "manifests": [images.descriptor(m, images.OCI_MANIFEST)]}).encode()
    return {**{f"blobs/sha256/{images.sha(b)}": b for b in (c, m, blob)}, "index.json": index, "oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}


def test_readers_list_it_alike(tree):
    """But for the mode letters of those whose bits went, and the attribute that went with them."""
    after, names = edited(tree)
    with tarfile.open(fileobj=io.BytesIO(tree)) as tar:
        capable = {m.name for m in tar if "SCHILY.xattr.security.capability" in m.pax_headers}
    assert len(capable) == 1 and images.listing(tree) == images.listing(after)
    assert images.marked(after).keys() == {n for n in images.marked(tree) if n not in names}
    for tool in (["tar", "--xattrs", "-tvf-"], ["bsdtar", "-tvf-"]):
        before, then = [subprocess.run(tool, input=d, capture_output=True, check=True, env={"PATH": os.environ["PATH"], "TZ": "UTC"}).stdout.split(b"\n")
                        for d in (tree, after)]
        assert len(before) == len(then)
        # GNU tar marks a member that has attributes with an asterisk.
        changed = [(a.split(), b.split()) for a, b in zip(before, then) if a != b]
        told = {a[-1].decode() for a, _ in changed}
        assert set(names) - capable <= told <= set(names), tool
        for a, b in changed:
            assert a[1:] == b[1:] and a[0].rstrip(b"*").replace(b"s", b"x").replace(b"S", b"-") == b[0].rstrip(b"*")
