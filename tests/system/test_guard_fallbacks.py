# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels that lack something: each fallback forced on its own and all together, and what status
says of it. Where only the owner flag is there, the service manager keeps the socket."""
import os

import pytest

import guard
import lab
import roads

FEATURES = ["owner", "persist", "iifkind", "reject-prerouting", "undo-translation", "postrouting-iif", "log", "limit", "comment",
            "bridge", "routing-rules", "routing-rules-ipv6"]
SETS = [*((f,) for f in FEATURES), tuple(FEATURES)]


@pytest.mark.parametrize("assume", SETS, ids=["+".join(s) if len(s) < 3 else "all" for s in SETS])
def test_roads_stay_closed_without(host, make_guard, assume):
    g = make_guard(assume=assume).start()
    # Without any reset before the route is looked up the routing rules answer first, as well as they can.
    late = "reject-prerouting" in assume and "routing-rules" not in assume
    check = guard.assert_closed if late else guard.assert_refused
    for c in host.containers.values():
        check(host, c)
    guard.assert_roads_kept(host)
    # Routing rules do not see the second lookup that follows a source route.
    if "postrouting-iif" not in assume:
        c = host.containers["user"]
        host.follow_source_routes(c)
        before = host.uplink.arrivals()
        roads.source_routed(c, c.gateway, lab.IMDS4, timeout=0.2)
        assert host.uplink.arrivals() == before
    host.host.run("nft", "flush", "ruleset")
    lab.wait_for(lambda: guard.table(host.host), "the table")
    check(host, host.containers["default"])
    assert g.process.poll() is None


def test_without_nftables_the_routing_rules_answer(host, make_guard):
    make_guard(assume=("nftables",)).start()
    assert guard.table(host.host) is None
    before = host.uplink.arrivals()
    for c in host.containers.values():
        name, ms = lab.connect(c, lab.IMDS4)
        assert name == "EHOSTUNREACH" and ms < 1000
        assert lab.connect(c, lab.IMDS6)[0] in ("EACCES", "EHOSTUNREACH")
    assert host.uplink.arrivals() == before
    guard.assert_roads_kept(host)


def test_without_reject_it_is_slow_but_closed(host, make_guard):
    g = make_guard(assume=("reject",)).start()
    before = host.uplink.arrivals()
    for c in host.containers.values():
        assert lab.connect(c, lab.IMDS4, timeout=0.3)[0] == lab.connect(c, lab.IMDS6, timeout=0.3)[0] == "TIMEOUT"
    assert host.uplink.arrivals() == before
    assert g.layer("forward")["reason"]


def test_with_nothing_left_it_does_not_pretend(host, make_guard):
    g = make_guard(assume=("nftables", "routing-rules", "routing-rules-ipv6"))
    p = g.block(check=False)
    assert p.returncode == 3 and p.stderr.count("\n") == 1, p


def test_an_unknown_feature_is_wrong_usage(host, make_guard):
    p = make_guard(assume=("nosuch",)).block(check=False)
    assert p.returncode == 2 and "nosuch" in p.stderr and "reject-prerouting" in p.stderr


@pytest.mark.parametrize("feature, layer", [
    ("reject-prerouting", "prerouting"),
    ("reject-prerouting", "translated"),
    ("undo-translation", "translated"),
    ("iifkind", "prerouting"),
    ("postrouting-iif", "postrouting"),
    ("routing-rules", "routing-rules"),
    ("bridge", "bridge-ports"),
])
def test_status_says_what_degraded_and_why(host, make_guard, feature, layer):
    g = make_guard(assume=(feature,)).start()
    rows = [row for row in g.status()["layers"] if row["layer"] == layer
            and (layer != "routing-rules" or row["family"] == "ipv4")]
    assert rows and all(row["state"] in ("degraded", "missing", "off") and row["reason"] for row in rows), rows
    assert layer in g.command("imds", "status").stdout


@pytest.mark.parametrize("assume, owner, persist", [((), True, True), (("persist",), True, False),
                                                    (("owner",), False, False)])
def test_status_tells_how_the_table_is_held(host, make_guard, assume, owner, persist):
    g = make_guard(assume=assume).start()
    table = g.status()["table"]
    assert (table["owner"], table["persist"]) == (owner, persist)
    flags = guard.table(host.host)
    assert ("flags owner" in flags) == owner


def test_the_owner_flag_can_be_switched_off(host, make_guard):
    g = make_guard({"imds": {"table-owner": "no"}}).start()
    assert g.status()["table"]["owner"] is False
    assert "owner" not in guard.table(host.host)


# ---- the file descriptor store -----------------------------------------------------------------

def test_the_table_outlives_a_crash_in_the_store(host, make_guard):
    g = make_guard({"imds": {"routing-rules": "no"}}, assume=("persist",)).start()
    lab.wait_for(lambda: g.manager.pump() or g.manager.stored, "the socket to be stored")
    assert "FDPOLL=0" in g.manager.seen, "an error on the socket would make systemd drop it"
    assert len(g.manager.stored) == 1
    g.kill()
    guard.assert_refused(host, host.containers["user"])
    g.start()
    guard.assert_refused(host, host.containers["user"])
    # It is the same socket: the successor may change the table, and others still may not.
    p = host.host.run("nft", "delete", "table", "inet", "batten", check=False)
    assert p.returncode != 0
    g.configure({"imds": {"routing-rules": "no", "allow-address": host.containers["user"].address}})
    g.reload()
    guard.assert_reachable(host.containers["user"], (lab.IMDS4,))


def test_a_crash_loop_does_not_fill_the_store(host, make_guard):
    g = make_guard({"imds": {"routing-rules": "no"}}, assume=("persist",)).start()
    for _ in range(4):
        g.kill()
        g.start()
        g.manager.pump(0.05)
        assert len(g.manager.stored) == 1, g.manager.stored
    guard.assert_refused(host, host.containers["user"])


def test_without_a_store_the_table_is_not_owned(host, make_guard):
    """Owner without persist, and nobody to keep the socket: a crash would open every road."""
    g = make_guard({"imds": {"routing-rules": "no"}}, assume=("persist",), fd_store=False).start()
    assert g.status()["table"]["owner"] is False and g.status()["table"]["reason"]
    g.kill()
    guard.assert_refused(host, host.containers["user"])


def test_with_both_a_dead_owner_s_table_withstands_a_flush(host, make_guard):
    """A persistent table without its owner is anybody's; the socket in the store keeps it ours."""
    g = make_guard({"imds": {"routing-rules": "no"}}).start()
    assert g.status()["table"]["persist"] is True
    g.kill()
    with guard.Hammers((host.containers["user"], lab.IMDS4)) as h:
        host.host.run("nft", "flush", "ruleset")
    h.assert_no_leak(attempts=100)
    guard.assert_refused(host, host.containers["user"])


def test_a_store_with_something_strange_in_it(host, make_guard):
    """Descriptors under names that are not ours, and one of ours that is no netlink socket."""
    g = make_guard(assume=("persist",)).start()
    lab.wait_for(lambda: g.manager.pump() or g.manager.stored, "the socket to be stored")
    name, = g.manager.stored
    g.kill()
    os.close(g.manager.stored[name])
    g.manager.stored[name] = os.open("/dev/null", os.O_RDONLY)
    g.manager.stored["not-ours"] = os.open("/dev/null", os.O_RDONLY)
    g.start()
    guard.assert_refused(host, host.containers["user"])


def test_a_clean_stop_hands_the_table_over(host, make_guard):
    """systemd forgets what it keeps for a unit that was stopped: the table must not go with it."""
    g = make_guard({"imds": {"routing-rules": "no"}}, assume=("persist",)).start()
    with guard.Hammers((host.containers["user"], lab.IMDS4)) as h:
        assert g.stop() == 0
        lab.time.sleep(0.1)
    h.assert_no_leak()
    assert "owner" not in guard.table(host.host)
    guard.assert_refused(host, host.containers["user"])


def test_a_start_that_fails_leaves_the_table(host, make_guard):
    """A manager gives up on a unit that fails again and again, and closes what it kept for it."""
    g = make_guard(assume=("persist",))
    (g.runtime / "control.sock").mkdir()
    assert g.start(ready=False).wait_end() != 0 and guard.table(host.host)
    g.manager.forget()
    assert guard.table(host.host)
    guard.assert_refused(host, host.containers["user"])


# ---- a command that takes the features for granted ------------------------------------------------

@pytest.mark.no_sanitizer  # LeakSanitizer does not work under strace
def test_block_asks_the_kernel_when_it_refuses(host, make_guard, scratch):
    """The batch with the table is refused once: what the kernel can do is then found out, and the rest stands."""
    g, log, refused = make_guard(), scratch / "log", 0
    for n in range(1, 40):
        host.host.run("nft", "flush", "ruleset")
        p = host.host.run("strace", "-qq", "-o", log, "-s", "8192", "-e", "trace=sendto", "-e", f"inject=sendto:error=EOPNOTSUPP:when={n}",
                          lab.BATTEN, "imds", "block", "--config", g.file, "--runtime-dir", g.runtime, check=False)
        injected = [line for line in log.read_text().splitlines() if "(INJECTED)" in line]
        if not injected:
            break
        if "NFNL_MSG_BATCH_BEGIN" in injected[0] and "NFT_MSG_NEWTABLE" in injected[0]:
            refused += 1
            assert p.returncode == 0, p
            assert {row["state"] for row in g.status()["layers"] if row["layer"] in ("prerouting", "forward")} == {"active"}
            guard.assert_refused(host, host.containers["user"])
    assert refused == 1 and not injected


def test_block_again_changes_nothing(host, make_guard):
    g = make_guard()

    def handle():
        rows = (row.get("table", {}) for row in host.host.json("nft", "-j", "list", "tables")["nftables"])
        return [row["handle"] for row in rows if row.get("name") == "batten"]
    g.block()
    before = handle()
    g.block()
    assert handle() == before and len(before) == 1
    host.host.run("nft", "add", "rule", "inet", "batten", "forward", "accept")
    g.block()
    assert handle() != before
    guard.assert_refused(host, host.containers["user"])


def test_who_finds_a_table_of_another_owner_says_so(host, make_guard, scratch):
    """Also where that table is just like one's own would be: nobody but its owner could mend it."""
    g = make_guard().start()
    other = scratch / "other"
    for code, *command in ((3, "imds", "block"), (1, "daemon")):
        p = g.space.run(lab.BATTEN, *command, "--config", g.file, "--runtime-dir", other, check=False, timeout=60)
        assert p.returncode == code and "table batten: is owned by another process (netlink port" in p.stderr, p
    assert g.status()["table"]["owner"] is True
    guard.assert_refused(host, host.containers["user"])
