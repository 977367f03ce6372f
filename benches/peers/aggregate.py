"""Drives the measurement: see aggregate.sh. Standard library only."""

import argparse
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

SAMPLES = [100 + 7 * client for client in range(64)]
BUSY = 0.1


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("python")
    parser.add_argument("--anyway", action="store_true")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--clients", default="10,50")
    parser.add_argument("--out", type=pathlib.Path)
    return parser.parse_args()


def busy():
    """Processors kept busy by others, over two seconds."""

    def ticks():
        fields = [int(n) for n in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        return sum(fields[:8]), fields[3] + fields[4]

    (all_before, idle_before), _ = ticks(), time.sleep(2)
    all_after, idle_after = ticks()
    whole = all_after - all_before
    return os.cpu_count() * (1 - (idle_after - idle_before) / whole)


def measure(command):
    """Wall and processor seconds and largest resident MB of a fresh process, and what it printed.

    The half second is for what the process before left to the kernel: gigabytes of pages to give back, files to write.
    """
    time.sleep(0.5)
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(map(str, command))[:300]}: exit {child.returncode}\n{child.stderr.read().decode()[-2000:]}")
    child.stderr.close()
    cpu = usage.ru_utime + usage.ru_stime
    return {"wall": wall, "cpu": cpu, "rss": usage.ru_maxrss / 1000, "printed": printed.decode()}


def anonymous_memory(command):
    """The most anonymous memory of a process in MB, looked at every half millisecond in a run of its own."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    most = 0
    while child.poll() is None:
        try:
            text = pathlib.Path(f"/proc/{child.pid}/status").read_text()
        except OSError:
            break
        found = re.search(r"RssAnon:\s+(\d+)", text)
        most = max(most, int(found[1]) if found else 0)
        time.sleep(0.0005)
    child.wait()
    return most * 1.024 / 1000


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = options.root / "target/peers"
        self.floor = self.work / "floor"
        self.peers = pathlib.Path(__file__).with_name("peers.py")

    def updates(self, clients, ending="safetensors"):
        return [str(self.work / f"updates/update-{client}.{ending}") for client in range(clients)]

    def ours(self, rule, clients, out):
        command = [os.environ["FEDWING_AGGREGATOR"], "aggregate", "--strategy", rule]
        command += ["--global", self.updates(1)[0], "--output", str(out)]
        return command + [word for update in self.updates(clients) for word in ("--update", update)]

    def peer(self, name, clients, out):
        ending = "pt" if name == "reference" else "safetensors"
        return [self.options.python, str(self.peers), name, str(out), *self.updates(clients, ending)]

    def c_floor(self, clients, out):
        pairs = zip(self.updates(clients), SAMPLES)
        return [str(self.floor), "mean", str(out), *(str(word) for pair in pairs for word in pair)]

    def fresh(self, name):
        """A path at which nothing is: every run writes a new file, and in a new page cache."""
        path = self.work / f"made-{name}"
        path.unlink(missing_ok=True)
        return path

    def run_all(self, commands):
        """Each command once to check its answer, then in turns; medians by name."""
        results = {name: [] for name in commands}
        for turn in range(self.options.runs):
            for name, command in commands.items():
                made = self.fresh(name)
                results[name].append(measure(command(made)))
                if not made.exists():
                    sys.exit(f"{name} wrote nothing")
                print(f"  {turn} {name}: {results[name][-1]['wall']:.3f} s", file=sys.stderr)
        return {
            name: {key: statistics.median(run[key] for run in runs) for key in ("wall", "cpu", "rss")}
            | {"printed": [run["printed"] for run in runs], "lowest": min(run["wall"] for run in runs)}
            for name, runs in results.items()
        }

    def check(self, expected, made):
        measure([self.options.python, str(self.peers), "check", str(expected), str(made)])

    def means(self, clients):
        commands = {
            "fl-aggregator": lambda out: self.ours("fedavg", clients, out),
            "fl-aggregator, one thread": lambda out: [*self.ours("fedavg", clients, out), "--threads", "1"],
            "C and mmap, one thread": lambda out: self.c_floor(clients, out),
            "NumPy, streaming": lambda out: self.peer("numpy", clients, out),
            "NVFlare": lambda out: self.peer("nvflare", clients, out),
            "Flower": lambda out: self.peer("flower", clients, out),
            "PyTorch, as the reference": lambda out: self.peer("reference", clients, out.with_suffix(".pt")),
        }
        torch = "PyTorch, as the reference"
        made = {name: self.fresh(f"check-{number}") for number, name in enumerate(commands)}
        made[torch] = made[torch].with_suffix(".pt")
        for name, command in commands.items():
            measure(command(made[name]))
        for name in commands:
            self.check(made["Flower"] if name != "Flower" else made["NumPy, streaming"], made[name])
        for path in made.values():
            path.unlink()
        # The reference's file ends otherwise; the runs below look for what they named.
        commands[torch] = lambda out: self.peer("reference", clients, out)
        results = self.run_all(commands)
        command = self.ours("fedavg", clients, self.fresh("anonymous"))
        results["fl-aggregator"]["anonymous"] = max(anonymous_memory(command) for _ in range(3))
        return results

    def robust(self, clients):
        rules = {"median": "median", "trimmed_mean": "trimmed_mean:beta=0.2", "krum": "krum:byzantine=2"}
        rows = {}
        for rule, setting in rules.items():
            ours, theirs = self.fresh("ours"), self.fresh("theirs")
            # A job that fails leaves a note in its folder.
            probe = subprocess.run(self.ours(setting, clients, ours), capture_output=True, cwd=self.work)
            if probe.returncode:
                rows[rule] = probe.stderr.decode().strip().split("\n")[0]
                continue
            measure(self.peer(f"flower_{rule}", clients, theirs))
            self.check(theirs, ours)
            rows[rule] = self.run_all({
                "ours": lambda out: self.ours(setting, clients, out),
                "flower": lambda out: self.peer(f"flower_{rule}", clients, out),
            })
            inside = [json.loads(text) for text in rows[rule]["flower"]["printed"]]
            for key in ("wall", "cpu"):
                rows[rule]["flower"][f"inside_{key}"] = statistics.median(run[key] for run in inside)
        return rows

    def limits(self, clients):
        runs = []
        for _ in range(self.options.runs):
            out = self.fresh("cache")
            run = measure([self.floor, "cache", out, *self.updates(clients)])
            runs.append({**json.loads(run["printed"]), "cpu": run["cpu"]})
        return {key: statistics.median(run[key] for run in runs) for key in runs[0]}

    def warm(self, clients):
        """Reads every file once, and says how fast the second time."""
        for ending in ("safetensors", "pt"):
            for path in self.updates(clients, ending):
                with open(path, "rb", buffering=0) as file:
                    while file.read(1 << 24):
                        pass


def machine(options):
    def line(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    model = re.search(r"Model name:\s+(.*)", line("lscpu"))
    memory = re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    commit = line("git", "-C", str(options.root), "rev-parse", "--short", "HEAD")
    dirty = line("git", "-C", str(options.root), "status", "--porcelain", "--untracked-files=no")
    if dirty:
        commit += " with changes"
    names = "flwr nvflare torch numpy safetensors".split()
    script = f"from importlib.metadata import version as v; print(', '.join(n + ' ' + v(n) for n in {names!r}))"
    versions = line(options.python, "-c", script)
    python = line(options.python, "--version")
    compiler = line("cc", "--version").split("\n")[0]
    return (
        f"{model[1] if model else 'unknown processor'}, {os.cpu_count()} cores, {int(memory[1]) * 1.024e-6:.0f} GB, "
        f"commit {commit}, {datetime.date.today()}; {python}, {versions}; {line('rustc', '--version')}; {compiler}"
    )


def table(clients, results, limits):
    ours = results["fl-aggregator"]
    limit = limits["map"] + limits["read"] + limits["write"]
    yield f"## Weighted mean of {clients} updates\n"
    yield "| | wall s | lowest | CPU s | largest RSS MB | wall, times ours | CPU, times ours |\n|---|---|---|---|---|---|---|"
    for name, row in results.items():
        yield (
            f"| {name} | {row['wall']:.3f} | {row['lowest']:.3f} | {row['cpu']:.3f} | {row['rss']:.0f} "
            f"| {row['wall'] / ours['wall']:.2f} | {row['cpu'] / ours['cpu']:.2f} |"
        )
    read = limits["bytes"] / (limits["map"] + limits["read"])
    yield (
        f"\nThe page cache's limit in the same run: {limit:.3f} s ({read / 1e9:.1f} GB/s mapped and read by two threads, "
        f"{limits['bytes'] / clients / limits['write'] / 1e9:.1f} GB/s written to a new file); ours takes "
        f"{ours['wall'] / limit:.2f} times that, and {ours['cpu'] / limits['cpu']:.2f} times its {limits['cpu']:.3f} s of "
        f"processor time. Anonymous memory of ours, largest seen: {ours['anonymous']:.1f} MB; the rest "
        "of its resident memory is the mapped files.\n"
    )


def robust_table(clients, rows):
    yield f"## Rules that resist outliers, {clients} updates\n"
    yield "Ours from files to file; Flower's function alone, its models already in memory, and its whole process.\n"
    yield "| | ours wall / CPU s, MB | Flower in memory wall / CPU s | whole process wall / CPU s, MB |\n|---|---|---|---|"
    for rule, row in rows.items():
        if isinstance(row, str):
            yield f"| {rule} | not there: {row} | | |"
            continue
        ours, theirs = row["ours"], row["flower"]
        yield (
            f"| {rule} | {ours['wall']:.3f} / {ours['cpu']:.3f}, {ours['rss']:.0f} "
            f"| {theirs['inside_wall']:.3f} / {theirs['inside_cpu']:.3f} "
            f"| {theirs['wall']:.3f} / {theirs['cpu']:.3f}, {theirs['rss']:.0f} |"
        )
    yield ""


def main():
    options = arguments()
    bench = Bench(options)
    counts = [int(word) for word in options.clients.split(",")]
    make = pathlib.Path(__file__).with_name("make_updates.py")
    subprocess.run([options.python, make, bench.work / "updates", str(max(counts))], check=True)
    others = busy()
    if others > BUSY and not options.anyway:
        sys.exit(f"others keep {others:.2f} processors busy: the numbers would mean nothing (`--anyway` prints them)")
    bench.warm(max(counts))
    triad = json.loads(measure([bench.floor, "triad"])["printed"])["bytes_per_second"]
    lines = [
        "# Aggregation, files to file\n",
        f"{machine(options)}. Before it began others kept {others:.2f} processors busy. Memory: triad of two threads "
        f"{triad / 1e9:.1f} GB/s.\n",
        f"`{' '.join(['benches/peers/aggregate.sh', *sys.argv[3:]])}`: updates of ResNet-18, two classes (122 tensors, 44.75 MB "
        f"each), in the page cache; every run is a fresh process that writes a new file; medians of {options.runs}, "
        "taken in turns. Answers are checked against each other before anything is timed.\n",
    ]
    for clients in counts:
        limits = bench.limits(clients)
        lines += table(clients, bench.means(clients), limits)
    lines += robust_table(counts[0], bench.robust(counts[0]))
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if options.out or not options.anyway:
        (options.out or options.root / "benches/results/aggregate.md").write_text(text)


main()
