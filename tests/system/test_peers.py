# SPDX-License-Identifier: GPL-3.0-or-later
"""What people use today to keep containers away from the metadata service, each tried on the same host
as batten: the README's comparison says what is asserted here."""
import pytest

import ecs_host
import lab

# On another terminal somebody empties the packet filter.
FLUSH = ("iptables -F", "nft flush ruleset")


def docker_user_rule(h, task):
    h.host.run("iptables", "-I", "DOCKER-USER", "-d", lab.IMDS4, "-j", "DROP")


def hop_limit(h, task):
    """Answers that live for one hop, as HttpPutResponseHopLimit = 1 makes those that carry a token."""
    h.uplink.space.run("nft", "-f", "-", input=f"""
        table inet hop_limit {{
            chain out {{
                type filter hook output priority 0;
                ip saddr {lab.IMDS4} ip ttl set 1
                ip6 saddr {lab.IMDS6} ip6 hoplimit set 1
            }}
        }}""")


def agents_switch(h, task):
    """The routes that ECS_AWSVPC_BLOCK_IMDS=true has the agent's plugin add."""
    ecs_host.commands(task, f"route add blackhole {lab.IMDS4}/32", f"route add blackhole {lab.IMDS6}/128")


def nothing(h, task):
    pass


# reached: over the bridge by IPv4 and IPv6, by a task with an interface of its own, and over the
# bridge after each flush.
ROADS = ("bridge IPv4", "bridge IPv6", "awsvpc", *FLUSH)
OPEN, SHUT = True, False


@pytest.mark.parametrize("measure, reached, refused", [
    (nothing, (OPEN, OPEN, OPEN, OPEN, OPEN), None),
    (docker_user_rule, (SHUT, OPEN, OPEN, OPEN, OPEN), ("bridge", "TIMEOUT")),
    (hop_limit, (SHUT, SHUT, OPEN, SHUT, SHUT), ("bridge", "TIMEOUT")),
    (agents_switch, (OPEN, OPEN, SHUT, OPEN, OPEN), ("awsvpc", "EINVAL")),
])
def test_what_others_close(host, spaces, measure, reached, refused):
    task = ecs_host.awsvpc_task(spaces, host)
    measure(host, task)
    if refused:
        who = {"bridge": host.containers["default"], "awsvpc": task}[refused[0]]
        assert lab.connect(who, lab.IMDS4, timeout=4)[0] == refused[1]
    found = roads(host, task)
    assert dict(zip(ROADS, found)) == dict(zip(ROADS, reached))
    # None of them stops a process in the host's own network, which is what a host-network task has.
    assert lab.connect(host.host, lab.IMDS4)[0] == "OK"


def test_what_batten_closes(host, spaces, make_guard):
    """The host part; awsvpc and host-network tasks are test_imds_roads.py's."""
    make_guard().block()
    task = ecs_host.awsvpc_task(spaces, host)
    assert lab.connect(host.containers["default"], lab.IMDS4)[0] == "ECONNREFUSED"
    found = roads(host, task)
    assert found[:2] + found[3:] == [SHUT] * 4
    assert lab.connect(host.host, lab.IMDS4)[0] == "OK"


def roads(h, task):
    container = h.containers["default"]

    def reach(space, address):
        return lab.connect(space, address, timeout=4)[0] == "OK"
    found = [reach(container, lab.IMDS4), reach(container, lab.IMDS6),
             reach(task, lab.IMDS4) or reach(task, lab.IMDS6)]
    for command in FLUSH:
        h.host.run(*command.split())
        found.append(reach(container, lab.IMDS4) or reach(container, lab.IMDS6))
    return found
