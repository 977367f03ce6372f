"""Training steps in PyTorch on a CUDA device: gpu_torch.py DEVICE ARCH BATCH STEPS

Prints JSON as gpu/examples/steps.rs does. Weights stay on the device, as PyTorch's do; the loss is the mean square of the
scores and the optimiser plain SGD, as there.
"""

import json
import sys
import time

import torch
import torchvision
from torch import nn


def network(arch):
    if arch in ("small_cnn", "small_cnn_bn"):
        def block(inputs, outputs):
            norm = [nn.BatchNorm2d(outputs)] if arch == "small_cnn_bn" else []
            return [nn.Conv2d(inputs, outputs, 3, padding=1), *norm, nn.ReLU(), nn.MaxPool2d(2)]

        head = [nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 2)]
        return nn.Sequential(*block(1, 16), *block(16, 32), *head), (1, 28, 28)
    return getattr(torchvision.models, arch)(num_classes=2), (3, 224, 224)


def main():
    device, arch, batch, steps = sys.argv[1:]
    torch.manual_seed(1)
    model, shape = network(arch)
    model = model.to(device).train()
    images = torch.rand(int(batch), *shape) * 2 - 1
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    milliseconds = []
    for _ in range(int(steps)):
        start = time.perf_counter()
        loss = model(images.to(device)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        torch.cuda.synchronize()
        milliseconds.append(round(1e3 * (time.perf_counter() - start), 3))
    print(json.dumps({"device": f"pytorch {device}", "arch": arch, "batch": int(batch), "milliseconds": milliseconds}))


main()
