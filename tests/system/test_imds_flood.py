# SPDX-License-Identifier: GPL-3.0-or-later
"""A hundred thousand packets at once: counted one by one, told by a few events, and the rest as a number."""
import json
import os
import pathlib

import pytest

import groups
import lab
import task_host

COUNT = 100_000


@pytest.fixture
def h(spaces, scratch):
    with task_host.make(spaces, scratch) as host:
        yield host


def wait_for(condition, what):
    return lab.wait_for(condition, what, timeout=60)


def cpu_us(p):
    """What a process has used, in user and kernel mode."""
    fields = pathlib.Path(f"/proc/{p.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def flood(h, task, space):
    p = groups.start(h.tasks.group(task), space, lab.TOOLS / "flood", COUNT, lab.IMDS4, stdout=-1)
    return json.loads(p.communicate(timeout=300)[0])


def blocked(h):
    return [e for e in h.events() if e["kind"] == "imds.blocked"]


def told(h):
    """Every packet that some event speaks for; a sum stands for itself alone."""
    return sum(e["count"] + (e.get("suppressed", 0) if e["layer"] != "table" else 0) for e in blocked(h))


@pytest.mark.parametrize("rate", [10, 10000], ids=["limited-in-the-kernel", "limited-in-the-daemon"])
def test_packets_that_the_table_refuses(h, rate):
    h.configure("cgroup-ebpf = no", f"log-rate = {rate}")
    daemon = h.daemon()
    space, where = h.on_bridge()
    web = h.tasks.run("web", space, **where)
    # What arrives at the hooks: a busy host may lose some on the way there.
    h.host.run("nft", "-f", "-", input=f"""table inet reference {{ chain c {{
        type filter hook prerouting priority -400;
        ip daddr {lab.IMDS4} counter
    }}; }}""")
    before = cpu_us(daemon)
    result = flood(h, web, space)
    assert result["sent"] == COUNT

    def arrived():
        rows = h.host.json("nft", "-j", "list", "chain", "inet", "reference", "c")["nftables"]
        return next(e["counter"]["packets"] for r in rows if "rule" in r for e in r["rule"]["expr"] if "counter" in e)
    counted = wait_for(lambda: (n := arrived()) == h.layers()["prerouting", "ipv4"]["packets"] and n, "equal counters")
    assert counted > COUNT / 10
    wait_for(lambda: told(h) == counted, "events and sums to make up all of it")
    assert len(blocked(h)) < 200, "a few a second, and one sum a second"
    assert any(e["layer"] == "table" for e in blocked(h)) and "IMDS was refused more often than events tell" in h.log()
    # The daemon's work is bounded by what it tells, not by what was sent.
    if rate == 10:
        assert cpu_us(daemon) - before < result["cpu_us"], "it costs the sender more"


def test_attempts_that_the_programs_refuse(h):
    daemon = h.daemon()
    web = h.tasks.run("web", h.host)
    h.wait_known("web")
    before = cpu_us(daemon)
    result = flood(h, web, h.host)
    assert result["refused"] == COUNT and result["sent"] == 0
    assert h.layers()["cgroup-ebpf", "ipv4"]["packets"] == COUNT
    h.wait_log("IMDS was refused more often than events tell")
    assert 1 <= len(blocked(h)) < 200
    assert cpu_us(daemon) - before < result["cpu_us"]
    # The next event of that container speaks for all that was left out.
    lab.time.sleep(1.1)  # the events of one group are a second apart
    assert h.roads(web, "tcp4") == {"tcp4": "EPERM"}
    wait_for(lambda: sum(e["count"] for e in blocked(h)) == COUNT + 1, "the rest to be told")
    assert all(e["container"] == "web" for e in blocked(h))
