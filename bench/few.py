#!/usr/bin/env python3
"""Does augmentation help with a thousand pictures? dcgan-ada against dcgan, both on the first 1,000 garments.

    python bench/few.py                                  # three seeds: an hour on two cores

The measure is that of quality.py: the Frechet distance of 10,000 samples from the 60,000 real pictures in the features of a
classifier that it trains. Printed are the distances of each seed, and p of augmentation as it moved in the first one's run.
Exit status 1 unless dcgan-ada's mean is below dcgan's. Needs torch and numpy.
"""
import argparse
import os
import sys

import numpy as np
import torch

import runs
from runs import spec

sys.path.insert(0, runs.HERE)
import quality  # noqa: E402


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runs.add_options(p, "few-work")
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--count", type=int, default=10000)
    p.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="more of duel train's, of both; last")
    args = p.parse_args()
    args.device = "cpu"
    os.makedirs(args.work, exist_ok=True)
    train = torch.tensor(spec.fashion_mnist())[:, None]
    networks = {"features": quality.classifier("features", train, args)}
    real, means, curve = quality.features(networks, train), {}, []
    print(f"{'recipe':<12} {'seed':>4}  {'Frechet':>8}")
    for recipe in ("dcgan-ada", "dcgan"):
        found = []
        for seed in args.seeds:
            training = runs.Training(args, f"{recipe}-{seed}", "--recipe", "dcgan-ada", "--seed", seed,
                                     *([] if recipe == "dcgan-ada" else ["--set", "augment=null"]), *args.flags)
            pictures = torch.tensor(training.samples(args.count))
            found.append(quality.frechet(quality.features(networks, pictures), real))
            print(f"{recipe:<12} {seed:4d}  {found[-1]:8.2f}", flush=True)
            curve = curve or training.stats("augment.p")
            for line in training.warnings():
                print(f"{recipe} warned: {line}")
        means[recipe] = np.mean(found)
    print("means: " + ", ".join(f"{name} {mean:.2f}" for name, mean in means.items()))
    print("p of augmentation by step: " + ", ".join(f"{step} {p:.2f}" for step, p in curve[::max(1, len(curve) // 20)]))
    raise SystemExit(not means["dcgan-ada"] < means["dcgan"])


if __name__ == "__main__":
    main()
