#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""make soak: whatever happens to a container host, at random and for as long as is wished, under clients that hammer the
metadata service all the while. The same SEED gives the same course of events. It ends with what leaked (the service, memory,
descriptors), which findings were lost and whether the daemon ever ended by itself, and exits 1 when anything did.

    make soak [TIME=600] [SEED=N]
"""
import argparse
import collections
import os
import pathlib
import random
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import ecs_host  # noqa: E402  (needs the path above)
import groups  # noqa: E402
import guard  # noqa: E402
import lab  # noqa: E402
import watched  # noqa: E402

ECS_CONFIG = "/etc/ecs/ecs.config"
CONFIGS = {  # and whether CFG-01 has to be found in it
    "ECS_AWSVPC_BLOCK_IMDS=true\n": False, "ECS_CLUSTER=a\nECS_AWSVPC_BLOCK_IMDS=true\n": False,
    "ECS_AWSVPC_BLOCK_IMDS=yes\n": True, "export ECS_AWSVPC_BLOCK_IMDS=true\n": True, "": True,
}
MAX_RUNNING = 12
ACTIONS_BETWEEN_CHECKS = 25
WARM_CHECKS = 2                # of a daemon's life, before its memory is looked at
MAX_GROWTH_KIB, MAX_RESIDENT_KIB = 2048, 12 * 1024
SANITIZED = "san" in os.path.basename(lab.BUILD)
WAIT = 120                     # a bound on hanging, not on time


class Life:
    """One process of the daemon, from its start to its end, and what it took at each check."""

    def __init__(self, pid, action):
        self.pid, self.begun, self.samples = pid, action, []

    def sample(self, action):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        self.samples.append((action - self.begun, resident, self.descriptors()))

    def descriptors(self):
        return len(list(pathlib.Path(f"/proc/{self.pid}/fd").iterdir()))


class Soak:
    def __init__(self, host, ecs, rng, say):
        self.host, self.ecs, self.rng, self.say = host, ecs, rng, say
        self.running, self.allowed = {}, set()       # name: id; names
        self.n_started, self.n_actions, self.counts = 0, 0, collections.Counter()
        self.config_is_bad, self.away = True, False
        self.owner = True
        self.lives, self.wrong = [], []
        self.findings_checked = self.findings_lost = 0
        self.guarded_in_group = 0

    # ---- the daemon's lives

    def note(self, text):
        self.wrong.append(text)
        self.say(f"WRONG after {self.n_actions} actions: {text}")

    def configure(self):
        self.owner = self.rng.random() < 0.5
        config = {s: dict(k) for s, k in self.base.items()}
        config["imds"]["table-owner"] = "auto" if self.owner else "no"
        config["imds"]["allow-address"] = f"192.0.2.{self.rng.randrange(1, 250)}"
        self.host.guard.configure(config)

    def born(self):
        self.lives.append(Life(self.host.guard.process.pid, self.n_actions))

    def begin(self):
        self.base = {s: dict(k) for s, k in self.host.soak_config.items()}
        self.configure()
        self.host.guard.start()
        self.born()

    # ---- what happens

    def do(self):
        kinds = {self.start: 10, self.end: 8, self.edit: 5, self.flush: 5, self.delete_table: 4, self.tidy_rules: 2,
                 self.allow: 4, self.forbid: 4, self.docker_mood: 2, self.docker_leaves: 1, self.docker_returns: 3,
                 self.reload: 2, self.restart: 1, self.kill: 1, self.ask: 3, self.new_address: 2}
        kind = self.rng.choices(list(kinds), list(kinds.values()))[0]
        self.n_actions += 1
        self.counts[kind.__name__.replace("_", " ")] += 1
        kind()

    def start(self):
        if len(self.running) >= MAX_RUNNING:
            return self.end()
        name, role = f"c{self.n_started}", self.rng.choice((None, None, "plain"))
        self.n_started += 1
        self.running[name] = self.host.tasks.run(name, self.host.space, role=role)

    def end(self):
        if self.running:
            name = self.rng.choice(sorted(self.running))
            id = self.running.pop(name)
            self.host.tasks.stop(id)
            self.host.docker.containers.pop(id)
            self.host.tasks.group(id).rmdir()

    def edit(self):
        text = self.rng.choice(sorted(CONFIGS))
        self.config_is_bad = CONFIGS[text]
        self.rng.choice((self.host.write, self.host.replace))(ECS_CONFIG, text)

    def flush(self):
        self.host.space.run("nft", "flush", "ruleset")
        self.ecs.write_foreign_rules()

    def delete_table(self):
        self.host.space.run("nft", "delete", "table", "inet", "batten", check=False)

    def tidy_rules(self):
        """Only where the table cannot be removed: without either there is a gap, as the README says."""
        if self.owner and guard.table(self.host.space):
            guard.delete_rules(self.host.space)

    def allow(self):
        others = sorted(set(self.running) - self.allowed)
        if others:
            name = self.rng.choice(others)
            if self.command("imds", "allow", "add", f"container:{name}"):
                self.allowed.add(name)

    def forbid(self):
        if self.allowed:
            name = self.rng.choice(sorted(self.allowed))
            if self.command("imds", "allow", "remove", f"container:{name}"):
                self.allowed.discard(name)

    def docker_mood(self):
        self.host.docker.mood = self.rng.choice(("well", "well", "hang", "garbage", "error", "cut", "types"))
        self.host.docker.cut_streams()

    def docker_leaves(self):
        if not self.away:
            self.host.docker.__exit__()
            self.away = True

    def docker_returns(self):
        self.host.docker.mood = "well"
        if self.away:
            self.host.docker.__enter__()
            self.away = False

    def reload(self):
        self.configure()
        self.host.guard.reload()

    def restart(self):
        self.host.guard.restart()
        self.born()

    def kill(self):
        self.host.guard.kill()
        time.sleep(self.rng.random() * 0.3)  # nobody there to heal anything
        self.host.guard.start()
        self.born()

    def ask(self):
        self.command(*self.rng.choice((("status",), ("imds", "status"), ("events",), ("metrics",), ("imds", "allow", "list"))))

    def new_address(self):
        address = f"198.51.100.{self.rng.randrange(1, 250)}/32"
        self.host.space.run("ip", "address", self.rng.choice(("add", "del")), address, "dev", "lo", check=False)

    def command(self, *words):
        p = self.host.guard.command(*words, check=False)
        if p.returncode not in (0, 1, 3):
            self.note(f"{' '.join(words)}: exit {p.returncode}: {p.stderr.strip()}")
        return p.returncode == 0

    # ---- what has to hold

    def alive(self):
        code = self.host.guard.process.poll()
        if code is not None:
            self.note(f"the daemon ended by itself with {code}: {self.host.guard.log[-1500:]}")
            self.host.guard.start()
            self.born()

    def wanted(self):
        return {("CTR-03", name) for name in self.running} | ({("CFG-01", os.uname().nodename)} if self.config_is_bad else set())

    def found(self):
        return {(control, name) for control, name in self.host.findings() if control in ("CTR-03", "CFG-01")}

    def check(self):
        """All is quiet: does the daemon know what is true, and does the guard stand?"""
        self.docker_returns()
        self.settle()
        wanted = self.wanted()
        self.findings_checked += len(wanted)
        try:
            lab.wait_for(lambda: self.alive() or self.found() == wanted, "the findings", timeout=WAIT)
        except TimeoutError:
            self.findings_lost += len(wanted ^ self.found())
            self.note(f"findings: {sorted(wanted - self.found())} are missing, {sorted(self.found() - wanted)} are too many")
        for name in sorted(self.running):
            seen = groups.roads(self.host.tasks.group(self.running[name]), self.host.space, "tcp4", "tcp6")
            if name not in self.allowed and "OK" in seen.values():
                self.note(f"{name} reaches the metadata service: {seen}")
            self.guarded_in_group += 1
        for address in (ecs_host.ELSEWHERE4, ecs_host.CREDENTIALS):
            seen = lab.connect(self.ecs.containers["user"], address)[0]
            if seen != "OK":
                self.note(f"a road that is to stay open is not: {address}: {seen}")
        self.lives[-1].sample(self.n_actions)

    def settle(self):
        lab.wait_for(lambda: self.alive() or self.host.docker.listeners, "the daemon to follow Docker", timeout=WAIT)

    def finish(self):
        """Everything goes; what the daemon then holds is what it held before anything came."""
        while self.running:
            self.end()
        for name in sorted(self.allowed):
            self.command("imds", "allow", "remove", f"container:{name}")
        self.check()
        life, wanted = self.lives[-1], min(fds for _, _, fds in self.lives[-1].samples)
        try:
            lab.wait_for(lambda: life.descriptors() <= wanted, "descriptors to be closed", timeout=WAIT)
        except TimeoutError:
            self.note(f"descriptors: {life.descriptors()}, and {wanted} at an earlier check")
        return life.descriptors() - wanted

    def memory(self):
        """(most resident, most that a life grew by after it was warm, KiB per 1,000 actions over all lives)"""
        most = max((r for life in self.lives for _, r, _ in life.samples), default=0)
        growth, products, squares = 0, 0.0, 0.0
        for life in self.lives:
            warm = life.samples[WARM_CHECKS - 1:]
            if len(warm) < 2:
                continue
            growth = max(growth, warm[-1][1] - warm[0][1])
            mean_x, mean_y = (sum(s[i] for s in warm) / len(warm) for i in (0, 1))
            products += sum((x - mean_x) * (y - mean_y) for x, y, _ in warm)
            squares += sum((x - mean_x) ** 2 for x, _, _ in warm)
        if not SANITIZED and (growth > MAX_GROWTH_KIB or most > MAX_RESIDENT_KIB):
            self.note(f"memory: {most} KiB resident, a life grew by {growth} KiB")
        return most, growth, products / squares * 1000 if squares else 0.0


def run(scratch, seconds, seed, say=print):
    """Returns what was wrong, as sentences."""
    say(f"seed {seed}, {seconds:g} s")
    rng = random.Random(seed)
    with lab.Spaces() as spaces:
        ecs = ecs_host.EcsHost(spaces, mounts=True)
        config = {"daemon": {"log-level": "notice"}, "imds": {"routing-rules": "yes"}}
        with watched.Watched(ecs.host, scratch, config, managed=True) as host:
            host.soak_config = {"daemon": {"log-level": "notice", "docker": host.docker.url},
                                "imds": {"cgroup-root": host.tree.inside(host.tree.root), "bpf-dir": host.tree.pins},
                                "audit": {"enabled": "yes", "waivers": scratch / "none" / "waivers.json"}}
            host.docker.whole = True
            host.space.run("mkdir", "-p", "/etc/ecs")
            soak = Soak(host, ecs, rng, say)
            host.write(ECS_CONFIG, "")
            soak.begin()
            # A task in the host's network that is there all the time, and is never allowed.
            soak.running["steady"] = host.tasks.run("steady", host.space)
            soak.settle()
            soak.check()
            steady = soak.running.pop("steady")
            in_group = groups.start(host.tasks.group(steady), host.space, lab.TOOLS / "hammer", lab.IMDS4, 80, stdout=-1)
            assert in_group.stdout.readline() == "up\n"
            with guard.Hammers((ecs.containers["user"], lab.IMDS4), (ecs.containers["odd"], lab.IMDS6)) as hammers:
                soak.wanted = lambda wanted=soak.wanted: wanted() | {("CTR-03", "steady")}
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    soak.do()
                    soak.alive()
                    time.sleep(rng.random() * 0.1)
                    if soak.n_actions % ACTIONS_BETWEEN_CHECKS == 0:
                        soak.check()
                left = soak.finish()
            in_group.send_signal(signal.SIGTERM)
            tallies = [*hammers.tallies, ("steady", lab.IMDS4, lab.json.loads(in_group.communicate(timeout=30)[0]))]
            code = host.guard.stop()
            if code != 0:
                soak.note(f"the daemon's last exit was {code}")
    report(soak, tallies, left, say)
    return soak.wrong


def report(soak, tallies, left, say):
    most, growth, slope = soak.memory()
    say(f"{soak.n_actions} actions: " + ", ".join(f"{n} {k}" for k, n in soak.counts.most_common()))
    say(f"{soak.n_started} containers; {len(soak.lives)} lives of the daemon")
    for name, address, t in tallies:
        say(f"IMDS leaks: {t['successes']} of {t['attempts']:,} attempts by {name} on {address}")
        if t["successes"] or t["attempts"] < 10:
            soak.note(f"{name} reached {address} {t['successes']} times of {t['attempts']}")
    say(f"tasks in the host's network that tried at a check: {soak.guarded_in_group}")
    say(f"findings lost: {soak.findings_lost} of {soak.findings_checked} looked for")
    say(f"memory: at most {most / 1024:.1f} MiB resident; a life grew by {growth} KiB at most; slope {slope:+.0f} KiB per 1,000 actions")
    say(f"descriptors left open: {max(left, 0)}")
    say("nothing was wrong" if not soak.wrong else f"{len(soak.wrong)} things were wrong")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--time", type=float, default=600)
    parser.add_argument("--seed", type=int)
    a = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("soak makes namespaces: run it as root")
    seed = a.seed if a.seed is not None else random.SystemRandom().randrange(1 << 32)
    with tempfile.TemporaryDirectory(prefix="batten-soak-") as d:
        wrong = run(pathlib.Path(d), a.time, seed, lambda text: print(text, flush=True))
    if wrong:
        print(f"again: make soak TIME={a.time:g} SEED={seed}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
