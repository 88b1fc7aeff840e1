# SPDX-License-Identifier: GPL-3.0-or-later
"""Not one connection gets through while rules are replaced, flushed by somebody else, or while the
daemon restarts or is killed: clients connect in a tight loop (tens of thousands of attempts a
second) and none may succeed."""
import pytest

import guard
import lab

OWNER_ALONE = {"imds": {"routing-rules": "no"}}
FLUSH_100_TIMES = "i=0; while [ $i -lt 100 ]; do nft flush ruleset || exit 1; i=$((i + 1)); done"


def hammers(host):
    user, odd = host.containers["user"], host.containers["odd"]
    return guard.Hammers((user, lab.IMDS4), (odd, lab.IMDS6))


def test_the_hammer_sees_a_gap(host):
    """The instrument: deleting and loading in two transactions, as scripts do, leaks."""
    rules = f"""table inet naive {{ chain forward {{
        type filter hook forward priority -10;
        ip daddr {lab.IMDS4} meta l4proto tcp reject with tcp reset
    }}; }}"""
    host.host.run("nft", "-f", "-", input=rules)
    with guard.Hammers((host.containers["user"], lab.IMDS4)) as h:
        for _ in range(10):
            host.host.run("nft", "delete", "table", "inet", "naive")
            host.host.run("nft", "-f", "-", input=rules)
    assert h.successes > 0


def test_10000_replacements(host):
    """One batch each: between two packets the kernel goes from the old table to the new."""
    host.host.run(lab.TOOLS / "guard-times", "replace", 1)
    assert not guard.rules(host.host), "routing rules would hide a gap"
    with hammers(host) as h:
        host.host.run(lab.TOOLS / "guard-times", "replace", 10000, timeout=120)
    h.assert_no_leak()


@pytest.mark.parametrize("config, assume", [
    (None, ()),
    (OWNER_ALONE, ()),  # the owner flag alone withstands a flush
    (None, ("owner",)),  # routing rules alone withstand it, and the table is healed
], ids=["all", "owner-alone", "rules-and-healing"])
def test_100_foreign_flushes(host, make_guard, config, assume):
    g = make_guard(config, assume=assume).start()
    with hammers(host) as h:
        host.host.run("sh", "-c", FLUSH_100_TIMES)
    # While the table is away IPv6 clients wait: the kernel's ICMPv6 errors are slow and few.
    h.assert_no_leak(attempts=100)
    for c in host.containers.values():
        lab.wait_for(lambda c=c: lab.connect(c, lab.IMDS4)[0] == "ECONNREFUSED", "the table to be healed")
        guard.assert_refused(host, c)
    assert g.process.poll() is None


def test_healing_closes_again_what_a_flush_opened(host, make_guard):
    """The weakest kind: no owner, no routing rules. It cannot be without a gap, but it heals."""
    make_guard(OWNER_ALONE, assume=("owner",)).start()
    for _ in range(5):
        host.host.run("nft", "flush", "ruleset")
        lab.wait_for(lambda: guard.table(host.host), "the table to come back", timeout=2)
        guard.assert_refused(host, host.containers["user"])


def test_everything_removed_at_once_is_healed(host, make_guard):
    make_guard(assume=("owner",)).start()
    for _ in range(3):
        host.host.run("nft", "flush", "ruleset")
        guard.delete_rules(host.host)
        lab.wait_for(lambda: guard.table(host.host) and len(guard.rules(host.host)) == 2
                     and len(guard.rules(host.host, 6)) == 2, "table and rules to come back", timeout=5)
    guard.assert_refused(host, host.containers["default"])


@pytest.mark.parametrize("config, assume", [
    (None, ()),
    (OWNER_ALONE, ()),
    (OWNER_ALONE, ("persist",)),
    (OWNER_ALONE, ("owner",)),
], ids=["all", "owner-persist", "owner-and-fd-store", "plain-table"])
def test_daemon_restarts(host, make_guard, config, assume):
    g = make_guard(config, assume=assume).start()
    with hammers(host) as h:
        for _ in range(3):
            g.restart()
    h.assert_no_leak()


@pytest.mark.parametrize("config, assume", [
    (None, ()),
    (None, ("persist",)),
    (None, ("owner",)),
    (OWNER_ALONE, ()),
    (OWNER_ALONE, ("persist",)),
    (OWNER_ALONE, ("owner",)),
], ids=["all", "no-persist", "no-owner", "owner-persist", "owner-and-fd-store", "plain-table"])
def test_kill_9_and_restart(host, make_guard, config, assume):
    g = make_guard(config, assume=assume).start()
    with hammers(host) as h:
        for _ in range(3):
            g.kill()
            # Dead for a while: nobody there to heal anything.
            lab.time.sleep(0.2)
            g.start()
    h.assert_no_leak()


def test_a_kill_without_a_manager(host, make_guard):
    """Started by hand, on a kernel without persistent tables."""
    g = make_guard(assume=("persist",), managed=False).start()
    with hammers(host) as h:
        g.kill()
        lab.time.sleep(0.3)
        g.start()
    h.assert_no_leak(attempts=3)  # through the rules alone an IPv6 client waits a second for its error
    guard.assert_refused(host, host.containers["user"])


def test_blocking_again_and_again(host, make_guard):
    g = make_guard()
    g.block()
    with hammers(host) as h:
        for _ in range(20):
            g.block()
    h.assert_no_leak()


def test_reloads_between_two_configurations(host, make_guard):
    g = make_guard().start()
    with hammers(host) as h:
        for n in range(20):
            g.configure({"imds": {"allow-address": f"192.0.2.{n + 1}", "proxy-mode": "yes" if n % 2 else "no"}})
            g.reload()
            assert f"192.0.2.{n + 1}" in guard.table(host.host)
    h.assert_no_leak(attempts=100)  # without the prerouting layer some attempts end in a time-out
