#!/usr/bin/env python3
"""How many of a thousand modes does a GAN find? Stacked Fashion-MNIST: three garments as the channels of one picture.

    python bench/stacked.py                              # r3gan-32: half an hour on two cores
    python bench/stacked.py --recipe wgan-gp

After stacked MNIST (Metz et al. 2017, arXiv:1611.02163; Lin et al. 2018, arXiv:1712.04086): each channel of a picture is a
garment drawn at random, so there are 10·10·10 modes, told by a classifier a channel. It prints, of 25,600 samples, how many
modes have 10 or more, and the Kullback-Leibler divergence of their histogram from that of 25,600 real ones; the same of other
real ones, and of real ones with 7 or 5 kinds of garment a channel: what a GAN that loses some would get. The judge is
classifier-28. Exit status 1 unless --modes are found and the divergence is at most --divergence. Needs numpy.
"""
import argparse
import os

import numpy as np

import runs
from runs import spec

COUNT, ITEMS, ENOUGH = 25600, 60000, 10


def stacked(g, pictures, labels, n, kinds=runs.CLASSES):
    """[n, H, W, 3] and their garments' numbers; kinds: of each channel only so many, drawn."""
    rows = []
    for _ in range(3):
        own = np.flatnonzero(np.isin(labels, g.permutation(runs.CLASSES)[:kinds]))
        rows.append(g.choice(own, n))
    return np.stack([pictures[r] for r in rows], -1)


def histogram(judge, pictures):
    """Of modes, as the judge sees them: uint8 [n, H, W, 3]."""
    a, b, c = (judge.classes(pictures[..., k]).astype(int) for k in range(3))
    return np.bincount(100 * a + 10 * b + c, minlength=1000)


def divergence(found, real):
    """Σ p·ln(p/q), p the share of samples; a mode without a real picture counts as half of one."""
    p, q = found / found.sum(), np.maximum(real, 0.5) / real.sum()
    return float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runs.add_options(p, "stacked-work")
    p.add_argument("--recipe", default="r3gan-32", help="default %(default)s")
    p.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="more of duel train's; last")
    p.add_argument("--modes", type=int, default=900)
    p.add_argument("--divergence", type=float, default=0.5)
    args = p.parse_args()
    os.makedirs(args.work, exist_ok=True)
    judge, g = runs.Judge(args), np.random.default_rng(17)
    train = spec.fashion_mnist(), spec.fashion_mnist("train-labels-idx1-ubyte")
    path = os.path.join(args.work, "stacked.npy")
    data = stacked(g, *train, ITEMS)
    if not os.path.exists(path):
        np.save(path, data)
    real = histogram(judge, stacked(g, *train, COUNT))

    def told(name, found):
        modes, kl = int((found >= ENOUGH).sum()), divergence(found, real)
        print(f"{name:<28} {modes:5d}  {int((found > 0).sum()):5d}  {kl:10.3f}", flush=True)
        return modes, kl

    print(f"{'pictures':<28} {'modes':>5}  {'any':>5}  {'divergence':>10}")
    told("real", histogram(judge, stacked(g, *train, COUNT)))
    for kinds in (7, 5):
        told(f"real, {kinds} garments a channel", histogram(judge, stacked(g, *train, COUNT, kinds)))
    training = runs.Training(args, args.recipe, "--recipe", args.recipe, "--data", os.path.abspath(path), *args.flags)
    modes, kl = told(args.recipe, histogram(judge, training.samples(COUNT).transpose(0, 2, 3, 1)))
    for line in training.warnings():
        print(f"{args.recipe} warned: {line}")
    raise SystemExit(not (modes >= args.modes and kl <= args.divergence and not training.warnings()))


if __name__ == "__main__":
    main()
