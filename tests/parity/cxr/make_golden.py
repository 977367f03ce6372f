"""Writes golden.json: grey values Pillow gives for colours.

Run in an environment with Pillow and numpy: python make_golden.py
"""

import json
import pathlib
import platform

import numpy as np
import PIL
from PIL import Image

rng = np.random.default_rng(2024)
corners = np.array(np.meshgrid([0, 1, 127, 128, 254, 255], [0, 1, 127, 128, 254, 255], [0, 1, 127, 128, 254, 255]))
rgb = np.concatenate([corners.reshape(3, -1).T, rng.integers(0, 256, (784, 3))]).astype(np.uint8)
rgba = np.concatenate([rgb, rng.integers(0, 256, (len(rgb), 1), dtype=np.uint8)], axis=1)
grey = lambda pixels, mode: np.asarray(Image.fromarray(pixels[None], mode).convert("L")).ravel().tolist()
golden = {
    "made_with": {"python": platform.python_version(), "pillow": PIL.__version__, "numpy": np.__version__},
    "rgb": rgb.ravel().tolist(),
    "alpha": rgba[:, 3].tolist(),
    "rgb_to_grey": grey(rgb, "RGB"),
    "rgba_to_grey": grey(rgba, "RGBA"),
}
path = pathlib.Path(__file__).with_name("golden.json")
path.write_text(json.dumps(golden, separators=(",", ":")).replace('],"', '],\n"') + "\n")
