"""Writes the inputs that fuzzing starts from into corpus/, small ones only: `python3 make_corpus.py`."""

import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent / "corpus"


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


def main():
    for target in ("reader", "aggregate", "arguments"):
        (HERE / target).mkdir(parents=True, exist_ok=True)
    for name, content in READER.items():
        (HERE / "reader" / name).write_bytes(content)
        (HERE / "aggregate" / name).write_bytes(content * 3)
    for rule in range(12):
        # The rule, that valid files are changed, then which changes.
        for changes in range(3):
            choices = bytes([rule, 1]) + bytes((7 * rule + 31 * changes + n) % 251 for n in range(40))
            (HERE / "aggregate" / f"rule{rule}-{changes}").write_bytes(choices)
    for name, line in ARGUMENTS.items():
        (HERE / "arguments" / name).write_text(line.replace(" ", "\n"))


main()
