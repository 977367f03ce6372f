"""Makes golden.safetensors: what torchvision's networks compute, and *.pt: files of torch.save.

    pip install torch==2.15.0 torchvision==0.29.2 numpy && python make_golden.py

Weights and pixels follow a formula that the test (fl-client/tests/models.rs) repeats. PyTorch computes in f64, so that the
goldens carry no rounding of its own. Of every tensor after training a digest is stored: eight values and the mean. Dropout
and stochastic depth are off.
"""

import json
import struct
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
here = Path(__file__).parent


def formula(number, count, scale):
    """Values in -scale..scale for tensor `number`: 24 bits of a mixed index, exact in f64, rounded once to f32."""
    mixed = (np.arange(count, dtype=np.uint64) * 0x9E3779B9 + number * 0x85EBCA6B) & 0xFFFFFFFF
    for shift, factor in [(16, 0x7FEB352D), (15, 0x846CA68B)]:
        mixed = ((mixed ^ (mixed >> shift)) * factor) & 0xFFFFFFFF
    mixed ^= mixed >> 16
    return ((mixed >> 8).astype(np.float64) / 2**23 - 1.0) * scale


def tensor(number, shape, scale):
    return torch.from_numpy(formula(number, int(np.prod(shape)), scale).astype(np.float32).reshape(shape))


def fill(model):
    with torch.no_grad():
        norms = {name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
        for number, (name, values) in enumerate(model.state_dict().items()):
            layer, field = name.rsplit(".", 1)
            if field == "num_batches_tracked":
                continue
            scale = (6 / int(np.prod(values.shape[1:]))) ** 0.5 if values.ndim > 1 else 0.1
            values.copy_(tensor(number, values.shape, scale))
            if layer in norms and field in ("weight", "running_var"):
                # ResNet-50's branches are damped, or its 48 convolutions amplify rounding a thousandfold.
                values.add_(0.25 if layer.endswith("bn3") and field == "weight" else 1.0)


class SmallCnnBn(nn.Module):
    def __init__(self, size, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(32)
        self.fc1 = nn.Linear(32 * (size // 4) ** 2, 64)
        self.fc2 = nn.Linear(64, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def digest(values):
    flat = values.double().flatten()
    places = [len(flat) * at // 8 for at in range(8)]
    return [*flat[places].tolist(), flat.mean().item()]


golden = {}
labels = torch.tensor([0, 1, 1, 1])
for name, model, channels, size, steps in [
    ("small_cnn_bn", SmallCnnBn(12, 2), 1, 12, 3),
    ("resnet18", torchvision.models.resnet18(num_classes=2), 3, 64, 3),
    ("resnet50", torchvision.models.resnet50(num_classes=2), 3, 64, 1),
    ("densenet121", torchvision.models.densenet121(num_classes=2), 3, 64, 1),
    ("efficientnet_b0", torchvision.models.efficientnet_b0(num_classes=2, dropout=0.0, stochastic_depth_prob=0.0), 3, 64, 1),
]:
    fill(model)
    model.double()
    images = tensor(1000, (4, channels, size, size), 1.0).double()
    model.eval()
    golden[f"{name}.logits"] = model(images).detach().float()
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=0.01)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    golden[f"{name}.loss"] = torch.tensor(losses)
    digests = [digest(values) for values in model.state_dict().values()]
    golden[f"{name}.digest"] = torch.tensor(digests, dtype=torch.float32)

model = SmallCnnBn(4, 2)
fill(model)
torch.save(model.state_dict(), here / "small_cnn_bn.pt")
torch.save({"epoch": 3, "state_dict": model.state_dict()}, here / "small_cnn_bn.old.pt", _use_new_zipfile_serialization=False)
torch.save(model, here / "module.pt")

header, data = {"__metadata__": {"torch": torch.__version__, "torchvision": torchvision.__version__}}, b""
for key, values in golden.items():
    raw = values.numpy().astype("<f4").tobytes()
    header[key] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
header = json.dumps(header).encode()
header += b" " * (-len(header) % 8)
(here / "golden.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
