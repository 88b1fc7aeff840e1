# SPDX-License-Identifier: GPL-3.0-or-later
"""The tar reader against vectors about which the readers of this world disagree, and against these
readers themselves."""
import importlib.util
import io
import json
import pathlib
import random
import shutil
import subprocess
import tarfile
import zlib

import images
import lab
import pytest

_spec = importlib.util.spec_from_file_location("vectors", pathlib.Path(__file__).parent.parent / "corpus" / "tar" / "make.py")
vectors = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(vectors)


def inspect(path):
    return subprocess.run([lab.BATTEN, "image", "inspect", "--json", "--dirs", path], capture_output=True)


def findings(path):
    p = inspect(path)
    assert p.returncode in (0, 1), p.stderr.decode()
    return [(f["path"], int(f["mode"], 8), "capabilities" in f)
            for f in json.loads(p.stdout)["layers"][0]["files"] if f["setuid"] or f["setgid"] or "capabilities" in f]


@pytest.mark.parametrize("name", vectors.VECTORS)
def test_vector(scratch, name):
    data, found, word = vectors.VECTORS[name]
    source = images.write_tar(scratch / "in.tar", images.oci_files([data], "tar"))
    if word:
        p = inspect(source)
        assert p.returncode == 2 and word in p.stderr.decode() and p.stderr.count(b"\n") == 1, p.stderr.decode()
        return
    assert [(p.replace("�", "?"), m, c) for p, m, c in findings(source)] == \
        [("".join("?" if ord(ch) > 126 else ch for ch in p), m, c) for p, m, c in found]
    p = subprocess.run([lab.BATTEN, "image", "strip", "--dirs", source, scratch / "out.tar"], capture_output=True)
    assert p.returncode == 0, p.stderr.decode()
    assert findings(scratch / "out.tar") == []
    (_, (after,)), = images.images(scratch / "out.tar")
    assert len(after) == len(data)
    # What readers saw of the original they see of the result, without the bits.
    for reader in (["tar", "-tvf-"], ["bsdtar", "-tvf-"]):
        if not shutil.which(reader[0]):
            continue
        before, then = [subprocess.run(reader, input=d, capture_output=True) for d in (data, after)]
        assert before.returncode == then.returncode
        assert [l.split()[1:] for l in before.stdout.splitlines()] == [l.split()[1:] for l in then.stdout.splitlines()]
        assert not any(set(b"sS") & set(l[:10]) for l in then.stdout.splitlines())


def test_every_cut_of_a_small_layer(scratch):
    whole = vectors.pax(vectors.CAP) + vectors.member(b"x" * 700, mode=vectors.SUID) + vectors.member(name=b"g") + vectors.END
    for n in range(0, len(whole) + 1, 512):
        source = images.write_tar(scratch / "in.tar", images.oci_files([whole[:n]], "tar"))
        # Whole so far: nothing, behind a member, and within the end.
        good = n in (0, 512 * 5, 512 * 6, 512 * 7, 512 * 8)
        assert (inspect(source).returncode in (0, 1)) == good, n


@pytest.mark.parametrize("tool", ["tar --format=gnu", "tar --format=pax", "tar --format=ustar", "tar --format=v7",
                                  "tar --format=oldgnu", "bsdtar --format=pax", "bsdtar --format=gnutar", "bsdtar --format=ustar"])
def test_what_tar_writers_write(scratch, tool):
    program, option = tool.split()
    lab.need(shutil.which(program), f"{program} is not installed")
    root = scratch / "root"
    root.mkdir()
    long = "n" * (90 if "v7" in option else 60)
    for n, mode in enumerate((0o4755, 0o2755, 0o644, 0o1755, 0o6711)):
        (root / f"{long}{n}").write_bytes(b"data" * 300 * n)
        (root / f"{long}{n}").chmod(mode)
    (root / "link").hardlink_to(root / f"{long}0")
    (root / "dir").mkdir(mode=0o2775)
    (root / "dir").chmod(0o2775)
    if "pax" in option:
        (root / ("deep" * 40)).write_bytes(b"")
        (root / ("deep" * 40)).chmod(0o4700)
    subprocess.run([program, option, "-cf", scratch / "l.tar", "-C", root, "."], check=True)
    data = (scratch / "l.tar").read_bytes()
    source = images.write_tar(scratch / "in.tar", images.oci_files([data], "tar"))
    subprocess.run([lab.BATTEN, "image", "strip", source, scratch / "out.tar"], check=True, capture_output=True)
    (_, (after,)), = images.images(scratch / "out.tar")
    assert images.listing(data) == images.listing(after)
    assert set(images.marked(after)) <= {"./dir", "dir"} and len(images.marked(data)) >= 5


@pytest.mark.parametrize("tool", ["tar --format=gnu -S", "tar --format=oldgnu -S", "tar --format=pax --sparse-version=0.0 -S",
                                  "tar --format=pax --sparse-version=0.1 -S", "tar --format=pax --sparse-version=1.0 -S",
                                  "bsdtar --format=pax -S"])
def test_sparse_files_as_real_tools_write_them(scratch, tool):
    program, *options = tool.split()
    lab.need(shutil.which(program), f"{program} is not installed")
    root = scratch / "root"
    root.mkdir()
    for holes in (0, 1, 3, 4, 5, 24, 25, 26, 60):
        with open(root / f"holes{holes}", "wb") as f:
            f.write(b"x" * 5000)
            for n in range(holes):
                f.seek(100000 * (n + 1) // 4096 * 4096)
                f.write(b"y" * 4096)
            f.truncate(f.tell() + 50000)
        (root / f"holes{holes}").chmod(0o4755)
    subprocess.run([program, *options, "-cf", scratch / "l.tar", "-C", root, "."], check=True)
    data = (scratch / "l.tar").read_bytes()
    source = images.write_tar(scratch / "in.tar", images.oci_files([data], "tar"))
    subprocess.run([lab.BATTEN, "image", "strip", source, scratch / "out.tar"], check=True, capture_output=True)
    (_, (after,)), = images.images(scratch / "out.tar")
    assert len(images.marked(data)) == 9 and images.marked(after) == {}
    out = scratch / "x"
    out.mkdir()
    subprocess.run(["tar", "-xpf-", "-C", out], input=after, check=True)
    for f in root.iterdir():
        assert (out / f.name).read_bytes() == f.read_bytes() and (out / f.name).stat().st_mode & 0o7777 == 0o755


def test_capabilities_as_real_tools_write_them(scratch):
    lab.need(shutil.which("setcap"), "setcap is not installed")
    root = scratch / "root"
    root.mkdir()
    (root / "ping").write_bytes(b"x" * 100)
    p = subprocess.run(["setcap", "cap_net_raw,cap_net_admin+ep", root / "ping"], capture_output=True)
    lab.need(p.returncode == 0, "this file system has no capabilities")
    for command in (["tar", "--xattrs", "--xattrs-include=*"], ["bsdtar", "--xattrs"]):
        if not shutil.which(command[0]):
            continue
        subprocess.run([*command, "-cf", scratch / "l.tar", "-C", root, "."], check=True)
        source = images.write_tar(scratch / "in.tar", images.oci_files([(scratch / "l.tar").read_bytes()]))
        p = inspect(source)
        files = json.loads(p.stdout)["layers"][0]["files"]
        assert [(f["path"], f["capabilities"]) for f in files] == [("/ping", "net_admin,net_raw")]
        subprocess.run([lab.BATTEN, "image", "strip", source, scratch / "out.tar"], check=True, capture_output=True)
        (_, (after,)), = images.images(scratch / "out.tar")
        out = scratch / f"x-{command[0]}"
        out.mkdir()
        subprocess.run([*command, "-xf-", "-C", out], input=after, check=True)
        assert not subprocess.run(["getcap", out / "ping"], capture_output=True).stdout


def test_pieces_of_any_size_make_no_difference(scratch):
    """A gzip layer comes in pieces as its blocks do; the same tar in many blockings reads alike."""
    r = random.Random(7)
    data = b"".join(v[0].removesuffix(vectors.END) for n, v in vectors.VECTORS.items()
                    if v[1] and "end" not in n and "padding" not in n) + vectors.END
    wanted = None
    for step in (1, 7, 100, 511, 513, 5000, 1 << 20):
        z = zlib.compressobj(6, zlib.DEFLATED, 31)
        out = io.BytesIO()
        at = 0
        while at < len(data):
            n = r.randrange(1, step + 1)
            out.write(z.compress(data[at:at + n]))
            if step < 5000 or r.random() < .5:
                out.write(z.flush(zlib.Z_FULL_FLUSH if step > 100 else zlib.Z_BLOCK))
            at += n
        out.write(z.flush())
        (scratch / "blob").write_bytes(out.getvalue())
        packer = ["sh", "-c", f"cat >/dev/null; cat {scratch}/blob"]
        got = findings(images.write_tar(scratch / "in.tar", images.oci_files([data], packer)))
        wanted = wanted or got
        assert got == wanted and len(got) > 30


def checksummed(block):
    block = bytearray(block)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def mutated(r, pool):
    """Some members one behind the other, and something that is not as it was."""
    data = bytearray(b"".join(r.choice(pool) for _ in range(r.randrange(1, 4))))
    for _ in range(r.randrange(1, 4)):
        at = r.randrange(len(data) // 512) * 512
        change = r.randrange(7)
        if change == 0:
            data[at + 156] = r.choice(b"0\x0012345679xgLKS")
        elif change == 1:
            field, values = r.choice([(100, [b"0004755\0", b"    4755", b"\x80\0\0\0\0\0\x09\xed"]), (124, [bytes(11) + b"\0", b"00000001000\0"]),
                                      (257, [b"ustar\x0000", b"ustar  \0", bytes(8)]), (345, [b"a/", b"0" * 12]), (0, [b"d/e/\0", b"\0"])])
            value = r.choice(values)
            data[at + field:at + field + len(value)] = value
        elif change == 2:
            data[at + r.randrange(512)] = r.randrange(256)
        elif change == 3:
            data[at:at] = r.choice([bytes(512), r.choice(pool), vectors.pax(vectors.record(
                r.choice([b"path", b"size", b"linkpath", b"GNU.sparse.name", b"GNU.sparse.map", vectors.SCHILY]),
                r.choice([b"a", b"600", b"0", b"0,1", b"x/y/", vectors.CAPS])), type=r.choice([b"x", b"g"]))])
        elif change == 4:
            data[at + 386 + 12 * r.randrange(8)] = r.choice(b"\x000 1")
        elif change == 5:
            data[at + 482] = r.choice(b"\0\1")
        elif len(data) > 1024:
            del data[at:at + 512]
        if r.random() < .8 and at + 512 <= len(data) and any(data[at:at + 512]):
            data[at:at + 512] = checksummed(data[at:at + 512])
    return bytes(data) + vectors.END


def privileged(data):
    """What other readers see of it: lines of those that are no symbolic links."""
    seen = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            seen += [m.name for m in tar if not m.issym() and (m.mode & 0o6000 or m.pax_headers.get(vectors.SCHILY.decode()))]
    except (tarfile.TarError, ValueError, OverflowError, MemoryError):
        pass
    for reader in (["tar", "-tvf-"], ["bsdtar", "-tvf-"]):
        if shutil.which(reader[0]):
            lines = subprocess.run(reader, input=data, capture_output=True).stdout.splitlines()
            seen += [l for l in lines if l[:1] != b"l" and set(l[:10]) & set(b"sS")]
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_mutated_archives_as_others_read_them(scratch, seed):
    """What is taken and stripped has no bit left for anybody; whatever somebody could read otherwise is refused."""
    r = random.Random(seed)
    pool = [v[0].removesuffix(vectors.END) for v in vectors.VECTORS.values() if 512 <= len(v[0].removesuffix(vectors.END)) < 9000]
    pool += [vectors.VECTORS[n][0].removesuffix(vectors.END) for n in ("gnu-sparse", "gnu-sparse-map", "pax-sparse", "ustar")] * 8
    taken = 0
    for n in range(100):
        data = mutated(r, pool)
        source = images.docker_old(scratch / "in.tar", [data])
        p = subprocess.run([lab.BATTEN, "image", "strip", "--dirs", source, scratch / "out.tar"], capture_output=True)
        assert p.returncode in (0, 2), (n, p.stderr)
        if p.returncode == 0:
            taken += 1
            (_, (after,)), = images.images(scratch / "out.tar")
            assert len(after) == len(data) and not privileged(after), n
    assert taken > 5
