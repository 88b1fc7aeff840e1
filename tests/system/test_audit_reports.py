# SPDX-License-Identifier: GPL-3.0-or-later
"""Each report format: against its schema, with hostile text in it, and saying the same as the others."""
import html.parser
import json
import pathlib
import subprocess
import xml.etree.ElementTree

import jsonschema
import pytest

import lab

SCHEMAS = pathlib.Path(__file__).parent.parent / "golden" / "schemas"
ASFF = ("--account", "111122223333", "--region", "eu-central-1")
HOSTILE = "h<script>alert(1)</script>&\"'\x1b[31mé"


def report(form, *arguments):
    p = subprocess.run([lab.BATTEN, "audit", "--format", form, *map(str, arguments)], capture_output=True, timeout=60)
    assert p.returncode in (0, 1), p.stderr
    return p.stdout.decode()


def valid(document, schema):
    jsonschema.Draft7Validator(json.loads((SCHEMAS / f"{schema}.json").read_text())).validate(document)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """What to report on: this machine with a waiver, and a tree whose names are hostile."""
    d = tmp_path_factory.mktemp("reports")
    root = d / "root"
    (root / "etc/docker").mkdir(parents=True)
    (root / "etc/docker").chmod(0o777)
    (root / "etc/hostname").write_text(HOSTILE)
    (root / "etc/group").write_text("docker:x:5:eve<b>\x1b[0m,x\xff,\xc2\x9b1m\n", encoding="latin-1")
    (root / "var/lib/cloud/instance").mkdir(parents=True)
    (root / "var/lib/cloud/instance/user-data.txt").write_text("PASSWORD=correct-horse\n")
    waivers = d / "waivers.json"
    waivers.write_text(json.dumps({"schema": "batten.waivers/1", "waivers": [
        {"control": "HST-11", "scope": {}, "reason": "a <reason>", "owner": "o&o", "until": "2099-12-31"},
        {"control": "HST-12", "scope": {}, "reason": "over", "owner": "o", "until": "2020-01-01"}]}))
    return {"live": ("--waivers", waivers), "tree": ("--root", root)}


@pytest.fixture(params=["live", "tree"])
def world(request, worlds):
    return worlds[request.param]


def counts(world):
    j = json.loads(report("json", *world))
    valid(j, "batten-audit-1")
    return j


def test_sarif(world):
    j = json.loads(report("sarif", *world))
    valid(j, "sarif-2.1.0")
    results = j["runs"][0]["results"]
    rules = j["runs"][0]["tool"]["driver"]["rules"]
    findings = counts(world)["findings"]
    assert len(results) == len(findings)
    for r in results:
        assert rules[r["ruleIndex"]]["id"] == r["ruleId"]
    assert sum("suppressions" in r for r in results) == sum(f["status"] == "waived" for f in findings)
    assert len({r["partialFingerprints"]["batten/v1"] for r in results}) == len(results)


def test_asff(world):
    lines = report("asff", *world, *ASFF).splitlines()
    findings = []
    for line in lines:
        assert len(line.encode()) < 6_000_000
        batch = json.loads(line)
        valid(batch, "asff")
        findings += batch["Findings"]
        assert all(len(json.dumps(f).encode()) < 240_000 for f in batch["Findings"])
    ours = counts(world)["findings"]
    assert len(findings) == len(ours) and len({f["Id"] for f in findings}) == len(findings)
    assert sum(f["Compliance"]["Status"] == "PASSED" for f in findings) == sum(f["status"] == "pass" for f in ours)
    again = [f["Id"] for line in report("asff", *world, *ASFF).splitlines() for f in json.loads(line)["Findings"]]
    assert again == [f["Id"] for f in findings]


def test_asff_needs_an_account(tmp_path):
    for wrong in ((), ("--account", "123", "--region", "eu-west-1"), ("--account", "111122223333")):
        p = subprocess.run([lab.BATTEN, "audit", "--format", "asff", *wrong], text=True, capture_output=True)
        assert p.returncode == 2 and p.stderr.count("\n") == 1 and "--account" in p.stderr


def test_ocsf(world):
    events = [json.loads(line) for line in report("ocsf", *world).splitlines()]
    for e in events:
        valid(e, "ocsf-2003")
        assert e["type_uid"] == e["class_uid"] * 100 + e["activity_id"]
    ours = counts(world)["findings"]
    assert len(events) == len(ours)
    assert sum(e.get("status_id") == 3 for e in events) == sum(f["status"] == "waived" for f in ours)


def test_junit(world):
    suites = xml.etree.ElementTree.fromstring(report("junit", *world)).findall("testsuite")
    ours = counts(world)
    cases = [c for s in suites for c in s.findall("testcase")]
    assert len(cases) == len(ours["findings"])
    assert sum(len(c.findall("failure")) for c in cases) == ours["summary"]["fail"] + ours["summary"]["drift"]
    assert sum(len(c.findall("error")) for c in cases) == ours["summary"]["unknown"]
    for s in suites:
        assert int(s.get("tests")) == len(s.findall("testcase"))
        assert int(s.get("skipped")) == len(s.findall("testcase/skipped"))


class Checker(html.parser.HTMLParser):
    VOID = {"meta", "br", "rect", "link"}

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.links = [], set(), []

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.links += [v for k, v in attributes if k in ("src", "href", "style")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.add(tag)
        self.links += [v for k, v in attributes if k in ("src", "href", "style")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html(world):
    text = report("html", *world)
    c = Checker()
    c.feed(text)
    assert c.open == [] and not c.links
    assert "script" not in c.seen and {"svg", "table", "article", "style"} <= c.seen | {"article"}
    assert "prefers-color-scheme:dark" in text and "@media print" in text and "url(" not in text
    for f in counts(world)["findings"]:
        assert f["control"] in text


def test_hostile_text_is_escaped_everywhere(worlds):
    for form in ("text", "html", "junit"):
        assert not {"\x1b", "\x9b"} & set(report(form, *worlds["tree"]))
    assert "<script>alert" not in report("html", *worlds["tree"])
    for form in ("text", "json", "junit", "sarif", "ocsf", "html"):
        assert "correct-horse" not in report(form, *worlds["tree"])


def test_html_in_a_browser(tmp_path, worlds):
    import shutil
    chromium = shutil.which("chromium")
    lab.need(chromium, "chromium is not installed")
    page, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    page.write_text(report("html", *worlds["live"]))
    base = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    p = subprocess.run([*base, "--dump-dom", f"file://{page}"], text=True, capture_output=True, timeout=90)
    assert "batten audit of" in p.stdout and "<article" in p.stdout
    subprocess.run([*base, f"--print-to-pdf={pdf}", f"file://{page}"], capture_output=True, timeout=90)
    assert pdf.read_bytes().startswith(b"%PDF")
