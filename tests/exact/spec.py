"""The engine's exact numbers (random draws, data order, initial values) once more, in numpy and from scratch.

Independent of the C code on purpose: normals come from libm in float64, and the order from numpy's sort.
"""
import gzip
import os

import numpy as np

INIT, LATENT, ORDER, AUGMENT, PENALTY, LABEL, GRID, EVAL, NOISE = range(1, 10)


def philox(c0, c1, c2, c3, key):
    """Philox4x32-10. Counters are arrays or numbers, key is 64-bit; yields uint32 [n, 4]."""
    c = [np.atleast_1d(np.asarray(v, np.uint64)) for v in (c0, c1, c2, c3)]
    c = list(np.broadcast_arrays(*c))
    low, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> low) ^ c[1] ^ np.uint64(k0), p1 & mask, (p0 >> low) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, 1).astype(np.uint32)


def words(seed, purpose, t, k, n, first=0):
    """Elements first .. first+n-1 of a draw."""
    block = np.arange(first // 4, (first + n + 3) // 4, dtype=np.uint64)
    w = philox(block, t, purpose + 256 * k, 0, seed).reshape(-1)
    return w[first % 4:][:n]


def unit(w):
    """float32 in (0, 1]: each operation rounded."""
    return w.astype(np.float32) * np.float32(2.0**-32) + np.float32(2.0**-33)


def box_muller(x, y):
    """float64 pair from words; only u is a float32, as the design says."""
    s = np.sqrt(-2 * np.log(unit(x).astype(np.float64)))
    angle = 2 * np.pi * (y.astype(np.float64) * 2.0**-32 + 2.0**-33)
    return s * np.sin(angle), s * np.cos(angle)


def uniform(seed, purpose, t, k, n, first=0):
    return unit(words(seed, purpose, t, k, n, first))


def normal(seed, purpose, t, k, n, first=0):
    """float64, exact to about 1e-15: the engine's float32 lies within 2e-6."""
    start = first - first % 4
    w = words(seed, purpose, t, k, (first + n - start + 3) // 4 * 4, start)
    out = np.empty(len(w))
    out[0::2], out[1::2] = box_muller(w[0::2], w[1::2])
    return out[first - start:][:n]


def data_order(seed, epoch, items):
    return np.argsort(words(seed, ORDER, epoch, 0, items), kind="stable")


class Order:
    """Real item number q since the start -> index of the item."""

    def __init__(self, seed, items):
        self.seed, self.items, self.epoch = seed, items, {}

    def batch(self, first, n):
        q = np.arange(first, first + n)
        for e in range(first // self.items, (first + n - 1) // self.items + 1):
            if e not in self.epoch:
                self.epoch = {k: v for k, v in self.epoch.items() if k >= e - 1}
                self.epoch[e] = data_order(self.seed, e, self.items)
        return np.array([self.epoch[i // self.items][i % self.items] for i in q.tolist()])


def uniform_within(limit, seed, k, shape):
    """Initial values: (2u - 1)·limit, each operation in float32."""
    u = uniform(seed, INIT, 0, k, int(np.prod(shape)))
    return ((np.float32(2) * u - np.float32(1)) * np.float32(limit)).reshape(shape)


def held_out(items):
    """Which items a set without a test set of its own gives up: the last tenth of an order that no epoch has."""
    held = (items + 9) // 10
    goes = data_order(0, 2**32 - 1, items)[items - held:]
    return np.isin(np.arange(items), goes)


def read_idx(path):
    """An IDX file of bytes or float32, gz or not."""
    with open(path, "rb") as f:
        raw = f.read()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    kind = {8: np.dtype("u1"), 13: np.dtype(">f4")}[raw[2]]
    shape = np.frombuffer(raw, ">u4", raw[3], 4).astype(int)
    return np.frombuffer(raw, kind, offset=4 + 4 * raw[3]).reshape(shape)


def fashion_mnist(name="train-images-idx3-ubyte"):
    """A file of Debian's package dataset-fashion-mnist, or of the folder $DUEL_DATA."""
    folders = [os.environ.get("DUEL_DATA"), "/usr/share/dataset-fashion-mnist", "/usr/share/datasets/fashion-mnist"]
    for folder in filter(None, folders):
        for sub in ("", "fashion-mnist"):
            for end in (".gz", ""):
                path = os.path.join(folder, sub, name + end)
                if os.path.exists(path):
                    return read_idx(path)
    raise SystemExit(f"{name} is not in {folders}: apt install dataset-fashion-mnist, or set DUEL_DATA")
