"""Runs the routes of imaging.sh in turns and writes the table: imaging.py ROOT PYTHON [--anyway] [--runs 3] [--out FILE]"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

# Folder, words, and processor milliseconds an image to stay below.
FORMATS = {
    "raw": ("raw", 4),
    "rle": ("RLE", 12),
    "jpeg-lossless": ("JPEG lossless", 45),
    "jpeg-ls": ("JPEG-LS", None),
    "jpeg2000": ("JPEG 2000 lossless", None),
    "jpeg2000-20": ("JPEG 2000, 20:1", 30),
    "png": ("PNG 1024 x 1024, 8 bits", 6),
    "jpeg": ("JPEG 8 bits, 2500 x 2048", 4),
}
PEERS = {"reference": "pydicom + PIL", "opencv": "OpenCV", "opencv_first": "OpenCV, resized first"}
BUSY = 0.1


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("python")
    parser.add_argument("--anyway", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
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


def measure(command, core=True):
    # One core and one thread for all.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = (["taskset", "-c", "0"] if core else []) + [str(word) for word in command]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(command)[:300]}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def difference(one, other):
    one, other = one.read_bytes(), other.read_bytes()
    if len(one) != len(other):
        sys.exit(f"squares of {len(one)} and {len(other)} bytes")
    return sum(abs(a - b) for a, b in zip(one, other)) / len(one)


def rows(options):
    work = options.root / "target/peers"
    ours = options.root / "target/release/imaging"
    routes = options.root / "benches/peers/image_routes.py"
    for folder, (words, limit) in FORMATS.items():
        images = work / "images" / folder
        slow = folder not in ("raw", "rle", "png", "jpeg")
        runs = {"ours": [], "two": [], **{name: [] for name in PEERS}}
        for _ in range(options.runs):
            runs["ours"].append(measure([ours, images, 1, 4 if slow else 16, work / "squares-ours"]))
            runs["two"].append(measure([ours, images, 2, 4 if slow else 16], core=False))
            for name in PEERS:
                runs[name].append(measure([options.python, routes, name, images, 1, work / f"squares-{name}"]))
        each = {
            name: 1000 * statistics.median(run["cpu_s"] / run["images"] for run in made) for name, made in runs.items()
        }
        wall = {key: statistics.median(run["wall_s"] / run["images"] for run in runs[key]) for key in ("ours", "two")}
        far = {name: difference(work / "squares-ours", work / f"squares-{name}") for name in ("reference", "opencv")}
        yield words, limit, each, wall["ours"] / wall["two"], far, max(run["max_rss"] for run in runs["ours"])


def table(options):
    yield "| input | ours, CPU ms | to stay below | " + " | ".join(f"{words}, ms" for words in PEERS.values()) + (
        " | reference, times ours | two cores, times one | from reference / OpenCV, grey levels | ours, MB |"
    )
    yield "|---" * (7 + len(PEERS)) + "|"
    for words, limit, each, gain, far, rss in rows(options):
        peers = " | ".join(f"{each[name]:.1f}" for name in PEERS)
        yield (
            f"| {words} | {each['ours']:.2f} | {limit or '–'} | {peers} | {each['reference'] / each['ours']:.0f} | {gain:.2f} "
            f"| {far['reference']:.2f} / {far['opencv']:.2f} | {rss / 1e6:.0f} |"
        )


def machine(options):
    def line(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    cpu = next(row for row in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if row.startswith("model name"))
    names = ("pydicom", "pillow", "opencv-python-headless", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pyjpegls", "numpy")
    code = f"import importlib.metadata as m; print(', '.join(n + ' ' + m.version(n) for n in {names!r}))"
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
    lines = [
        "# From image file to square\n",
        f"{machine(options)}. Before it began others kept {others:.2f} processors busy.\n",
        f"`{' '.join(['benches/peers/imaging.sh', *sys.argv[3:]])}`: 16 drawn radiographs of each format, 2500 x 2048 with 12 bits "
        f"unless said, in the page cache, to 224 x 224 squares of 8 bits. Processor milliseconds an image on one core, imports and "
        f"start not counted; medians of {options.runs} runs in turns. pydicom decodes with pylibjpeg and CharLS. Ours decodes "
        "JPEG and JPEG 2000 at a lower resolution where that is enough; what that and other filters make of the squares is the "
        "mean difference in the last columns.\n",
        *table(options),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    out = options.out or (None if options.anyway else options.root / "benches/results/imaging.md")
    if out:
        out.write_text(text)


main()
