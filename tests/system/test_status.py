# SPDX-License-Identifier: GPL-3.0-or-later
"""`batten status` and `batten metrics`: what they say is what is there, and others can read it."""
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

import lab
import watched


@pytest.fixture
def host(spaces, scratch):
    with watched.Watched(spaces.new("host", mounts=True), scratch) as w:
        yield w


def status(host, code=None):
    p = host.guard.command("status", "--json", check=False)
    assert p.returncode in ((0, 1) if code is None else (code,)), p
    return json.loads(p.stdout)


def metrics(text):
    """{name{labels}: value}"""
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and line[0] != "#"}


def test_layer_by_layer_with_and_without_a_daemon(host):
    s = status(host, 1)
    assert s["schema"] == "batten.status/1" and s["state"] == "open" and not s["daemon"]["running"]
    assert "daemon" in {b["what"] for b in s["degraded"]} and all(b["reason"] for b in s["degraded"])
    host.start()
    lab.wait_for(lambda: status(host)["state"] == "protected", "Docker to be followed", timeout=60)
    s = status(host, 0)
    assert s["daemon"]["pid"] == host.guard.process.pid and s["degraded"] == []
    assert {layer["state"] for layer in s["guard"]["layers"]} <= {"active", "off"}
    assert s["audit"]["state"] == "active" and s["audit"]["runs"] >= 1 and s["docker"]["followed"]
    assert {"/etc/ecs", "/etc/docker", "/var/lib/ecs"} <= {w["path"] for w in s["audit"]["watches"]}
    text = host.guard.command("status").stdout
    assert "This host is protected." in text and "cgroup-ebpf" in text
    host.docker.cut_streams()
    host.docker.mood = "error"
    lab.wait_for(lambda: "docker" in {b["what"] for b in status(host)["degraded"]}, "Docker's absence", timeout=60)
    assert "docker: " in host.guard.command("status", check=False).stdout
    findings = status(host)["audit"]["findings"]
    assert host.guard.stop() == 0
    # What the daemon leaves: the guard, and its findings on disk.
    s = status(host, 1)
    assert s["state"] == "degraded" and s["guard"]["closed"] and s["audit"]["findings"] == findings


def test_an_unblocked_guard_is_open_and_says_so(host):
    host.start()
    host.guard.unblock()
    s = status(host, 1)
    assert s["state"] == "open" and any("unblocked" in b["reason"] for b in s["degraded"])


def test_metrics_are_what_prometheus_wants(host):
    lab.need(shutil.which("promtool"), "promtool (Debian's prometheus)")

    def checked():
        text = host.guard.command("metrics").stdout
        p = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, timeout=120)
        assert p.returncode == 0 and not p.stdout + p.stderr, p
        return metrics(text)
    m = checked()
    assert m["batten_daemon_up"] == 0 and m["batten_guard_closed"] == 0
    host.start()
    id = host.tasks.run("web", host.space)
    host.wait_event(container_id=id, control="CTR-03")
    m = checked()
    assert m["batten_daemon_up"] == m["batten_guard_closed"] == m["batten_containers"] == 1
    assert m['batten_guard_layer_up{layer="forward",family="ipv4"}'] == 1
    found = json.loads(host.guard.command("status", "--json", check=False).stdout)["audit"]["findings"]
    assert {s: m[f'batten_findings{{severity="{s}"}}'] for s in found} == found
    assert m['batten_finding_steps_total{state="new"}'] >= 2 and m["batten_audit_runs_total"] >= 1
    assert m["batten_process_resident_memory_bytes"] > 0 and m["batten_process_open_fds"] > 3
    assert m['batten_loop_busy_seconds_bucket{le="+Inf"}'] == m["batten_loop_busy_seconds_count"] > 0
    heals = m["batten_guard_heals_total"]
    host.space.run("ip", "rule", "del", "priority", "91")
    host.guard.wait_log("routing rule was missing", timeout=60)
    assert checked()["batten_guard_heals_total"] > heals



def test_node_exporter_serves_the_textfile(spaces, scratch):
    lab.need(shutil.which("prometheus-node-exporter"), "Debian's prometheus-node-exporter")
    directory = scratch / "textfile"
    directory.mkdir()
    space = spaces.new("host", mounts=True)
    with watched.Watched(space, scratch, {"metrics": {"textfile": directory / "batten.prom"}}) as host:
        host.start()
        file = directory / "batten.prom"
        lab.wait_for(file.exists, "the textfile", timeout=60)
        assert file.stat().st_mode & 0o777 == 0o644
        exporter = space.start("prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
                               f"--collector.textfile.directory={directory}", "--web.listen-address=127.0.0.1:9100",
                               stderr=subprocess.DEVNULL)

        def scraped():
            assert exporter.poll() is None
            code = ("import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9100/metrics', "
                    "timeout=30).read().decode())")
            p = space.run(sys.executable, "-S", "-E", "-c", code, check=False, timeout=120)
            return p.returncode == 0 and p.stdout
        m = metrics(lab.wait_for(scraped, "the exporter", timeout=60))
        assert m["batten_daemon_up"] == 1 and m["batten_guard_closed"] == 1
        assert m['node_textfile_scrape_error'] == 0
        # Whoever reads finds a whole file, and nothing else lies beside it.
        assert [p.name for p in directory.iterdir()] == ["batten.prom"]
        host.guard.configure({"metrics": {"textfile": pathlib.Path("/proc/nowhere/batten.prom")},
                              "daemon": {"docker": host.docker.url}})
        host.guard.process.send_signal(1)
        host.guard.wait_log("metrics cannot be written", "/proc/nowhere", timeout=60)
        p = host.guard.command("status", check=False)
        assert p.returncode == 1 and "metrics: /proc/nowhere" in p.stdout
