"""One network in PyTorch: train_torch.py ARCH train|infer BATCH STEPS THREADS [bf16]

Prints JSON as train_step does: milliseconds of every step after two, processor seconds a step, largest resident size.
"""

import contextlib
import json
import resource
import sys
import time

import torch
import torchvision
from torch import nn

WARM = 2


def small(norm):
    def block(inputs, outputs):
        middle = [nn.BatchNorm2d(outputs)] if norm else []
        return [nn.Conv2d(inputs, outputs, 3, padding=1), *middle, nn.ReLU(), nn.MaxPool2d(2)]

    head = [nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, 2)]
    return nn.Sequential(*block(1, 16), *block(16, 32), *head)


def network(arch):
    if arch.startswith("small_cnn"):
        return small(arch.endswith("_bn")), (1, 28, 28)
    return getattr(torchvision.models, arch)(num_classes=2), (3, 224, 224)


def processor():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main():
    arch, mode, batch, steps, threads, *more = sys.argv[1:]
    batch, steps = int(batch), int(steps)
    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    model, shape = network(arch)
    images, labels = torch.rand(batch, *shape) * 2 - 1, torch.arange(batch) % 2
    precision = torch.autocast("cpu", dtype=torch.bfloat16) if more == ["bf16"] else contextlib.nullcontext()
    if mode == "train":
        model.train()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=1e-4)

        def step():
            with precision:
                loss = nn.functional.cross_entropy(model(images), labels)
            loss.item()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    else:
        model.eval()

        @torch.no_grad()
        def step():
            with precision:
                model(images)

    times = []
    for index in range(WARM + steps):
        if index == WARM:
            cpu = processor()
        begin = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - begin))
    print(
        json.dumps(
            {
                "ms": times[WARM:],
                "cpu_s": (processor() - cpu) / steps,
                "max_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


main()
