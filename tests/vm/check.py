#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots a Debian with the package on a second disk and repeats what the guest says, as TAP. SUITE names the Debian.

Software emulation is enough. The disk is kept between runs under BUILD/vm, by the checksum of what it
is made of; the tests write to an overlay.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = pathlib.Path(__file__).parent
TOP = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", TOP / "build"))
SUITE = os.environ.get("SUITE", "bookworm")
PATIENCE_S = 40 * 60


def payload(path, packages):
    with tempfile.TemporaryDirectory() as d:
        hammer = pathlib.Path(d) / "hammer"
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-static", "-D_GNU_SOURCE", "-Iinclude", "-o", hammer,
                        "tests/system/tools/hammer.c", "agent/base/parse.c", "agent/base/fd.c"], cwd=TOP, check=True)
        with tarfile.open(path, "w") as tar:
            for source, name in ((HERE / "guest", "guest"), (HERE / "standin", "standin"),
                                 (HERE / "make-image", "make-image"), (hammer, "hammer"),
                                 (HERE.parent / "system" / "imds_standin.py", "imds_standin.py"),
                                 *packages):
                tar.add(source, name)
    # A disk is a whole number of sectors.
    size = path.stat().st_size
    with open(path, "ab") as f:
        f.truncate((size + 511) // 512 * 512)


def boot(base, disk, work):
    """Runs until the guest powers off. Returns what it wrote to the second serial line."""
    overlay = work / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base / "disk.ext4", overlay],
                   check=True)
    tap, console = work / "tap", work / "console"
    # Two processors that take turns in one thread: with a thread for each the emulator (7.2) can miss that the kernel changed
    # its code, which it does for each tracepoint that is attached, and runs a breakpoint that is there no more: an oops, or
    # both stuck for ever.
    qemu = subprocess.Popen(
        ["qemu-system-x86_64", "-accel", "tcg,thread=single", "-smp", "2", "-cpu", "max", "-m", "2048", "-net", "none",
         "-display", "none", "-kernel", base / "kernel", "-initrd", base / "initrd", "-append",
         "root=/dev/vda rw console=ttyS0 quiet", "-drive", f"file={overlay},if=virtio,format=qcow2",
         "-drive", f"file={disk},if=virtio,format=raw,readonly=on", "-serial", f"file:{console}", "-serial",
         f"file:{tap}"], stdin=subprocess.DEVNULL)
    shown, end = 0, time.monotonic() + PATIENCE_S
    try:
        while qemu.poll() is None and time.monotonic() < end:
            time.sleep(0.5)
            shown = show(tap, shown)
    finally:
        qemu.kill()
        qemu.wait()
    show(tap, shown)
    if time.monotonic() >= end:
        print(f"# the guest did not finish in {PATIENCE_S} s; its console ends so:")
        print(console.read_text(errors="replace")[-4000:])
    return tap.read_text(errors="replace")


def show(tap, shown):
    text = tap.read_text(errors="replace") if tap.exists() else ""
    whole = text[:text.rfind("\n") + 1]
    sys.stdout.write(whole[shown:])
    sys.stdout.flush()
    return len(whole)


def main(folder, version):
    packages = [(next(folder.glob(f"batten[-_]{v}[-_]*.{kind}")), f"batten{name}.{kind}")
                for v, name in ((version, ""), (f"{version}+next", "-next")) for kind in ("deb", "rpm")]
    for program in ("qemu-system-x86_64", "qemu-img", "debootstrap", "mkfs.ext4"):
        if not shutil.which(program):
            sys.exit(f"check-vm: {program} is missing; run make deps")
    base = pathlib.Path(subprocess.run([HERE / "build-root", BUILD / "vm", SUITE], check=True, text=True,
                                       stdout=subprocess.PIPE).stdout.strip())
    with tempfile.TemporaryDirectory(dir=BUILD / "vm") as work:
        work = pathlib.Path(work)
        payload(work / "payload.tar", packages)
        tap = boot(base, work / "payload.tar", work)
    passed = len(re.findall(r"^ok ", tap, re.M))
    failed = len(re.findall(r"^not ok ", tap, re.M))
    plan = re.search(r"^1\.\.(\d+)", tap, re.M)
    if not plan or int(plan.group(1)) != passed + failed:
        print("check-vm: the guest did not run to its end")
        failed += 1
    print(f"vm: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
