# SPDX-License-Identifier: GPL-3.0-or-later
"""The ECS agent's ports and rules as the kernel has them: a stand-in of the agent and the rules of
ecs-init, written by iptables, in a namespace of their own."""
import json
import sys

import pytest

import lab

AGENT = """
import http.server, json, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        j = {'/v1/metadata': {'Cluster': 'c', 'ContainerInstanceArn': 'arn:aws:ecs:eu-west-1:111122223333:container-instance/c/1',
                              'Version': 'Amazon ECS Agent - v' + sys.argv[1] + ' (*0)'}, '/v1/tasks': {'Tasks': []}}[self.path]
        b = json.dumps(j).encode()
        self.send_response(200); self.send_header('Content-Length', str(len(b))); self.end_headers(); self.wfile.write(b)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(('0.0.0.0', 51678), H).serve_forever()
"""

ECS_INIT = [
    ["iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "-d", "169.254.170.2", "--dport", "80", "-j", "DNAT",
     "--to-destination", "127.0.0.1:51679"],
    ["iptables", "-I", "INPUT", "--dst", "127.0.0.0/8", "!", "--src", "127.0.0.0/8", "-m", "conntrack", "!", "--ctstate",
     "RELATED,ESTABLISHED,DNAT", "-j", "DROP"],
    ["iptables", "-I", "INPUT", "-p", "tcp", "--dport", "51678", "!", "-i", "lo", "-j", "DROP"],
    ["ip6tables", "-I", "INPUT", "-p", "tcp", "--dport", "51678", "!", "-i", "lo", "-j", "DROP"],
    ["iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", "169.254.170.2", "--dport", "80", "-j", "REDIRECT",
     "--to-ports", "51679"],
]


@pytest.fixture
def host(spaces):
    h = spaces.new("host", mounts=True)
    h.start(sys.executable, "-c", AGENT, "1.97.0")
    lab.wait_for(lambda: lab.connect(h, "127.0.0.1", 51678)[0] == "OK", "the agent's stand-in")
    return h


def audit(host, *controls):
    p = host.batten("audit", "--json", "--control", ",".join(controls), "--docker", "unix:///no/docker", check=False)
    return {f["control"]: f for f in json.loads(p.stdout)["findings"]}


def test_rules_of_ecs_init_are_understood(host):
    for rule in ECS_INIT:
        host.run(*rule)
    host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet")
    found = audit(host, "AGT-01", "AGT-02", "AGT-03", "AGT-04")
    assert found["AGT-01"]["status"] == "pass"
    assert found["AGT-02"]["status"] == "fail" and "1.97.1" in found["AGT-02"]["evidence"]
    assert found["AGT-03"]["status"] == "pass", found["AGT-03"]
    assert found["AGT-04"]["status"] == "pass", found["AGT-04"]


@pytest.mark.parametrize("missing, control, words", [
    (2, "AGT-03", "over IPv4"), (3, "AGT-03", "over IPv6"), (1, "AGT-04", "no rule drops"),
    (0, "AGT-04", "0 DNAT and 1 REDIRECT"), (4, "AGT-04", "1 DNAT and 0 REDIRECT")])
def test_each_missing_rule_is_found(host, missing, control, words):
    for i, rule in enumerate(ECS_INIT):
        if i != missing:
            host.run(*rule)
    host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet")
    found = audit(host, control)[control]
    assert found["status"] == "fail" and words in found["evidence"], found


def test_the_old_rule_for_one_interface_is_not_enough(host):
    for rule in ECS_INIT[:2] + ECS_INIT[3:]:
        host.run(*rule)
    host.run("iptables", "-I", "INPUT", "-p", "tcp", "--dport", "51678", "-i", "eth0", "-j", "DROP")
    found = audit(host, "AGT-03")["AGT-03"]
    assert found["status"] == "fail" and "only one interface" in found["evidence"]


def test_native_nftables_rules_are_understood(host):
    host.run("nft", "-f", "-", input="""table inet own {
  chain in {
    type filter hook input priority 0
    tcp dport 51678 iifname != "lo" drop
    ip daddr 127.0.0.0/8 ip saddr != 127.0.0.0/8 drop
  }
}
""")
    assert audit(host, "AGT-03")["AGT-03"]["status"] == "pass"


def test_the_port_is_tried_from_inside_a_task(docker_host):
    """The rules look well; something above them lets the tasks' bridge through."""
    d = docker_host
    server = d.space.start(sys.executable, "-c", AGENT, "1.105.1")
    lab.wait_for(lambda: lab.connect(d.space, "127.0.0.1", 51678)[0] == "OK", "the agent's stand-in", timeout=30)
    d.docker("run", "-d", "--name", "pause", "--network", "none",
             "--label", "com.amazonaws.ecs.container-name=~internal~ecs~pause",
             "--label", f"com.amazonaws.ecs.task-arn=arn:aws:ecs:eu-west-1:111122223333:task/c/{'0' * 32}",
             "busybox", "sleep", "600")
    pid = str(d.inspect("pause")["State"]["Pid"])
    d.space.run("ip", "link", "add", "ecs-bridge", "type", "bridge")
    d.space.run("ip", "address", "add", "169.254.172.1/22", "dev", "ecs-bridge")
    d.space.run("ip", "link", "set", "ecs-bridge", "up")
    d.space.run("ip", "link", "add", "task0", "master", "ecs-bridge", "type", "veth", "peer", "name", "ecs-eth0", "netns", pid)
    d.space.run("ip", "link", "set", "task0", "up")
    for command in (["address", "add", "169.254.172.2/22", "dev", "ecs-eth0"], ["link", "set", "ecs-eth0", "up"]):
        d.space.run("nsenter", "-t", pid, "-n", "ip", *command)
    rules = [["-p", "tcp", "--dport", "51678", "!", "-i", "lo", "-j", "DROP"]]
    for program in ("iptables", "ip6tables"):
        d.space.run(program, "-I", "INPUT", *rules[0])
    gap = ["INPUT", "-i", "ecs-bridge", "-j", "ACCEPT"]

    def control():
        p = d.space.run(lab.BATTEN, "audit", "--json", "--control", "AGT-03", "--docker", f"unix://{d.socket}", check=False)
        return json.loads(p.stdout)["findings"][0]
    closed = control()
    d.space.run("iptables", "-I", *gap)
    opened = control()
    d.space.run("iptables", "-D", *gap)
    for program in ("iptables", "ip6tables"):
        d.space.run(program, "-D", "INPUT", *rules[0])
    d.space.run("ip", "link", "del", "ecs-bridge")
    d.docker("rm", "-f", "pause")
    server.kill()
    server.wait()
    assert closed["status"] == "pass" and "no task's connection is accepted" in closed["evidence"], closed
    assert opened["status"] == "fail" and "pause connects to it" in opened["evidence"], opened
