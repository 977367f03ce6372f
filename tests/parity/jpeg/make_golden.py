"""Writes small JPEG files, and golden.json: the samples that libjpeg-turbo decodes from them.

Run in an environment with Pillow, numpy and imagecodecs: python3 make_golden.py. Colours stay as they are coded. Of a
file with smaller chroma the golden has the luma alone: libjpeg-turbo smooths chroma, and we repeat it.
"""

import io
import json
import pathlib

import imagecodecs
import numpy
import PIL.features
from PIL import Image

HERE = pathlib.Path(__file__).parent
GOLDEN = {}


def drawn(width, height, most):
    """Soft shapes, an edge and a little noise."""
    y, x = numpy.mgrid[0:height, 0:width]
    noise = numpy.random.default_rng(3).normal(0, 0.01, (height, width))
    shade = 0.5 + 0.4 * numpy.sin(x / 9.0) * numpy.cos(y / 7.0) + 0.3 * ((x + 2 * y) % 37 > 30) - 0.2 + noise
    return numpy.clip(shade * most, 0, most)


def grey(name, width, height, **options):
    data = io.BytesIO()
    Image.fromarray(drawn(width, height, 255).astype("uint8")).save(data, "JPEG", **options)
    keep(name, data.getvalue(), numpy.asarray(Image.open(io.BytesIO(data.getvalue()))))


def colour(name, width, height, **options):
    shades = [drawn(width, height, most) for most in (255, 200, 130)]
    data = io.BytesIO()
    Image.fromarray(numpy.stack(shades, -1).astype("uint8")).save(data, "JPEG", **options)
    image = Image.open(io.BytesIO(data.getvalue()))
    if not options.get("keep_rgb"):
        image.draft("YCbCr", None)
    values = numpy.asarray(image)
    keep(name, data.getvalue(), values if options["subsampling"] == 0 else values[:, :, 0])


def deep(name, width, height, bits, **options):
    values = drawn(width, height, 2**bits - 1).astype("uint16" if bits > 8 else "uint8")
    data = imagecodecs.jpeg_encode(values, bitspersample=bits, **options)
    keep(name, data, imagecodecs.jpeg_decode(data))


def keep(name, data, values):
    (HERE / f"{name}.jpg").write_bytes(data)
    GOLDEN[name] = {"shape": list(values.shape), "values": values.ravel().tolist()}


def main():
    grey("grey", 29, 21, quality=90)
    grey("grey-low", 24, 17, quality=15, optimize=True)
    grey("grey-restarts", 35, 21, quality=75, restart_marker_blocks=3)
    grey("grey-progressive", 24, 17, quality=80, progressive=True)
    colour("colour-444", 17, 11, quality=85, subsampling=0)
    colour("colour-rgb", 17, 11, quality=85, subsampling=0, keep_rgb=True)
    colour("colour-420", 29, 21, quality=85, subsampling=2)
    deep("grey-12", 29, 21, 12, level=90)
    deep("lossless-12", 23, 14, 12, lossless=True, predictor=1)
    deep("lossless-16", 23, 14, 16, lossless=True, predictor=6)
    deep("lossless-8", 23, 14, 8, lossless=True, predictor=7)
    GOLDEN["made_with"] = {
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "libjpeg-turbo of pillow": PIL.features.version("libjpeg_turbo"),
        "imagecodecs": imagecodecs.__version__,
        "libjpeg-turbo of imagecodecs": imagecodecs.jpeg8_version(),
    }
    text = json.dumps(GOLDEN, separators=(",", ":"))
    (HERE / "golden.json").write_text(text.replace('},"', '},\n"') + "\n")


main()
