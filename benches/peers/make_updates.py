"""Writes updates of ResNet-18 with two classes, 122 tensors and 44.75 MB each: make_updates.py FOLDER COUNT

Random values in torchvision's names and shapes, as safetensors (with `num_samples`) and as PyTorch's own format.
"""

import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import save_file


def resnet18(classes):
    """Names and shapes of torchvision's `resnet18(num_classes=classes).state_dict()`; `()` is a counter."""
    shapes = {"conv1.weight": (64, 3, 7, 7)}

    def norm(name, width):
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{tensor}"] = (width,)
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    before = 64
    for layer, width in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            name = f"layer{layer}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, before, 3, 3)
            norm(f"{name}.bn1", width)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            norm(f"{name}.bn2", width)
            if before != width:
                shapes[f"{name}.downsample.0.weight"] = (width, before, 1, 1)
                norm(f"{name}.downsample.1", width)
            before = width
    return shapes | {"fc.weight": (classes, 512), "fc.bias": (classes,)}


def main():
    folder, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    shapes = resnet18(2)
    assert len(shapes) == 122
    size = sum(4 * int(np.prod(shape)) if shape else 8 for shape in shapes.values())
    assert size == 44_748_712, size
    for client in range(count):
        if (folder / f"update-{client}.pt").exists():
            continue
        rng = np.random.default_rng(client)
        tensors = {
            name: rng.standard_normal(shape, np.float32) if shape else np.array(100, np.int64)
            for name, shape in shapes.items()
        }
        samples = 100 + 7 * client
        save_file(tensors, folder / f"update-{client}.safetensors", {"num_samples": str(samples)})
        model = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
        torch.save({"model": model, "num_samples": samples}, folder / f"update-{client}.pt")


main()
