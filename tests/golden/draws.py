"""Writes draws.h: our own random draws as tests/test_rng.c expects them, computed in numpy alone.

    python tests/golden/draws.py

normal32() is src/base/normal.h once more, operation by operation (numpy's float32 arithmetic is correctly rounded too),
so that the sums at the end pin its exact bits for every compiler and backend.
"""
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "exact"))
import spec  # noqa: E402

F = np.float32
SHOWN = 9  # elements a row


def horner(x, coefficients):
    p = F(coefficients[0])
    for c in coefficients[1:]:
        p = p * x + F(c)
    return p


def hexes(text):
    return [float.fromhex(t) for t in text.split()]


def ln32(u):
    bits = u.view(np.int32)
    k = (bits - np.int32(0x3F3504F3)) >> 23
    f = (bits - (k << 23)).view(F) - F(1)
    e, ff = k.astype(F), f * f
    p = horner(f, hexes("0x1.680c98p-4 -0x1.263a14p-3 0x1.31bebp-3 -0x1.533e9ep-3 0x1.98c84ap-3 -0x1.000492p-2"
                        " 0x1.55571ap-2"))
    low = e * F(float.fromhex("-0x1.bd0106p-13")) + ff * f * p
    low = low + ff * F(-0.5)
    return low + f + e * F(0.693359375)


def normal32(w):
    x, y = w[0::2], w[1::2]
    s = np.sqrt(F(-2) * ln32(spec.unit(x)))
    q = (y + np.uint32(1 << 29)) >> 30
    rest = (y - (q << 30)).view(np.int32)
    a = (2 * rest + 1).astype(F) * F(float.fromhex("0x1.921fb6p-31"))
    aa = a * a
    sine = horner(aa, hexes("-0x1.98da66p-13 0x1.1105b4p-7 -0x1.55554p-3")) * (aa * a) + a
    cosine = horner(aa, hexes("0x1.9a025ap-16 -0x1.6c0c8cp-10 0x1.55554ap-5")) * (aa * aa) + (F(-0.5) * aa + F(1))
    up, right = np.where(q & 1, cosine, sine), np.where(q & 1, sine, cosine)
    out = np.empty(len(w), F)
    out[0::2] = s * np.where(q & 2, -up, up)
    out[1::2] = s * np.where((q + 1) & 2, -right, right)
    return out


def bits_sum(values):
    """The sum of bits·(2i + 1) modulo 2^64: a cheap fingerprint that knows the order."""
    b = values.view(np.uint32).astype(np.uint64)
    return int((b * (2 * np.arange(len(b), dtype=np.uint64) + 1)).sum(dtype=np.uint64))


def main():
    seeds = [0, 1, 0xFFFFFFFF, 0x100000000, 0x243F6A8885A308D3, 2**64 - 1]
    rows = []
    for purpose in range(1, 10):
        for i, (t, k, first) in enumerate([(0, 0, 0), (1, 3, 5), (18759, 4096 * purpose + 7, 2**34 - SHOWN),
                                           (2**32 - 1, 2**24 - 1, 2**33 + 2)]):
            rows.append((seeds[(purpose + i) % len(seeds)], t, purpose, k, first))
    out = ["// Written by draws.py: draws computed independently of the engine.", "// clang-format off",
           f"enum {{ GOLDEN_SHOWN = {SHOWN} }};",
           "static const struct golden_draw {",
           "  duel_draw draw;", "  int64_t first;",
           "  uint32_t word[GOLDEN_SHOWN];", "  float uniform[GOLDEN_SHOWN]; // exact",
           "  double normal[GOLDEN_SHOWN]; // in float64", "} golden_draws[] = {"]
    for seed, t, purpose, k, first in rows:
        w = spec.words(seed, purpose, t, k, SHOWN, first)
        u, n = spec.unit(w), spec.normal(seed, purpose, t, k, SHOWN, first)
        out += [f"  {{{{0x{seed:x}u, {t}u, {purpose}, {k}}}, {first},",
                "   {" + ", ".join(f"0x{v:08x}u" for v in w) + "},",
                "   {" + ", ".join(float(v).hex() + "f" for v in u) + "},",
                "   {" + ", ".join(repr(float(v)) for v in n) + "}},"]
    out += ["};", "", "// Fingerprints of the bits of 1000003 elements from element 3 on: seed, t 7, purpose 2, k 1.",
            "enum { GOLDEN_SUM_FIRST = 3, GOLDEN_SUM_COUNT = 1000003 };",
            "static const struct golden_sum {", "  uint64_t seed, words, uniform, normal;", "} golden_sums[] = {"]
    for seed in (0, 0x0123456789ABCDEF):
        w = spec.words(seed, 2, 7, 1, 1000006 + 2)
        part = slice(3, 3 + 1000003)
        sums = [bits_sum(v[part]) for v in (w, spec.unit(w), normal32(w))]
        out.append(f"  {{0x{seed:x}u, " + ", ".join(f"0x{v:016x}u" for v in sums) + "},")
    out += ["};", "", "// The first items of an epoch, and the fingerprint of its whole order.",
            "static const struct golden_order {", "  uint64_t seed, epoch;", "  int64_t items;", "  int32_t item[8];",
            "  uint64_t sum;", "} golden_orders[] = {"]
    for seed, epoch, items in ((0, 0, 8), (0, 1, 60000), (5, 99, 60000), (2**64 - 1, 2**32 - 1, 1009)):
        order = spec.data_order(seed, epoch, items).astype(np.int32)
        out.append(f"  {{0x{seed:x}u, {epoch}u, {items}, {{" + ", ".join(map(str, order[:8])) +
                   f"}}, 0x{bits_sum(order):016x}u}},")
    out += ["};", ""]
    with open(os.path.join(HERE, "draws.h"), "w") as f:
        f.write("\n".join(out))


if __name__ == "__main__":
    main()
