"""Writes methods.json: what PyTorch makes of FedProx's and SCAFFOLD's steps.

    pip install torch==2.15.0 numpy && python make_methods.py

Network, weights, pixels and labels are those of make_golden.py. Of each tensor the file has the sum, the sum of squares and
four values, of the gradient that the optimiser follows in the second step and of the weights after the third.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def formula(number, count, scale):
    index = np.arange(count, dtype=np.int64)
    return ((index * 7919 + number * 104729) % 2003 - 1001).astype(np.float64) / 1001 * scale


def tensor(number, shape, scale):
    return torch.from_numpy(formula(number, int(np.prod(shape)), scale).astype(np.float32).reshape(shape))


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


def start():
    model = SmallCnn(9, 3)
    with torch.no_grad():
        for number, values in enumerate(model.state_dict().values()):
            scale = int(np.prod(values.shape[1:])) ** -0.5 if values.ndim > 1 else 0.1
            values.copy_(tensor(number, values.shape, scale))
    return model


def shown(values):
    flat = values.detach().double().flatten()
    at = [0, len(flat) // 3, len(flat) // 2, len(flat) - 1]
    return {"sum": flat.sum().item(), "squares": flat.square().sum().item(), "values": [flat[i].item() for i in at]}


def run(change, decay):
    """Three steps of SGD on one batch; change adds to a gradient what the method does."""
    images, labels = tensor(1000, (5, 1, 9, 9), 1.0), torch.tensor([0, 2, 1, 1, 0])
    model = start()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, weight_decay=decay)
    gradients, losses = None, []
    for step in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        losses.append(loss.item())
        change(model, loss)
        if step == 1:
            gradients = {name: shown(values.grad) for name, values in model.named_parameters()}
        optimizer.step()
    return model, {
        "loss": losses,
        "gradients": gradients,
        "weights": {name: shown(values) for name, values in model.state_dict().items()},
    }


MU = 0.7
anchor = {name: values.clone() for name, values in start().state_dict().items()}


def fedprox(model, loss):
    distance = sum((values - anchor[name]).square().sum() for name, values in model.named_parameters())
    (loss + MU / 2 * distance).backward()


# Variates by the formula too: tensor number n of the server from 200 + n, of the client from 300 + n.
names = list(anchor)
server = {name: tensor(200 + n, anchor[name].shape, 0.02).double() for n, name in enumerate(names)}
client = {name: tensor(300 + n, anchor[name].shape, 0.03) for n, name in enumerate(names)}


def scaffold(model, loss):
    loss.backward()
    for name, values in model.named_parameters():
        values.grad += (server[name] - client[name].double()).float()


golden = {"torch": torch.__version__, "mu": MU}
_, golden["fedprox"] = run(fedprox, 0.01)
model, golden["scaffold"] = run(scaffold, 0.01)
state = model.state_dict()
following = {
    name: client[name].double() - server[name] + (anchor[name].double() - state[name].double()) / (3 * 0.05)
    for name in names
}
golden["scaffold"]["variates"] = {name: shown(values) for name, values in following.items()}
Path(__file__).with_name("methods.json").write_text(json.dumps(golden, indent=1) + "\n")
