"""Writes the inputs that fuzzing starts from into corpus/, small ones only: `python3 make_corpus.py`."""

import json
import os
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).parent / "corpus"
ROOT = pathlib.Path(__file__).parents[2]
JPEG = pathlib.Path(__file__).parents[1] / "parity" / "jpeg"
MODELS = pathlib.Path(__file__).parents[1] / "parity" / "models"
PICTURES = pathlib.Path(__file__).parents[1] / "parity" / "pictures" / "streams"


def tensor_file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, start, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


OURS = {
    "fedwing": "1",
    "kind": "update",
    "experiment": "e1",
    "dataset": "nih",
    "spec_digest": "0" * 64,
    "synthetic": "false",
    "round": "3",
    "client": "0",
    "num_samples": "30",
    "channels": "1",
    "image_size": "64",
    "num_classes": "2",
}
READER = {
    "empty": b"",
    "no-tensors": tensor_file({}),
    "scalar": tensor_file({"a": tensor("F32", [], 0, 4)}, bytes(4)),
    "two": tensor_file({"b": tensor("F16", [3], 4, 10), "a": tensor("I32", [1, 1], 0, 4)}, bytes(10)),
    "empty-tensor": tensor_file({"a": tensor("U8", [0, 5], 0, 0)}),
    "foreign": tensor_file(
        {"__metadata__": {"format": "pt", "num_samples": "7"}, "w": tensor("BF16", [2], 0, 4)}, bytes(4)
    ),
    "ours": tensor_file({"__metadata__": OURS, "w": tensor("F64", [2], 0, 16)}, bytes(16)),
    "padded": tensor_file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}    ', bytes(4)),
    "overlap": tensor_file({"a": tensor("U8", [4], 0, 4), "b": tensor("U8", [4], 2, 6)}, bytes(6)),
    "overflow": tensor_file({"a": tensor("F32", [2**62, 2**62], 0, 4)}, bytes(4)),
    "too-long": struct.pack("<Q", 2**63) + b"{}",
    "array": tensor_file(b"[]"),
}
ARGUMENTS = {
    "aggregate": "aggregate --strategy fedadam:tau=0.001 --global g --update a --update b --samples 3 --samples 4 "
    "--state-in s --state-out t --output o --metrics m --seed 7 --threads 2 --keep *.bn1.*",
    "privacy": "aggregate --strategy median --privacy fixed:norm=1,noise_multiplier=1,delta=1e-5 --global g --output o",
    "json": 'aggregate --strategy {"krum":{"byzantine":2}} --global g --update a --output o',
    "file": "aggregate --strategy ./rule.json --global g --update a%2Fb --output o --min-clients 2 --reveal r",
    "partial": "partial --global g --update a --samples 1 --output o",
}


# The decoder (0), width - 1, height - 1, colour, 16 bits; then segments of DICOM RLE.
RLE = {
    "grey": bytes([0, 3, 1, 0, 0]) + struct.pack("<16I", 1, 64, *[0] * 14) + bytes([253, 9, 3, 1, 2, 3, 4, 0]),
    "deep": bytes([0, 3, 1, 0, 1]) + struct.pack("<16I", 2, 64, 66, *[0] * 13) + bytes([249, 9, 7, 1, 2, 3, 4, 5, 6, 7, 8]),
    "colour": bytes([0, 3, 1, 1, 0]) + struct.pack("<16I", 3, 64, 66, 68, *[0] * 12) + bytes([249, 9] * 3),
}


def element(tag, vr, value, syntax="LE"):
    """An element; `value` is bytes, text, or numbers of 16 bits."""
    end = ">" if syntax == "BE" else "<"
    if isinstance(value, str):
        value = value.encode()
    elif not isinstance(value, bytes):
        value = struct.pack(f"{end}{len(value)}H", *value)
    value += bytes(len(value) % 2)
    head = struct.pack(f"{end}HH", tag >> 16, tag & 0xFFFF)
    if syntax == "implicit":
        return head + struct.pack("<I", len(value)) + value
    if vr in ("OB", "OW", "SQ", "UN", "OV"):
        return head + vr.encode() + bytes(2) + struct.pack(f"{end}I", len(value)) + value
    return head + vr.encode() + struct.pack(f"{end}H", len(value)) + value


def item(value):
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value


def dicom(uid, size, pixels, bits=16, channels=1, photometric="MONOCHROME2", more=b"", fragments=None, syntax="LE"):
    """A DICOM file; `fragments` instead of `pixels`: encapsulated."""
    width, height = size
    tags = [
        (0x00280002, "US", [channels]),
        (0x00280004, "CS", photometric),
        (0x00280010, "US", [height]),
        (0x00280011, "US", [width]),
        (0x00280100, "US", [bits]),
        (0x00280101, "US", [bits]),
        (0x00280103, "US", [0]),
    ]
    data = b"".join(element(*tag, syntax) for tag in tags) + more
    if fragments is None:
        data += element(0x7FE00010, "OW", pixels, syntax)
    else:
        data += bytes.fromhex("e07f10004f420000ffffffff") + item(b"")
        data += b"".join(item(one + bytes(len(one) % 2)) for one in fragments) + bytes.fromhex("feffdde000000000")
    if uid.endswith(".99"):
        packer = zlib.compressobj(wbits=-15)
        data = packer.compress(data) + packer.flush()
    return bytes(128) + b"DICM" + element(0x00020010, "UI", uid) + data


def size_of(stream):
    """Width, height and channels that a compressed stream announces."""
    if stream[:2] == b"\xff\x4f":
        (width, height), channels = struct.unpack(">2I", stream[8:16]), stream[41]
        return width, height, channels
    at = 2
    while at + 10 < len(stream):
        marker, length = struct.unpack(">xBH", stream[at : at + 4])
        if marker in (0xC0, 0xC1, 0xC2, 0xC3, 0xF7):
            height, width, channels = struct.unpack(">HHB", stream[at + 5 : at + 10])
            return width, height, channels
        at += 2 + length
    return 1, 1, 1


def dicom_files():
    """Files of each transfer syntax."""
    base, values = "1.2.840.10008.1.2", [0, 1, 2, 300, 4000, 4095]
    lut = element(0x00283002, "US", [3, 0, 8]) + element(0x00283006, "OW", [0, 9, 255])
    groups = element(0x52009229, "SQ", item(element(0x00289132, "SQ", item(element(0x00281050, "DS", "40 ")))))
    window = element(0x00281050, "DS", "40\\-600") + element(0x00281051, "DS", "400\\1500")
    palette = b"".join(element(tag, "US", [4, 0, 16]) for tag in (0x00281101, 0x00281102, 0x00281103))
    plain = b"".join(element(tag, "OW", [0, 9, 99, 999]) for tag in (0x00281201, 0x00281202, 0x00281203))
    segmented = b"".join(element(tag, "OW", [0, 1, 7, 1, 3, 70]) for tag in (0x00281221, 0x00281222, 0x00281223))
    yield "explicit", dicom(base + ".1", (3, 2), values, more=window)
    yield "implicit", dicom(base, (3, 2), values, syntax="implicit")
    yield "big", dicom(base + ".2", (3, 2), values, syntax="BE")
    yield "deflated", dicom(base + ".1.99", (3, 2), values, more=window)
    yield "bare", dicom(base + ".1", (3, 2), values)[132 + 28 :]
    yield "voi-lut", dicom(base + ".1", (3, 2), values, more=element(0x00283010, "SQ", item(lut) + item(lut)))
    yield "modality-lut", dicom(base + ".1", (3, 2), values, more=element(0x00283000, "SQ", item(lut)))
    yield "groups", dicom(base + ".1", (3, 2), values, more=groups)
    yield "frames", dicom(base + ".1", (1, 2), values, more=element(0x00280008, "IS", "3"))
    yield "palette", dicom(base + ".1", (2, 2), [1, 2], 8, 1, "PALETTE COLOR", palette + plain)
    yield "segmented", dicom(base + ".1", (2, 2), [1, 2], 8, 1, "PALETTE COLOR", palette + segmented)
    yield "planar", dicom(base + ".1", (2, 2), [1] * 6, 8, 3, "RGB", element(0x00280006, "US", [1]))
    yield "half", dicom(base + ".1", (2, 2), [1] * 4, 8, 3, "YBR_FULL_422")
    rle = struct.pack("<16I", 2, 64, 66, *[0] * 13) + bytes([251, 1, 251, 7])
    two = element(0x00280008, "IS", "2")
    yield "rle", dicom(base + ".5", (3, 2), None, fragments=[rle, rle], more=two)
    yield "encapsulated", dicom(base + ".1.98", (3, 2), None, fragments=[bytes(8), bytes(4)])
    codecs = {".jpg": ".4.51", ".jls": ".4.81", ".j2k": ".4.91", ".jp2": ".4.91"}
    for file in [*JPEG.glob("*.jpg"), *PICTURES.iterdir()]:
        stream = file.read_bytes()
        if file.suffix in codecs and len(stream) < 7000:
            width, height, channels = size_of(stream)
            photometric = "MONOCHROME2" if channels == 1 else "RGB"
            uid = base + codecs[file.suffix]
            # Streams of 8 bits become words too.
            for bits in (8, 16):
                content = dicom(uid, (width, height), None, bits, channels, photometric, fragments=[stream])
                yield f"{file.name}-{bits}", content


EVENTS = b"""\
000 (4.000.000) 2026-01-05 09:00:00.250 Job submitted from host: <10.0.0.1:9618?alias=submit>
    DAG Node: a
...
001 (4.000.000) 2026-01-05 09:00:01 Job executing on host: <10.0.0.7:9618?alias=w7&sock=x>
\tSlotName: slot1@w7
...
012 (4.000.000) 2026-01-05 09:00:02 Job was held.
\tno such file
\tCode 12 Subcode 2
...
013 (4.000.000) 2026-01-05 09:00:03 Job was released.
...
004 (4.000.000) 2026-01-05 09:00:04 Job was evicted.
\t\tUsr 0 00:00:01, Sys 0 00:00:00  -  Run Remote Usage
...
005 (4.000.000) 2026-01-05 09:00:05 Job terminated.
\t(1) Normal termination (return value 0)
\t5  -  Run Bytes Sent By Job
\t   Memory (MB)          :       18      128       128
...
016 (4.000.000) 2026-01-05 09:00:06 POST Script terminated.
\t(1) Normal termination (return value 1)
    DAG Node: a
...
"""

DAG = b"""\
JOB a a.sub
JOB b b.sub DIR x NOOP
SUBDAG EXTERNAL c c.dag
SPLICE s s.dag
PARENT a CHILD b c
RETRY a 2 UNLESS-EXIT 11
SCRIPT POST a check
DONE b
"""

DAGMAN = b"""\
01/05/26 09:00:00 ** condor_scheduniv_exec.1.0 (CONDOR_DAGMAN) STARTING UP
01/05/26 09:00:01 Event: ULOG_SUBMIT for HTCondor Node a (2.0.0) {01/05/26 09:00:01}
01/05/26 09:00:02 Node a job proc (2.0.0) failed with status 9.
01/05/26 09:00:02 Retrying node a (retry #1 of 2)...
01/05/26 09:00:03 PRE Script of Job c failed with status 3
01/05/26 09:00:03     2       0        1       0       0          2        3        4
01/05/26 09:00:04       Node Name: c
01/05/26 09:00:04           Error: PRE Script failed with status 3
01/05/26 09:00:05 **** condor_scheduniv_exec.1.0 (condor_DAGMAN) pid 8 EXITING WITH STATUS 1
"""

KICKSTART = b"""\
- invocation: True
  mainjob:
    start: 2026-01-05T09:00:01.500+00:00
    duration: 7.250
    usage:
      utime: 6.0
      stime: 0.5
      maxrss: 1760
    status:
      raw: 256
  jobids:
    condor: 4.0
  files:
    f.out:
      lfn: "f.out"
      size: 6
      output: True
      sha256: 0000000000000000000000000000000000000000000000000000000000000000
    stderr:
      data: |
        memory ran out
---------------pegasus-multipart
"""

# Files of runs on pools, by the target that reads them; the small ones behind the number of their kind.
RUNS = {
    "event_log": {"events": EVENTS},
    "dagman_out": {"out": DAGMAN},
    "kickstart": {"record": KICKSTART},
    "nodes": {"run": b"===\n".join([DAG, EVENTS, DAGMAN, b"DONE a\n"])},
    "run_files": {
        "braindump": b'\x00wf_uuid: "a"\nroot_wf_uuid: "a"\ntimestamp: "t"\ndax_label: "e"\ndag: "e-0.dag"\n',
        "manifest": b'\x01{"job":"train-c0-r1","kind":"train","dataset":"nih","round":1,"client":0,"outputs":["u.safetensors"]}\n',
        "metrics": b'\x02{"start_time":1.5,"end_time":2,"exitcode":0,"rescue_dag_number":0,"jobs":1,"jobs_failed":0,'
        b'"jobs_succeeded":1,"dag_jobs":0,"dag_jobs_failed":0,"dag_jobs_succeeded":0,"total_jobs":1}',
        "deleted": b"\x03size 7 files/a.update\n" + b"0" * 64 + b"  files/a.update\n",
        "jobstate": b"\x041795350324 a SUBMIT 26.0 pool - 1\n",
    },
}

SWEEP_LIST = {
    "fedwing_sweep": 1,
    "experiment": "e1",
    "intent": None,
    "source": "/specs/e1.yml",
    "digest": "0" * 64,
    "system": "local",
    "at_once": 4,
    "axes": [{"place": "federation.algorithm", "values": ["fedavg", "{fedprox: {mu: 0.01}}"]}, {"place": "seed", "values": ["0"]}],
    "points": [{"name": "e1-fedavg", "values": [0, 0]}, {"name": "e1-fedprox", "values": [1, 0]}],
}
SWEEPS = {
    "list": SWEEP_LIST,
    "no-points": SWEEP_LIST | {"system": "dagman", "axes": [], "points": []},
    "no-such-value": SWEEP_LIST | {"system": "pegasus", "points": [{"name": "e1-fedavg", "values": [2, 0]}]},
}
POOL_FILES = {
    "least": "fedwing_pool: 1\nsites: {here: {slots: 4}}\njobs: {train: {per_sample: 0.01}}\n",
    "varying": "fedwing_pool: 1\nsites: {a: {slots: 2, cpus: 4, memory: 8 GiB, gpus: 1, speed: 2, holds: [b]}}\n"
    "queue: {wait: {median: 20, spread: 1.5}, cycle: 60}\nstaging: {bandwidth: 100 MB, latency: 0.5}\n"
    "jobs: {train: {fixed: 1, per_megabyte: 0.1, spread: 1.2, wait: 3, overhead: {median: 2, spread: 1}}}\n",
    "aliases": "fedwing_pool: 1\nsites: {a: &a {slots: 1}, b: *a}\njobs: {init: {}}\n",
    "newer": "fedwing_pool: 2\n",
}


WORKFLOW = (
    """pegasus: "5.0"
name: e1
jobs:
- type: job
  namespace: fedwing
  name: init
  id: init
  arguments: [init, --out, {lfn: m.safetensors}]
  uses:
  - {lfn: s.json, type: input}
  - {lfn: m.safetensors, type: output, stageOut: true, registerReplica: false}
  profiles:
    pegasus: {cores: "1", memory: "512"}
    dagman: {RETRY: "2"}
- type: pegasusWorkflow
  file: inner.yml
  id: round
  arguments: [--output-sites, local]
  uses:
  - {lfn: m.safetensors, type: input}
jobDependencies:
- id: init
  children: [round]
""",
    """pegasus: "5.0"
transformations:
- namespace: fedwing
  name: init
  sites:
  - {name: local, pfn: bin/fl-client, type: stageable}
""",
    """pegasus: "5.0"
replicas:
- lfn: s.json
  pfns:
  - {site: local, pfn: inputs/s.json}
- lfn: inner.yml
  pfns:
  - {site: local, pfn: inner.yml}
""",
    """pegasus: "5.0"
name: inner
jobs:
- type: job
  namespace: fedwing
  name: init
  id: again
  arguments: [init, m.safetensors]
  uses:
  - {lfn: m.safetensors, type: input}
jobDependencies: []
""",
)


def real_files():
    """Small files of the test data, if they are there."""
    folder = os.environ.get("FEDWING_DATA") or pathlib.Path(__file__).parents[3] / "shared/data"
    for file in pathlib.Path(folder, "dicom").glob("*.dcm"):
        if file.stat().st_size < 8192:
            yield file.name, file.read_bytes()


def main():
    targets = ("reader", "aggregate", "arguments", "jpeg", "pictures", "dicom", "pytorch", "specification", "workflow")
    targets += ("pool_file", "sweep_list", *RUNS)
    for target in targets:
        (HERE / target).mkdir(parents=True, exist_ok=True)
    for name, content in READER.items():
        (HERE / "reader" / name).write_bytes(content)
        (HERE / "aggregate" / name).write_bytes(content * 3)
    for rule in range(12):
        # The rule, that valid files are changed, then which changes.
        for changes in range(3):
            choices = bytes([rule, 1]) + bytes((7 * rule + 31 * changes + n) % 251 for n in range(40))
            (HERE / "aggregate" / f"rule{rule}-{changes}").write_bytes(choices)
    for name, content in RLE.items():
        (HERE / "jpeg" / f"rle-{name}").write_bytes(content)
    for file in JPEG.glob("*.jpg"):
        # At full resolution, an eighth and a quarter.
        for wanted in (1, 2, 5):
            (HERE / "jpeg" / f"{file.stem}-{wanted}").write_bytes(bytes([wanted]) + file.read_bytes())
    for file in PICTURES.iterdir():
        if file.stat().st_size < 8000:
            for decoder in {".jls": (0,), ".j2k": (1, 2), ".jp2": (1, 2), ".png": (3,)}[file.suffix]:
                (HERE / "pictures" / f"{file.name}-{decoder}").write_bytes(bytes([decoder]) + file.read_bytes())
    for name, content in [*dicom_files(), *real_files()]:
        (HERE / "dicom" / name).write_bytes(content)
    for file in MODELS.glob("*.pt"):
        # The pickles are at either end; the weights between them are no structure.
        content = file.read_bytes()
        (HERE / "pytorch" / file.name).write_bytes(content[:6000] + content[-2000:] if len(content) > 8000 else content)
    for target, files in RUNS.items():
        for name, content in files.items():
            (HERE / target / name).write_bytes(content)
    for name, text in POOL_FILES.items():
        (HERE / "pool_file" / name).write_text(text)
    for file in (ROOT / "examples/pools").glob("*.yml"):
        (HERE / "pool_file" / file.name).write_bytes(file.read_bytes())
    for name, content in SWEEPS.items():
        (HERE / "sweep_list" / name).write_text(json.dumps(content))
    for name, line in ARGUMENTS.items():
        (HERE / "arguments" / name).write_text(line.replace(" ", "\n"))
    for folder in ("examples", "tests/spec"):
        for file in (ROOT / folder).glob("*.yml"):
            (HERE / "specification" / file.name).write_bytes(file.read_bytes())
    (HERE / "workflow" / "small").write_text("===\n".join(WORKFLOW))


main()
