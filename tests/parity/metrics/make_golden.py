"""Writes golden.json: scores of scikit-learn on cases that are easy to get wrong.

Run in an environment with scikit-learn: python make_golden.py
"""

import json
import pathlib
import platform
import warnings

import numpy as np
import sklearn
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

warnings.filterwarnings("error")
BINS = 15


def null(value):
    return None if value is None or np.isnan(value) else float(value)


def mean(values):
    values = [value for value in values if value is not None]
    return float(np.mean(values)) if values else None


def calibration_error(probability, truth, weights):
    """By the definition; without weights checked against scikit-learn's curve."""
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], probability)
    gaps = [abs((weights * (probability - truth))[bins == b].sum()) for b in range(BINS)]
    error = sum(gaps) / weights.sum()
    if (weights == 1).all() and len(set(truth)) == 2:
        true, predicted = calibration_curve(truth, probability, n_bins=BINS)
        sizes = np.bincount(bins, minlength=BINS)
        sizes = sizes[sizes > 0]
        assert abs((sizes * abs(true - predicted)).sum() / len(truth) - error) < 1e-12
    return error


def column(values, probability, truth, told, weights):
    """One class or label against the rest."""
    w = {"sample_weight": weights}
    defined = truth.any() and not truth.all()
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, told, labels=[True], zero_division=np.nan, **w
    )
    threshold = None
    if defined:
        fpr, tpr, thresholds = roc_curve(truth, probability, drop_intermediate=False)
        # The first is infinite. Integers, as rates round: the first of the largest is the highest threshold.
        positives, negatives = truth.sum(), (~truth).sum()
        index = np.rint(tpr * positives).astype(int) * negatives - np.rint(fpr * negatives).astype(int) * positives
        threshold = thresholds[1:][index[1:].argmax()]
    return {
        "support": float(weights[truth].sum()),
        "precision": null(precision[0]),
        "recall": null(recall[0]),
        "f1": null(f1[0]),
        "auroc": null(roc_auc_score(truth, values, **w) if defined else None),
        "pr_auc": null(average_precision_score(truth, values, **w) if truth.any() else None),
        "threshold": null(threshold),
    }


def of_classes(logits, truth, weights):
    """Scores as kernels::metrics defines them; null where undefined."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    log = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    probability = np.exp(log)
    told = log.argmax(axis=1)
    classes = np.arange(logits.shape[1])
    w = {"sample_weight": weights}
    per_class = [column(log[:, c], probability[:, c], truth == c, told == c, weights) for c in classes]
    ranked = per_class[1:] if len(classes) == 2 else per_class
    ranked = [c for c in ranked if c["auroc"] is not None]
    occurs = sorted(set(truth) | set(told))
    if len(classes) == 2:
        brier = brier_score_loss(truth == 1, probability[:, 1], **w)
    else:
        one_hot = truth[:, None] == classes
        brier = np.average(((probability - one_hot) ** 2).sum(axis=1), weights=weights)
        rounded = probability / probability.sum(axis=1, keepdims=True)
        assert abs(brier - brier_score_loss(truth, rounded, labels=classes, **w)) < 1e-12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are told and do not occur
        balanced = balanced_accuracy_score(truth, told, **w)
    return {
        "loss": float(log_loss(truth, probability / probability.sum(axis=1, keepdims=True), labels=classes, **w)),
        "accuracy": float(accuracy_score(truth, told, **w)),
        "balanced_accuracy": float(balanced),
        "macro_f1": float(f1_score(truth, told, labels=occurs, average="macro", **w)),
        "micro_f1": float(f1_score(truth, told, average="micro", **w)),
        "auroc": mean([c["auroc"] for c in ranked]),
        "pr_auc": mean([c["pr_auc"] for c in ranked]),
        "brier": float(brier),
        "ece": float(calibration_error(probability.max(axis=1), truth == told, weights)),
        "confusion": confusion_matrix(truth, told, labels=classes, **w).astype(float).tolist(),
        "per_class": per_class,
    }


def of_labels(logits, truth, weights):
    wide = logits.astype(np.float64)
    truth = truth.astype(bool)
    probability = 1 / (1 + np.exp(-wide))
    told = wide >= 0
    labels = range(logits.shape[1])
    per_class = [column(wide[:, c], probability[:, c], truth[:, c], told[:, c], weights) for c in labels]
    ranked = [c for c in per_class if c["auroc"] is not None]
    both = [c for c in labels if truth[:, c].any() and not truth[:, c].all()]
    occurs = [c for c in labels if truth[:, c].any() or told[:, c].any()]
    w = {"sample_weight": weights}
    zero = {"zero_division": 0, **w}
    return {
        "loss": float(np.mean([log_loss(truth[:, c], probability[:, c], labels=[False, True], **w) for c in labels])),
        "accuracy": float(np.mean([accuracy_score(truth[:, c], told[:, c], **w) for c in labels])),
        "balanced_accuracy": mean([balanced_accuracy_score(truth[:, c], told[:, c], **w) for c in both]),
        "macro_f1": float(f1_score(truth, told, labels=occurs, average="macro", **zero)) if occurs else 0.0,
        "micro_f1": float(f1_score(truth, told, average="micro", **zero)),
        "auroc": mean([c["auroc"] for c in ranked]),
        "pr_auc": mean([c["pr_auc"] for c in ranked]),
        "brier": float(np.mean([brier_score_loss(truth[:, c], probability[:, c], pos_label=True, **w) for c in labels])),
        "ece": float(np.mean([calibration_error(probability[:, c], truth[:, c], weights) for c in labels])),
        "confusion": [],
        "per_class": per_class,
    }


def main():
    rng = np.random.default_rng(2024)
    cases = {}

    def add(name, logits, truth, weights=None):
        logits, truth = np.asarray(logits, dtype=np.float32), np.asarray(truth)
        w = np.ones(len(logits)) if weights is None else np.asarray(weights, dtype=np.float64)
        of = of_labels if truth.ndim == 2 else of_classes
        cases[name] = {
            "outputs": logits.shape[1],
            "target": "labels" if truth.ndim == 2 else "classes",
            "truth": truth.astype(int).ravel().tolist(),
            "weights": None if weights is None else w.tolist(),
            # The shortest decimal of the f32: reads back to the same f32.
            "logits": [float(str(x)) for x in logits.ravel()],
            "expected": of(logits, truth, w),
        }

    def binary(second):
        second = np.asarray(second, dtype=np.float32)
        return np.stack([np.zeros_like(second), second], axis=1)

    add("random binary", rng.normal(size=(150, 2)) * 2, rng.integers(0, 2, 150))
    quantised = rng.integers(-3, 4, 200)
    likely = rng.random(200) < 1 / (1 + np.exp(-quantised))
    add("binary with many ties", binary(quantised), likely.astype(int))
    add("weights", binary(quantised), likely.astype(int), rng.random(200) * 3)
    add("weights of 0", binary(quantised), likely.astype(int), rng.integers(0, 3, 200))
    add("all values tied", binary(np.full(20, 0.5)), np.arange(20) % 2)
    add("separated", binary([-2, -1, 1, 2]), [0, 0, 1, 1])
    add("reversed", binary([2, 1, -1, -2]), [0, 0, 1, 1])
    add("only class 0 in truth", binary([-2, 0.4, -1]), [0, 0, 0])
    add("only class 1 in truth and prediction", binary([2, 0.4, 1]), [1, 1, 1])
    add("one sample", binary([-1]), [1])
    add("random multi-class", rng.normal(size=(200, 5)) * 1.5, rng.integers(0, 5, 200))
    logits = rng.normal(size=(100, 4))
    truth = rng.choice([0, 1, 3], 100)
    logits[np.arange(100), truth] += 1.0
    add("class missing in truth", logits, truth)
    add("class missing in truth and prediction", logits - np.array([0, 0, 50, 0]), truth)
    add("multi-class with ties", rng.integers(-1, 2, size=(150, 3)), rng.integers(0, 3, 150))
    add("multi-class with weights", rng.normal(size=(100, 3)), rng.integers(0, 3, 100), rng.random(100))
    add("one class in truth of three", rng.normal(size=(30, 3)), np.full(30, 1))
    add("rare positives", rng.normal(size=(400, 2)), (np.arange(400) % 97 == 5).astype(int))
    add("labels", rng.normal(size=(100, 4)) * 2 - 1, rng.random((100, 4)) < [0.5, 0.2, 0.05, 0.7])
    add("labels with ties", rng.integers(-2, 3, size=(80, 3)), rng.random((80, 3)) < 0.4)
    add("labels with weights", rng.normal(size=(60, 3)), rng.random((60, 3)) < 0.3, rng.random(60) * 2)
    truth = rng.random((50, 4)) < 0.4
    truth[:, 1], truth[:, 2] = False, True
    add("labels nowhere and everywhere", rng.normal(size=(50, 4)), truth)
    add("a label nowhere at all", rng.normal(size=(20, 2)) - [0, 50], np.stack([np.arange(20) % 2, np.zeros(20)], axis=1))

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
