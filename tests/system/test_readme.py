# SPDX-License-Identifier: GPL-3.0-or-later
"""What README.md says stands in the tree: its files, its commands, its options, its picture."""
import json
import pathlib
import re
import subprocess
import xml.etree.ElementTree as ElementTree

TOP = pathlib.Path(__file__).parent.parent.parent
README = (TOP / "README.md").read_text()
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)


def rows(batten):
    return json.loads(subprocess.run([batten, "help", "--json"], text=True, capture_output=True, check=True).stdout)


def test_every_file_named_is_there():
    prose = FENCED.sub("", README)
    named = {m for m in re.findall(r"`((?:agent|include|profiles|systemd|tests)/[\w./*-]*)`", prose)}
    named |= {f"tests/system/{m}" for m in re.findall(r"`(test_\w+\.py)`", prose)}
    named |= set(re.findall(r"\]\(([\w./-]+)\)", prose))
    assert named
    assert not {n for n in named if not list(TOP.glob(n.rstrip("/")))}


def test_every_target_named_is_in_the_makefile():
    targets = set(re.findall(r"(?:^|`|sudo |&& )make ([a-z][a-z0-9-]+)\b", README, re.M))
    made = set(re.findall(r"^([a-z][a-z0-9-]*):", (TOP / "Makefile").read_text(), re.M))
    made |= {p.name for p in (TOP / "tests/bench").glob("bench-*")}  # one rule for all
    assert targets and targets <= made


def test_every_command_and_option_in_examples_exists(batten):
    commands = {tuple(c["name"].split()): {f"--{o['name']}" for o in c["options"]} | {
        f"-{o['letter']}" for o in c["options"] if "letter" in o} for c in rows(batten)["commands"]}
    wrong = []
    spoken = [line for block in FENCED.findall(README) for line in block.splitlines()
              if re.match(r"(?:[#$] )?(?:sudo )?batten ", line)]
    spoken += re.findall(r"`((?:sudo )?batten [^`]*)`", FENCED.sub("", README.replace("\n", " ")))
    for line in spoken:
        words = re.split(r" (?:[|&>]|-- )", line.split("batten ", 1)[1])[0].split()
        words = words[:words.index("--")] if "--" in words else words
        options = commands.get(tuple(words[:2]), commands.get(tuple(words[:1])))
        if options is None:
            nouns = {c[0] for c in commands if len(c) == 2}
            if not (words and words[0] in nouns and len(words) == 1):
                wrong.append(line)
            continue
        wrong += [f"{line}: {w}" for w in words if re.match(r"--?[a-z]", w) and w.split("=")[0] not in options]
    assert spoken and not wrong


def test_the_map_has_every_room():
    rooms = {f"agent/{d.name}/" for d in (TOP / "agent").iterdir() if d.is_dir()} | {
        "include/batten/", "profiles/", "systemd/", "tests/"}
    assert not {r for r in rooms if f"| `{r}` |" not in README}


def test_the_picture_is_readable_in_light_and_dark():
    name = re.search(r"!\[[^\]]+\]\((\S+\.svg)\)", README).group(1)
    text = (TOP / name).read_text()
    root = ElementTree.fromstring(text)
    ns = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{ns}svg" and root.get("viewBox")
    assert root.find(f"{ns}title").text and root.find(f"{ns}desc").text
    light, dark = text.split("@media (prefers-color-scheme: dark) {", 1)
    coloured = re.compile(r"^\s*([.\w, ]+?)\s*\{[^}]*(?:fill|stroke): #", re.M)
    named = {c.strip() for m in coloured.findall(light) for c in m.split(",")}
    in_dark = {c.strip() for m in coloured.findall(dark) for c in m.split(",")}
    assert named and named == in_dark
    # It is shown by <img>: nothing outside it is loaded.
    assert not re.search(r"(?:href|url\()\s*=?\s*[\"']?(?:https?:|//)", text) and "<script" not in text
