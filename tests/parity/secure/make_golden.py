"""Golden numbers of masked updates: X25519, HKDF-SHA256, ChaCha20 and the fixed-point ring, from their definitions.

Python 3 standard library only (`hashlib`, `hmac`); X25519 by the pseudocode of RFC 7748 section 5, ChaCha20 by RFC 8439
section 2.3 with a 64-bit block counter and a nonce of zeros. Checks itself against the test vectors of both before it
writes. Run it anywhere; it writes golden.json beside itself.
"""

import hashlib
import hmac
import json
import pathlib
import struct

P = 2**255 - 19
WORD = 2**32
RING = 2**64


def x25519(scalar: bytes, point: bytes) -> bytes:
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = (k >> t) & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, x3, z2, z3 = x3, x2, z3, z2
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def hkdf(secret: bytes, info: bytes) -> bytes:
    key = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(key, info + b"\x01", hashlib.sha256).digest()


def chacha20_block(key: bytes, counter: int) -> bytes:
    start = list(struct.unpack("<4I", b"expand 32-byte k")) + list(struct.unpack("<8I", key))
    start += [counter % WORD, counter // WORD, 0, 0]
    s = start[:]

    def quarter(a, b, c, d):
        for x, y, z, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) % WORD
            mixed = s[z] ^ s[x]
            s[z] = ((mixed << by) | (mixed >> (32 - by))) % WORD

    for _ in range(10):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        quarter(0, 5, 10, 15)
        quarter(1, 6, 11, 12)
        quarter(2, 7, 8, 13)
        quarter(3, 4, 9, 14)
    return struct.pack("<16I", *((a + b) % WORD for a, b in zip(s, start)))


def stream(seed: bytes, index: int) -> int:
    block = chacha20_block(seed, index // 8)
    return struct.unpack_from("<Q", block, 8 * (index % 8))[0]


def check() -> None:
    alice = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    assert x25519(alice, bob).hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    okm = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert hkdf(b"\x0b" * 22, b"").hex() == okm
    assert chacha20_block(bytes(32), 0).hex().startswith("76b8e0ada0f13d90405d6ae55386bd28")


def main() -> None:
    check()
    experiment, dataset, digest, round_ = "e1-baseline", "nih", "0123456789abcdef" * 4, 12
    secrets = [hashlib.sha256(f"client {i}".encode()).digest() for i in range(3)]
    publics = [x25519(secret, (9).to_bytes(32, "little")) for secret in secrets]
    samples = [120, 7, 4001]
    # Halves of small integers are exact in every float format; the last needs rounding.
    values = [[0.5, -1.5, 1e-9], [2.0, 0.0, -3e-8], [-0.25, 31.0, 4.4703484e-08]]
    bits, indices = 24, [0, 1, 10_000_019]

    def text(word: str) -> bytes:
        return struct.pack("<I", len(word)) + word.encode()

    def seed(i: int, j: int) -> bytes:
        info = b"".join(map(text, ["fedwing mask 1", experiment, dataset, digest])) + struct.pack("<I", round_)
        for client in sorted((i, j)):
            info += struct.pack("<I", client) + publics[client]
        return hkdf(x25519(secrets[i], publics[j]), info)

    masked = []
    for i in range(3):
        row = []
        for value, index in zip(values[i], indices):
            # As an f32, as the clients have it.
            value = struct.unpack("<f", struct.pack("<f", value))[0]
            number = round(samples[i] * value * 2**bits)
            for j in range(3):
                if j != i:
                    number += stream(seed(i, j), index) * (1 if i < j else -1)
            row.append(str(number % RING))
        masked.append(row)
    golden = {
        "experiment": experiment,
        "dataset": dataset,
        "spec_digest": digest,
        "round": round_,
        "fraction_bits": bits,
        "indices": indices,
        "secrets": [secret.hex() for secret in secrets],
        "publics": [public.hex() for public in publics],
        "seed_0_2": seed(0, 2).hex(),
        "samples": samples,
        "values": values,
        "masked": masked,
    }
    path = pathlib.Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
