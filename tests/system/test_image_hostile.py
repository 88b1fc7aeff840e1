# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that were made to do harm, and machines that fail: one line of reason, nothing lost."""
import gzip
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tarfile
import time
import zlib

import images
import lab
import pytest

SUID = images.layer({"bin/su": (0o4755, b"x" * 3000), "b": (0o644, b"y" * 9000)})


def run(*arguments, **options):
    return subprocess.run([lab.BATTEN, "image", *map(str, arguments)], capture_output=True, timeout=120, **options)


def refused(scratch, source, word, rc=2):
    for command in (("inspect", source), ("strip", source, scratch / "out")):
        p = run(*command)
        assert p.returncode == rc, (p.returncode, p.stderr.decode())
        assert word in p.stderr.decode() and p.stderr.count(b"\n") == 1, p.stderr.decode()
    assert not (scratch / "out").exists()


def edited(files, change):
    """The files of a layout after change(manifest, config, index) and with new digests."""
    index = json.loads(files["index.json"])
    manifest = json.loads(files["blobs/sha256/" + index["manifests"][0]["digest"][7:]])
    config = json.loads(files["blobs/sha256/" + manifest["config"]["digest"][7:]])
    blobs = {n: d for n, d in files.items()}
    raw = change(manifest, config, index) or {}
    c = raw.get("config", json.dumps(config).encode())
    manifest["config"].update(digest="sha256:" + images.sha(c), size=len(c)) if "config_as_is" not in raw else None
    m = raw.get("manifest", json.dumps(manifest).encode())
    if "index_as_is" not in raw:
        index["manifests"][0].update(digest="sha256:" + images.sha(m), size=len(m))
    blobs["blobs/sha256/" + images.sha(c)] = c
    blobs["blobs/sha256/" + images.sha(m)] = m
    blobs["index.json"] = raw.get("index", json.dumps(index).encode())
    return blobs


def set_in(d, path, value):
    for key in path[:-1]:
        d = d[key]
    d[path[-1]] = value


CHANGES = {
    "layer digest": (lambda m, c, i: set_in(m, ["layers", 0, "digest"], "sha256:" + "a" * 64), "not in the image"),
    "layer size": (lambda m, c, i: set_in(m, ["layers", 0, "size"], 5), "bytes, but"),
    "negative size": (lambda m, c, i: set_in(m, ["layers", 0, "size"], -5), "whole number"),
    "size as text": (lambda m, c, i: set_in(m, ["layers", 0, "size"], "5"), "wrong type"),
    "diff_id": (lambda m, c, i: set_in(c, ["rootfs", "diff_ids", 0], "sha256:" + "b" * 64), "diff_ids[0]"),
    "fewer diff_ids": (lambda m, c, i: set_in(c, ["rootfs", "diff_ids"], []), "another number of layers"),
    "digest as a path": (lambda m, c, i: set_in(m, ["layers", 0, "digest"], "sha256:../../../etc/passwd"), "malformed"),
    "sha512": (lambda m, c, i: set_in(m, ["layers", 0, "digest"], "sha512:" + "a" * 128), "SHA-256"),
    "encrypted": (lambda m, c, i: set_in(m, ["layers", 0, "mediaType"], images.LAYER_TYPES["gzip"] + "+encrypted"), "encrypted"),
    "index and manifest": (lambda m, c, i: set_in(m, ["manifests"], []), "at the same time"),
    "rootfs twice": (lambda m, c, i: {"config": json.dumps(c).encode()[:-1] + b', "rootfs": {"diff_ids": []}}'}, "twice"),
    "rootfs in capitals": (lambda m, c, i: {"config": json.dumps(c).encode()[:-1] + b', "ROOTFS": {"diff_ids": []}}'}, "twice"),
    "layers with a long s": (lambda m, c, i: {"manifest": json.dumps(m).encode()[:-1] + ', "layer\u017f": []}'.encode()}, "twice"),
    "layers escaped": (lambda m, c, i: {"manifest": json.dumps(m).encode()[:-1] + b', "l\\u0061yers": []}'}, "twice"),
    "not JSON": (lambda m, c, i: {"manifest": json.dumps(m).encode() + b"x"}, "not valid JSON"),
    "deep JSON": (lambda m, c, i: {"manifest": b'{"a":' * 5000 + b"1" + b"}" * 5000}, "nested deeper"),
    "wide JSON": (lambda m, c, i: {"manifest": b"[" + b"1," * 200000 + b"1]"}, "more than"),
    "long JSON": (lambda m, c, i: {"manifest": b'{"a":"' + b"x" * (5 << 20) + b'"}'}, "larger than"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_descriptions_that_lie(scratch, case):
    change, word = CHANGES[case]
    source = images.write_tar(scratch / "in.tar", edited(images.oci_files([SUID]), change))
    refused(scratch, source, word, rc=3 if case in ("sha512", "encrypted") else 2)


def test_blobs_that_are_not_what_their_name_says(scratch):
    files = images.oci_files([SUID])
    layer = next(n for n, d in files.items() if d[:2] == b"\x1f\x8b")
    for name in [n for n in files if n.startswith("blobs/")]:
        changed = dict(files)
        data = bytearray(changed[name])
        data[len(data) // 2] ^= 1
        changed[name] = bytes(data)
        refused(scratch, images.write_tar(scratch / "in.tar", changed), "")
    other = dict(files)
    other[layer] = gzip.compress(SUID, 1, mtime=0)
    manifest = next(n for n, d in files.items() if b'"layers"' in d)
    other[manifest] = files[manifest]
    refused(scratch, images.write_tar(scratch / "in.tar", other), "")
    (scratch / "outside").write_bytes(files[layer])
    layout = images.write_dir(scratch / "layout", files)
    (layout / layer).unlink()
    (layout / layer).symlink_to(scratch / "outside")
    refused(scratch, f"oci:{layout}", "symbolic link")


def test_archives_with_doubles(scratch):
    files = images.oci_files([SUID])
    source = images.write_tar(scratch / "in.tar", files)
    with tarfile.open(source, "a") as tar:
        info = tarfile.TarInfo("./index.json")
        tar.addfile(info)
    refused(scratch, source, "twice")
    with tarfile.open(source, "w") as tar:
        info = tarfile.TarInfo("index.json")
        info.type = tarfile.LNKTYPE
        info.linkname = "x"
        tar.addfile(info)
    refused(scratch, source, "hard link")


def test_what_is_no_image(scratch):
    for data, word in ((b"", "empty"), (b"hello" * 500, "checksum"), (bytes(10240), "neither"), (b"BZh9" + b"x" * 99, "decompress"),
                       (b"\x1f\x8b\x08\0" + b"x" * 100, "damaged")):
        (scratch / "in").write_bytes(data)
        refused(scratch, scratch / "in", word)
    refused(scratch, scratch / "nosuch", "cannot open")
    refused(scratch, "docker://busybox", "archive or layout")
    (scratch / "dir").mkdir()
    refused(scratch, scratch / "dir", "neither")


def test_every_cut_of_an_archive(scratch):
    source = images.docker_25(scratch / "whole.tar", [SUID])
    whole = source.read_bytes()
    end = max(i for i in range(len(whole)) if whole[i]) // 512 * 512 + 512
    for n in range(512, end, 512):
        (scratch / "in.tar").write_bytes(whole[:n])
        p = run("strip", scratch / "in.tar", scratch / "out.tar")
        assert p.returncode == 2 and p.stderr.count(b"\n") == 1, (n, p.stderr)
    assert sorted(os.listdir(scratch)) == ["in.tar", "whole.tar"]


def bomb(n, how):
    if how == "gzip":
        z = zlib.compressobj(9, zlib.DEFLATED, 31)
        piece = bytes(1 << 20)
        return b"".join(z.compress(piece) for _ in range(n)) + z.flush()
    return subprocess.run(f"head -c {n << 20} /dev/zero | zstd -q -c -3", shell=True, capture_output=True, check=True).stdout


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_bombs(scratch, how):
    blob = bomb(300, how)
    (scratch / "blob").write_bytes(blob)
    files = images.oci_files([SUID], ["sh", "-c", f"cat > /dev/null; cat {scratch}/blob"])
    source = images.write_tar(scratch / "in.tar", files)
    if how == "gzip":
        # Deflate's own limit is below ours: it is read, in bounded memory, and is not what was promised.
        refused(scratch, source, "diff_ids")
    else:
        refused(scratch, source, "unpacks to more")


PEAK = """
import resource, subprocess, sys
p = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(p.returncode)
"""


def peak(*command):
    """A child's peak begins with that of the process that forks it: a small one stands between."""
    p = subprocess.run([sys.executable, "-S", "-E", "-c", PEAK, lab.BATTEN, "image", *map(str, command)], capture_output=True, text=True)
    assert int(p.stdout) < 24 * 1024, f"{command[0]}: {p.stdout} KiB"
    assert p.returncode < 2 or p.stderr.count("\n") == 1, p.stderr
    return p.returncode


@pytest.mark.no_sanitizer
@pytest.mark.parametrize("n_names,n_manifests,rc", [(1800, 4, 0), (60000, 0, 2), (0, 60, 2)], ids=["much", "names", "values"])
def test_memory_is_bounded_for_descriptions(scratch, n_names, n_manifests, rc):
    """Names of files and values of JSON, as many as are taken, and more."""
    files = images.oci_files([SUID])
    index = json.loads(files["index.json"])
    for n in range(n_manifests):
        m = json.dumps({"schemaVersion": 2, "mediaType": images.OCI_MANIFEST, "x": [1] * 50000, "n": n, "layers": [],
                        "config": {"mediaType": "application/x", "digest": "sha256:" + "a" * 64, "size": 1}}).encode()
        files["blobs/sha256/" + images.sha(m)] = m
        index["manifests"].append(images.descriptor(m, images.OCI_MANIFEST))
    files["index.json"] = json.dumps(index).encode()
    files.update({f"x/{n}-{'n' * 900}": b"" for n in range(n_names)})
    source = images.write_tar(scratch / "in.tar", files)
    assert peak("inspect", source) == (rc or 1)
    for scope in ("all", "effective"):
        assert peak("strip", "--scope", scope, source, scratch / "out.tar") == rc


@pytest.mark.no_sanitizer
def test_memory_is_bounded(scratch):
    """A large layer, a hundred thousand entries, all with bits: the peak of any process."""
    small = {f"d{n % 100}/some-file-name-{n}": (0o4755 if n % 3 else 0o644, b"") for n in range(100000)}
    layers = [images.layer(small), images.layer({"big": (0o6755, os.urandom(1 << 20) * 60)})]
    source = images.write_tar(scratch / "in.tar", images.oci_files(layers))
    for command in (("inspect", "--json", source), ("strip", "--scope", "effective", source, scratch / "out.tar"),
                    ("strip", source, scratch / "out.tar")):
        assert peak(*command) in (0, 1)
    assert all(not images.marked(l) for _, ls in images.images(scratch / "out.tar") for l in ls)


def test_a_full_disk_leaves_the_old_file(scratch, spaces):
    space = spaces.new("disk", mounts=True)
    where = scratch / "small"
    where.mkdir()
    source = images.docker_25(scratch / "in.tar", [images.layer({"a": (0o4755, os.urandom(3 << 20))})])
    space.run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", where)
    space.run("sh", "-c", f"echo old > {where}/out.tar")
    p = space.batten("image", "strip", source, where / "out.tar", check=False)
    assert p.returncode == 3 and "No space left" in p.stderr
    assert space.run("sh", "-c", f"ls -A {where}; cat {where}/out.tar").stdout == "out.tar\nold\n"


def test_killed_at_random_moments(scratch):
    r = random.Random(11)
    files = {f"f{n}": (0o4755, bytes(r.randrange(256) for _ in range(300)) * 200) for n in range(60)}
    source = images.docker_25(scratch / "in.tar", [images.layer(files)])
    before = source.read_bytes()
    start = time.monotonic()
    assert run("strip", source, scratch / "good.tar").returncode == 0
    whole = time.monotonic() - start
    good = (scratch / "good.tar").read_bytes()
    killed = 0
    for _ in range(25):
        (scratch / "in.tar").write_bytes(before)
        p = subprocess.Popen([lab.BATTEN, "image", "strip", source, source], stderr=subprocess.DEVNULL)
        time.sleep(r.random() * whole)
        p.send_signal(r.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        killed += p.wait() != 0
        # The keeper has nobody to work for now: it ends what it was doing, and goes.
        lab.wait_for(lambda: not running(source), "the keeper and the workers to end")
        assert source.read_bytes() in (before, good)
        left = set(os.listdir(scratch)) - {"in.tar", "good.tar"}
        # Between getting its name and taking the place there is one moment; what is there is whole.
        for name in left:
            assert name.startswith(".in.tar.") and (scratch / name).read_bytes() == good
            (scratch / name).unlink()
    assert killed > 0


def test_killed_while_a_layout_is_written(scratch):
    """A layout has a name from the beginning; whoever kills the run leaves none of it, or all."""
    r = random.Random(12)
    files = {f"f{n}": (0o4755, bytes(r.randrange(256) for _ in range(300)) * 200) for n in range(60)}
    source = images.write_dir(scratch / "in", images.oci_files([images.layer(files)]))
    start = time.monotonic()
    assert run("strip", f"oci:{source}", f"oci:{scratch}/good").returncode == 0
    whole = time.monotonic() - start
    good = images.read(scratch / "good")
    killed = 0
    for _ in range(15):
        subprocess.run(["rm", "-rf", scratch / "out"], check=True)
        p = subprocess.Popen([lab.BATTEN, "image", "strip", f"oci:{source}", f"oci:{scratch}/out"], stderr=subprocess.DEVNULL)
        time.sleep(r.random() * whole)
        p.send_signal(r.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        killed += p.wait() != 0
        lab.wait_for(lambda: not running(source), "the keeper and the workers to end")
        assert set(os.listdir(scratch)) - {"out"} == {"in", "good"}
        assert not (scratch / "out").exists() or images.read(scratch / "out") == good
    assert killed > 0


def running(source):
    """Processes that have it on their command line."""
    return [c for c in lab.pathlib.Path("/proc").glob("[0-9]*/cmdline") if str(source).encode() in _read(c)]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.no_sanitizer  # LeakSanitizer does not work under strace
def test_workers_are_confined(scratch, spaces):
    """Under strace: every worker drops its capabilities and installs a filter before it reads."""
    lab.need(lab.pathlib.Path("/usr/bin/strace").exists(), "strace is not installed")
    source = images.docker_25(scratch / "in.tar", [SUID])
    p = subprocess.run(["strace", "-f", "-qq", "-y", "-e", "trace=capset,seccomp,prctl,pread64,copy_file_range", "-o", scratch / "log",
                        lab.BATTEN, "image", "strip", source, scratch / "out.tar"], capture_output=True)
    assert p.returncode == 0, p.stderr
    by_pid = {}
    for line in (scratch / "log").read_text().splitlines():
        pid, call = line.split(None, 1)
        if ".so" not in call:  # the loader's
            by_pid.setdefault(pid, []).append(call)
    workers = [calls for calls in by_pid.values() if any("seccomp(SECCOMP_SET_MODE_FILTER" in c for c in calls)]
    assert len(workers) == 3  # the one that reads the descriptions, one that strips, one that verifies
    for calls in workers:
        order = [next(i for i, c in enumerate(calls) if word in c) for word in ("capset(", "PR_SET_NO_NEW_PRIVS", "SET_MODE_FILTER", "pread64(")]
        assert order == sorted(order)
        assert "effective=0, permitted=0, inheritable=0" in next(c for c in calls if c.startswith("capset("))
    # The keeper is none of them, and reads nothing.
    assert len(by_pid) == len(workers)


def children(pid):
    return (lab.pathlib.Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split()


def filters(status=None):
    """System call filters of a process; the one that runs the tests may have some already."""
    status = status or lab.pathlib.Path("/proc/self/status").read_text()
    return int(status.split("Seccomp_filters:\t")[1].split("\n")[0])


def stopped_worker(source):
    """Starts batten and stops a worker of it in the middle of its work. It may be too quick: then None."""
    p = subprocess.Popen([lab.BATTEN, "image", "inspect", source], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while p.poll() is None:
            for child in children(p.pid):
                os.kill(int(child), signal.SIGSTOP)
                status = (lab.pathlib.Path("/proc") / child / "status").read_text()
                if filters(status) == filters() + 2:
                    return p, child, status
                os.kill(int(child), signal.SIGCONT)
                time.sleep(0.001)
    except (OSError, ProcessLookupError):
        pass
    p.kill()
    p.wait()
    return None


@pytest.mark.no_sanitizer  # its runtime needs what the filter and the limit refuse
def test_a_worker_as_the_kernel_sees_it(scratch):
    """No capability in any set, no way to new ones, a filter, limits, and the descriptors of its one layer."""
    source = images.docker_25(scratch / "in.tar", [images.layer({"big": (0o644, bytes(64 << 20))})])
    lab.need("Seccomp_filters" in lab.pathlib.Path("/proc/self/status").read_text(), "kernels before 5.9 do not count filters")
    p, worker, status = lab.wait_for(lambda: stopped_worker(source), "a worker in the middle of its work", timeout=60)
    try:
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert {k: int(v, 16) for k, v in fields.items() if k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == \
            dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)
        assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"
        limits = (lab.pathlib.Path("/proc") / worker / "limits").read_text()
        assert "Max data size             67108864             67108864" in limits
        assert "Max core file size        1                    1" in limits
        # Its parent reads the descriptions, and has no more rights.
        parent = (lab.pathlib.Path("/proc") / str(p.pid) / "status").read_text()
        fields = dict(line.split(":\t", 1) for line in parent.splitlines() if ":\t" in line)
        assert [int(fields[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [0] * 5
        assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2" and filters(parent) == filters() + 1
        assert "Max data size             67108864 " in (lab.pathlib.Path("/proc") / str(p.pid) / "limits").read_text()
        held = {os.readlink(f) for f in (lab.pathlib.Path("/proc") / worker / "fd").iterdir()}
        assert len(held) <= 5 and not any("socket" in f for f in held), held
        assert [f for f in held if "in.tar" in f]
    finally:
        p.kill()
        os.kill(int(worker), signal.SIGKILL)
        p.wait()


@pytest.mark.no_sanitizer  # LeakSanitizer does not work under strace
@pytest.mark.parametrize("calls", ["capset", "prctl", "prlimit64", "seccomp,prctl"])
def test_a_right_that_cannot_be_given_up(scratch, calls):
    """Then nothing is read and nothing is written: one line, and the end."""
    lab.need(lab.pathlib.Path("/usr/bin/strace").exists(), "strace is not installed")
    source = images.docker_25(scratch / "in.tar", [SUID])
    for command in (("inspect", source), ("strip", source, scratch / "out.tar"), ("strip", source, "-")):
        log = scratch / "log"
        p = subprocess.run(["strace", "-f", "-qq", "-y", "-e", f"trace={calls},read,pread64", "-e", f"inject={calls}:error=EPERM", "-o", log,
                            lab.BATTEN, "image", *command], capture_output=True)
        assert p.returncode == 3 and p.stdout == b"" and p.stderr.count(b"\n") == 1, p.stderr
        assert b"cannot confine" in p.stderr
        assert not [l for l in log.read_text().splitlines() if "read" in l.split("<")[0] and "in.tar>" in l]
        log.unlink()
        assert os.listdir(scratch) == ["in.tar"]


def test_without_root(scratch):
    source = images.docker_25(scratch / "in.tar", [SUID])
    os.chmod(scratch, 0o777)
    for p in scratch.parents:
        if str(p).startswith("/tmp/"):
            os.chmod(p, os.stat(p).st_mode | 0o555)

    def nobody():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    binary = scratch / "batten"
    binary.write_bytes(lab.pathlib.Path(lab.BATTEN).read_bytes())
    binary.chmod(0o755)
    p = subprocess.run([binary, "image", "strip", source, scratch / "out.tar"], capture_output=True, preexec_fn=nobody)
    assert p.returncode == 0, p.stderr
    assert all(not images.marked(l) for _, ls in images.images(scratch / "out.tar") for l in ls)
