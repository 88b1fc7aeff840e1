# SPDX-License-Identifier: GPL-3.0-or-later
"""The user data of systemd/user-data, run on a simulated host: packages from everywhere, and boots on
which none can be had."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml

import ecs_host
import lab

DATA = pathlib.Path(__file__).parent.parent.parent / "systemd" / "user-data"
SCRIPT = DATA / "batten-boot.sh"
TOOLS = ("cat", "chmod", "cp", "curl", "cut", "env", "grep", "ip", "mkdir", "mktemp", "mv", "rm", "sed", "sh", "sha256sum",
         "tail")
PACKAGE = b"a package, in this test\n"
SHA = hashlib.sha256(PACKAGE).hexdigest()

# What a package manager does here: the binary is there, and the guard stands.
INSTALL = """#!/bin/sh
echo "$(basename "$0") $*" >>{work}/calls
case $(basename "$0") in dnf|apt-get) [ ! -e {work}/no-{name} ] || exit 1 ;; esac
for f in "$@"; do case $f in */*.rpm|*/*.deb) cp "$f" {work}/installed ;; esac; done
cp {work}/batten-wrapper {bin}/batten
"""
# What the audit finds is other tests' matter; the guard and the repair are real.
BATTEN = """#!/bin/sh
echo "batten $*" >>{work}/calls
case $1 in
audit) exit "$(cat {work}/exit-audit 2>/dev/null || echo 0)" ;;
fix) [ ! -e {work}/exit-fix ] || exit "$(cat {work}/exit-fix)" ;;
esac
exec {batten} "$@"
"""
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>{work}/calls
case "$*" in
"start batten.service") [ ! -e {work}/no-start ] && batten imds block -q ;;
"is-active --quiet docker.service") [ -e {work}/docker-runs ] ;;
esac
"""
RECORD = """#!/bin/sh
echo "$(basename "$0") $*" >>{work}/calls
"""
# A cgroup of the machine's own is no test's to make: tests/vm tries this rule on a host that boots.
IPTABLES = """#!/bin/sh
echo "$(basename "$0") $*" >>{work}/calls
[ ! -e {work}/no-match ] || exit 1
case $2 in
-C) [ -e {work}/rule-{name} ] ;;
-I) : >{work}/rule-{name} ;;
-D) rm {work}/rule-{name} ;;
esac
"""
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[1] + "/requests", "a") as f:
            f.write(self.path + "\\n" + str(self.headers) + "\\n")
        known = self.path.split("?")[0].endswith((".rpm", ".deb"))
        body = open(sys.argv[1] + "/package", "rb").read() if known else b"nothing"
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("10.0.0.1", 8080), Handler)
print("up", flush=True)
server.serve_forever()
"""


class Instance:
    """A host with an /etc, a /var/lib and a console of its own, and only what PATH names."""

    def __init__(self, spaces, work):
        self.ecs = ecs_host.EcsHost(spaces, tokens_required=True, mounts=True)
        self.host, self.work = self.ecs.host, work
        self.bin = work / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
            lab.need(found, f"{tool} is not installed")
            (self.bin / tool).symlink_to(found)
        for name, text in (("dnf", INSTALL), ("rpm", INSTALL), ("apt-get", INSTALL), ("dpkg", INSTALL),
                           ("systemctl", SYSTEMCTL), ("systemd-run", RECORD), ("iptables", IPTABLES),
                           ("ip6tables", IPTABLES), ("basename", None)):
            if text is None:
                (self.bin / name).symlink_to(shutil.which(name))
                continue
            (self.bin / name).write_text(text.format(work=work, bin=self.bin, name=name))
            (self.bin / name).chmod(0o755)
        wrapper = work / "batten-wrapper"
        wrapper.write_text(BATTEN.format(work=work, batten=lab.BATTEN))
        wrapper.chmod(0o755)
        (work / "package").write_bytes(PACKAGE)
        dev = work / "dev"
        dev.mkdir()
        for name in ("null", "random", "urandom", "zero"):
            (dev / name).touch()
            self.host.run("mount", "--bind", f"/dev/{name}", dev / name)
        self.console = dev / "console"
        self.console.touch()
        self.host.run("mount", "--rbind", dev, "/dev")
        for where in ("/var/lib", "/run", "/etc"):
            own = work / where.strip("/").replace("/", "-")
            own.mkdir()
            self.host.run("mount", "--bind", own, where)
        self.etc = work / "etc"

    def boot(self, source="", script=SCRIPT, **settings):
        """Run the user data. Returns (exit status, what the console shows)."""
        self.console.write_text("")
        environment = {"PATH": str(self.bin), **({"BATTEN_SOURCE": source} if source else {}), **settings}
        p = self.host.run("sh", script, check=False, env=environment, timeout=300)
        self.said = p.stdout + p.stderr
        return p.returncode, self.console.read_text()

    def calls(self, *beginnings):
        """What was called since the last question, in order."""
        file = self.work / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.write_text("")
        return [line for line in lines if line.startswith(beginnings or "")]

    def serve(self):
        p = self.ecs.uplink.space.start(sys.executable, "-S", "-E", "-c", SERVER, self.work, stdout=-1)
        assert p.stdout.readline() == "up\n"

    def reach(self):
        """Who reaches the service: the kinds of containers, and the host."""
        found = {kind for kind, space in self.ecs.containers.items()
                 if "OK" in (lab.connect(space, lab.IMDS4)[0], lab.connect(space, lab.IMDS6)[0])}
        return found | {"host" for a in (lab.IMDS4, lab.IMDS6) if lab.connect(self.host, a)[0] == "OK"}

    def own_rules(self):
        return [r for family in ("-4", "-6") for r in self.host.json("ip", family, "-j", "rule", "list")
                if r["priority"] in (86, 87)]


@pytest.fixture
def instance(spaces, tmp_path):
    return Instance(spaces, tmp_path)


def local(instance, name="batten.rpm"):
    path = instance.work / name
    path.write_bytes(PACKAGE)
    return str(path)


def test_a_local_rpm_then_a_second_boot(instance):
    assert instance.reach() == {"default", "user", "odd", "host"}
    status, console = instance.boot(local(instance))
    assert (status, console) == (0, ""), instance.said
    assert (instance.work / "installed").read_bytes() == PACKAGE
    assert instance.reach() == {"host"}
    assert not instance.own_rules()
    calls = instance.calls()
    order = [next(i for i, c in enumerate(calls) if c.startswith(b)) for b in (
        "dnf install", "systemctl enable --quiet batten", "systemctl start batten", "batten imds status", "batten fix",
        "systemd-run")]
    assert order == sorted(order)
    assert any(c.startswith("batten fix --control CFG-01,CFG-06") for c in calls)
    scheduled = [c for c in calls if c.startswith("systemd-run")]
    assert len(scheduled) == 1 and scheduled[0].endswith("batten audit --fail-on critical")
    assert "After=docker.service" in scheduled[0] and "After=ecs.service" in scheduled[0]
    status, console = instance.boot(local(instance))
    assert (status, console) == (0, "")
    assert not instance.calls("dnf", "rpm", "apt-get", "dpkg")
    assert instance.reach() == {"host"} and not instance.own_rules()


def test_ecs_config_is_mended_and_every_other_byte_kept(instance):
    config = instance.etc / "ecs" / "ecs.config"
    config.parent.mkdir()
    config.write_text("# ours\nECS_CLUSTER=prod\nECS_AWSVPC_BLOCK_IMDS=\"true\"\nECS_ENGINE_AUTH_TYPE=docker")
    for _ in range(2):
        status, console = instance.boot(local(instance))
        assert (status, console) == (0, ""), instance.said
        assert config.read_text() == "# ours\nECS_CLUSTER=prod\nECS_AWSVPC_BLOCK_IMDS=true\nECS_ENGINE_AUTH_TYPE=docker"


def test_a_deb_and_a_checksum(instance):
    status, _ = instance.boot(local(instance, "batten.deb"), BATTEN_SHA256=SHA)
    assert status == 0 and instance.calls("apt-get", "dpkg")[0].startswith("apt-get install")
    assert instance.reach() == {"host"}


def test_without_a_repository_the_package_alone_is_installed(instance):
    (instance.work / "no-dnf").touch()
    assert instance.boot(local(instance))[0] == 0
    assert [c.split()[0] for c in instance.calls("dnf", "rpm")] == ["dnf", "rpm"]


def test_from_a_url(instance):
    instance.serve()
    status, console = instance.boot("http://10.0.0.1:8080/a/batten.rpm?signature=1", BATTEN_SHA256=SHA)
    assert (status, console) == (0, ""), instance.said
    assert (instance.work / "installed").read_bytes() == PACKAGE
    assert instance.reach() == {"host"}


def test_from_s3_by_the_instances_role(instance):
    instance.serve()
    status, console = instance.boot("s3://bucket/path/batten.rpm", BATTEN_S3_ENDPOINT="http://10.0.0.1:8080")
    assert (status, console) == (0, ""), instance.said
    request = (instance.work / "requests").read_text()
    assert request.startswith("/path/batten.rpm\n")
    assert "Authorization: AWS4-HMAC-SHA256 Credential=ASIASTANDIN000000000/" in request
    assert "/eu-central-1/s3/aws4_request" in request and "x-amz-security-token: stand-in" in request.lower()
    assert instance.reach() == {"host"}


@pytest.mark.parametrize("source, settings, why", [
    ("", {}, "BATTEN_SOURCE is"),
    ("/nowhere/batten.rpm", {}, "cannot be had"),
    ("http://10.0.0.1:8080/batten.rpm", {}, "needs BATTEN_SHA256"),
    ("http://10.0.0.1:8080/missing", {"BATTEN_SHA256": SHA}, "cannot be had"),
    ("http://10.0.0.1:8080/batten.rpm", {"BATTEN_SHA256": "0" * 64}, "has another SHA-256"),
    ("s3://bucket/missing", {"BATTEN_S3_ENDPOINT": "http://10.0.0.1:8080"}, "cannot be had"),
])
def test_without_a_package_the_base_system_closes_what_it_can(instance, source, settings, why):
    instance.serve()
    ecs = instance.etc / "ecs"
    ecs.mkdir()
    (ecs / "ecs.config").write_text("ECS_CLUSTER=prod\n# ours\nECS_AWSVPC_BLOCK_IMDS=\"true\"")
    status, console = instance.boot(source, **settings)
    assert status == 1 and "batten-boot: FAILED:" in console and why in console
    assert not (instance.work / "installed").exists()
    assert "fallback: routing rules keep" in console and "host network mode out while it stands" in console
    inserted = instance.calls("iptables -w -I", "ip6tables -w -I")
    assert inserted == [f"{tool} -w -I OUTPUT -d {address} -m cgroup --path ecstasks.slice -j REJECT" for tool, address in (
        ("iptables", lab.IMDS4), ("ip6tables", lab.IMDS6))]
    assert instance.reach() == {"host"}
    kept = "ECS_CLUSTER=prod\n# ours\nECS_AWSVPC_BLOCK_IMDS=\"true\"\nECS_AWSVPC_BLOCK_IMDS=true\n"
    assert (ecs / "ecs.config").read_text() == kept
    rules = instance.own_rules()
    # Once more: nothing is written twice, and a boot with a package leaves the roads to batten.
    assert instance.boot(source, **settings)[0] == 1
    assert (ecs / "ecs.config").read_text() == kept and instance.own_rules() == rules
    assert not instance.calls("iptables -w -I", "ip6tables -w -I")
    assert instance.boot(local(instance))[0] == 0
    assert instance.reach() == {"host"} and not instance.own_rules() and not list(instance.work.glob("rule-*"))


def test_what_cannot_be_closed_is_said(instance):
    (instance.work / "no-match").touch()
    status, console = instance.boot("/nowhere/batten.rpm")
    assert status == 1 and "FAILED: no such rule could be set: tasks in host network mode REACH" in console


def test_stop_keeps_the_agent_away(instance):
    status, console = instance.boot("/nowhere/batten.rpm", BATTEN_OTHERWISE="stop",
                                    BATTEN_CONTROLS="CFG-01,CFG-08")
    assert status == 1 and "the ECS agent is kept from starting" in console
    assert instance.calls("systemctl mask") == ["systemctl mask --runtime --now ecs.service"]
    assert (instance.etc / "ecs/ecs.config").read_text() == "ECS_AWSVPC_BLOCK_IMDS=true\nECS_DISABLE_PRIVILEGED=true\n"
    assert (instance.etc / "ecs/ecs.config").stat().st_mode & 0o777 == 0o600


def test_a_daemon_that_does_not_start_is_a_failure(instance):
    (instance.work / "no-start").touch()
    status, console = instance.boot(local(instance))
    assert status == 1 and "the daemon does not start" in console
    assert instance.reach() == {"host"} and instance.own_rules()


@pytest.mark.parametrize("what", ["fix", "audit"])
def test_what_batten_answers_is_the_boots_answer(instance, what):
    (instance.work / "docker-runs").touch()
    (instance.work / f"exit-{what}").write_text("1")
    status, console = instance.boot(local(instance))
    assert status == 1 and f"FAILED: batten {what} --" in console and "Docker ran before batten" in console
    assert "batten audit --fail-on critical" in instance.calls("batten audit")
    assert instance.reach() == {"host"}


def test_secrets_are_never_arguments(instance):
    """curl's arguments can be read by everybody on the host."""
    instance.serve()
    real = os.readlink(instance.bin / "curl")
    (instance.bin / "curl").unlink()
    (instance.bin / "curl").write_text(f"#!/bin/sh\necho \"curl $*\" >>{instance.work}/calls\nexec {real} \"$@\"\n")
    (instance.bin / "curl").chmod(0o755)
    assert instance.boot("s3://bucket/batten.rpm", BATTEN_S3_ENDPOINT="http://10.0.0.1:8080")[0] == 0
    said = "\n".join(instance.calls("curl")) + instance.said
    assert "--aws-sigv4" in said and "opens nothing" not in said and "ASIASTANDIN" not in said


def test_the_script_passes_shellcheck():
    lab.need(shutil.which("shellcheck"), "shellcheck is not installed")
    p = subprocess.run(["shellcheck", SCRIPT], text=True, capture_output=True)
    assert p.returncode == 0, p.stdout
    assert len(SCRIPT.read_bytes()) < 14 * 1024  # user data holds 16 KB


def test_examples_hold_the_same_script():
    class Loader(yaml.SafeLoader):
        pass
    Loader.add_multi_constructor("!", lambda loader, tag, node: {tag: loader.construct_scalar(node)} if isinstance(
        node, yaml.ScalarNode) else {tag: loader.construct_sequence(node, deep=True)})
    script = SCRIPT.read_text()
    cloud = (DATA / "cloud-config.yaml").read_text()
    assert cloud.startswith("#cloud-config\n")
    (words,) = yaml.load(cloud, Loader)["bootcmd"]
    assert words[:2] == ["env", "BATTEN_SOURCE=s3://BUCKET/batten.rpm"] and words[-3:-1] == ["sh", "-c"]
    assert words[-1] == script
    template = yaml.load((DATA / "cloudformation.yaml").read_text(), Loader)
    data = template["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required" and data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    separator, lines = data["UserData"]["Fn::Base64"]["Fn::Join"]
    assert separator == "\n" and lines[:2] == ["#cloud-boothook", "#!/bin/sh"] and lines[-1] == script
    terraform = (DATA / "launch-template.tf").read_text()
    assert 'file("${path.module}/batten-boot.sh")' in terraform and '"#cloud-boothook"' in terraform
    for line in ('http_tokens                 = "required"', "http_put_response_hop_limit = 1"):
        assert line in terraform
    for opening, closing in ("{}", "()", "[]"):
        assert terraform.count(opening) == terraform.count(closing)
