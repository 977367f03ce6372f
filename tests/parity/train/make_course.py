"""Makes course.json: what PyTorch computes for the losses, optimisers, clipping, schedules and resampling of fl-client.

    pip install torch==2.15.0 torchvision numpy && python make_course.py

Inputs follow the formula of make_golden.py, which the test (fl-client/tests/course.rs) repeats; only results are stored.
Importing that script writes its own golden file again, with the same bytes.
"""

import json
import math
import warnings
from pathlib import Path

import torch
from torch.nn import functional as F
from torchvision import __version__ as torchvision_version
from torchvision.ops import sigmoid_focal_loss

from make_golden import SmallCnn, fill, formula, tensor

torch.set_num_threads(1)
warnings.filterwarnings("ignore", message="Detected call of")

WEIGHTS = [0.5, 2.0, 0.0, 1.25]


def listed(values):
    return [float(value) for value in values.detach().flatten()]


def losses():
    """Value and gradient of each loss on 6 samples: 4 classes, or 3 labels."""
    cases = {}
    labels = torch.tensor([0, 3, 1, 2, 1, 0])
    many = torch.tensor([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 1]]).float()
    positive = torch.tensor([0.5, 3.0, 1.0])

    def case(name, number, shape, scale, loss):
        logits = tensor(number, shape, scale).requires_grad_()
        value = loss(logits)
        value.backward()
        cases[name] = {"loss": float(value.detach()), "gradient": listed(logits.grad)}

    def focal(logits, gamma, smoothing, weight):
        """Lin et al., equation 4, over soft targets, reduced as CrossEntropyLoss(weight)."""
        q = F.one_hot(labels, 4) * (1 - smoothing) + smoothing / 4
        ln_p = F.log_softmax(logits, 1)
        each = -(weight * q * (1 - ln_p.exp()) ** gamma * ln_p).sum(1)
        return each.sum() / weight[labels].sum()

    def binary_focal(logits, gamma, smoothing, weight):
        q = many * (1 - smoothing) + smoothing / 2
        ln_p, ln_rest = F.logsigmoid(logits), F.logsigmoid(-logits)
        p = ln_p.exp()
        each = -weight * q * (1 - p) ** gamma * ln_p - (1 - q) * p**gamma * ln_rest
        return each.mean()

    weight = torch.tensor(WEIGHTS)
    ones = torch.ones(4)
    for scale in (1.0, 40.0):
        at = f"x{scale:.0f}"
        case(f"plain {at}", 1, (6, 4), scale, lambda z: F.cross_entropy(z, labels))
        case(f"weighted {at}", 2, (6, 4), scale, lambda z: F.cross_entropy(z, labels, weight=weight))
        case(f"smooth {at}", 3, (6, 4), scale, lambda z: F.cross_entropy(z, labels, label_smoothing=0.1))
        case(
            f"weighted smooth {at}", 4, (6, 4), scale,
            lambda z: F.cross_entropy(z, labels, weight=weight, label_smoothing=0.25),
        )
        case(f"binary {at}", 5, (6, 3), scale, lambda z: F.binary_cross_entropy_with_logits(z, many))
        case(
            f"binary weighted {at}", 6, (6, 3), scale,
            lambda z: F.binary_cross_entropy_with_logits(z, many, pos_weight=positive),
        )
        case(
            f"binary weighted smooth {at}", 7, (6, 3), scale,
            lambda z: F.binary_cross_entropy_with_logits(z, many * 0.8 + 0.1, pos_weight=positive),
        )
    case("focal", 8, (6, 4), 3.0, lambda z: focal(z, 2.0, 0.0, ones))
    case("focal half", 9, (6, 4), 3.0, lambda z: focal(z, 0.5, 0.0, ones))
    case("focal weighted smooth", 10, (6, 4), 3.0, lambda z: focal(z, 1.5, 0.1, weight))
    case("binary focal weighted smooth", 12, (6, 3), 3.0, lambda z: binary_focal(z, 1.5, 0.2, positive))
    case(
        "binary focal", 11, (6, 3), 3.0,
        lambda z: sigmoid_focal_loss(z, many, alpha=-1, gamma=2.0, reduction="mean"),
    )
    return cases


def schedules():
    """Factors of ten periods."""

    def run(make):
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=1.0)
        scheduler = make(optimizer)
        factors = []
        for _ in range(10):
            factors.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return factors

    schedule = torch.optim.lr_scheduler

    def warm_cosine(optimizer):
        warm = schedule.LambdaLR(optimizer, lambda period: min((period + 1) / 4, 1.0))
        cosine = schedule.CosineAnnealingLR(optimizer, T_max=7, eta_min=0.1)
        return schedule.SequentialLR(optimizer, [warm, cosine], milestones=[3])

    return {
        "cosine": run(lambda optimizer: schedule.CosineAnnealingLR(optimizer, T_max=10, eta_min=0.05)),
        "warm cosine": run(warm_cosine),
        "step": run(lambda optimizer: schedule.StepLR(optimizer, step_size=3, gamma=0.3)),
    }


def optimizers():
    """Small-CNN weights after four steps whose learning rate halves; sums and first values of each tensor."""
    images, labels = tensor(1000, (5, 1, 9, 9), 1.0), torch.tensor([0, 2, 1, 1, 0])
    rules = {
        "nesterov": lambda weights: torch.optim.SGD(
            weights, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01
        ),
        "adamw": lambda weights: torch.optim.AdamW(
            weights, lr=0.002, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1
        ),
    }
    found = {}
    for name, rule in rules.items():
        for clip in (None, 0.3):
            model = SmallCnn(9, 3)
            fill(model)
            frozen = clip is not None
            if frozen:
                for parameter in model.conv1.parameters():
                    parameter.requires_grad_(False)
            optimizer = rule([p for p in model.parameters() if p.requires_grad])
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
            steps, norms = [], []
            for _ in range(4):
                optimizer.zero_grad()
                loss = F.cross_entropy(
                    model(images), labels, weight=torch.tensor([0.5, 2.0, 1.0]), label_smoothing=0.1
                )
                loss.backward()
                if clip is not None:
                    norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), clip)))
                optimizer.step()
                scheduler.step()
                steps.append(float(loss.detach()))
            state = {
                key: [float(values.double().sum()), *listed(values.flatten()[:5])]
                for key, values in model.state_dict().items()
            }
            label = name + (" clipped frozen" if clip else "")
            found[label] = {"losses": steps, "norms": norms, "weights": state}
    return found


def resampling():
    """A 9 x 9 image, a square of 0.6 of its side at (0.25, 0.75) cut out, turned by 30 degrees, flipped."""
    side, share, x, y, angle = 9, 0.6, 0.25, 0.75, math.radians(30)
    image = (tensor(77, (1, 1, side, side), 0.5) + 0.5).double()
    # In grid_sample's coordinates the image reaches from -1 to 1.
    centre_x, centre_y = (2 * (place * (1 - share) + share / 2) - 1 for place in (x, y))
    cosine, sine = math.cos(angle), math.sin(angle)
    theta = torch.tensor(
        [[[-share * cosine, -share * sine, centre_x], [-share * sine, share * cosine, centre_y]]],
        dtype=torch.float64,
    )
    grid = F.affine_grid(theta, (1, 1, side, side), align_corners=False)
    out = F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return listed(out)


if __name__ == "__main__":
    golden = {
        "torch": torch.__version__,
        "torchvision": torchvision_version,
        "losses": losses(),
        "schedules": schedules(),
        "optimizers": optimizers(),
        "resampling": resampling(),
    }
    Path(__file__).with_name("course.json").write_text(json.dumps(golden, indent=1) + "\n")
