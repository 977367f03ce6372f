"""Makes golden.safetensors: what PyTorch computes for the networks and optimisers of fl-client.

    pip install torch==2.15.0 numpy && python make_golden.py

Weights, pixels and labels follow formulas that the test (fl-client/tests/parity.rs) repeats, so only results are stored.
The networks are written out here: small_cnn, and resnet18 with the structure and names of torchvision's.
"""

import json
import struct
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def formula(number, count, scale):
    """Values in -scale..scale for tensor `number`: exact in f64, rounded once to f32."""
    index = np.arange(count, dtype=np.int64)
    return ((index * 7919 + number * 104729) % 2003 - 1001).astype(np.float64) / 1001 * scale


def tensor(number, shape, scale):
    count = int(np.prod(shape))
    return torch.from_numpy(formula(number, count, scale).astype(np.float32).reshape(shape))


def fill(model):
    """The formula on every tensor, scaled by its fan-in; variances positive, scales around one."""
    with torch.no_grad():
        for number, (name, values) in enumerate(model.state_dict().items()):
            if name.endswith("num_batches_tracked"):
                continue
            fan_in = int(np.prod(values.shape[1:]))
            scale = fan_in ** -0.5 if values.ndim > 1 else 0.1
            new = tensor(number, values.shape, scale)
            norm = any(part.startswith(("bn", "1")) for part in name.split(".")[-2:-1])
            if norm and name.endswith(("weight", "running_var")):
                new = new + 1.0
            values.copy_(new)


class SmallCnn(nn.Module):
    def __init__(self, size, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(32 * (size // 4) ** 2, 64)
        self.fc2 = nn.Linear(64, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        else:
            self.downsample = nn.Identity()

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


class ResNet18(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, outputs in enumerate([64, 128, 256, 512], 1):
            first = BasicBlock(inputs, outputs, 1 if stage == 1 else 2)
            setattr(self, f"layer{stage}", nn.Sequential(first, BasicBlock(outputs, outputs, 1)))
            inputs = outputs
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def train(model, optimizer, images, labels, steps):
    """Losses of some steps on the same batch."""
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses)


golden = {}
images, labels = tensor(1000, (5, 1, 9, 9), 1.0), torch.tensor([0, 2, 1, 1, 0])
for name, make in [
    ("sgd", lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01)),
    ("adam", lambda p: torch.optim.Adam(p, lr=0.002, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.01)),
]:
    model = SmallCnn(9, 3)
    fill(model)
    golden["small_cnn.logits"] = model(images).detach()
    golden[f"small_cnn.{name}.loss"] = train(model, make(model.parameters()), images, labels, 3)
    for key, values in model.state_dict().items():
        golden[f"small_cnn.{name}.{key}"] = values.clone()

images, labels = tensor(1001, (6, 3, 32, 32), 1.0), torch.tensor([0, 1, 1, 0, 1, 0])
model = ResNet18(3, 2)
fill(model)
model.eval()
golden["resnet18.logits"] = model(images).detach()
model.train()
golden["resnet18.sgd.loss"] = train(model, torch.optim.SGD(model.parameters(), lr=0.001), images, labels, 1)
state = model.state_dict()
for key in ["conv1.weight", "bn1.weight", "bn1.running_mean", "bn1.running_var", "layer2.0.downsample.1.running_var",
            "layer4.1.bn2.running_var", "fc.weight"]:
    golden[f"resnet18.sgd.{key}"] = state[key].clone()

header, data = {"__metadata__": {"torch": torch.__version__, "numpy": np.__version__}}, b""
for key, values in golden.items():
    raw = values.numpy().astype("<f4").tobytes()
    header[key] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
header = json.dumps(header).encode()
header += b" " * (-len(header) % 8)
Path(__file__).with_name("golden.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
