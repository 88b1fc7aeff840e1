# SPDX-License-Identifier: GPL-3.0-or-later
"""The store of observations, killed while it writes, on a full disk and over damaged files: what was stored stays."""
import json
import os
import random
import subprocess

import lab

STORE = lab.TOOLS / "seccomp-store"
MAX_STORED = 1024


def digest(i=0):
    return f"sha256:{i:064x}"


def file_of(store, i=0):
    return store / f"sha256-{i:064x}.json"


def calls(path):
    o = json.loads(path.read_text())
    return {int(n[1:]) for part in o["abis"].values() for n in part["syscalls"]}


def store_calls(store, first, last, i=0):
    return subprocess.run([STORE, store, digest(i), str(first), str(last)], text=True, capture_output=True, timeout=60)


def test_a_kill_while_writing_loses_nothing(scratch):
    store, order, known = scratch / "store", random.Random(5), 0
    for _ in range(40):
        p = subprocess.Popen([STORE, store, digest(), str(known + 1), "4000"], stdout=subprocess.PIPE, text=True)
        # It has stored at least one; then it is killed wherever it stands.
        for _ in range(order.randrange(1, 4)):
            known = int(p.stdout.readline())
        lab.time.sleep(order.random() / 500)
        p.kill()
        rest = p.stdout.read().split("\n")
        p.wait()
        p.stdout.close()
        known = max([known] + [int(n) for n in rest[:-1]])
        found = calls(file_of(store))
        assert set(range(1, known + 1)) <= found, "what was said to be stored is there"
        known = max(found)
    # And what the killed ones left is swept away by the next one that writes.
    assert store_calls(store, known + 1, known + 1).returncode == 0
    assert [f.name for f in store.iterdir()] == [file_of(store).name]


def test_writers_at_the_same_time_lose_nothing(scratch):
    store = scratch / "store"
    writers = [subprocess.Popen([STORE, store, digest(), str(first), str(first + 19)], stdout=subprocess.DEVNULL)
               for first in (1, 101, 201)]
    assert [w.wait(timeout=60) for w in writers] == [0, 0, 0]
    assert calls(file_of(store)) == {n for first in (1, 101, 201) for n in range(first, first + 20)}


def test_a_full_disk_keeps_what_was_stored(scratch, spaces):
    space = spaces.new("full", mounts=True)
    small = scratch / "small"
    small.mkdir()
    space.run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small)
    p = space.run(STORE, small / "store", digest(), "1", "4000", check=False)
    assert p.returncode == 1 and "No space left" in p.stderr and p.stderr.count("\n") == 1, p.stderr
    stored = [int(n) for n in p.stdout.split()]
    assert len(stored) > 10
    text = space.run("cat", file_of(small / "store")).stdout
    (scratch / "copy.json").write_text(text)
    assert calls(scratch / "copy.json") == set(stored)
    assert space.run("ls", "-A", small / "store").stdout.split() == [file_of(small / "store").name]
    # With room again it goes on where it was.
    space.run("mount", "-o", "remount,size=1m", small)
    p = space.run(STORE, small / "store", digest(), str(stored[-1] + 1), str(stored[-1] + 3))
    (scratch / "copy.json").write_text(space.run("cat", file_of(small / "store")).stdout)
    assert calls(scratch / "copy.json") == set(range(1, stored[-1] + 4))


def test_a_damaged_file_is_set_aside_and_said(scratch):
    store = scratch / "store"
    assert store_calls(store, 1, 30).returncode == 0
    whole = file_of(store).read_bytes()
    for cut in (0, 1, len(whole) // 3, len(whole) - 3):
        file_of(store).write_bytes(whole[:cut])
        p = store_calls(store, 7, 7)
        assert p.returncode == 0 and "set aside" in p.stderr and p.stderr.count("\n") == 1, p.stderr
        assert calls(file_of(store)) == {7}
        assert (store / (file_of(store).name + ".bad")).read_bytes() == whole[:cut]
        p = subprocess.run([lab.BATTEN, "seccomp", "list", "--state", store, "--json"], text=True, capture_output=True)
        assert p.returncode == 0 and len(json.loads(p.stdout)["images"]) == 1, p.stderr


def test_the_store_is_bounded(scratch):
    store = scratch / "store"
    assert store_calls(store, 1, 1).returncode == 0
    text = file_of(store).read_text()
    for i in range(1, MAX_STORED):
        file_of(store, i).write_text(text)
        os.utime(file_of(store, i), (1000000 + i, 1000000 + i))
    os.utime(file_of(store), (1000000, 1000000))
    assert store_calls(store, 2, 2, MAX_STORED).returncode == 0
    assert len(list(store.iterdir())) == MAX_STORED
    assert not file_of(store).exists() and file_of(store, 1).exists() and file_of(store, MAX_STORED).exists()
    # Not for one that is there already.
    assert store_calls(store, 3, 3, 5).returncode == 0
    assert len(list(store.iterdir())) == MAX_STORED and file_of(store, 1).exists()
