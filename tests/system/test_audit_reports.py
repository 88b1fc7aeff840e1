# SPDX-License-Identifier: GPL-3.0-or-later
"""Each report format: against its schema, with hostile text in it, and saying the same as the others."""
import html
import html.parser
import json
import os
import pathlib
import re
import shutil
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


def test_asff_comes_in_batches(worlds, tmp_path):
    """More findings than the API takes at once: waivers that nothing needs are findings."""
    waivers = tmp_path / "waivers.json"
    waivers.write_text(json.dumps({"schema": "batten.waivers/1", "waivers": [
        {"control": "DKF-02", "scope": {"path": f"/no/such/{i}"}, "reason": "r" * 3000, "owner": "o", "until": "2099-12-31"}
        for i in range(250)]}))
    batches = [json.loads(line) for line in report("asff", *worlds["tree"], *ASFF, "--waivers", waivers).splitlines()]
    assert len(batches) >= 3 and all(1 <= len(b["Findings"]) <= 100 for b in batches)
    for b in batches:
        valid(b, "asff")
    ids = [f["Id"] for b in batches for f in b["Findings"]]
    assert len(ids) > 250 and len(set(ids)) == len(ids)


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
        self.open, self.seen, self.links, self.handlers = [], set(), [], []

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        self.handlers += [k for k, _ in attributes if k.startswith("on")]
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
    assert not c.seen & {"script", "iframe", "object", "embed", "img", "link"} and not c.handlers
    assert {"svg", "table", "article", "style"} <= c.seen | {"article"}
    assert "prefers-color-scheme:dark" in text and "@media print" in text and "url(" not in text
    for f in counts(world)["findings"]:
        assert f["control"] in text


def test_hostile_text_is_escaped_everywhere(worlds):
    for form in ("text", "html", "junit"):
        assert not {"\x1b", "\x9b"} & set(report(form, *worlds["tree"]))
    assert "<script>alert" not in report("html", *worlds["tree"])
    for form in ("text", "json", "junit", "sarif", "ocsf", "html"):
        assert "correct-horse" not in report(form, *worlds["tree"])


# What the page looks like to who reads it: the two colours of each text, and whether anything sticks out.
MEASURE = """<script>
const out = {dark: matchMedia("(prefers-color-scheme: dark)").matches, texts: [], width: document.documentElement.scrollWidth,
             window: innerWidth, tall: document.querySelector("svg").getBoundingClientRect().height};
function ground(e) {
    for (; e; e = e.parentElement) {
        const c = getComputedStyle(e).backgroundColor;
        if (c != "rgba(0, 0, 0, 0)") return c;
    }
    return "rgb(255, 255, 255)";
}
for (const e of document.querySelectorAll("h1,h2,h3,p,td,th,code,.sev"))
    out.texts.push([getComputedStyle(e).color, ground(e)]);
document.body.innerHTML = "";
document.title = JSON.stringify(out);
</script></body>"""


class Browser:
    def __init__(self, directory):
        self.directory = directory
        chromium = shutil.which("chromium")
        lab.need(chromium, "chromium is not installed")
        self.command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                        f"--user-data-dir={directory / 'profile'}"]
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "TMPDIR": str(directory)}

    def run(self, *arguments):
        return subprocess.run([*self.command, *map(str, arguments)], text=True, capture_output=True, timeout=240,
                              env=self.environment)

    def dom(self, page, *arguments):
        p = self.run("--dump-dom", *arguments, f"file://{page}")
        assert p.stdout, p.stderr[-3000:]
        return p.stdout


def brightness(colour):
    parts = [int(v) / 255 for v in re.findall(r"\d+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    x, y = sorted((brightness(a), brightness(b)))
    return (y + 0.05) / (x + 0.05)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    return Browser(tmp_path_factory.mktemp("browser"))


def test_html_opens_and_prints(browser, worlds):
    page, pdf = browser.directory / "report.html", browser.directory / "report.pdf"
    page.write_text(report("html", *worlds["live"]))
    browser.run(f"--print-to-pdf={pdf}", f"file://{page}")
    printed = pdf.read_bytes()
    assert printed.startswith(b"%PDF") and len(printed) > 20000, len(printed)
    assert "batten audit of" in browser.dom(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_html_is_legible(browser, worlds, scheme):
    page = browser.directory / f"{scheme}.html"
    page.write_text(report("html", *worlds["live"]).replace("</body>", MEASURE))
    dom = browser.dom(page, f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}")
    seen = json.loads(html.unescape(re.search("<title>(.*?)</title>", dom, re.S).group(1)))
    assert seen["dark"] == (scheme == "dark")
    assert seen["width"] <= seen["window"] and seen["tall"] > 20
    assert len(seen["texts"]) > 50
    for text, ground in seen["texts"]:
        assert contrast(text, ground) >= 4.5, (text, ground)
        assert (brightness(ground) < 0.2) == (scheme == "dark"), ground
