"""Writes golden.json: scores of scikit-learn on cases that are easy to get wrong.

Run in an environment with scikit-learn: python make_golden.py
"""

import json
import pathlib
import platform
import warnings

import numpy as np
import sklearn
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

warnings.filterwarnings("error")


def softmax(logits):
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exp / exp.sum(axis=1, keepdims=True)).astype(np.float32)


def expected(probabilities, truth):
    """Scores as defined by kernels::metrics; null where undefined."""
    classes = probabilities.shape[1]
    wide = probabilities.astype(np.float64)
    predicted = wide.argmax(axis=1)
    labels = np.arange(classes)
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=labels, zero_division=np.nan
    )
    aurocs = []
    for label in labels:
        positive = truth == label
        defined = positive.any() and not positive.all()
        aurocs.append(roc_auc_score(positive, wide[:, label]) if defined else None)
    defined = [value for value in aurocs if value is not None]
    if classes == 2:
        auroc = aurocs[1]
    else:
        auroc = float(np.mean(defined)) if defined else None
    null = lambda value: None if value is None or np.isnan(value) else float(value)
    return {
        # Rows of f32 probabilities do not sum to 1 exactly and log_loss would renormalise: the definition itself.
        "loss": float(-np.log(wide[np.arange(len(truth)), truth]).mean()),
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, average="macro")),
        "auroc": null(auroc),
        "per_class": [
            {
                "support": int(support[c]),
                "precision": null(precision[c]),
                "recall": null(recall[c]),
                "f1": null(f1[c]),
                "auroc": null(aurocs[c]),
            }
            for c in labels
        ],
    }


def main():
    rng = np.random.default_rng(2024)
    cases = {}

    def add(name, probabilities, truth):
        probabilities = np.asarray(probabilities, dtype=np.float32)
        truth = np.asarray(truth)
        cases[name] = {
            "classes": probabilities.shape[1],
            "truth": truth.tolist(),
            # The shortest decimal of the f32, widened: reads back to the same f32.
            "probabilities": [float(str(p)) for p in probabilities.ravel()],
            "expected": expected(probabilities, truth),
        }

    def binary(positive):
        positive = np.asarray(positive, dtype=np.float32)
        return np.stack([1 - positive, positive], axis=1)

    add("random binary", softmax(rng.normal(size=(200, 2)) * 2), rng.integers(0, 2, 200))
    quantised = rng.integers(0, 5, 300) / 8 + 0.125
    add("binary with many ties", binary(quantised), (rng.random(300) < quantised).astype(int))
    add("all values tied", binary(np.full(20, 0.5)), np.arange(20) % 2)
    add("separated", binary([0.1, 0.2, 0.8, 0.9]), [0, 0, 1, 1])
    add("reversed", binary([0.9, 0.8, 0.2, 0.1]), [0, 0, 1, 1])
    add("only class 0 in truth", binary([0.1, 0.6, 0.3]), [0, 0, 0])
    add("only class 1 in truth and prediction", binary([0.9, 0.6, 0.7]), [1, 1, 1])
    add("one sample", binary([0.25]), [1])
    add("random multi-class", softmax(rng.normal(size=(500, 5)) * 1.5), rng.integers(0, 5, 500))
    logits = rng.normal(size=(150, 4))
    truth = rng.choice([0, 1, 3], 150)
    logits[np.arange(150), truth] += 1.0
    add("class missing in truth", softmax(logits), truth)
    logits[:, 2] -= 50.0
    add("class missing in truth and prediction", softmax(logits), truth)
    add("multi-class with ties", softmax(rng.integers(-1, 2, size=(300, 3))), rng.integers(0, 3, 300))
    add("one class in truth of three", softmax(rng.normal(size=(30, 3))), np.full(30, 1))
    add("rare positives", softmax(rng.normal(size=(1000, 2))), (rng.random(1000) < 0.01).astype(int))

    # Where rows do sum to 1, the definition of the loss above is scikit-learn's.
    wide = rng.dirichlet(np.ones(3), 100)
    truth = rng.integers(0, 3, 100)
    direct = -np.log(wide[np.arange(100), truth]).mean()
    assert abs(direct - log_loss(truth, wide, labels=[0, 1, 2])) < 1e-12

    golden = {
        "made_with": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "cases": cases,
    }
    path = pathlib.Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(golden, separators=(",", ":")).replace('},"', '},\n"') + "\n")


main()
