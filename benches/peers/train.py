"""Trains networks with ours and with PyTorch in turns and writes the table:
train.py ROOT PYTHON BINARY [--anyway] [--runs 3] [--steps 8] [--arch NAME ...] [--out FILE]"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

# What a step may take, in steps of PyTorch: by network and batch.
TRAIN = {
    "small_cnn": {32: 1.2},
    "resnet18": {8: 1.2, 32: 1.0},
    "densenet121": {8: 1.3, 32: 1.3},
    "efficientnet_b0": {8: 1.3, 32: 1.3},
}
INFER = 1.2
# What a step in bfloat16 may take, in steps of PyTorch in f32.
HALF = 1.0
MEMORY = 0.5
THREADS = 2
BUSY = 0.1
# What the stripped binary may take, in bytes.
BINARY = 15_000_000


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("python")
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--anyway", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--arch", nargs="+", choices=TRAIN, default=list(TRAIN))
    parser.add_argument("--out", type=pathlib.Path)
    return parser.parse_args()


def busy():
    """Processors that others keep busy, over two seconds."""

    def ticks():
        words = pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        return sum(map(int, words)) - int(words[3]) - int(words[4])

    before = ticks()
    time.sleep(2)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / 2


def measure(*command):
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "RAYON_NUM_THREADS": str(THREADS)}
    command = [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def row(options, arch, mode, batch):
    ours = [options.root / "target/release/train_step"]
    theirs = [options.python, options.root / "benches/peers/train_torch.py"]
    kinds = {"ours": ours, "theirs": theirs, "ours bf16": ours, "theirs bf16": theirs}
    if mode == "infer":
        # Ours evaluates in f32 always.
        del kinds["ours bf16"]
    runs = {name: [] for name in kinds}
    for _ in range(options.runs):
        for name, program in kinds.items():
            words = [arch, mode, batch, options.steps, THREADS, *name.split()[1:]]
            runs[name].append(measure(*program, *words))
    middle = {name: statistics.median(ms for run in made for ms in run["ms"]) for name, made in runs.items()}
    memory = {name: max(run["max_rss"] for run in made) / 1e6 for name, made in runs.items()}
    limit = TRAIN[arch][batch] if mode == "train" else INFER
    ratio, share = middle["ours"] / middle["theirs"], memory["ours"] / memory["theirs"]
    half = "| | | "
    if "ours bf16" in middle:
        half = f"| {middle['ours bf16']:.1f} | {middle['ours bf16'] / middle['theirs']:.2f} | {HALF} "
    return (
        f"| {arch} | {mode} | {batch} | {middle['theirs']:.1f} | {middle['ours']:.1f} | {ratio:.2f} | {limit} {half}"
        f"| {middle['theirs bf16']:.1f} | {memory['theirs']:.0f} | {memory['ours']:.0f} | {share:.2f} | {MEMORY} |"
    )


def table(options):
    yield (
        "| network | what | batch | PyTorch f32, ms a step | ours f32, ms | ratio | to stay below | ours bf16, ms | ratio to f32 "
        "| to stay below | PyTorch bf16, ms | PyTorch f32, MB | ours f32, MB | ratio | to stay below |"
    )
    yield "|---" * 15 + "|"
    for arch in options.arch:
        for mode in ("train", "infer"):
            for batch in TRAIN[arch]:
                yield row(options, arch, mode, batch)


def machine(options):
    def line(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    cpu = next(row for row in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if row.startswith("model name"))
    code = "import importlib.metadata as m; print(', '.join(n + ' ' + m.version(n) for n in ('torch', 'torchvision')))"
    commit = line("git", "-C", str(options.root), "rev-parse", "--short", "HEAD")
    return (
        f"{cpu.split(':')[1].strip()}, {os.cpu_count()} cores, commit {commit}, {datetime.date.today()}; "
        f"{line(options.python, '-c', code)}; {line('rustc', '--version')}"
    )


def main():
    options = arguments()
    others = busy()
    if others > BUSY and not options.anyway:
        sys.exit(f"others keep {others:.2f} processors busy: the numbers would mean nothing (`--anyway` prints them)")
    binary = options.binary.stat().st_size
    lines = [
        "# Training and inference beside PyTorch\n",
        f"{machine(options)}. Before it began others kept {others:.2f} processors busy.\n",
        f"`{' '.join(['benches/peers/train.sh', *sys.argv[4:]])}`: {THREADS} threads each, images of 3 x 224 x 224 (small_cnn: "
        f"1 x 28 x 28), 2 classes. A training step is forward, backward and SGD with momentum and weight decay. Medians over "
        f"{options.steps} steps of {options.runs} processes each, in turns, after two steps that do not count; the largest "
        "resident size of a process. In bf16 is what each calls so: convolutions of rounded operands in ours, autocast in PyTorch; "
        "ratios are to PyTorch f32.\n",
        *table(options),
        f"\nThe stripped, static binary has {binary / 1e6:.2f} MB (to stay below: {BINARY / 1e6:.0f}).",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    out = options.out or (None if options.anyway else options.root / "benches/results/train.md")
    if out:
        out.write_text(text)


main()
