# SPDX-License-Identifier: GPL-3.0-or-later
"""Every road to the metadata service that a container has, closed; every road it needs, kept. All of
them are seen open without a guard in test_ecs_host.py, or at the head of the test itself."""
import pytest

import ecs_host
import guard
import lab
import roads

# Addresses that stand for the service behind a translation of the host's own.
ALIAS = {lab.IMDS4: "192.0.2.10", lab.IMDS6: "2001:db8:ffff::10"}

# One layer at a time: each must close the roads without the other.
NFT_ALONE = {"imds": {"routing-rules": "no"}}
NO_PREROUTING = {"imds": {"routing-rules": "no", "proxy-mode": "yes"}}


@pytest.mark.parametrize("config, assume", [(None, ()), (NFT_ALONE, ()), (NO_PREROUTING, ("postrouting-iif",))],
                         ids=["all", "nft-alone", "forward-alone"])
def test_bridges_of_every_name_are_refused_at_once(host, make_guard, config, assume):
    make_guard(config, assume=assume).block()
    for c in host.containers.values():
        guard.assert_refused(host, c)
    guard.assert_roads_kept(host)


def test_routing_rules_alone_close_every_bridge(host, make_guard):
    make_guard().block()
    host.host.run("nft", "delete", "table", "inet", "batten")
    for c in host.containers.values():
        name, ms = lab.connect(c, lab.IMDS4)
        assert name == "EHOSTUNREACH" and ms < 1000
        guard.assert_closed(host, c)
    guard.assert_roads_kept(host)


@pytest.mark.parametrize("rp_filter", [0, 1])
def test_reverse_path_filtering_does_not_matter(host, make_guard, rp_filter):
    ecs_host.commands(host.host, f"sysctl net.ipv4.conf.all.rp_filter={rp_filter}")
    make_guard().block()
    guard.assert_refused(host, host.containers["user"])
    guard.assert_roads_kept(host)


def test_a_bridge_made_while_the_daemon_runs(host, make_guard):
    make_guard().start()
    late = host.add_bridge("late", "br-aaaaaaaaaaaa")
    guard.assert_refused(host, late)
    guard.assert_reachable(late, (ecs_host.ELSEWHERE4, ecs_host.ELSEWHERE6, ecs_host.CREDENTIALS))


ALIAS_PORT = 8888  # translated as well


def translate(host, address):
    family, to = ("ip6", f"[{address}]") if ":" in address else ("ip", address)
    host.host.run("nft", "-f", "-", input=f"""table {family} road {{ chain prerouting {{
        type nat hook prerouting priority dstnat; {family} daddr {ALIAS[address]} tcp dport {ALIAS_PORT} dnat to {to}:80
        {family} daddr {ALIAS[address]} dnat to {address}
    }}; }}""")
    for port in (80, ALIAS_PORT):
        assert lab.connect(host.containers["default"], ALIAS[address], port=port)[0] == "OK"


def bridge_netfilter(host, on):
    """Whether bridged packets pass the hooks on the bridge: Docker switches that on for the whole host."""
    for family in ("ip", "ip6"):
        switch = f"net.bridge.bridge-nf-call-{family}tables"
        if lab.pathlib.Path("/proc/sys", *switch.split(".")).exists():
            ecs_host.commands(host.host, f"sysctl {switch}={int(on)}")
        else:
            lab.need(not on, "bridge netfilter is not loaded")


@pytest.mark.parametrize("bridged", [False, True], ids=["routed", "bridge-netfilter"])
@pytest.mark.parametrize("config", [{}, NFT_ALONE, NO_PREROUTING], ids=["all", "nft-alone", "forward-alone"])
@pytest.mark.parametrize("address", ALIAS, ids=["ipv4", "ipv6"])
def test_a_translation_on_the_host_is_refused_at_once(host, make_guard, address, config, bridged):
    """The reset comes from the address that the client asked, also where the kernel sends it around
    the translation."""
    bridge_netfilter(host, bridged)
    translate(host, address)
    make_guard(config).block()
    before = host.uplink.arrivals()
    c = host.containers["default"]
    seen = [lab.connect(c, ALIAS[address], port=port) for port in (80, ALIAS_PORT) for _ in range(5)]
    assert {name for name, _ in seen} == {"ECONNREFUSED"}, seen
    assert guard.median_ms([ms for _, ms in seen]) < 10, seen
    assert host.uplink.arrivals() == before


@pytest.mark.parametrize("address", ALIAS, ids=["ipv4", "ipv6"])
def test_a_translated_connection_opened_before_the_guard_is_cut(host, make_guard, address):
    translate(host, address)
    with roads.new_socket(host.containers["default"], address) as s:
        s.connect((ALIAS[address], ALIAS_PORT))
        assert roads.http(s)[0] == 200
        make_guard().block()
        before = host.uplink.arrivals()
        name, ms = roads.outcome(lambda: roads.http(s))
        assert name in ("ECONNRESET", "EPIPE") and ms < 1000, (name, ms)
    assert host.uplink.arrivals() == before


@pytest.mark.parametrize("address", ALIAS, ids=["ipv4", "ipv6"])
def test_a_translation_on_a_kernel_that_cannot_undo_it(host, make_guard, address):
    """The routing rules answer: at once over IPv4, and over IPv6 not before the client gives up."""
    translate(host, address)
    make_guard(assume=("undo-translation",)).block()
    before = host.uplink.arrivals()
    name, _ = lab.connect(host.containers["default"], ALIAS[address], timeout=0.5)
    assert name == "EHOSTUNREACH" if address == lab.IMDS4 else name != "OK"
    assert host.uplink.arrivals() == before


@pytest.mark.parametrize("config", [None, NFT_ALONE], ids=["all", "nft-alone"])
def test_source_routing(host, make_guard, config):
    c = host.containers["user"]
    host.follow_source_routes(c)
    make_guard(config).block()
    before = host.uplink.arrivals()
    assert roads.source_routed(c, c.gateway, lab.IMDS4)[0] != "OK"
    assert host.uplink.arrivals() == before


def test_a_connection_opened_before_the_guard_is_cut(host, make_guard):
    for c in host.containers.values():
        for address in (lab.IMDS4, lab.IMDS6):
            c.open = roads.new_socket(c, address)
            c.open.connect((address, 80))
            assert roads.http(c.open)[0] == 200
            g = make_guard()
            g.block()
            before = host.uplink.arrivals()
            with c.open:
                name, ms = roads.outcome(lambda: roads.http(c.open))
            assert name in ("ECONNRESET", "EPIPE") and ms < 1000, (c.name, address, name, ms)
            assert host.uplink.arrivals() == before
            g.unblock()


def test_fragments_and_datagrams(host, make_guard):
    c = host.containers["default"]
    make_guard().block()
    before = host.uplink.arrivals()
    assert not roads.fragmented_syn(c, c.address, lab.IMDS4)
    for address in (lab.IMDS4, lab.IMDS6):
        assert not roads.datagram(c, address) and not roads.datagram(c, address, 4000)
        assert c.run("busybox", "ping", "-c", "1", "-W", "1", address, check=False).returncode != 0
    assert host.uplink.arrivals() == before


def tunnel(host, c):
    """The container wraps its packets in VXLAN to the host, which unwraps and routes them."""
    for space, peer, address in ((host.host, c.address, "10.77.0.1"), (c, c.gateway, "10.77.0.2")):
        ecs_host.commands(space, f"link add vx7 type vxlan id 7 remote {peer} dstport 4789",
                          "link set vx7 up", f"addr add {address}/24 dev vx7")
    return c, "10.77.0.1", "10.77.0.2"


def macvlan(host, c):
    """The container's own macvlan beside one of the host's."""
    ecs_host.commands(host.host, "link add wire type veth peer name wire-end", "link set wire up",
                      "link set wire-end up",
                      "link add mv0 link wire type macvlan mode bridge", "link set mv0 up",
                      "addr add 10.78.0.1/24 dev mv0",
                      f"link add mv1 link wire netns {c.pid} type macvlan mode bridge")
    ecs_host.commands(c, "link set mv1 up", "addr add 10.78.0.2/24 dev mv1")
    return c, "10.78.0.1", "10.78.0.2"


def plain_veth(host, c):
    """A cable between host and container, no bridge: how some network plugins do it."""
    ecs_host.commands(host.host, f"link add pod0 type veth peer name pod0 netns {c.pid}", "link set pod0 up",
                      "addr add 10.79.0.1/24 dev pod0")
    ecs_host.commands(c, "link set pod0 up", "addr add 10.79.0.2/24 dev pod0")
    return c, "10.79.0.1", "10.79.0.2"


@pytest.mark.parametrize("build", [tunnel, macvlan, plain_veth])
def test_other_kinds_of_interface(host, make_guard, build):
    c, gateway, source = build(host, host.containers["default"])
    ecs_host.commands(c, f"route add {lab.IMDS4} via {gateway} src {source}")
    ecs_host.commands(host.uplink.space, "route add 10.64.0.0/10 via 10.0.0.2")
    assert lab.connect(c, lab.IMDS4)[0] == "OK"
    make_guard().block()
    guard.assert_refused(host, c, (lab.IMDS4,), tries=20)


@pytest.mark.parametrize("config", [{}, {"proxy-mode": "yes"}, {"routing-rules": "no"}],
                         ids=["all", "no-prerouting", "no-routing-rules"])
def test_an_allowed_address_reaches_and_no_other(host, make_guard, config):
    user = host.containers["user"]
    make_guard({"imds": {**config, "allow-address": f"{user.address}, {user.address6}"}}).block()
    guard.assert_reachable(user)
    assert roads.get(user, lab.IMDS4)[0] == roads.get(user, lab.IMDS6)[0] == 200
    for kind in ("default", "odd"):
        guard.assert_closed(host, host.containers[kind])
    guard.assert_roads_kept(host)


def test_a_local_proxy_can_stand_in_for_the_service(host, make_guard):
    """Hosts that redirect the address to a proxy of their own (kube2iam and its kin)."""
    ecs_host.start_standin(host.host, "credentials", "127.0.0.1", "8181")
    host.host.run("iptables", "-t", "nat", "-A", "PREROUTING", "-d", lab.IMDS4, "-p", "tcp", "--dport", "80",
                  "-j", "DNAT", "--to-destination", "127.0.0.1:8181")
    c = host.containers["user"]
    g = make_guard()
    g.block()
    guard.assert_refused(host, c)
    g.configure({"imds": {"proxy-mode": "yes"}})
    g.block()
    before = host.uplink.arrivals()
    assert roads.get(c, lab.IMDS4, path="/v2/credentials/x")[0] == 200
    # Nobody proxies IPv6 here, nor what other containers send elsewhere.
    guard.assert_closed(host, c, (lab.IMDS6,))
    assert host.uplink.arrivals() == before


def test_what_the_host_itself_serves_under_the_address_stays_the_host_s(host, make_guard):
    """A stand-in of the service on the loopback device, as developers run it."""
    ecs_host.commands(host.host, f"addr add {lab.IMDS4}/32 dev lo")
    ecs_host.start_standin(host.host, "imds", lab.IMDS4)
    make_guard().block()
    guard.assert_reachable(host.host, (lab.IMDS4,))
    guard.assert_refused(host, host.containers["user"], (lab.IMDS4,))


def test_neighbours_are_found_again(host, make_guard):
    """The host's own neighbour discovery with the service goes through the hooks too."""
    make_guard({"imds": {"allow-address": host.containers["user"].address6}}).block()
    for space, link in ((host.host, "eth0"), (host.uplink.space, "eth0")) * 2:
        for family in ("-4", "-6"):
            space.run("ip", family, "neigh", "flush", "dev", link)
        guard.assert_reachable(host.host)
        guard.assert_reachable(host.containers["user"], (lab.IMDS6,))


def test_a_host_without_ipv6(host, make_guard):
    ecs_host.commands(host.host, "sysctl net.ipv6.conf.all.disable_ipv6=1")
    make_guard().block()
    guard.assert_refused(host, host.containers["user"], (lab.IMDS4,))


def test_counters_tell_what_was_stopped(host, make_guard):
    g = make_guard()
    g.block()

    def packets():
        return sum(row.get("packets", 0) for row in g.status()["layers"])
    assert packets() == 0
    for n, address in enumerate((lab.IMDS4, lab.IMDS6), 1):
        lab.connect(host.containers["odd"], address)
        assert packets() == n


def test_counters_do_not_go_back(host, make_guard):
    """Whoever resets them or takes the table away: those who watch a sum would take it for a restart."""
    g = make_guard(assume=("owner",)).start()

    def packets():
        return sum(row.get("packets", 0) for row in g.status()["layers"])

    def refused(n):
        lab.connect(host.containers["odd"], lab.IMDS4)
        assert packets() == n
    refused(1)
    refused(2)
    host.host.run("nft", "reset", "counters", "table", "inet", "batten")
    refused(3)
    host.host.run("nft", "flush", "ruleset")
    lab.wait_for(lambda: guard.table(host.host), "the table")
    refused(4)
    host.host.run("nft", "reset", "counters")
    refused(5)


def test_enabled_no_means_no_guard(host, make_guard):
    off = {"imds": {"enabled": "no"}}
    p = make_guard(off).block(check=False)
    assert p.returncode == 2 and "enabled = no" in p.stderr and not p.stdout
    guard.assert_reachable(host.containers["default"])
    g = make_guard().start()
    guard.assert_refused(host, host.containers["default"])
    g.configure(off)
    g.reload()
    guard.assert_reachable(host.containers["default"])
    assert guard.table(host.host) is None and not guard.rules(host.host)
    g.configure({})
    g.reload()
    guard.assert_refused(host, host.containers["default"])
