# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated host itself: without a guard every road in roads.py is open. A test that finds one
closed later has then found the guard, not a laboratory that never worked."""
import json
import os
import pathlib
import signal
import subprocess
import sys

import ecs_host
import lab
import roads


def test_every_container_reaches_everything(host):
    for space in (host.host, *host.containers.values()):
        for address in (lab.IMDS4, lab.IMDS6, ecs_host.ELSEWHERE4, ecs_host.ELSEWHERE6, ecs_host.CREDENTIALS):
            assert lab.connect(space, address)[0] == "OK", (space.name, address)


def test_every_other_road_is_open(host):
    c = host.containers["user"]
    for address in (lab.IMDS4, lab.IMDS6):
        assert roads.datagram(c, address) and roads.datagram(c, address, 4000)
    assert roads.fragmented_syn(c, c.address, lab.IMDS4)
    host.follow_source_routes(c)
    before = host.uplink.arrivals()
    roads.source_routed(c, c.gateway, lab.IMDS4, timeout=0.2)
    assert host.uplink.arrivals() > before


def test_the_roads_stay_open_when_the_host_forgets_its_rules(host):
    host.host.run("nft", "flush", "ruleset")
    for c in host.containers.values():
        assert lab.connect(c, lab.IMDS4)[0] == lab.connect(c, lab.IMDS6)[0] == "OK"


def test_the_service_speaks_both_versions(spaces):
    host = ecs_host.EcsHost(spaces, tokens_required=True)
    c, path = host.containers["default"], "/latest/api/token"
    for address in (lab.IMDS4, lab.IMDS6):
        assert roads.get(c, address)[0] == 401
        assert roads.get(c, address, "PUT", path)[0] == 400
        assert roads.get(c, address, "PUT", path, {"X-aws-ec2-metadata-token-ttl-seconds": "21601"})[0] == 400
        status, token = roads.get(c, address, "PUT", path, {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        assert status == 200
        assert roads.get(c, address, headers={"X-aws-ec2-metadata-token": token}) == (200, "i-0123456789abcdef0")
        assert roads.get(c, address, headers={"X-aws-ec2-metadata-token": "forged"})[0] == 401


def test_the_credentials_endpoint_answers_containers_and_host(host):
    for space in (host.host, *host.containers.values()):
        status, body = roads.get(space, ecs_host.CREDENTIALS, path="/v2/credentials/0123")
        assert status == 200 and json.loads(body)["RoleArn"].endswith("taskRole")


def test_a_test_that_fails_leaves_nothing_behind(tmp_path):
    """Namespaces, stand-ins, daemon, clients: all end with the test, also when it ends badly."""
    (tmp_path / "test_bad.py").write_text("""
import guard, lab
def test_bad(host, make_guard):
    make_guard().start()
    guard.Hammers((host.containers["user"], lab.IMDS4)).__enter__()
    assert False
""")
    here = pathlib.Path(__file__).parent
    p = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest",
                        "--rootdir", tmp_path, "--basetemp", tmp_path / "t", tmp_path / "test_bad.py"],
                       text=True, capture_output=True, start_new_session=True,
                       env={**os.environ, "PYTHONPATH": str(here), "LEFT_BEHIND": str(tmp_path)})
    assert p.returncode == 1 and "assert False" in p.stdout, p.stdout + p.stderr
    mark = f"LEFT_BEHIND={tmp_path}".encode()

    def left():
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if mark in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes())
            except OSError:
                pass  # ended while we looked
        return found
    lab.wait_for(lambda: not left(), "what the test started to end", timeout=5)


def test_hammer_counts_what_it_gets(host):
    c = host.containers["odd"]
    for address, port, key in ((lab.IMDS4, 80, "successes"), (lab.IMDS6, 80, "successes"), ("127.0.0.1", 80, "refused")):
        p = c.start(lab.TOOLS / "hammer", address, port, stdout=-1)
        assert p.stdout.readline() == "up\n"
        lab.time.sleep(0.1)
        p.send_signal(signal.SIGTERM)
        tally = json.loads(p.communicate(timeout=5)[0])
        assert tally[key] + tally["timeouts"] == tally["attempts"] > 100, tally
