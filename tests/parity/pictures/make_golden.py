"""Writes small JPEG-LS, JPEG 2000 and PNG files into streams/, and golden.json: what CharLS, OpenJPEG and Pillow decode.

Run in an environment with numpy, pillow, pydicom, pyjpegls, pylibjpeg-openjpeg and imagecodecs, beside pydicom's test
files: python make_golden.py FOLDER_OF_DICOM_FILES
"""

import hashlib
import importlib.metadata
import io
import json
import pathlib
import platform
import sys

import imagecodecs
import jpeg_ls
import numpy as np
import openjpeg
import pydicom
from PIL import Image

HERE = pathlib.Path(__file__).parent
STREAMS = HERE / "streams"
rng = np.random.default_rng(2026)
cases = []


def radiograph(height, width, bits, channels=1, signed=False):
    """Two lungs, a heart, ribs, a flat border and noise that grows with the signal."""
    y, x = np.mgrid[0:height, 0:width] / [[[height]], [[width]]]
    image = 0.25 + 0.4 * np.exp(-(((x - 0.3) / 0.16) ** 2 + ((y - 0.5) / 0.3) ** 2))
    image += 0.4 * np.exp(-(((x - 0.7) / 0.16) ** 2 + ((y - 0.5) / 0.3) ** 2))
    image += 0.03 * np.sin(40 * (y + (x - 0.5) ** 2)) * (abs(x - 0.5) < 0.4)
    image += rng.normal(0, 0.008, image.shape) * np.sqrt(image)
    image[:, : width // 12] = 0
    planes = [np.clip(image * (1 - 0.1 * c), 0, 1) for c in range(channels)]
    most = (1 << bits) - 1
    values = np.round(np.stack(planes, -1) * most).astype(np.int64)
    if channels == 1:
        values = values[..., 0]
    if signed:
        values -= 1 << (bits - 1)
    kind = ("int" if signed else "uint") + ("8" if bits <= 8 else "16")
    return values.astype(kind)


def digest(values, bits):
    kind = np.uint8 if bits <= 8 else np.dtype("<u2")
    return hashlib.sha256(np.ascontiguousarray(values).astype(kind).tobytes()).hexdigest()


def add(name, stream, decoded, bits, exact=True):
    (STREAMS / name).write_bytes(stream)
    shape = decoded.shape
    case = {"file": name, "height": shape[0], "width": shape[1], "channels": 1 if len(shape) == 2 else shape[2]}
    case |= {"bits": bits, "sha256": digest(decoded, bits)}
    if not exact:
        # Rounding is the decoder's own: the values are there to be near to.
        case["values"] = decoded.astype(int).ravel().tolist()
    cases.append(case)


def charls(name, image, bits, near=0, interleave=0):
    samples = image.shape[2] if image.ndim == 3 else 1
    # By plane, planes lie one behind the other; else CharLS takes pixels.
    ordered = np.moveaxis(image, 2, 0) if samples == 3 and interleave == 0 else image
    stream = bytes(
        jpeg_ls.encode_buffer(
            np.ascontiguousarray(ordered).tobytes(), *image.shape[:2], samples, bits, near, interleave
        )
    )
    decoded = np.frombuffer(jpeg_ls.decode_buffer(stream)[0], image.dtype).reshape(ordered.shape)
    if ordered is not image:
        decoded = np.moveaxis(decoded, 0, 2)
    assert np.abs(decoded.astype(int) - image.astype(int)).max() <= near, name
    add(name, stream, decoded, bits)


def opj(name, image, bits, **options):
    stream = openjpeg.encode(image, bits_stored=bits, **options)
    decoded = openjpeg.decode(stream)
    exact = not options.get("compression_ratios")
    if exact:
        assert (decoded == image).all(), name
    add(name, stream, decoded, bits, exact)


def pillow_j2k(name, image, bits, exact=True, **options):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG2000", no_jp2=name.endswith("j2k"), **options)
    stream = out.getvalue()
    decoded = imagecodecs.jpeg2k_decode(stream)
    if exact:
        assert (decoded == image).all(), name
    add(name, stream, decoded, bits, exact)


def pillow_png(name, image, **options):
    out = io.BytesIO()
    image.save(out, "PNG", **options)
    stream = out.getvalue()
    add(name, stream, *options_of(stream))


def options_of(stream):
    """What our decoder makes of a PNG: depths below 8 stretched, palettes and transparency expanded."""
    image = Image.open(io.BytesIO(stream))
    if image.mode in ("1", "P"):
        alpha = "transparency" in image.info
        image = image.convert("L" if image.mode == "1" else "RGBA" if alpha else "RGB")
    values = np.asarray(image)
    return values, 16 if values.dtype != np.uint8 else 8


def real(folder):
    """What pydicom decodes of real files; of a lossy one every 97th value."""
    names = ("MR_small_jpeg_ls_lossless", "JPEGLSNearLossless_08", "JPEGLSNearLossless_16")
    for name in (*names, "MR_small_jp2klossless", "693_J2KI", "JPEG2000"):
        dataset = pydicom.dcmread(folder / f"{name}.dcm")
        dataset.pixel_array_options(raw=True)
        pixels = dataset.pixel_array
        lossy = name == "JPEG2000" or dataset.file_meta.TransferSyntaxUID == pydicom.uid.JPEG2000
        every = 97 if lossy else 1
        if lossy:
            pixels = pixels.ravel()[::every][None]
        bits = dataset.BitsStored
        if name == "693_J2KI":
            bits = 16  # of its codestream, which has two more than the data set says are stored
        shape = pixels.shape
        case = {"file": f"{name}.dcm", "height": shape[0], "width": shape[1]}
        case |= {"channels": 1 if pixels.ndim == 2 else shape[2], "bits": bits, "every": every}
        if lossy:
            case["values"] = pixels.astype(int).ravel().tolist()
        else:
            case["sha256"] = digest(pixels, bits)
        yield case


def main():
    STREAMS.mkdir(exist_ok=True)
    for old in STREAMS.iterdir():
        old.unlink()
    for bits in (2, 8, 10, 12, 16):
        charls(f"grey{bits}.jls", radiograph(37, 53, bits), bits)
    for near in (1, 3, 9):
        charls(f"near{near}.jls", radiograph(31, 45, 8), 8, near)
    charls("near16.jls", radiograph(31, 45, 16), 16, 5)
    for interleave in range(3):
        charls(f"colour-{interleave}.jls", radiograph(23, 31, 8, 3), 8, 0, interleave)
        charls(f"colour-near-{interleave}.jls", radiograph(23, 31, 8, 3), 8, 2, interleave)
    charls("flat.jls", np.full((200, 300), 77, np.uint8), 8)
    charls("noise.jls", rng.integers(0, 65536, (20, 20), dtype=np.uint16), 16)

    for bits in (1, 8, 12, 16):
        opj(f"grey{bits}.j2k", radiograph(45, 61, bits), bits)
    for bits in (8, 12, 16):
        opj(f"signed{bits}.j2k", radiograph(45, 61, bits, signed=True), bits)
    opj("rgb.j2k", radiograph(45, 61, 8, 3), 8, use_mct=True, photometric_interpretation=1)
    opj("rgb-plain.j2k", radiograph(45, 61, 8, 3), 8, use_mct=False, photometric_interpretation=1)
    opj("rgb16.j2k", radiograph(45, 61, 16, 3), 16, use_mct=True, photometric_interpretation=1)
    opj("file.jp2", radiograph(45, 61, 12), 12, codec_format=1)
    opj("lossy.j2k", radiograph(45, 61, 12), 12, compression_ratios=[8])
    opj("lossy-layers.j2k", radiograph(45, 61, 12), 12, compression_ratios=[16, 8, 4])
    opj("lossy-rgb.j2k", radiograph(45, 61, 8, 3), 8, compression_ratios=[10], photometric_interpretation=1)
    opj("lossy-signed.j2k", radiograph(45, 61, 16, signed=True), 16, compression_ratios=[10])
    eight = radiograph(61, 83, 8)
    pillow_j2k("tiles.j2k", eight, 8, tile_size=(32, 24), num_resolutions=3)
    pillow_j2k("precincts.j2k", eight, 8, precinct_size=(32, 32), codeblock_size=(16, 16), progression="RPCL")
    pillow_j2k("offset.j2k", eight, 8, offset=(5, 3), tile_size=(40, 40), num_resolutions=4)
    for order in ("LRCP", "RLCP", "PCRL", "CPRL"):
        pillow_j2k(f"{order.lower()}.j2k", radiograph(61, 83, 8, 3), 8, progression=order, mct=1)
    # The image of which reduced resolutions are compared with means: 12 bits, 1/20 of its size.
    opj("radiograph.j2k", radiograph(512, 640, 12), 12, compression_ratios=[20])
    cases[-1].pop("values")
    cases[-1]["sha256"] = ""
    (STREAMS / "ht.j2k").write_bytes(imagecodecs.htj2k_encode(radiograph(45, 61, 8)))

    eight = Image.fromarray(radiograph(37, 53, 8))
    pillow_png("grey8.png", eight)
    pillow_png("grey1.png", eight.convert("1"))
    pillow_png("palette.png", eight.quantize(200))
    pillow_png("palette4.png", eight.quantize(11), bits=4)
    pillow_png("palette-alpha.png", eight.quantize(20), transparency=3)
    pillow_png("grey16.png", Image.fromarray(radiograph(37, 53, 16)))
    pillow_png("grey-alpha.png", Image.merge("LA", (eight, eight.rotate(180))))
    pillow_png("rgb.png", Image.fromarray(radiograph(37, 53, 8, 3)))
    pillow_png("rgba.png", Image.merge("RGBA", (eight, eight.rotate(180), eight, eight.rotate(180))))

    packages = ("numpy", "pillow", "pyjpegls", "pydicom", "pylibjpeg-openjpeg", "imagecodecs")
    golden = {
        "made_with": {"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in packages},
        "cases": cases,
        "real": list(real(pathlib.Path(sys.argv[1]))),
    }
    text = json.dumps(golden, separators=(",", ":")).replace('},{"file"', '},\n{"file"')
    (HERE / "golden.json").write_text(text + "\n")


main()
