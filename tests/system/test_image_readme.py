# SPDX-License-Identifier: GPL-3.0-or-later
"""The tour of image layers in README.md, line by line, and what it says is printed."""
import pathlib
import re
import shutil
import subprocess

import lab

README = (pathlib.Path(__file__).parent.parent.parent / "README.md").read_text()


def tour():
    """[command, what follows it] of the example that packs an image."""
    block = next(b for b in re.findall(r"^```\n(.*?)^```", README, re.M | re.S) if "batten image strip oci:" in b)
    return [part.partition("\n")[::2] for part in block.removeprefix("$ ").split("\n$ ")]


def plain(text):
    """Digests depend on the busybox at hand."""
    return re.sub(r"[0-9a-f]{64}", "DIGEST", text.strip())


def test_the_tour(scratch):
    for program in ("busybox", "umoci", "setcap", "tar"):
        lab.need(shutil.which(program), f"{program} is not installed")
    (scratch / "bin").mkdir()
    (scratch / "bin" / "batten").symlink_to(lab.BATTEN)
    (scratch / "here").mkdir()
    steps = tour()
    assert len(steps) >= 8
    for command, wanted in steps:
        p = subprocess.run(["sh", "-c", command], cwd=scratch / "here", text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, env={"PATH": f"{scratch}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "NO_COLOR": "1"})
        # Inspecting answers with 1 when something is there.
        assert p.returncode == (1 if "inspect oci:img" in command else 0), p.stdout
        assert plain(p.stdout) == plain(wanted), command
