"""Writes display.json: stored words and the display that pydicom's apply_modality_lut and apply_voi_lut make of them.

Run in the environment of benches/peers/requirements-imaging.txt: python make_display.py

A case has `stored`, words as they lie in the file (unsigned; unused bits may be set), the attributes, and
- `values` and `modality`: after the bits, and after the modality step;
- `display`: from 0 (black) to 1 (white) by PS3.3 C.11, worked out here from its formulas, MONOCHROME1 inverted; absent
  without a window or table, which the standard leaves open. `padded`: positions of values that mean no pixel;
- tables: entry e of `entries` is the smaller of e·`times` div `over` and the largest of `bits`;
- `pydicom`: "same" if its display, brought to 0 to 1 and inverted, differs by less than 1e-9; else its display so
  brought, or its error, and `why` says what differs.
"""

import io
import json
import pathlib
import struct
import warnings
from importlib.metadata import version

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

LADDER12 = [0, 1, 2, 511, 512, 1023, 1024, 1025, 2046, 2047, 2048, 2049, 3071, 3072, 4094, 4095]
WIDE = {"first": 100, "bits": 16, "entries": 2000, "times": 40, "over": 1}
EIGHT = {"first": 0, "bits": 8, "entries": 4096, "times": 1, "over": 16}
RAMP = {"first": 1000, "bits": 12, "entries": 256, "times": 16, "over": 1}


def case(
    name,
    stored=LADDER12,
    allocated=16,
    bits=12,
    high_bit=None,
    signed=False,
    photometric="MONOCHROME2",
    why=None,
    **rest,
):
    high_bit = bits - 1 if high_bit is None else high_bit
    attributes = dict(allocated=allocated, bits=bits, high_bit=high_bit, signed=signed, photometric=photometric)
    return {"name": name, "stored": stored, **attributes, **rest} | ({"why": why} if why else {})


def cases():
    window = {"window": [2048.0, 4096.0]}
    for function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        short = function.lower()
        yield case(f"{short}, the whole range", function=function, **window)
        yield case(f"{short}, narrow", function=function, window=[1024.5, 3.0])
        yield case(f"{short}, between values", function=function, window=[2047.25, 1023.5])
        yield case(f"{short}, beyond the values", function=function, window=[6000.0, 9000.0])
        yield case(f"{short}, inverted", function=function, photometric="MONOCHROME1", window=[1500.0, 2000.0])
        yield case(f"{short}, rescaled", function=function, window=[40.0, 400.0], slope=0.5, intercept=-500.0)
    yield case("linear, width 1: a threshold", window=[1024.0, 1.0])
    yield case("linear, width below 1", window=[1024.0, 0.5], why="both refuse: PS3.3 C.11.2.1.2.1 wants at least 1")
    yield case("exact, width below 1", function="LINEAR_EXACT", window=[1024.0, 0.5])
    yield case(
        "signed, Hounsfield",
        [0, 24, 1000, 1024, 1064, 2048, 3000, 4095, 0x800, 0xFFF],
        signed=True,
        slope=1.0,
        intercept=-24.0,
        window=[40.0, 400.0],
    )
    yield case(
        "signed, unused bits set", [0xF000, 0x7FFF, 0x1800, 0xFFFF, 0x0800, 0x07FF], signed=True, window=[0.0, 4096.0]
    )
    yield case("unsigned, overlay bits set", [0xF000, 0x1001, 0x8FFF, 0xFFFF, 0x0800], **window)
    yield case("8 bits", [0, 1, 64, 127, 128, 200, 254, 255], allocated=8, bits=8, window=[100.0, 120.0])
    yield case(
        "8 bits, signed", [0, 1, 64, 127, 128, 200, 254, 255], allocated=8, bits=8, signed=True, window=[0.0, 120.0]
    )
    yield case("16 bits", [0, 1, 32767, 32768, 40000, 65534, 65535], bits=16, window=[32768.0, 65536.0])
    yield case(
        "16 bits, signed", [0, 1, 32767, 32768, 40000, 65534, 65535], bits=16, signed=True, window=[-100.0, 20000.0]
    )
    yield case("10 bits", [0, 1, 300, 511, 512, 1022, 1023], bits=10, photometric="MONOCHROME1", window=[512.0, 1024.0])
    yield case(
        "value in the upper bits",
        [0, 0x0010, 0x8000, 0xFFF0, 0xFFFF, 0x800F],
        high_bit=15,
        why="pydicom takes the lower bits whatever the high bit says",
        **window,
    )
    yield case("negative slope", slope=-1.0, intercept=4095.0, window=[2000.0, 1000.0])
    yield case(
        "negative slope, inverted", photometric="MONOCHROME1", slope=-2.0, intercept=100.0, window=[-3000.0, 3000.0]
    )
    yield case("two windows: the first", windows=[[1000.0, 500.0], [3000.0, 100.0]], window=[1000.0, 500.0])
    yield case("padding", padding=[0, 0], **window)
    yield case("padding, a range", padding=[0, 2], photometric="MONOCHROME1", **window)
    yield case("padding, a range given downwards", padding=[4095, 4094], window=[1000.0, 1000.0])
    yield case(
        "padding, signed", [0x800, 0x801, 0, 100, 4095], signed=True, padding=[-2048, -2048], window=[0.0, 1000.0]
    )
    yield case("no window")
    yield case("no window, rescaled", slope=2.0, intercept=-1000.0)
    yield case(
        "slope without intercept",
        slope=2.0,
        why="pydicom takes a slope only beside an intercept, both of which are required (PS3.3 C.11.1)",
        **window,
    )
    yield case(
        "modality table",
        modality_lut={"first": 500, "bits": 16, "entries": 3000, "times": 7, "over": 1},
        window=[10000.0, 20000.0],
    )
    yield case("modality table, 8 bits", modality_lut=EIGHT, window=[128.0, 200.0])
    yield case(
        "modality table, 12 bits",
        modality_lut=RAMP,
        window=[2048.0, 4096.0],
        why="pydicom knows 8 and 16 bits; PS3.3 C.11.1.1.1 has no others either",
    )
    yield case("VOI table", voi_lut=WIDE)
    yield case("VOI table, inverted", photometric="MONOCHROME1", voi_lut=WIDE)
    yield case("VOI table, 12 bits", voi_lut=RAMP)
    yield case(
        "VOI table, entries short of its bits", voi_lut={"first": 0, "bits": 10, "entries": 300, "times": 2, "over": 1}
    )
    yield case(
        "VOI table, 8 bits, 256 entries",
        voi_lut={"first": 900, "bits": 8, "entries": 256, "times": 1, "over": 1},
        why="pydicom counts entries in 8 bits, so that values far beyond the table come round again",
    )
    yield case("VOI table, 8 bits, 4096 entries", voi_lut=EIGHT, why="pydicom counts entries in 8 bits")
    yield case(
        "VOI table from below 0",
        [0x800, 0xF00, 0xFFF, 0, 1, 100, 2047],
        signed=True,
        voi_lut={"first": -1000, "bits": 16, "entries": 2000, "times": 30, "over": 1},
    )
    yield case("VOI table, rescaled to whole values", slope=1.0, intercept=-200.0, voi_lut=WIDE)
    yield case(
        "VOI table, rescaled to fractions",
        slope=0.3,
        intercept=0.0,
        voi_lut=WIDE,
        why="the standard leaves fractions open: here the nearest entry, in pydicom the one below",
    )
    yield case("VOI table and window: the table", voi_lut=WIDE, window=[3000.0, 10.0])
    yield case(
        "modality and VOI tables",
        modality_lut={"first": 0, "bits": 16, "entries": 4096, "times": 16, "over": 1},
        voi_lut=RAMP | {"first": 8000, "times": 1, "entries": 5000},
    )


def from_bits(case):
    """PS3.5 8.1.1: the value lies from the high bit down."""
    values = np.array(case["stored"]) >> (case["high_bit"] + 1 - case["bits"]) & (1 << case["bits"]) - 1
    return (
        np.where(values >> (case["bits"] - 1) & 1, values - (1 << case["bits"]), values) if case["signed"] else values
    )


def entries(lut):
    return [min(2 ** lut["bits"] - 1, entry * lut["times"] // lut["over"]) for entry in range(lut["entries"])]


def look_up(lut, values):
    at = np.floor(np.asarray(values) + 0.5).astype(np.int64) - lut["first"]
    return np.array(entries(lut))[np.clip(at, 0, lut["entries"] - 1)]


def standard(case):
    """Modality values and the display, by PS3.3 C.11.1 and C.11.2; None where it says nothing."""
    values = from_bits(case).astype(np.float64)
    if "modality_lut" in case:
        values = look_up(case["modality_lut"], values).astype(np.float64)
    elif "slope" in case:
        values = values * case["slope"] + case.get("intercept", 0.0)
    if "voi_lut" in case:
        shown = look_up(case["voi_lut"], values) / (2 ** case["voi_lut"]["bits"] - 1)
    elif "window" in case:
        shown = through_window(case, values)
    else:
        shown = None
    if shown is not None and case["photometric"] == "MONOCHROME1":
        shown = 1 - shown
    return values, shown


def through_window(case, x):
    centre, width = case["window"]
    function = case.get("function", "LINEAR")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (x - centre) / width))
    if function == "LINEAR":
        if width < 1:
            return None
        centre, width = centre - 0.5, width - 1
    inside = (x - centre) / width + 0.5 if width else np.zeros_like(x)
    return np.select([x <= centre - width / 2, x > centre + width / 2], [0.0, 1.0], inside)


def sequence(lut, signed):
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [lut["entries"], lut["first"], lut["bits"]])
    item.add_new("LUTData", "OW", struct.pack(f"<{lut['entries']}H", *entries(lut)))
    return Sequence([item])


def dataset_of(case):
    """The case as a data set that was written and read again."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 1, len(case["stored"]), 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = case["allocated"], case["bits"], case["high_bit"]
    dataset.PixelRepresentation, dataset.PhotometricInterpretation = int(case["signed"]), case["photometric"]
    words = np.array(case["stored"], dtype=f"<u{case['allocated'] // 8}").tobytes()
    dataset.add_new("PixelData", "OW" if case["allocated"] == 16 else "OB", words + b"\0" * (len(words) % 2))
    if "slope" in case:
        dataset.RescaleSlope = case["slope"]
    if "intercept" in case:
        dataset.RescaleIntercept = case["intercept"]
    for centre, width in case.get("windows", [case["window"]] if "window" in case else []):
        dataset.WindowCenter = [*np.atleast_1d(dataset.get("WindowCenter", [])), centre]
        dataset.WindowWidth = [*np.atleast_1d(dataset.get("WindowWidth", [])), width]
    if "function" in case:
        dataset.VOILUTFunction = case["function"]
    if "modality_lut" in case:
        dataset.ModalityLUTSequence = sequence(case["modality_lut"], case["signed"])
    if "voi_lut" in case:
        dataset.VOILUTSequence = sequence(case["voi_lut"], case["signed"] or case["voi_lut"]["first"] < 0)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    file.seek(0)
    return pydicom.dcmread(file)


def by_pydicom(case):
    """pydicom's modality values and display from 0 to 1."""
    dataset = dataset_of(case)
    modality = apply_modality_lut(pixel_array(dataset, raw=True)[0], dataset)
    shown = apply_voi_lut(modality[None], dataset)[0].astype(np.float64)
    if "voi_lut" in case:
        low, high = 0, 2 ** case["voi_lut"]["bits"] - 1
    else:
        low, high = (
            (0, 2 ** case["bits"] - 1)
            if not case["signed"]
            else (-(2 ** (case["bits"] - 1)), 2 ** (case["bits"] - 1) - 1)
        )
        if "modality_lut" in case:
            low, high = 0, 2 ** case["modality_lut"]["bits"] - 1
        if "slope" in case and "intercept" in case:
            low, high = (edge * case["slope"] + case["intercept"] for edge in (low, high))
    shown = (shown - low) / (high - low)
    return modality.astype(np.float64), 1 - shown if case["photometric"] == "MONOCHROME1" else shown


def short(values):
    return [float(f"{value:.12g}") for value in values]


def solve(case):
    modality, display = standard(case)
    case["values"] = from_bits(case).tolist()
    case["modality"] = short(modality)
    if display is not None:
        case["display"] = short(display)
    if "padding" in case:
        low, high = sorted(case["padding"])
        case["padded"] = [at for at, value in enumerate(case["values"]) if low <= value <= high]
    try:
        theirs, shown = by_pydicom(case)
    except Exception as error:
        case["pydicom"] = f"{type(error).__name__}: {error}"
        assert "why" in case, (case["name"], case["pydicom"])
        return case
    same = np.allclose(theirs, modality, rtol=0, atol=1e-9) and (
        display is None or np.allclose(shown, display, rtol=0, atol=1e-9)
    )
    if same:
        case.pop("why", None)
    assert same or "why" in case, (case["name"], theirs, modality, shown, display)
    case["pydicom"] = "same" if same else short(shown)
    return case


def main():
    warnings.simplefilter("ignore")
    golden = {
        "made_with": {name: version(name) for name in ("pydicom", "numpy")},
        "cases": [solve(case) for case in cases()],
    }
    text = json.dumps(golden, separators=(",", ":")).replace('},{"name"', '},\n{"name"')
    pathlib.Path(__file__).with_name("display.json").write_text(text + "\n")


main()
