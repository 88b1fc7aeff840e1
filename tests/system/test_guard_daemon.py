# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon and the commands beside it: who changed what, who may, and what holds afterwards."""
import contextlib
import os
import pathlib
import signal
import socket
import sys
import time

import pytest

import ecs_host
import guard
import lab


# ---- life --------------------------------------------------------------------------------------

def test_the_guard_stands_before_readiness_is_told(host, make_guard):
    g = make_guard().start()
    guard.assert_refused(host, host.containers["default"])
    assert g.manager.seen.count("READY=1") == 1


def test_without_a_service_manager(host, make_guard):
    g = make_guard(managed=False).start()
    for c in host.containers.values():
        guard.assert_refused(host, c)
    guard.assert_roads_kept(host)
    assert g.stop() == 0


@pytest.mark.parametrize("assume", [(), ("persist",), ("owner",)], ids=["owner-persist", "owner", "plain"])
def test_a_clean_stop_leaves_the_guard_and_unblock_removes_it(host, make_guard, assume):
    before = ecs_host.other_rules(host.host)
    g = make_guard(assume=assume).start()
    assert g.stop() == 0
    for c in host.containers.values():
        guard.assert_refused(host, c)
    g.unblock()
    assert guard.table(host.host) is None and not guard.rules(host.host) and not guard.rules(host.host, 6)
    for c in host.containers.values():
        guard.assert_reachable(c)
    assert ecs_host.other_rules(host.host) == before


def test_the_second_daemon_says_so_and_leaves(host, make_guard):
    g = make_guard().start()
    p = g.command("daemon", check=False, timeout=10)
    assert p.returncode == 1 and "another batten daemon" in p.stderr and str(g.process.pid) in p.stderr, p
    assert len(p.stderr.splitlines()) == 1
    assert g.process.poll() is None
    guard.assert_refused(host, host.containers["user"])


def test_a_daemon_takes_over_what_a_command_left(host, make_guard):
    g = make_guard()
    g.block()
    with guard.Hammers((host.containers["user"], lab.IMDS4)) as h:
        g.start()
    h.assert_no_leak(attempts=100)
    guard.assert_refused(host, host.containers["user"])


def test_watchdog_is_fed(host, make_guard, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    g = make_guard().start()

    def fed():
        g.manager.pump(0.1)
        return g.manager.seen.count("WATCHDOG=1") >= 3
    lab.wait_for(fed, "three signs of life", timeout=5)


def test_idle_means_idle(host, make_guard):
    """No wake-up when nothing happens: no polling."""
    g = make_guard().start()
    time.sleep(0.5)  # what a start leaves to do

    def switches():
        return [line for task in pathlib.Path(f"/proc/{g.process.pid}/task").iterdir()
                for line in (task / "status").read_text().splitlines() if "ctxt_switches" in line]
    before = switches()
    time.sleep(2)
    assert switches() == before


@pytest.mark.no_sanitizer
def test_resident_memory(host, make_guard):
    g = make_guard().start()
    for _ in range(20):
        host.host.run("nft", "flush", "ruleset")
    time.sleep(0.3)
    status = pathlib.Path(f"/proc/{g.process.pid}/status").read_text()
    rss_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    assert rss_kib < 12 * 1024


# ---- commands beside the daemon ----------------------------------------------------------------

def test_block_beside_the_daemon_finds_the_work_done(host, make_guard):
    g = make_guard().start()
    assert g.block().returncode == 0
    assert g.process.poll() is None
    guard.assert_refused(host, host.containers["user"])


def test_unblock_holds_until_told_otherwise(host, make_guard):
    g = make_guard().start()
    g.unblock()
    for _ in range(5):
        for c in host.containers.values():
            guard.assert_reachable(c)
        time.sleep(0.1)
    host.host.run("nft", "flush", "ruleset")  # an event: still no reason to put it back
    time.sleep(0.3)
    guard.assert_reachable(host.containers["user"])
    g.block()
    for c in host.containers.values():
        guard.assert_refused(host, c)
    host.host.run("nft", "flush", "ruleset")
    lab.wait_for(lambda: guard.table(host.host), "healing to be back")


def test_commands_may_be_repeated(host, make_guard):
    g = make_guard()
    g.unblock()
    g.block()
    first = guard.table(host.host), guard.rules(host.host), guard.rules(host.host, 6)
    g.block()
    assert (guard.table(host.host), guard.rules(host.host), guard.rules(host.host, 6)) == first
    g.unblock()
    g.unblock()
    assert guard.table(host.host) is None and not guard.rules(host.host)


def test_many_commands_at_once(host, make_guard):
    g = make_guard()
    line = ["imds", "block", "--config", g.file, "--runtime-dir", g.runtime]
    running = [host.host.start(lab.BATTEN, *line, stdout=-1, stderr=-1) for _ in range(8)]
    for p in running:
        out, err = p.communicate(timeout=20)
        assert p.returncode == 0 and not err, (out, err)
    assert [n for n, _ in guard.rules(host.host)] == [90, 91]
    guard.assert_refused(host, host.containers["user"])


def test_status_tells_the_layers(host, make_guard):
    g = make_guard()
    assert {row["state"] for row in g.status()["layers"]} & {"missing"}
    g.start()
    s = g.status()
    assert s["schema"] == "batten.imds-status/1"
    states = {(row["layer"], row.get("family")): row["state"] for row in s["layers"]}
    for layer in ("forward", "prerouting", "translated", "postrouting", "routing-rules"):
        assert "active" in [v for (name, _), v in states.items() if name == layer], states
    assert s["table"]["owner"] is True and s["table"]["persist"] in (True, False)
    text = g.command("imds", "status").stdout
    for layer in ("forward", "prerouting", "translated", "postrouting", "routing-rules"):
        assert layer in text


def test_status_sees_what_is_gone(host, make_guard):
    g = make_guard()
    g.block()
    host.host.run("nft", "flush", "chain", "inet", "batten", "forward")
    assert g.layer("forward")["state"] in ("missing", "degraded")
    assert g.layer("routing-rules")["state"] == "active"
    guard.delete_rules(host.host)
    assert g.layer("routing-rules")["state"] == "missing"


def test_what_a_killed_probe_left_is_removed(host, make_guard):
    """Features are tried with dormant tables; whoever is killed meanwhile leaves them."""
    host.host.run("nft", "-f", "-", input="""
        table inet batten_probe_4711_0 { flags dormant; chain probe {
            type filter hook forward priority 0; drop
        }; }
        table inet batten_probe_4711_3 { flags dormant; }
        table inet batten_problem { }""")
    make_guard().start()
    tables = host.host.run("nft", "list", "tables").stdout
    assert "batten_probe" not in tables and "table inet batten_problem" in tables


def test_a_manager_that_does_not_listen_delays_nobody(host, make_guard):
    """Its queue is full, as while systemd reloads itself: the guard is up, and READY=1 comes later."""
    g = make_guard(managed=True, fd_store=False)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as other:
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                other.sendto(b"FILLER=1", g.manager.path)
    g.start(ready=False)
    lab.wait_for(lambda: (g.runtime / "control.sock").exists(), "the daemon to serve", timeout=30)
    guard.assert_refused(host, host.containers["user"])
    g.process.send_signal(signal.SIGHUP)
    host.host.run("nft", "flush", "ruleset")
    assert g.layer("forward")["state"] == "active"
    g.wait_ready()
    seen = [line for line in g.manager.seen if line != "FILLER=1"]
    assert seen.index("READY=1") < seen.index("RELOADING=1") and seen[-1] == "READY=1", seen
    assert g.stop() == 0


# ---- healing -----------------------------------------------------------------------------------

def test_the_culprit_of_a_flush_is_named(host, make_guard):
    g = make_guard(assume=("owner",)).start()
    before = len(g.log)
    host.host.run("nft", "flush", "ruleset")
    line = g.wait_log("healed", "nft", after=before)
    assert "pid" in line or "process" in line, line
    lab.wait_for(lambda: guard.table(host.host), "the table")
    assert g.status()["heals"] >= 1


@pytest.mark.parametrize("change", [
    ("nft", "delete", "table", "inet", "batten"),
    ("nft", "flush", "chain", "inet", "batten", "forward"),
    ("nft", "insert", "rule", "inet", "batten", "forward", "accept"),
    ("nft", "flush", "table", "inet", "batten"),
], ids=["delete-table", "flush-chain", "insert-accept", "flush-table"])
def test_any_change_of_our_table_is_undone(host, make_guard, change):
    make_guard(assume=("owner",)).start()
    wanted = guard.table(host.host)
    host.host.run(*change)
    lab.wait_for(lambda: guard.table(host.host) == wanted, "the table to be as before", timeout=5)
    guard.assert_refused(host, host.containers["odd"])


@pytest.mark.parametrize("family", [4, 6])
def test_routing_rules_are_put_back(host, make_guard, family):
    g = make_guard().start()
    wanted = guard.rules(host.host, family)
    assert [n for n, _ in wanted] == [90, 91]
    for priority in (90, 91):
        before = len(g.log)
        host.host.run("ip", f"-{family}", "rule", "del", "priority", priority)
        lab.wait_for(lambda: guard.rules(host.host, family) == wanted, "the rules to be as before", timeout=5)
        g.wait_log("routing rule was missing", after=before)


def test_lost_events_lead_to_a_look(host, make_guard):
    """More events than the socket holds, and ours among them: ENOBUFS must not mean "go on"."""
    g = make_guard(assume=("owner",)).start()
    wanted = guard.table(host.host)
    rule = f'add rule ip x c counter comment "{"x" * 120}"\n'
    flood = "add table ip x\nadd chain ip x c\n" + 10000 * rule
    g.process.send_signal(signal.SIGSTOP)
    host.host.run("nft", "-f", "-", input=flood)
    host.host.run("nft", "delete", "table", "inet", "batten")
    g.process.send_signal(signal.SIGCONT)
    lab.wait_for(lambda: guard.table(host.host) == wanted, "healing")
    guard.assert_refused(host, host.containers["user"])


CHURN = """
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
s.bind((0, 0))
def message(type, flags, family, subsystem, payload=b""):
    body = struct.pack("=BBH", family, 0, socket.htons(subsystem)) + payload
    return struct.pack("=IHHII", 16 + len(body), type, flags, 0, 0) + body
table = struct.pack("=HH", 10, 1) + b"churn\\0\\0\\0"
made, gone = (message(10 << 8 | kind, flags, 2, 0, table) for kind, flags in ((0, 0x401), (2, 1)))
batch = message(16, 1, 0, 10) + made + gone + message(17, 1, 0, 10)
while True:
    s.send(batch)
"""


def test_who_changes_the_ruleset_all_the_time_keeps_nobody_from_healing(host, make_guard):
    """Each of their transactions interrupts our reading of the table; writing it needs none."""
    g = make_guard(assume=("owner",))
    for _ in range(2):
        host.host.start(sys.executable, "-S", "-E", "-c", CHURN)
    g.start()
    for _ in range(20):
        before = len(g.log)
        host.host.run("nft", "delete", "table", "inet", "batten")
        g.wait_log("IMDS guard healed", after=before, timeout=30)
        g.reload()
    assert "cannot be put back" not in g.log and "not taken" not in g.log, g.log


def test_owned_tables_refuse_others(host, make_guard):
    make_guard().start()
    p = host.host.run("nft", "delete", "table", "inet", "batten", check=False)
    assert p.returncode != 0 and "not permitted" in p.stderr


def test_nothing_foreign_is_touched(host, make_guard):
    host.host.run("nft", "-f", "-", input="""
        table inet firewalld { set trusted { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
            chain input { type filter hook input priority filter + 10; ip saddr @trusted accept; }; }
        table ip docker-bridges { chain forward { type filter hook forward priority filter; }; }
        table netdev edge { }""")
    ecs_host.commands(host.host, "rule add priority 1000 from 10.9.0.0/16 lookup 100",
                      "rule add priority 92 to 192.0.2.0/24 lookup main")
    before = ecs_host.other_rules(host.host)
    g = make_guard(assume=("owner",)).start()
    assert ecs_host.other_rules(host.host) == before
    host.host.run("nft", "delete", "table", "inet", "batten")
    lab.wait_for(lambda: guard.table(host.host), "healing")
    g.configure({"imds": {"allow-address": "192.0.2.1"}})
    g.reload()
    g.restart()
    g.kill()
    g.start()
    assert g.stop() == 0
    assert ecs_host.other_rules(host.host) == before
    g.unblock()
    assert ecs_host.other_rules(host.host) == before


def test_events_of_others_do_not_disturb(host, make_guard):
    """Docker writes rules all the time: that is no change of ours and no reason to say anything."""
    g = make_guard().start()
    heals, before = g.status()["heals"], len(g.log)
    host.host.run("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do nft add table ip x$i; nft delete table ip x$i; done")
    time.sleep(0.3)
    assert g.status()["heals"] == heals and "heal" not in g.log[before:]


# ---- configuration and privilege ---------------------------------------------------------------

@pytest.mark.parametrize("text, line, word", [
    ("[imds]\nenabled = perhaps\n", 2, "enabled"),
    ("[imds]\n\nno-such-key = 1\n", 3, "no-such-key"),
    ("[imds]\nenabled = yes\n[imds]\n", 3, "imds"),
    ("[nonsense]\nx = 1\n", 1, "nonsense"),
    ("[imds]\nallow-address = 172.17.0.300\n", 2, "172.17.0.300"),
    ("[imds]\nlog-group = 65536\n", 2, "log-group"),
    ("[imds]\nlog = yes\nlog = no\n", 3, "log"),
    ("[imds]\nrouting-rule-priority = 0\n", 2, "routing-rule-priority"),
    ("[daemon]\nlog-level = shouting\n", 2, "log-level"),
    ("enabled = yes\n", 1, "enabled"),
    ("[imds]\ntable-owner = maybe\n", 2, "table-owner"),
])
@pytest.mark.parametrize("command", [("daemon",), ("imds", "block")], ids=["daemon", "block"])
def test_bad_configuration_is_exit_2_with_file_and_line(host, make_guard, command, text, line, word):
    g = make_guard()
    g.file.write_text(text)
    p = g.command(*command, check=False, timeout=10)
    assert p.returncode == 2 and len(p.stderr.splitlines()) == 1, p
    assert f"{g.file}:{line}" in p.stderr and word in p.stderr, p.stderr
    assert guard.table(host.host) is None


def test_a_named_file_that_is_missing(host, make_guard):
    g = make_guard()
    g.file.unlink()
    p = g.command("imds", "block", check=False)
    assert p.returncode in (2, 3) and str(g.file) in p.stderr and len(p.stderr.splitlines()) == 1


def test_a_bad_configuration_on_reload_keeps_the_old_one(host, make_guard):
    user = host.containers["user"]
    g = make_guard({"imds": {"allow-address": user.address}}).start()
    guard.assert_reachable(user, (lab.IMDS4,))
    before = len(g.log)
    g.file.write_text("[imds]\nallow-address = nonsense\n")
    g.reload()
    g.wait_log(f"{g.file}:2", after=before)
    assert g.process.poll() is None
    guard.assert_reachable(user, (lab.IMDS4,))
    guard.assert_refused(host, host.containers["odd"])


def test_reload_takes_the_new_configuration(host, make_guard):
    user, odd = host.containers["user"], host.containers["odd"]
    g = make_guard({"imds": {"allow-address": user.address}}).start()
    g.configure({"imds": {"allow-address": odd.address}})
    g.reload()
    guard.assert_reachable(odd, (lab.IMDS4,))
    guard.assert_refused(host, user, (lab.IMDS4,))
    g.configure({})
    g.reload()
    guard.assert_refused(host, odd, (lab.IMDS4,))


@pytest.mark.parametrize("command", [("daemon",), ("imds", "block"), ("imds", "unblock")],
                         ids=["daemon", "block", "unblock"])
def test_without_cap_net_admin_exit_3_and_one_line(host, make_guard, command):
    g = make_guard()
    p = host.host.run("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", lab.BATTEN, *command,
                      "--config", g.file, "--runtime-dir", g.runtime, check=False, timeout=10)
    assert p.returncode == 3 and len(p.stderr.splitlines()) == 1, p
    assert "CAP_NET_ADMIN" in p.stderr


def test_the_capabilities_of_the_unit_are_enough(host, make_guard):
    """With what systemd/batten.service leaves of root, and without gaining any by exec."""
    unit = (pathlib.Path(__file__).parent.parent.parent / "systemd" / "batten.service").read_text()
    line = next(li for li in unit.splitlines() if li.startswith("CapabilityBoundingSet="))
    keep = ["+" + word.removeprefix("CAP_").lower() for word in line.split("=")[1].split()]
    g = make_guard()
    g.wrapper = ["setpriv", "--bounding-set=-all," + ",".join(keep), "--inh-caps=-all", "--no-new-privs"]
    g.start()
    guard.assert_refused(host, host.containers["user"])
    host.host.run("nft", "flush", "ruleset")
    g.unblock()
    guard.assert_reachable(host.containers["user"])
    g.block()
    g.reload()
    guard.assert_refused(host, host.containers["user"])
    assert g.stop() == 0


def test_a_failing_layer_does_not_take_the_other_with_it(host, make_guard):
    """Foreign rules at our priorities: they stay, ours stand beside them."""
    ecs_host.commands(host.host, "rule add priority 90 from 10.9.0.0/16 lookup 100")
    make_guard().block()
    assert "from 10.9.0.0/16" in host.host.run("ip", "rule").stdout
    guard.assert_refused(host, host.containers["user"])
    make_guard().unblock()
    assert "from 10.9.0.0/16" in host.host.run("ip", "rule").stdout


def test_log_is_text_on_standard_error(host, make_guard):
    g = make_guard().start()
    g.stop()
    assert g.log and all(line.isprintable() for line in g.log.splitlines())
    assert os.environ.get("INVOCATION_ID") is None or "MESSAGE_ID" not in g.log


def test_signals_at_any_moment_leave_it_closed(host, make_guard):
    """SIGKILL from the first moment on: whatever was installed stays, nothing half-made opens a road."""
    g = make_guard()
    g.block()
    with guard.Hammers((host.containers["user"], lab.IMDS4)) as h:
        for delay in range(15):
            g.start(ready=False)
            time.sleep(delay * 0.004)
            g.process.send_signal(signal.SIGKILL)
            g.process.wait()
    h.assert_no_leak()
    guard.assert_refused(host, host.containers["user"])
