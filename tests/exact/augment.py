"""Augmentation in PyTorch, any precision: what D sees of items. Sources: Karras et al. 2020, arXiv:2006.06676 (ADA);
Zhao et al. 2020, arXiv:2006.10738 (DiffAugment); Zhang et al. 2019, arXiv:1910.12027 (CR). Draws are those of the
engine's design: purpose 4, k = 4096·pass + slot, a change's event in slot 16·number.
"""
import numpy as np
import torch
import torch.nn.functional as F

import family
import spec
from nets import upfirdn

NAMES = ("flip", "rotate90", "shift", "scale", "rotate", "stretch", "fraction", "brightness", "saturation", "contrast",
         "luma", "hue", "cutout", "noise")
BGC = NAMES[:12]
PIPES = dict(default=("flip", "shift", "scale", "stretch", "fraction", "brightness", "contrast", "saturation"), bgc=BGC,
             none=())
POLICIES = dict(flip=("flip",), diffaugment=("brightness", "saturation", "contrast", "shift", "cutout"), ada=NAMES)
SYM6 = np.array([0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
                 0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564,
                 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148])


class Draws:
    """The draws of a pass, one number a row."""

    def __init__(self, run, number, p):
        self.run, self.number, self.p = run, number, p

    def words(self, slot):
        run = self.run
        w = spec.words(run.seed, spec.AUGMENT, run.step_number, 4096 * self.number + slot, run.batch)
        return w[run.rows]

    def uniform(self, slot):
        return spec.unit(self.words(slot)).astype(np.float64)

    def normal(self, slot):
        run = self.run
        return spec.normal(run.seed, spec.AUGMENT, run.step_number, 4096 * self.number + slot, run.batch)[run.rows]

    def integer(self, slot, below):
        return (self.words(slot).astype(np.uint64) * np.uint64(below) >> np.uint64(32)).astype(np.int64)

    def happens(self, slot, p):
        return self.uniform(slot) <= np.float64(np.float32(p))


def shares(keys, channels):
    """Of each change, of p."""
    policy = keys["policy"]
    on = PIPES[keys.get("pipe", "default")] if policy == "ada" or keys.get("pipe") == "none" else POLICIES[policy]
    gray = () if channels == 3 else ("saturation", "hue")
    return {n: keys.get(n, float(n in on and n not in gray)) for n in NAMES}


def matrix(rows, n=3):
    """[batch, n, n] from rows of numbers and arrays."""
    flat = np.broadcast_arrays(*[np.asarray(v, np.float64) for row in rows for v in row])
    return np.stack(flat, -1).reshape(-1, n, n)


def moved(x, y):
    return matrix([[1, 0, -x], [0, 1, -y], [0, 0, 1]])


def scaled(x, y):
    return matrix([[1 / x, 0, 0], [0, 1 / y, 0], [0, 0, 1 + 0 * x]])


def turned(angle):
    return matrix([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


def warped(x, m):
    """x at the places m [batch, 3, 3] of its pixels, from the center, bilinear, zeros outside."""
    height, width = x.shape[2:]
    i, j = np.mgrid[:height, :width]
    places = np.stack([j - (width - 1) / 2, i - (height - 1) / 2, np.ones_like(i)], -1)
    at = np.einsum("bkl,ijl->bijk", m, places)
    at = at[..., :2] + np.array([(width - 1) / 2, (height - 1) / 2])
    grid = (2 * at + 1) / np.array([width, height]) - 1
    return F.grid_sample(x, torch.tensor(grid, dtype=x.dtype), "bilinear", "zeros", align_corners=False)


def by_sym6(x, m):
    """The same at twice the size, up and down by Symlets of order 6."""
    center = matrix([[2, 0, 0], [0, 2, 0], [0, 0, 1]])
    x = upfirdn(x, SYM6[::-1].copy(), up=(2, 2))
    x = warped(x, center @ m @ np.linalg.inv(center))
    return upfirdn(x, SYM6, down=(2, 2))


def each(x, of):
    return torch.tensor(of, dtype=x.dtype).reshape(-1, 1, 1, 1)


def kept(x, rows, columns):
    """x without a rectangle, by which rows and columns [batch, ...] it has."""
    hole = rows[:, :, None] & columns[:, None, :]
    return x * torch.tensor(~hole, dtype=x.dtype)[:, None]


def ada_places(d, share, shape):
    height, width = shape[2:]
    p, m = d.p, np.broadcast_to(np.eye(3), (shape[0], 3, 3))

    def value(name, of, without):
        return np.where(d.happens(16 * NAMES.index(name), p * share[name]), of, without)

    def chance(slot, name):
        """Turned by any angle: of two turns each has such a chance that one or both happen with p."""
        one = 1 - np.sqrt(1 - p * share[name])
        return turned(np.where(d.happens(slot, one), (2 * d.uniform(slot + 1) - 1) * np.pi, 0))

    if share["flip"]:
        m = m @ scaled(1 - 2 * value("flip", d.integer(1, 2), 0), np.ones(1))
    if share["rotate90"]:
        m = m @ turned(np.pi / 2 * value("rotate90", d.integer(17, 4), 0))
    if share["shift"]:
        x, y = (np.rint((2 * d.uniform(slot) - 1) * 0.125 * side) for slot, side in ((33, width), (34, height)))
        m = m @ moved(value("shift", x, 0), value("shift", y, 0))
    if share["scale"]:
        s = value("scale", np.exp2(0.2 * d.normal(49)), 1)
        m = m @ scaled(s, s)
    if share["rotate"]:
        m = m @ chance(64, "rotate")
    if share["stretch"]:
        s = value("stretch", np.exp2(0.2 * d.normal(81)), 1)
        m = m @ scaled(s, 1 / s)
    if share["rotate"]:
        m = m @ chance(66, "rotate")
    if share["fraction"]:
        m = m @ moved(value("fraction", d.normal(97) * 0.125 * width, 0), value("fraction", d.normal(98) * 0.125 * height, 0))
    return m


def ada_colors(d, share, x):
    n, c = x.shape[:2]
    color, one = np.broadcast_to(np.eye(4), (n, 4, 4)), np.eye(4)
    axis = np.array([1, 1, 1, 0]) / np.sqrt(3)
    along, across = np.outer(axis, axis), np.cross(axis[:3], np.eye(3))

    def value(name, of, without):
        return np.where(d.happens(16 * NAMES.index(name), d.p * share[name]), of, without).reshape(-1, 1, 1)

    if share["brightness"]:
        color = (one + value("brightness", 0.2 * d.normal(113), 0) * np.outer([1, 1, 1, 0], [0, 0, 0, 1])) @ color
    if share["contrast"]:
        color = (one + (value("contrast", np.exp2(0.5 * d.normal(145)), 1) - 1) * np.diag([1, 1, 1, 0])) @ color
    if share["luma"]:
        color = (one - 2 * along * value("luma", d.integer(161, 2), 0)) @ color
    if share["hue"]:
        angle = value("hue", (2 * d.uniform(177) - 1) * np.pi, 0)
        turn = np.zeros((n, 4, 4))
        turn[:, 3, 3] = 1
        turn[:, :3, :3] = along[:3, :3] * (1 - np.cos(angle)) + np.eye(3) * np.cos(angle) + across.T * np.sin(angle)
        color = turn @ color
    if share["saturation"]:
        s = value("saturation", np.exp2(d.normal(129)), 1)
        color = (along + (one - along) * s) @ color
    color = torch.tensor(color, dtype=x.dtype)
    if c == 3:
        return torch.einsum("bkl,blij->bkij", color[:, :3, :3], x) + color[:, :3, 3].reshape(n, 3, 1, 1)
    mean = color[:, :3].mean(1)
    return x * mean[:, :3].sum(1).reshape(n, 1, 1, 1) + mean[:, 3].reshape(n, 1, 1, 1)


def ada(run, d, share, x, keys):
    height, width = x.shape[2:]
    if any(share[n] for n in NAMES[:7]):
        m = ada_places(d, share, x.shape)
        x = (by_sym6 if keys.get("filter") == "sym6" else warped)(x, m)
    if any(share[n] for n in NAMES[7:12]):
        x = ada_colors(d, share, x)
    if share["noise"]:
        size = np.where(d.happens(208, d.p * share["noise"]), 0.1 * np.abs(d.normal(209)), 0)
        x = x + each(x, size) * run.normal(spec.AUGMENT, 4096 * d.number + 210, x.shape)
    if share["cutout"]:
        on = d.happens(192, d.p * share["cutout"])[:, None]
        columns, rows = (abs((np.arange(side) + 0.5) / side - d.uniform(slot)[:, None]) < 0.25
                         for slot, side in ((193, width), (194, height)))
        x = kept(x, rows & on, columns & on)
    return x


def shifted(x, down, right):
    """x with its rows and columns moved up and left, zeros behind."""
    out = torch.zeros_like(x)
    height, width = x.shape[2:]
    for b, (t, s) in enumerate(zip(down, right)):
        i, j = np.arange(height) + t, np.arange(width) + s
        ok, fine = (i >= 0) & (i < height), (j >= 0) & (j < width)
        out[b][:, torch.tensor(np.outer(ok, fine))] = x[b][:, i[ok]][:, :, j[fine]].flatten(1)
    return out


def diffaugment(run, d, share, x, keys):
    height, width = x.shape[2:]

    def on(name):
        return d.happens(16 * NAMES.index(name), d.p * share[name])

    if share["brightness"]:
        x = x + each(x, np.where(on("brightness"), d.uniform(113) - 0.5, 0))
    if share["saturation"]:
        mean = x.mean(1, keepdim=True)
        x = (x - mean) * each(x, np.where(on("saturation"), 2 * d.uniform(129), 1)) + mean
    if share["contrast"]:
        mean = x.mean((1, 2, 3), keepdim=True)
        x = (x - mean) * each(x, np.where(on("contrast"), d.uniform(145) + 0.5, 1)) + mean
    if share["shift"]:
        down, right = (np.where(on("shift"), d.integer(slot, 2 * far + 1) - far, 0)
                       for slot, far in ((33, int(height * 0.125 + 0.5)), (34, int(width * 0.125 + 0.5))))
        x = shifted(x, down, right)
    if share["cutout"]:
        sides = []
        for slot, side in ((193, height), (194, width)):
            size = int(side * 0.5 + 0.5)
            start = d.integer(slot, side + 1 - size % 2) - size // 2
            i = np.arange(side) - start[:, None]
            sides.append((i >= 0) & (i < size) & on("cutout")[:, None])
        x = kept(x, *sides)
    return x


def transformed(run, x, number):
    """CR's: half of the items flipped, all shifted by up to an eighth, pixels reflected at the border."""
    d = Draws(run, number, 1)
    height, width = x.shape[2:]
    down, right = height // 8, width // 8
    flip = each(x, d.happens(0, 0.5))
    x = flip * x.flip(3) + (1 - flip) * x
    wide = F.pad(x, (right, right, down, down), mode="reflect")
    i, j = d.integer(33, 2 * down + 1), d.integer(34, 2 * right + 1)
    return torch.stack([w[:, a:a + height, b:b + width] for w, a, b in zip(wide, i, j)])


class Controller:
    """What p is, and how it moves."""

    def __init__(self, keys):
        self.keys, self.p, self.signs, self.steps = keys, 0.0, 0.0, 0
        p = keys.get("p")
        self.adaptive = p == "adaptive" or p is None and keys["policy"] == "ada"

    def value(self, run):
        if self.adaptive:
            return self.p
        return family.scheduled(self.keys.get("p", 1), run.step_number, run.steps)

    def end(self, run, images):
        """Behind a step; run.signs are the mean signs of D on real items in it."""
        self.signs, self.steps = self.signs + np.mean(run.signs), self.steps + 1
        if self.adaptive and self.steps == 4:
            way = np.sign(self.signs / 4 - self.keys.get("target", 0.6))
            self.p += way * 4 * images / (1000 * self.keys.get("speed", 500))
            self.p = min(max(self.p, 0), self.keys.get("most", 0.8))
            self.signs = self.steps = 0


def changed(run, keys, x, number, p):
    """x as pass `number` of the step sees it."""
    share = shares(keys, x.shape[1])
    laws = diffaugment if keys["policy"] == "diffaugment" else ada
    return laws(run, Draws(run, number, p), share, x, keys)
