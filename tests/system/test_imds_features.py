# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel without each feature: what takes over in each kind of network, and what the status says.
One row for each feature that there is; a feature without a row fails the last test."""
import dataclasses
import re

import pytest

import ecs_host
import lab
import task_host

OFF = "turned off by --assume-feature"
RESET, EPERM = ("ECONNREFUSED",), ("EPERM",)
# What routing rules answer, as their ICMP errors arrive or not.
RULES = ("EHOSTUNREACH", "EACCES", "TIMEOUT")
BLACKHOLE = ("EINVAL",)


@dataclasses.dataclass
class Row:
    """What a client in each network sees, and where the status has to say what: {layer: (state, words)}."""
    says: dict
    bridge4: tuple = RESET
    bridge6: tuple = RESET
    hosted: tuple = EPERM
    awsvpc: tuple = EPERM
    table: str = ""  # words about the table's owner
    log: str = ""    # why blocked packets are not told of
    config: tuple = ()


TABLE = ("prerouting", "translated", "forward", "postrouting", "output", "bridge-ports")

ROWS = {
    "nftables": Row({layer: ("off", OFF) for layer in TABLE}, RULES, RULES, log=OFF),
    "owner": Row({}, table="plain, for owner is turned off by --assume-feature"),
    "persist": Row({}, table="plain, for the kernel drops an owned table with its owner"),
    "comment": Row({}),  # nothing but comments is lost, and nothing is said
    "iifkind": Row({"prerouting": ("off", OFF), "forward": ("active", ""), "translated": ("active", "")}),
    "reject": Row({"forward": ("degraded", "clients time out"), "prerouting": ("degraded", "clients time out")},
                  ("TIMEOUT",), ("TIMEOUT",)),
    "reject-prerouting": Row({"prerouting": ("off", OFF), "translated": ("off", OFF), "forward": ("active", ""),
                              "routing-rules": ("active", "")}, RULES + RESET, RULES + RESET),
    "undo-translation": Row({"translated": ("off", OFF), "prerouting": ("active", "")}),
    "postrouting-iif": Row({"postrouting": ("off", OFF), "forward": ("active", "")}),
    "limit": Row({"forward": ("active", "")}, log=OFF),
    "log": Row({"forward": ("active", "")}, log=OFF),
    "routing-rules": Row({"routing-rules ipv4": ("off", OFF), "routing-rules ipv6": ("active", ""), "forward": ("active", "")}),
    "routing-rules-ipv6": Row({"routing-rules ipv6": ("off", OFF), "routing-rules ipv4": ("active", "")}),
    "bridge": Row({"bridge-ports": ("off", OFF), "forward": ("active", "")}),
    "cgroup-tracing": Row({"cgroup-ebpf": ("degraded", OFF)}),
    "socket-cgroup": Row({"output": ("off", "not needed: cgroup-ebpf"), "cgroup-ebpf": ("active", "")}),
    "cgroup-ebpf": Row({"cgroup-ebpf": ("off", OFF), "output": ("degraded", "until its rule is renewed"),
                        "awsvpc": ("active", "")},
                       hosted=RESET, awsvpc=BLACKHOLE, config=("awsvpc = enforce",)),
}


@pytest.fixture
def h(spaces, scratch):
    with task_host.make(spaces, scratch) as host:
        yield host


def seen(h, space, address, timeout):
    return lab.connect(space, address, timeout=timeout)[0]


def check_status(h, row):
    status = h.host.json(lab.BATTEN, "imds", "status", "--json", "--config", h.config, "--runtime-dir", h.runtime)
    layers = {(x["layer"], x["family"]): x for x in status["layers"]}
    for where, (state, words) in row.says.items():
        layer, *families = where.split()
        for family in families or ("ipv4", "ipv6"):
            x = layers[layer, family]
            assert x["state"] == state and words in x.get("reason", ""), x
    assert row.table in status["table"]["reason"], status["table"]
    assert row.log in status["log"].get("reason", "") and status["log"]["state"] == ("off" if row.log else "active"), status["log"]
    text = h.batten("imds", "status").stdout
    assert all(words in text for words in [row.table, row.log, *(w for _, w in row.says.values())]), text


@pytest.mark.parametrize("feature", ROWS)
def test_what_takes_over_and_what_the_status_says(h, feature):
    row = ROWS[feature]
    h.configure(*row.config)
    daemon = h.daemon(f"--assume-feature=-{feature}")
    hosted, own = h.tasks.run("hosted", h.host), ecs_host.awsvpc_task(h.spaces, h.ecs)
    report = h.tasks.run("report", own, network="container:" + h.tasks.run("pause", own, network="none"))
    h.wait_known("hosted", "report")

    def roads(task, space):
        return set(h.roads(task, "tcp4", "tcp6", space=space).values())
    lab.wait_for(lambda: roads(hosted, h.host) <= set(row.hosted), "the host-network task to be refused")
    lab.wait_for(lambda: roads(report, own) <= set(row.awsvpc), "the awsvpc task to be refused")
    before = h.ecs.uplink.arrivals()
    for c in h.ecs.containers.values():
        timeout = 0.3 if "TIMEOUT" in row.bridge4 + row.bridge6 else 3.0
        assert seen(h, c, lab.IMDS4, timeout) in row.bridge4 and seen(h, c, lab.IMDS6, timeout) in row.bridge6
    assert roads(hosted, h.host) <= set(row.hosted) and roads(report, own) <= set(row.awsvpc)
    assert h.ecs.uplink.arrivals() == before, "not one packet arrives"
    assert lab.connect(h.host, lab.IMDS4)[0] == lab.connect(h.host, lab.IMDS6)[0] == "OK", "the host goes on"
    check_status(h, row)
    assert daemon.poll() is None


def test_a_log_that_was_switched_off_is_said(h):
    h.configure("log = no")
    h.daemon()
    check_status(h, Row({"forward": ("active", "")}, log="log = no"))


def test_without_both_nobody_pretends_that_host_network_is_closed(h):
    h.daemon("--assume-feature=-cgroup-ebpf", "--assume-feature=-socket-cgroup")
    layers = h.layers()
    for layer in ("cgroup-ebpf", "output"):
        assert layers[layer, "ipv4"]["state"] == "off" and layers[layer, "ipv4"]["reason"] == OFF
    assert lab.connect(h.ecs.containers["default"], lab.IMDS4)[0] == "ECONNREFUSED", "the others are closed all the same"


def test_every_feature_has_a_row(h):
    p = h.batten("imds", "block", "--assume-feature=-nosuch", check=False)
    assert p.returncode == 2
    assert set(re.findall(r" -([a-z0-9-]+)", p.stderr.split("not one of")[1])) == set(ROWS), p.stderr
