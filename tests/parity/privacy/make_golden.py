"""Writes golden.json: what Google's dp-accounting and a quadrature of 40 digits say about the loss of privacy.

Made with Python 3.11, dp-accounting 0.6.0, mpmath 1.4.1, cryptography 50.0.2: python make_golden.py (2 minutes)
The quadrature integrates the definition of the moment as it stands in Mironov, Talwar and Zhang 2019
(arXiv:1908.10530): nothing of it is taken from kernels or from dp-accounting. Infinities, where dp-accounting's series does not converge, are
written as null. Noise is drawn from OpenSSL's ChaCha20.
"""

import hashlib
import json
import math
import pathlib
import struct

import dp_accounting
import mpmath
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from dp_accounting import rdp

mpmath.mp.dps = 40
ORDERS = list(rdp.rdp_privacy_accountant.DEFAULT_RDP_ORDERS)
SHOWN = [1.1, 1.5, 2.0, 2.5, 3.0, 4.7, 8.0, 10.9, 16.0, 32.0, 63.0, 128.0, 256.0, 1024.0]


def google(share, noise, steps, deltas):
    """Epsilons, and divergences of all steps, of Poisson-sampled Gaussians (add or remove one)."""
    accountant = rdp.RdpAccountant(ORDERS)
    event = dp_accounting.PoissonSampledDpEvent(share, dp_accounting.GaussianDpEvent(noise))
    accountant.compose(event, steps)
    epsilons = []
    for delta in deltas:
        epsilon, order = accountant.get_epsilon_and_optimal_order(delta)
        epsilons.append({"delta": delta, "epsilon": float(epsilon), "order": float(order)})
    at = {order: float(bound) for order, bound in zip(accountant._orders, accountant._rdp)}
    return epsilons, [at[order] if math.isfinite(at[order]) else None for order in SHOWN]


def quadrature(share, noise, order):
    """The divergence of one step, by integrating density(Z) * ratio(Z)**order."""
    q, s, a = mpmath.mpf(share), mpmath.mpf(noise), mpmath.mpf(order)

    def integrand(z):
        ratio = (1 - q) + q * mpmath.exp((2 * z - 1) / (2 * s * s))
        return mpmath.npdf(z, 0, s) * (ratio**a - 1)

    # Pieces of half a standard deviation, over everything that the integrand can have mass in.
    ends = [-16 * s]
    while ends[-1] < a + 16 * s:
        ends.append(ends[-1] + s)
    return mpmath.log1p(mpmath.quad(integrand, ends, maxdegree=7)) / (a - 1)


def normal(seed, purpose, round_number, tensor, index):
    """The standard normal number at index, as kernels::privacy::Noise defines it."""
    secret = struct.pack("<Q", seed)
    digest = hashlib.sha256(b"fedwing gaussian noise 1")
    for part in (secret, purpose.encode()):
        digest.update(struct.pack("<Q", len(part)) + part)
    digest.update(struct.pack("<QQ", round_number, tensor))
    # Pair p is bytes 16p to 16p + 16; a block has 64 bytes.
    pair = index // 2
    nonce = struct.pack("<QQ", pair // 4, 0)
    cipher = Cipher(algorithms.ChaCha20(digest.digest(), nonce), mode=None).encryptor()
    block = cipher.update(bytes(64))
    first, second = struct.unpack_from("<QQ", block, pair % 4 * 16)
    radius = mpmath.sqrt(-2 * mpmath.log(mpmath.mpf(first + 1) / 2**64))
    angle = 2 * mpmath.pi * (second >> 11) / 2**53
    return float(radius * (mpmath.sin(angle) if index % 2 else mpmath.cos(angle)))


def main():
    deltas = [1e-3, 1e-5, 1e-9]
    gaussian = []
    for noise in (0.3, 0.7, 1.0, 1.1, 2.5, 10.0, 100.0):
        for rounds in (1, 10, 100, 5000):
            epsilons, divergences = google(1.0, noise, rounds, deltas)
            gaussian.append(
                {"noise": noise, "rounds": rounds, "divergences": divergences, "epsilons": epsilons}
            )
    sampled = []
    for share, noise, steps in (
        (256 / 60000, 1.1, 14062),
        (250 / 60000, 1.3, 3600),
        (0.01, 4.0, 10000),
        (0.01, 0.5, 1000),
        (0.001, 0.8, 100000),
        (0.1, 2.0, 500),
        (0.5, 1.0, 20),
        (0.9, 3.0, 50),
        (0.02, 0.3, 10),
        (0.0001, 6.0, 1000000),
    ):
        epsilons, divergences = google(share, noise, steps, deltas)
        exact = [float(steps * quadrature(share, noise, order)) for order in SHOWN if order <= 32]
        sampled.append(
            {
                "share": share,
                "noise": noise,
                "steps": steps,
                "divergences": divergences,
                "exact": exact,
                "epsilons": epsilons,
            }
        )
    noise = [
        {"of": of, "index": index, "normal": normal(*of, index)}
        for of in ([7, "differences", 1, 0], [7, "count", 1, 0], [2**64 - 1, "differences", 50, 121])
        for index in (0, 1, 2, 3, 7, 8, 1_000_001, 2**40, 2**40 + 5)
    ]
    golden = {"noise": noise, "orders": ORDERS, "shown": SHOWN, "gaussian": gaussian, "sampled": sampled}
    path = pathlib.Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(golden, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
