#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""make demo: the metadata guard at work on a simulated container host, told for somebody who sees it
for the first time. Everything is tried for real; the last table and the exit code say whether what
was promised was seen."""
import os
import pathlib
import sys
import tempfile
import textwrap
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import docker_standin  # noqa: E402  (needs the path above)
import ecs_host  # noqa: E402
import groups  # noqa: E402
import guard  # noqa: E402
import lab  # noqa: E402
import roads  # noqa: E402
import watched  # noqa: E402

ROLE = "/latest/meta-data/iam/security-credentials/ecsInstanceRole"
N_FLUSHES = 50
COLUMNS = (("IMDS, IPv4", lab.IMDS4), ("IMDS, IPv6", lab.IMDS6), ("task credentials", ecs_host.CREDENTIALS),
           ("elsewhere", ecs_host.ELSEWHERE4))

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
PLAIN, BOLD, DIM, RED, GREEN, CYAN = "0", "1", "2", "31", "32", "36"

checks = []  # (what was promised, what was seen, whether they agree)


def paint(style, text):
    return f"\033[{style}m{text}\033[0m" if COLOUR else text


def say(text=""):
    for line in text.splitlines() or [""]:
        print(f"   {line}".rstrip())
    sys.stdout.flush()


def chapter(number, title):
    print(f"\n{paint(BOLD, f'{number}  {title}'.lstrip())}", flush=True)


def shell(where, command):
    say(f"{paint(CYAN, f'{where} $')} {command}")


def log_lines(g, word, after=0):
    """What the daemon said about one thing; it also tells of every attempt, within bounds."""
    for line in g.log[after:].splitlines():
        if word in line:
            say("\n".join(paint(DIM, f"| {piece}") for piece in textwrap.wrap(line, 114)))


def check(promise, seen, good):
    checks.append((promise, seen, bool(good)))


def table(head, rows):
    """Columns as wide as their widest cell; a cell is its text and its style."""
    widths = [max(len(r[i]) for r in [head, *([text for text, _ in row] for row in rows)])
              for i in range(len(head))]
    say("  ".join(paint(DIM, h.ljust(w)) for h, w in zip(head, widths)))
    for row in rows:
        say("  ".join(paint(style, text.ljust(w)) for (text, style), w in zip(row, widths)))


def only_host_reaches(host):
    return lambda space, address: ("ECONNREFUSED" if space is not host.host and address in (lab.IMDS4, lab.IMDS6)
                                   else "OK")


def who_reaches_what(host, wanted):
    """Tries every pair and prints it; green is what should be on a guarded host. wanted(space,
    address) is the errno name that this chapter promises."""
    safe, rows, right, slowest = only_host_reaches(host), [], True, 0.0
    for space in (host.host, *host.containers.values()):
        row = [(space.name if space is host.host else f'container "{space.name}"', PLAIN)]
        for _, address in COLUMNS:
            seen, ms = lab.connect(space, address)
            right, slowest = right and seen == wanted(space, address), max(slowest, ms)
            words = {"OK": "reaches", "ECONNREFUSED": "refused"}.get(seen, seen)
            row.append((f"{words} in {ms:.2f} ms", GREEN if seen == safe(space, address) else RED))
        rows.append(row)
    table(["from", *(title for title, _ in COLUMNS)], rows)
    return right, slowest


def hammers(host):
    return guard.Hammers((host.containers["user"], lab.IMDS4), (host.containers["odd"], lab.IMDS6))


def tally(h, promise):
    attempts = sum(t["attempts"] for _, _, t in h.tallies)
    say(f"two clients connecting in a tight loop meanwhile: {attempts:,} attempts, "
        + paint(GREEN if h.successes == 0 else RED, f"{h.successes} got through"))
    check(promise, f"{h.successes} of {attempts:,}", h.successes == 0 and attempts > 1000)


def before(host):
    chapter(1, "Without batten")
    user = host.containers["user"]
    say(f'Container "user" asks for http://{lab.IMDS4}{ROLE}:')
    status, body = roads.get(user, lab.IMDS4, path=ROLE)
    say(paint(RED, f"{status} {body[:96]}..."))
    say("These are the credentials of the whole instance, in the hands of one container.\n\n")
    right, _ = who_reaches_what(host, lambda space, address: "OK")
    check("before: containers reach the metadata service", "they do" if right else "not all of them", right)


def started(host, g):
    chapter(2, "batten starts")
    shell("host", "batten daemon")
    g.start()
    log_lines(g, "ready")
    say()
    right, slowest = who_reaches_what(host, only_host_reaches(host))
    check("containers are refused, everything else works", "yes" if right else "no", right)
    check("they are refused at once, no time-outs", f"slowest answer {slowest:.1f} ms", slowest < 1000)
    say("\n")
    shell("host", "batten imds status")
    say(g.command("imds", "status").stdout)


def flushed(host, g):
    chapter(3, f"Somebody flushes the host's firewall, {N_FLUSHES} times")
    say("The table belongs to batten's own socket: the kernel does not let others remove it. Routing rules\n"
        "stand behind it; one that somebody deletes is put back.\n\n")
    shell("host", "nft flush ruleset; ip rule del priority 91")
    after = len(g.log)
    with hammers(host) as h:
        for _ in range(N_FLUSHES):
            host.host.run("nft", "flush", "ruleset")
        host.host.run("ip", "rule", "del", "priority", "91")
        g.wait_log("routing rule was missing", after=after)
    log_lines(g, "healed", after)
    tally(h, f"{N_FLUSHES} flushes let nothing through")


def healed(host, g):
    chapter(4, "The same on a kernel that has no owned tables (before 5.12)")
    g.configure({"imds": {"table-owner": "no"}})
    say("The configuration says table-owner = no, to be like such a kernel.\n\n")
    shell("host", f"kill -HUP {g.process.pid}; nft flush ruleset")
    g.reload()
    after, begin = len(g.log), time.monotonic()
    with hammers(host) as h:
        host.host.run("nft", "flush", "ruleset")
        lab.wait_for(lambda: guard.table(host.host), "the table to be put back")
        took = (time.monotonic() - begin) * 1000
        time.sleep(0.3)
    log_lines(g, "healed", after)
    say(f"The table was back within {took:.0f} ms, and the log names who removed it.")
    tally(h, "a flush that did remove the table let nothing through")
    host.write_foreign_rules()
    say("Docker and the ECS agent have put their own rules back, too:\n\n")
    right, _ = who_reaches_what(host, only_host_reaches(host))
    check("healed: refused again by the table itself", "yes" if right else "no", right)


def killed(host, g):
    chapter(5, "The daemon is killed")
    shell("host", f"kill -9 {g.process.pid}")
    with hammers(host) as h:
        g.kill()
        time.sleep(0.3)
    tally(h, "a dead daemon lets nothing through")


ROADS = (("TCP, IPv4", "tcp4"), ("TCP, IPv6", "tcp6"), ("UDP", "udp4"), ("raw socket", "icmp_raw"))


def tasks_reach(places, wanted):
    """A table of processes in their cgroups; green is what should be on a guarded host."""
    rows, right = [], True
    for name, group, space in places:
        seen = groups.roads(group, space, *(road for _, road in ROADS))
        right = right and set(seen.values()) == {wanted(name)}
        safe = "OK" if name == "a service of the host" else "EPERM"
        rows.append([(name, PLAIN)] + [({"OK": "reaches", "EPERM": "refused"}.get(seen[r], seen[r]),
                                        GREEN if seen[r] == safe else RED) for _, r in ROADS])
    table(["from", *(title for title, _ in ROADS)], rows)
    say()
    return right


def beyond_the_firewall(spaces, directory):
    chapter(6, "Tasks that no firewall of the host can tell apart or see")
    say("A task in host network mode is, to the firewall, the host itself; an awsvpc task has an interface of\n"
        "its own and never passes the host. batten refuses both by their cgroup, inside connect().\n\n")
    host = ecs_host.EcsHost(spaces, mounts=True)
    vpc = ecs_host.awsvpc_task(spaces, host)
    with groups.Groups(host.host, directory) as tree, docker_standin.DockerStandin(directory / "docker") as docker:
        tasks = docker_standin.Tasks(tree, docker)
        web, own = tasks.run("web", host.host), tasks.run("report", vpc, family="report")
        places = [("host-network task", tasks.group(web), host.host), ("awsvpc task", tasks.group(own), vpc),
                  ("a service of the host", tree.make("system.slice/agent.service"), host.host)]
        right = tasks_reach(places, lambda name: "OK")
        check("before: such tasks reach the service", "they do" if right else "not all of them", right)
        g = guard.Guard(host.host, directory, {
            "daemon": {"docker": docker.url, "state-dir": directory / "state"},
            "imds": {"cgroup-root": tree.inside(tree.root), "bpf-dir": tree.pins}})
        try:
            shell("host", "batten daemon")
            g.start()
            lab.wait_for(lambda: docker.listeners, "the daemon to follow Docker")
            before = host.uplink.arrivals()
            right = tasks_reach(places[:2], lambda name: "EPERM")
            left = host.uplink.arrivals() - before
            check("host-network and awsvpc tasks are refused", "yes" if right else "no", right)
            check("not one packet of theirs leaves", f"{left} left", left == 0)
            right = tasks_reach(places[2:], lambda name: "OK")
            check("the host's own services go on", "yes" if right else "no", right)
            shell("host", "batten events")
            say(g.command("events").stdout)
            shell("host", "batten imds allow add family:report")
            g.command("imds", "allow", "add", "family:report")
            lab.wait_for(lambda: groups.roads(tasks.group(own), vpc, "tcp4") == {"tcp4": "OK"}, "the exception")
            right = tasks_reach(places[:2], lambda name: "OK" if name == "awsvpc task" else "EPERM")
            check("an exception opens the road for one task alone", "yes" if right else "no", right)
        finally:
            g.close()


ECS_CONFIG = "/etc/ecs/ecs.config"


def an_edited_configuration(spaces, directory):
    chapter(7, "Somebody edits the ECS agent's configuration")
    say("The daemon watches the files that the agent reads. What looks at them is judged again, nothing else, and\n"
        "a finding that comes or goes is an event.\n\n")
    space = spaces.new("watched", mounts=True)
    with watched.Watched(space, directory) as host:
        space.run("mkdir", "/etc/ecs")
        host.write(ECS_CONFIG, "ECS_CLUSTER=blue\nECS_AWSVPC_BLOCK_IMDS=true\n")
        host.start()
        for value, state in (("yes", "new"), ("true", "gone")):
            shell("host", f"sed -i s/BLOCK_IMDS=.*/BLOCK_IMDS={value}/ {ECS_CONFIG}")
            begin = time.monotonic()
            space.run("sed", "-i", f"s/BLOCK_IMDS=.*/BLOCK_IMDS={value}/", ECS_CONFIG)
            event = host.wait_event(kind="finding", control="CFG-01", state=state)
            took = time.monotonic() - begin
            say(paint(RED if state == "new" else GREEN, event["message"]))
            if state == "new":
                say("\n".join(paint(DIM, f"| {piece}") for piece in textwrap.wrap(event["evidence"], 108)))
            check(f"an edited ecs.config is noticed: the finding is {state}", f"after {took:.2f} s", True)
            say()
        shell("host", "batten status")
        say(host.guard.command("status").stdout)


def summary(seconds):
    chapter("", "What was promised, what was seen")
    table(["promised", "seen", ""], [[(promise, PLAIN), (seen, PLAIN),
                                      ("as promised", GREEN) if good else ("NOT AS PROMISED", RED)]
                                     for promise, seen, good in checks])
    code = 0 if all(good for _, _, good in checks) else 1
    say(f"\n{len(checks)} promises checked in {seconds:.1f} s; exit code {code}")
    return code


def main():
    begin = time.monotonic()
    print(paint(BOLD, "batten keeps containers away from the instance metadata service (IMDS)"))
    say(f"""
Every EC2 instance has a service at {lab.IMDS4} and {lab.IMDS6} that hands the instance's
credentials to whoever asks. A container that reaches it owns the rights of its host. On this
simulated host, made of network namespaces and nothing else, three containers can:

   metadata service --- eth0 - host -+- docker0           container "default"
   (IPv4 and IPv6)                   +- br-0f1e2d3c4b5a   container "user"     a network of its own
                                     +- lan7              container "odd"      a bridge with a name of its own

Their own credentials ("task credentials") come from {ecs_host.CREDENTIALS} and must keep working.""")
    with lab.Spaces() as spaces, tempfile.TemporaryDirectory(prefix="batten-demo-") as directory:
        host = ecs_host.EcsHost(spaces)
        g = guard.Guard(host.host, directory)
        try:
            before(host)
            for step in (started, flushed, healed, killed):
                step(host, g)
            beyond = pathlib.Path(directory) / "tasks"
            beyond.mkdir()
            beyond_the_firewall(spaces, beyond)
            edited = pathlib.Path(directory) / "edited"
            edited.mkdir()
            an_edited_configuration(spaces, edited)
        except (AssertionError, OSError) as e:  # a TimeoutError is one
            say(paint(RED, f"The demonstration cannot go on: {e}"))
            check("the demonstration comes to its end", "it did not", False)
        finally:
            g.close()
    return summary(time.monotonic() - begin)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("make demo builds network namespaces: run it as root (sudo make demo)")
    sys.exit(main())
