# SPDX-License-Identifier: GPL-3.0-or-later
"""What every benchmark does alike: rounds that take turns, medians with the ratio to a rival of the same round, a table,
the raw samples beside it, and the machine that they were taken on.

    ROUNDS=21     rounds, instead of the benchmark's own number
    QUICK=1       a moment of each, to see that it works: no figure of it means anything
    BUILD=build   samples go to BUILD/bench/NAME.json (or JSON=FILE)
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "system"))
os.environ.setdefault("BUILD", str(TOP / "build"))
os.environ.setdefault("BATTEN", f"{os.environ['BUILD']}/batten")

BATTEN, BUILD = os.environ["BATTEN"], pathlib.Path(os.environ["BUILD"])
QUICK = os.environ.get("QUICK", "") not in ("", "0")


def rounds(usual):
    return int(os.environ.get("ROUNDS") or (1 if QUICK else usual))


def pick(usual, quick):
    """A size that a quick run cuts down."""
    return quick if QUICK else usual


def machine():
    """What a figure cannot be read without."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")), "unknown processor")
    memory = next(int(line.split()[1]) for line in pathlib.Path("/proc/meminfo").read_text().splitlines()
                  if line.startswith("MemTotal"))
    return {"cpu": model, "cores": os.cpu_count(), "kernel": os.uname().release, "arch": os.uname().machine,
            "memory_mib": memory // 1024, "load": os.getloadavg()[0]}


def median(values):
    return statistics.median(values)


def added(samples, base):
    """The median of each round's difference: on a busy machine only what follows closely compares."""
    return median(b - a for a, b in zip(base, samples))


def times(samples, base):
    """The median of each round's ratio."""
    return median(b / a for a, b in zip(base, samples))


class Report:
    """with Report("guard", "what it costs") as r: r.interleave(...); r.table(...)"""

    def __init__(self, name, about):
        if os.geteuid() != 0:
            sys.exit(f"bench-{name} makes namespaces, containers or probes: run it as root")
        self.name, self.about = name, about
        self.machine = machine()
        self.samples, self.tables, self.notes = {}, [], []

    def __enter__(self):
        m = self.machine
        print(f"\n== {self.name}: {self.about}\n   {m['cpu']}, {m['cores']} cores, {m['memory_mib']} MiB, kernel {m['kernel']}, "
              f"load {m['load']:.1f} at the start{', QUICK: no figure counts' if QUICK else ''}", flush=True)
        return self

    def __exit__(self, kind, *_):
        if kind:
            return
        self.machine["load_at_the_end"] = os.getloadavg()[0]
        path = pathlib.Path(os.environ.get("JSON") or BUILD / "bench" / f"{self.name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({
            "schema": "batten.bench/1", "name": self.name, "about": self.about, "quick": QUICK, "time": int(time.time()),
            "machine": self.machine, "tables": self.tables, "notes": self.notes, "samples": self.samples}, indent=1) + "\n")
        print(f"   samples: {path} (load {self.machine['load_at_the_end']:.1f} at the end)", flush=True)

    def interleave(self, title, kinds, n):
        """One sample of each kind in each of @n rounds. {kind: samples}"""
        samples = {k: [] for k in kinds}
        for _ in range(n):
            for kind, run in kinds.items():
                samples[kind].append(run())
        self.samples[title] = samples
        return samples

    def table(self, title, head, rows):
        rows = [[str(c) for c in row] for row in rows]
        self.tables.append({"title": title, "head": head, "rows": rows})
        print(f"\n{title}")
        columns = list(zip(head, *rows))
        widths = [max(map(len, column)) for column in columns]
        # A column of numbers stands to the right.
        right = [i > 0 and all(c[:1] in "+-0123456789" for c in column[1:]) for i, column in enumerate(columns)]
        for r in [head, *rows]:
            print("  " + "  ".join(c.rjust(w) if at else c.ljust(w) for c, w, at in zip(r, widths, right)).rstrip())
        sys.stdout.flush()

    def note(self, text):
        self.notes.append(text)
        print(f"  {text}", flush=True)


def ms(samples):
    return f"{median(samples):.2f}"


def elapsed_ms(command, ok=(0,), **options):
    """From start to end of a command that prints to nowhere."""
    options.setdefault("stdout", subprocess.DEVNULL)
    begin = time.monotonic()
    p = subprocess.run([str(c) for c in command], stderr=subprocess.PIPE, text=True, **options)
    took = (time.monotonic() - begin) * 1000
    assert p.returncode in ok, (command, p.returncode, p.stderr[-2000:])
    return took


def both_ms(command, ok=(0,), **options):
    """(from start to end, processor time) of a command and what it waits for. What others do on the machine is in the first."""
    begin = time.monotonic()
    p = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    assert p.returncode in ok, (command, p.returncode)
    return (time.monotonic() - begin) * 1000, (used.ru_utime + used.ru_stime) * 1000


def cpu_ms(command, ok=(0,), **options):
    return both_ms(command, ok, **options)[1]


def compile_c(directory, name, source, *flags):
    path = pathlib.Path(directory) / name
    path.with_suffix(".c").write_text(source)
    subprocess.run(["gcc", "-O2", "-w", "-o", path, path.with_suffix(".c"), *flags], check=True)
    return path
