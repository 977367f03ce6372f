"""Writes sampled.json: the loss of privacy of Poisson-sampled Gaussian steps between two bounds, by numerical integration.

Made with Python 3.11, NumPy 2.4.6, SciPy 1.17.1: python make_sampled.py (one minute)

Nothing here knows of Renyi divergences. A step takes the record with probability q and adds noise of deviation s, so its
output is drawn from P = (1-q) N(0,s) + q N(1,s) with the record and from Q = N(0,s) without it. The privacy loss
ln P(x)/Q(x) of x drawn from P (the record is taken away), and ln Q(x)/P(x) of x drawn from Q (it is added), is put on a grid,
once rounded up and once rounded down, composed with itself by repeated convolution (FFT), and turned into the epsilon at
which E[max(0, 1 - exp(epsilon - loss))] is delta. Rounding up gives an upper bound on the exact epsilon, rounding down a
lower one; the larger of both directions counts. (Koskela, Jalko and Honkela 2019, arXiv:1906.03049, describe the method.)
"""

import json
import math
import pathlib

import numpy as np
from scipy import fft, special

WIDTH = 1 << 23  # values on the grid of losses


def losses(q, s, removed, edges):
    """Probability that a step's loss is at most each of the edges."""
    # ln P/Q = ln(1-q + q exp((2x-1)/2s^2)) rises with x.
    if removed:
        inner = (np.exp(edges) - (1 - q)) / q
        x = np.where(inner > 0, s * s * np.log(np.maximum(inner, 1e-300)) + 0.5, -np.inf)
        return (1 - q) * special.ndtr(x / s) + q * special.ndtr((x - 1) / s)
    inner = (np.exp(-edges) - (1 - q)) / q
    x = np.where(inner > 0, s * s * np.log(np.maximum(inner, 1e-300)) + 0.5, -np.inf)
    return special.ndtr(-x / s)


def epsilon(q, s, steps, delta, removed, up, reach):
    """A bound on the epsilon of all steps; the grid goes from -reach to reach."""
    grid = (np.arange(WIDTH) - WIDTH // 2) * (2 * reach / WIDTH)
    step = grid[1] - grid[0]
    # Mass between two points goes to the upper or the lower one.
    below = losses(q, s, removed, grid)
    mass = np.diff(below, prepend=0.0 if up else below[0])
    if not up:
        mass = np.append(mass[1:], 0.0)
    infinite = max(0.0, 1.0 - below[-1]) if up else 0.0
    if not up:
        mass[-1] += max(0.0, 1.0 - below[-1])
    assert below[0] < 1e-9 and 1 - below[-1] < 1e-9, (below[0], 1 - below[-1])
    # Circular: the grid's middle is loss 0.
    composed = fft.irfft(fft.rfft(fft.ifftshift(mass)) ** steps, WIDTH)
    composed = fft.fftshift(np.maximum(composed, 0.0))
    infinite = -math.expm1(steps * math.log1p(-infinite)) if infinite else 0.0

    def failing(value):
        above = grid > value
        return infinite + float(np.sum(composed[above] * -np.expm1(value - grid[above])))

    low, high = 0.0, reach
    if failing(low) <= delta:
        return 0.0
    while high - low > 1e-7:
        middle = (low + high) / 2
        low, high = (middle, high) if failing(middle) > delta else (low, middle)
    return high + step if up else low


def main():
    cases = []
    for q, s, steps, delta, reach in (
        (0.01, 4.0, 10000, 1e-5, 4.0),
        (250 / 60000, 1.3, 3600, 1e-5, 7.0),
        (256 / 60000, 1.1, 14062, 1e-5, 9.0),
        (32 / 942, 1.0, 300, 1e-3, 24.0),
        (0.1, 2.0, 500, 1e-5, 24.0),
        (0.5, 1.0, 20, 1e-5, 60.0),
        (0.02, 0.7, 50, 1e-5, 40.0),
    ):
        bounds = {}
        for name, up in (("least", False), ("most", True)):
            both = [epsilon(q, s, steps, delta, removed, up, reach) for removed in (True, False)]
            bounds[name] = max(both)
        assert bounds["least"] <= bounds["most"], bounds
        case = {"share": q, "noise": s, "steps": steps, "delta": delta}
        cases.append(case | {name: round(float(value), 6) for name, value in bounds.items()})
        print(cases[-1])
    pathlib.Path(__file__).with_name("sampled.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
