# SPDX-License-Identifier: GPL-3.0-or-later
"""What `imds plan` prints is what `imds block` installs, and nft can read it: libnftnl takes much
that nft cannot parse, print or address afterwards."""
import json
import re

import pytest

import guard
import lab

CONFIGS = {
    "default": {},
    "proxy-mode": {"proxy-mode": "yes"},
    "no-log": {"log": "no"},
    "log-group": {"log-group": "7", "log-rate": "3"},
    "allow": {"allow-address": "172.17.0.9, 2001:db8:17::9, 172.18.0.9"},
    "no-owner": {"table-owner": "no"},
}
FEATURES = ["owner", "persist", "iifkind", "reject", "reject-prerouting", "undo-translation", "postrouting-iif", "log", "limit", "comment"]
VARIANTS = [*((name, ()) for name in CONFIGS), *(("default", (f,)) for f in FEATURES), ("allow", tuple(FEATURES))]


def listing(space, *options):
    return space.run("nft", *options, "list", "table", "inet", "batten").stdout


def shape(space):
    """The table as nft lists it, without what a transaction numbers, counts or owns."""
    text = listing(space, "-s")
    return re.sub(r"^\tflags .*\n", "", text, flags=re.M)


def plan(space, g, form="nft"):
    return space.batten("imds", "plan", "--format", form, "--config", g.file, *g.assume).stdout


@pytest.mark.parametrize("name, assume", VARIANTS, ids=["+".join((n, *a)) for n, a in VARIANTS])
def test_nft_loads_the_plan_and_lists_what_we_install(spaces, make_guard, name, assume):
    ours, theirs = spaces.new("ours"), spaces.new("theirs")
    g = make_guard({"imds": CONFIGS[name]}, space=ours, assume=assume)
    text = plan(ours, g)
    theirs.run("nft", "-c", "-f", "-", input=text)
    theirs.run("nft", "-f", "-", input=text)
    g.block()
    assert shape(ours) == shape(theirs)
    # And what nft lists of ours, nft can load again.
    again = spaces.new("again")
    again.run("nft", "-f", "-", input=shape(ours))
    assert shape(again) == shape(ours)


def test_a_plan_needs_no_privilege_and_changes_nothing(spaces, make_guard):
    space = spaces.new("plain")
    g = make_guard(space=space)
    plan(space, g)
    assert guard.table(space) is None and not guard.rules(space)


def test_the_plan_is_json_too(spaces, make_guard):
    space = spaces.new("plain")
    g = make_guard(space=space)
    document = json.loads(plan(space, g, "json"))
    assert isinstance(document, dict)
    assert lab.IMDS4 in json.dumps(document) and lab.IMDS6 in json.dumps(document)


def test_other_traffic_meets_the_destination_first(spaces, make_guard):
    """In each base chain the first expression of every rule compares the destination."""
    space = spaces.new("plain")
    make_guard(space=space).block()
    rows = space.json("nft", "-j", "list", "table", "inet", "batten")["nftables"]
    base = {r["chain"]["name"] for r in rows if "chain" in r and "hook" in r["chain"]}
    rules = [r["rule"] for r in rows if "rule" in r and r["rule"]["chain"] in base]
    assert rules and base == {"prerouting", "translated", "forward", "postrouting"}
    for rule in rules:
        first = rule["expr"][0]["match"]
        assert first["left"]["payload"]["field"] == "daddr", rule
        assert first["right"] in (lab.IMDS4, lab.IMDS6)
    for chain in base:
        assert len([r for r in rules if r["chain"] == chain]) <= 4


def test_hooks_and_priorities(spaces, make_guard):
    space = spaces.new("plain")
    make_guard(space=space).block()
    rows = space.json("nft", "-j", "list", "table", "inet", "batten")["nftables"]
    hooks = {r["chain"]["name"]: r["chain"] for r in rows if "chain" in r and "hook" in r["chain"]}
    assert hooks["prerouting"]["hook"] == "prerouting" and hooks["prerouting"]["prio"] == -301
    # After every translation that others make there, dstnat being -100.
    assert hooks["translated"]["hook"] == "prerouting" and hooks["translated"]["prio"] == -99
    assert hooks["forward"]["hook"] == "forward" and hooks["postrouting"]["hook"] == "postrouting"
    assert {c["type"] for c in hooks.values()} == {"filter"} and {c["policy"] for c in hooks.values()} == {"accept"}
    # Forward names no interface: whatever is forwarded to the service is no process of the host.
    forward = [r["rule"]["expr"] for r in rows if "rule" in r and r["rule"]["chain"] == "forward"]
    assert forward and "iif" not in json.dumps(forward)


def test_attribute_widths_arrive_as_meant(spaces, make_guard):
    """libnftnl 1.2.7 ignores a setter of the wrong width: the rule then lacks what was set."""
    space = spaces.new("plain")
    make_guard({"imds": {"log-group": "300", "log-rate": "5"}}, space=space).block()
    text = listing(space)
    assert "log group 300" in re.sub(r'prefix "[^"]*" ', "", text)
    assert "limit rate 5/" in text
    assert "reject with tcp reset" in text
    assert re.search(r'iifkind "?bridge"?|iifkind \{', text) or "iifkind" in text
    assert "priority raw - 1" in text


def test_names_are_no_words_of_nft(spaces, make_guard):
    """The kernel takes a chain called "fwd"; nft can then neither address nor reload it."""
    space = spaces.new("plain")
    make_guard(space=space).block()
    rows = space.json("nft", "-j", "list", "table", "inet", "batten")["nftables"]
    for row in rows:
        for kind in ("chain", "counter", "set"):
            if kind in row:
                space.run("nft", "list", kind, "inet", "batten", row[kind]["name"])


def test_comments_are_printed(spaces, make_guard):
    space = spaces.new("plain")
    make_guard(space=space).block()
    assert re.search(r'^\tcomment "[^"]+"$', listing(space), re.M)


@pytest.mark.parametrize("family", [4, 6])
def test_routing_rules_read_as_meant(spaces, make_guard, family):
    space = spaces.new("plain")
    make_guard(space=space).block()
    first, second = guard.rules(space, family)
    address = lab.IMDS4 if family == 4 else lab.IMDS6
    assert first[0] == 90 and f"to {address}" in first[1] and "iif lo" in first[1] and "lookup main" in first[1]
    assert second[0] == 91 and f"to {address}" in second[1] and "prohibit" in second[1]
    # systemd-networkd removes foreign rules, except those of the kernel's own protocol.
    assert "proto kernel" in first[1] and "proto kernel" in second[1]


def test_the_priority_of_the_routing_rules_can_be_chosen(spaces, make_guard):
    space = spaces.new("plain")
    g = make_guard({"imds": {"routing-rule-priority": "200"}}, space=space)
    g.block()
    priorities = [line.split(":")[0] for line in space.run("ip", "rule").stdout.splitlines()]
    assert {"200", "201"} <= set(priorities)
    g.unblock()
    priorities = [line.split(":")[0] for line in space.run("ip", "rule").stdout.splitlines()]
    assert not {"200", "201"} & set(priorities)
