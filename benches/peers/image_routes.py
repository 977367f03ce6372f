"""The peers' routes from file to a 224 x 224 square: image_routes.py ROUTE FOLDER REPEATS OUT

ROUTE: `reference` (pydicom's arrays and tables, PIL's resize), `opencv` (window, then INTER_AREA) or `opencv_first`
(INTER_AREA, then window, which is faster and lets what is cut off into the means). One pass comes before the clock starts.
Prints JSON as the `imaging` program does.
"""

import json
import pathlib
import resource
import sys
import time

import cv2
import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut

SIZE = 224


def reference(path):
    if path.suffix != ".dcm":
        return np.asarray(Image.open(path).convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    dataset = pydicom.dcmread(path)
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float32)
    low, high = values.min(), values.max()
    grey = ((values - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    return np.asarray(Image.fromarray(grey).resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def windowed(values, dataset):
    centre, width = float(dataset.WindowCenter), float(dataset.WindowWidth)
    scale = 255 / (width - 1)
    return np.clip(values.astype(np.float32) * scale + (0.5 - (centre - 0.5) / (width - 1)) * 255, 0, 255)


def opencv(path, first=False):
    if path.suffix != ".dcm":
        return cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    dataset = pydicom.dcmread(path)
    values = dataset.pixel_array
    if first:
        return (windowed(cv2.resize(values, (SIZE, SIZE), interpolation=cv2.INTER_AREA), dataset) + 0.5).astype(np.uint8)
    grey = (windowed(values, dataset) + 0.5).astype(np.uint8)
    return cv2.resize(grey, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def main():
    name, folder, repeats, out = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    cv2.setNumThreads(1)
    route = {"reference": reference, "opencv": opencv, "opencv_first": lambda path: opencv(path, True)}[name]
    files = sorted(folder.iterdir())
    squares = [route(path) for path in files]
    pathlib.Path(out).write_bytes(b"".join(square.tobytes() for square in squares))
    begin, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        for path in files:
            route(path)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    taken = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - begin}
    print(json.dumps({"images": len(files) * repeats, **taken, "max_rss": largest}))


main()
