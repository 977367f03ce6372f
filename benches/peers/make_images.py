"""Writes drawn radiographs in every format measured: make_images.py FOLDER [COUNT]

COUNT (16) images of 2,500 rows and 2,048 columns, 12 bits, each of its own seed: a chest of smooth shapes and ribs, texture
at all scales, and the noise of a detector (quantum noise, blurred as a scintillator does), of a strength that lets JPEG lossless
reach two to three to one, as on hospitals' files. Each is checked: what lost nothing decodes to the same values, what did
stays near. One folder a format; a folder with all its files is left as it is.
"""

import pathlib
import sys
import warnings

import cv2
import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

ROWS, COLUMNS, BITS = 2500, 2048, 12
NOISE = 0.016  # of the signal, at its mean, before the scintillator's blur


def ellipse(y, x, centre, radii, soft):
    """1 inside, 0 outside, with a soft edge."""
    distance = np.hypot((y - centre[0]) / radii[0], (x - centre[1]) / radii[1])
    return 1 / (1 + np.exp((distance - 1) / soft))


def texture(rng):
    """Variation at all scales, as vessels and tissue have, of unit deviation."""
    small = rng.standard_normal((ROWS // 4, COLUMNS // 4)).astype(np.float32)
    frequency = np.hypot(np.fft.fftfreq(small.shape[0])[:, None], np.fft.rfftfreq(small.shape[1])[None])
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(small) * frequency**-1.5, small.shape)
    field = cv2.resize(field.astype(np.float32), (COLUMNS, ROWS), interpolation=cv2.INTER_CUBIC)
    return field / field.std()


def thickness(rng):
    """What X-rays pass, in lengths of attenuation."""
    y, x = np.ogrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j]
    y, x = y + rng.normal(0, 0.03), x + rng.normal(0, 0.03)
    size = rng.normal(1, 0.04)
    body = 2.2 * ellipse(y, x, (0.25, 0), (1.5 * size, 0.88 * size), 0.02)
    lungs = sum(ellipse(y, x, (0.0, side * 0.42), (0.72 * size, 0.32 * size), 0.06) for side in (-1, 1))
    heart = 0.6 * ellipse(y, x, (0.35, 0.14), (0.34, 0.33), 0.05)
    spine = 0.7 * np.exp(-((x / 0.09) ** 2)) * (1 + 0.12 * np.sin(y * 42))
    ribs = np.zeros((ROWS, COLUMNS))
    for rib in range(10):
        middle = -0.75 + rib * 0.15 + 0.28 * np.abs(x) ** 1.6 + rng.normal(0, 0.006)
        ribs += np.exp(-(((y - middle) / 0.018) ** 2)) * (np.abs(x) < 0.75) * (np.abs(x) > 0.07)
    whole = body - 1.35 * lungs * (body > 1) + heart + spine * (body > 0.5) + 0.16 * ribs * (body > 0.5)
    return np.maximum(whole + 0.03 * texture(rng) * (body > 0.2), 0)


def radiograph(seed):
    """Stored values: 0 unexposed (beyond the collimator), more where less was passed, as in a MONOCHROME2 image."""
    rng = np.random.default_rng(seed)
    signal = np.exp(-0.9 * thickness(rng)).astype(np.float32)
    signal += signal.mean() * 0.1  # scatter
    noise = rng.standard_normal((ROWS, COLUMNS), np.float32) * NOISE * np.sqrt(signal * signal.mean())
    signal = np.maximum(signal + cv2.GaussianBlur(noise, (0, 0), 0.6), 1e-3)
    values = 3900 + np.log(signal / signal.max()) * 1500
    border = rng.integers(20, 60, 4)
    values[: border[0]] = values[ROWS - border[1] :] = values[:, : border[2]] = values[:, COLUMNS - border[3] :] = 0
    electronics = rng.standard_normal((ROWS, COLUMNS), np.float32) * 3
    return np.clip(4095 - np.clip(values, 0, 4095) + electronics + 0.5, 0, 4095).astype(np.uint16)


def window(values):
    """Centre and width of a window that shows all but a hundredth of the values at each end."""
    low, high = np.percentile(values[::8, ::8], (1, 99))
    return round((low + high) / 2), round(high - low)


def dataset_of(values, seed):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"  # digital X-ray image, for presentation
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["instance", str(seed)])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(seed)])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(seed)])
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID, dataset.PatientName, dataset.PatientSex = f"DRAWN{seed:04}", "Drawn", "O"
    dataset.Modality, dataset.ViewPosition, dataset.BurnedInAnnotation = "DX", "PA", "NO"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, BITS, BITS - 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.WindowCenter, dataset.WindowWidth = window(values)
    dataset.PixelData = values.astype("<u2").tobytes()
    return dataset


def jpeg_lossless(values, dataset):
    stream = imagecodecs.jpeg8_encode(values, lossless=True, predictor=1, bitspersample=BITS, optimize=True)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1


def compressed(syntax, **options):
    def encode(_, dataset):
        dataset.compress(syntax, generate_instance_uid=False, **options)

    return encode


def presented(values, dataset):
    """8 bits through the window."""
    low = dataset.WindowCenter - 0.5 - (dataset.WindowWidth - 1) / 2
    return (np.clip((values - low) / (dataset.WindowWidth - 1), 0, 1) * 255 + 0.5).astype(np.uint8)


def png(values, dataset, path):
    square = cv2.resize(presented(values, dataset), (1024, 1024), interpolation=cv2.INTER_AREA)
    Image.fromarray(square).save(path)
    assert (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) == square).all(), path


def jpeg(values, dataset, path):
    shown = presented(values, dataset)
    Image.fromarray(shown).save(path, quality=90)
    difference = np.abs(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(int) - shown).mean()
    assert difference < 3, (path, difference)


# Folder, how the data set is compressed, and the largest mean difference in stored values.
DICOM = {
    "raw": (lambda values, dataset: None, 0),
    "rle": (compressed(RLELossless), 0),
    "jpeg-lossless": (jpeg_lossless, 0),
    "jpeg-ls": (compressed(JPEGLSLossless), 0),
    "jpeg2000": (compressed(JPEG2000Lossless), 0),
    "jpeg2000-20": (compressed(JPEG2000, j2k_cr=[20]), 30),
}
PICTURES = {"png": png, "jpeg": jpeg}


def save(dataset, path, values, most):
    dataset.save_as(path, enforce_file_format=True)
    made = pixel_array(pydicom.dcmread(path), raw=True)
    difference = np.abs(made.astype(int) - values).mean()
    assert difference <= most, (path, difference)


def main():
    folder = pathlib.Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    warnings.simplefilter("ignore")
    for name in [*DICOM, *PICTURES]:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        wanted = {name: folder / name / f"{seed:02}.dcm" for name in DICOM}
        wanted |= {name: folder / name / f"{seed:02}.{name}" for name in PICTURES}
        missing = {name: path for name, path in wanted.items() if not path.exists()}
        if not missing:
            continue
        values = radiograph(seed)
        for name, path in missing.items():
            dataset = dataset_of(values, seed)
            made = path.with_suffix(".part" + path.suffix)
            if name in DICOM:
                encode, most = DICOM[name]
                encode(values, dataset)
                save(dataset, made, values, most)
            else:
                PICTURES[name](values, dataset, made)
            made.rename(path)
    for name in [*DICOM, *PICTURES]:
        sizes = [path.stat().st_size for path in (folder / name).iterdir()]
        print(f"{name}: {len(sizes)} files, {sum(sizes) / len(sizes) / 1e6:.2f} MB each", file=sys.stderr)


main()
