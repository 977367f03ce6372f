"""Writes golden.json: what pydicom makes of every file of the test data's folder `dicom`.

Run in the environment of benches/peers/requirements-imaging.txt: python make_golden.py [--data DIR]
DIR holds `dicom`; without it, FEDWING_DATA or ../shared/data beside the repository.

A file has either `error` (kind and words) or its image:
- `sha256`: one digest a frame over the stored values as pydicom gives them with raw=True: no table, no colour conversion;
  row by row, channels of a pixel side by side, one byte a value where 8 bits are allocated, else two, little-endian, signed
  values in two's complement. pydicom clears the bits above those stored (or fills them with the sign).
- `plugins`: the decoders tried and whether their values are the same as those of `sha256` (`maximum difference` if not).
- `turbo`: what libjpeg-turbo makes of the first frame of a JPEG file, also of one whose scan header says less than it should.
- `lossy`: the transfer syntax loses something or the values depend on the decoder. Then compare within a tolerance:
  `mean` and `thumbnail` of the first frame's stored values, one of each a channel.
- `display`: the first frame after apply_modality_lut and apply_voi_lut, if it is grey: `minimum`, `maximum`, `mean`, `thumbnail`.
  See make_display.py for where pydicom's display differs from the standard.
- `forced`: of a file that has `error`, what dcmread(force=True) makes of it where the transfer syntax, if it has none, is
  taken from how the data set looks.
A thumbnail is 16 rows of 16 means over equal parts of the image, pixels counted by the area they share with a part.
"""

import argparse
import hashlib
import json
import os
import pathlib
import warnings
from importlib.metadata import version

import imagecodecs
import numpy as np
import pydicom
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_modality_lut, apply_voi_lut, get_decoder, pixel_array
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    UncompressedTransferSyntaxes,
)

LOSSY = {  # PS3.5 A.4: transfer syntaxes that may lose something
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.93", "1.2.840.10008.1.2.4.203",
}  # fmt: skip
JPEG = {f"1.2.840.10008.1.2.4.{process}" for process in (50, 51, 57, 70)}
PLAIN = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}
PARTS = 16


def parts(length):
    """Weights that make PARTS means of `length` values."""
    edges = np.arange(PARTS + 1) * length / PARTS
    values = np.arange(length)
    shared = np.minimum(values + 1, edges[1:, None]) - np.maximum(values, edges[:-1, None])
    return np.clip(shared, 0, None) * PARTS / length


def short(number):
    return float(f"{number:.7g}")


def thumbnail(image):
    means = parts(image.shape[0]) @ image.astype(np.float64) @ parts(image.shape[1]).T
    return [short(mean) for mean in means.ravel()]


def stored_bytes(frame, dataset):
    """The stored values of a frame as the digests take them."""
    if dataset.BitsAllocated <= 8:
        return frame.astype(np.uint8 if frame.dtype.kind != "i" else np.int8).tobytes()
    return frame.astype("<i2" if frame.dtype.kind == "i" else "<u2").tobytes()


def frames_of(dataset, **options):
    array = pixel_array(dataset, raw=True, **options)
    return array if int(dataset.get("NumberOfFrames", 1) or 1) > 1 else array[None]


def plugins(dataset, frames):
    """Every decoder installed against the values of the first."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in UncompressedTransferSyntaxes:
        return {}
    tried = {}
    for name in get_decoder(syntax).available_plugins:
        try:
            other = frames_of(dataset, decoding_plugin=name)
        except Exception as error:
            tried[name] = f"{type(error).__name__}: {error}"[:120]
            continue
        difference = int(np.abs(other.astype(np.int64) - frames.astype(np.int64)).max())
        tried[name] = "same" if difference == 0 else f"maximum difference {difference}"
    return tried


def turbo(dataset):
    """libjpeg-turbo, which pydicom has no plugin for, on the first frame of a JPEG file."""
    if str(dataset.file_meta.TransferSyntaxUID) not in JPEG:
        return {}
    fragments = generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames", 1) or 1))
    options = {"colorspace": "ycbcr", "outcolorspace": "ycbcr"} if dataset.SamplesPerPixel == 3 else {}
    frame = imagecodecs.jpeg8_decode(next(fragments), **options)
    return {"turbo": {"sha256": hashlib.sha256(stored_bytes(frame, dataset)).hexdigest(), "mean": short(frame.mean())}}


def image_of(dataset):
    frames = frames_of(dataset)
    syntax = dataset.file_meta.TransferSyntaxUID
    first = frames[0]
    channels = [first] if first.ndim == 2 else [first[..., c] for c in range(first.shape[2])]
    tried = plugins(dataset, frames)
    result = {
        "transfer_syntax": str(syntax),
        "sop_instance": str(dataset.get("SOPInstanceUID", "")),
        "patient": str(dataset.get("PatientID", "")),
        "modality": str(dataset.get("Modality", "")),
        "frames": len(frames),
        "rows": dataset.Rows,
        "columns": dataset.Columns,
        "samples_per_pixel": dataset.SamplesPerPixel,
        "photometric": dataset.PhotometricInterpretation,
        "bits_allocated": dataset.BitsAllocated,
        "bits_stored": dataset.BitsStored,
        "high_bit": dataset.HighBit,
        "pixel_representation": dataset.PixelRepresentation,
        "lossy": str(syntax) in LOSSY or any(word.startswith("maximum") for word in tried.values()),
        "plugins": tried,
        "sha256": [hashlib.sha256(stored_bytes(frame, dataset)).hexdigest() for frame in frames],
        "mean": [short(channel.mean(dtype=np.float64)) for channel in channels],
    }
    if result["lossy"]:
        result["thumbnail"] = [thumbnail(channel) for channel in channels]
    if dataset.PhotometricInterpretation.startswith("MONOCHROME"):
        shown = apply_voi_lut(apply_modality_lut(first, dataset), dataset)
        result["display"] = {
            "rescale": [
                float(dataset.get(name, 1 - at)) for at, name in enumerate(("RescaleSlope", "RescaleIntercept"))
            ],
            "window": [
                np.atleast_1d(dataset.get(name, [])).astype(float).tolist() for name in ("WindowCenter", "WindowWidth")
            ],
            "minimum": short(shown.min()),
            "maximum": short(shown.max()),
            "mean": short(shown.mean(dtype=np.float64)),
            "thumbnail": thumbnail(shown),
        }
    return result


def attempt(path, force):
    try:
        dataset = pydicom.dcmread(path, force=force)
        if force and "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = PLAIN[dataset.original_encoding]
        return image_of(dataset)
    except Exception as error:
        result = {"error": {"kind": type(error).__name__, "words": str(error).replace(str(path), path.name)[:300]}}
    try:
        return result | turbo(pydicom.dcmread(path))
    except Exception:  # what pydicom cannot even read has no frame for others
        return result


def describe(path):
    result = attempt(path, False)
    if "error" in result:
        forced = attempt(path, True)
        if forced != result:
            result["forced"] = forced
    return result


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser()
    standard = os.environ.get("FEDWING_DATA") or here.parents[2].parent / "shared/data"
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path(standard))
    files = sorted(path for path in (parser.parse_args().data / "dicom").iterdir() if path.suffix == ".dcm")
    warnings.simplefilter("ignore")
    names = (
        "imagecodecs pydicom numpy pillow pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg pylibjpeg-rle pyjpegls".split()
    )
    golden = {
        "made_with": {name: version(name) for name in names},
        "files": {path.name: describe(path) for path in files},
    }
    text = json.dumps(golden, separators=(",", ":")).replace('},"', '},\n"')
    (here / "golden.json").write_text(text + "\n")


main()
