# SPDX-License-Identifier: GPL-3.0-or-later
"""A container host made of nothing but network namespaces.

    metadata service            host                                    containers
    169.254.169.254  --- eth0 --- routes, NAT of containers --+-- docker0            default
    fd00:ec2::254                 169.254.170.2 -> agent      +-- br-0f1e2d3c4b5a    user
    10.0.0.1 (elsewhere)                                      +-- lan7               odd

The foreign rules are those that Docker and ecs-init write, through iptables as they do it. The
service's side has routes back to the containers, so that a road stays open when somebody flushes
the host's NAT: what then does not get through was stopped by the guard and by nothing else.
"""
import json
import pathlib
import sys

import lab

ELSEWHERE4, ELSEWHERE6 = "10.0.0.1", "2001:db8::1"
CREDENTIALS = "169.254.170.2"
AGENT_PORT = 51679
STANDIN = pathlib.Path(__file__).parent / "imds_standin.py"

BRIDGES = {"default": "docker0", "user": "br-0f1e2d3c4b5a", "odd": "lan7"}

# An IPv6 address is usable at once instead of after a second of looking for duplicates.
NO_DAD = "sysctl net.ipv6.conf.default.accept_dad=0"

# Docker's chains as far as they matter here, and ecs-init's redirection of the credentials endpoint.
FOREIGN_RULES = f"""
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A PREROUTING -d {CREDENTIALS}/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 127.0.0.1:{AGENT_PORT}
-A OUTPUT -d {CREDENTIALS}/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports {AGENT_PORT}
-A POSTROUTING -s 172.16.0.0/12 -o eth0 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:DOCKER-USER - [0:0]
-A INPUT -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A FORWARD -j DOCKER-USER
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
"""


class Uplink:
    """The network behind a host's eth0: the metadata service and one other address."""

    def __init__(self, spaces, host, tokens_required=False):
        self.space = spaces.new("imds")
        self.host = host
        for end in (host, self.space):
            commands(end, NO_DAD)
        spaces.veth(host, "eth0", self.space, "eth0")
        commands(self.space, f"addr add {lab.IMDS4}/32 dev eth0",
                 f"addr add {lab.IMDS6}/128 dev eth0 nodad", f"addr add {ELSEWHERE4}/24 dev eth0",
                 f"addr add {ELSEWHERE6}/64 dev eth0 nodad", "route add 172.16.0.0/12 via 10.0.0.2",
                 "route add 2001:db8::/32 via 2001:db8::2")
        # As on EC2: the service is one hop away, on the link itself.
        commands(host, "addr add 10.0.0.2/24 dev eth0", "addr add 2001:db8::2/64 dev eth0 nodad",
                 f"route add default via {ELSEWHERE4}", f"route add default via {ELSEWHERE6}",
                 f"route add {lab.IMDS4} dev eth0", f"route add {lab.IMDS6} dev eth0")
        self.space.run("nft", "-f", "-", input=f"""
            table inet arrivals {{
                chain input {{
                    type filter hook prerouting priority raw - 10;
                    ip daddr {lab.IMDS4} counter
                    ip6 daddr {lab.IMDS6} counter
                }}
            }}""")
        tokens = ["--tokens", "required"] if tokens_required else []
        start_standin(self.space, "imds", *tokens, lab.IMDS4, lab.IMDS6, ELSEWHERE4, ELSEWHERE6)

    def arrivals(self):
        """How many packets have reached the service's addresses, both families."""
        rows = self.space.json("nft", "-j", "list", "chain", "inet", "arrivals", "input")["nftables"]
        return sum(e["counter"]["packets"] for r in rows if "rule" in r for e in r["rule"]["expr"]
                   if "counter" in e)


class EcsHost:
    """.host is the host's namespace, .containers["default"|"user"|"odd"] those of its containers."""

    def __init__(self, spaces, tokens_required=False, mounts=False):
        self._spaces = spaces
        self.host = spaces.new("host", mounts=mounts)
        self.uplink = Uplink(spaces, self.host, tokens_required)
        self.containers = {}
        commands(self.host, "sysctl net.ipv4.ip_forward=1", "sysctl net.ipv6.conf.all.forwarding=1",
                 "sysctl net.ipv4.conf.all.route_localnet=1")
        for kind, bridge in BRIDGES.items():
            self.add_bridge(kind, bridge)
        self.write_foreign_rules()
        start_standin(self.host, "credentials", "127.0.0.1", str(AGENT_PORT))

    def write_foreign_rules(self):
        """What Docker and ecs-init do when they start."""
        self.host.run("iptables-restore", input=FOREIGN_RULES)

    def add_bridge(self, kind, bridge):
        """A bridge with one container on it; Docker does the same for each network."""
        n = 17 + len(self.containers)
        c = self._spaces.new(kind)
        c.bridge, c.address, c.address6 = bridge, f"172.{n}.0.2", f"2001:db8:{n}::2"
        c.gateway, c.gateway6 = f"172.{n}.0.1", f"2001:db8:{n}::1"
        veth = f"veth{n}"
        commands(c, NO_DAD)
        commands(self.host, f"link add {bridge} type bridge", f"link set {bridge} up",
                 f"addr add {c.gateway}/16 dev {bridge}", f"addr add {c.gateway6}/64 dev {bridge} nodad",
                 f"link add {veth} type veth peer name eth0 netns {c.pid}",
                 f"link set {veth} master {bridge}", f"link set {veth} up")
        commands(c, "link set eth0 up",
                 f"addr add {c.address}/16 dev eth0", f"addr add {c.address6}/64 dev eth0 nodad",
                 f"route add default via {c.gateway}", f"route add default via {c.gateway6}")
        self.containers[kind] = c
        return c

    def follow_source_routes(self, container):
        """What a host must never do, and what a default of the kernel prevents."""
        follow = "sysctl net.ipv4.conf.{}.accept_source_route=1"
        commands(self.host, follow.format("all"), follow.format("eth0"), follow.format(container.bridge))
        commands(self.uplink.space, follow.format("all"), follow.format("eth0"))


def awsvpc_task(spaces, host):
    """A namespace with an interface of its own towards the metadata service, past the host."""
    task, uplink = spaces.new("awsvpc"), host.uplink.space
    spaces.veth(task, "eth0", uplink, "eni1")
    commands(uplink, "addr add 10.1.0.1/24 dev eni1", "addr add 2001:db8:a::1/64 dev eni1 nodad")
    commands(task, "addr add 10.1.0.2/24 dev eth0", "addr add 2001:db8:a::2/64 dev eth0 nodad",
             "route add default via 10.1.0.1", "route add default via 2001:db8:a::1")
    return task


def commands(space, *lines):
    """Lines for one `ip -batch`; those that say "sysctl KEY=VALUE" are written before it runs."""
    with space.inside():
        for line in lines:
            if line.startswith("sysctl "):
                key, value = line[len("sysctl "):].split("=")
                pathlib.Path("/proc/sys", *key.split(".")).write_text(value)
    links = [line for line in lines if not line.startswith("sysctl ")]
    if links:
        space.run("ip", "-batch", "-", input="\n".join(links))


def start_standin(space, *arguments):
    p = space.start(sys.executable, "-S", "-E", STANDIN, *arguments, stdout=-1)
    assert p.stdout.readline() == "up\n", f"the stand-in did not start in {space.name}"
    return p


def other_rules(space):
    """The ruleset without our table, and the routing rules that are not ours: must never change."""
    rows = space.json("nft", "-j", "-s", "list", "ruleset")["nftables"]
    foreign = [r for r in rows if "metainfo" not in r and not _is_ours(r)]
    rules = [r for family in ("-4", "-6") for r in space.json("ip", family, "-j", "rule", "list")
             if r["priority"] not in (89, 90, 91)]
    return json.dumps([foreign, rules], indent=1)


def _is_ours(row):
    (kind, what), = row.items()
    return what.get("family") == "inet" and what.get("name" if kind == "table" else "table") == "batten"
