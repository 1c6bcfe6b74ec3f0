#!/usr/bin/env python3
"""Do recipes that are told a class draw that class? Trains each, and asks a classifier.

    python bench/classes.py                              # cgan, acgan, projgan-32: half an hour on two cores
    python bench/classes.py --recipes cwgan-gp           # an hour more

Of 10,000 samples of each, a thousand a class, it prints how many are of the class that was asked for, in all and in the
class with the fewest, and the same of the 10,000 real test pictures. The judge is classifier-28 (trained with noise); pictures
of 32×32 become 28×28 as data sets do. Exit status 1 unless --right of all samples and --least of each class are right, and no
training warned. Needs numpy.
"""
import argparse

import numpy as np

import runs
from runs import spec


def told(name, asked, found):
    right = found == asked
    least = min(range(runs.CLASSES), key=lambda k: right[asked == k].mean())
    part = right[asked == least].mean()
    print(f"{name:<12} {100 * right.mean():6.1f} %  {100 * part:6.1f} % of class {least}", flush=True)
    return right.mean(), part


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runs.add_options(p, "classes-work")
    p.add_argument("--recipes", default="cgan,acgan,projgan-32", help="default %(default)s")
    p.add_argument("--count", type=int, default=10000, help="samples; default %(default)s")
    p.add_argument("--right", type=float, default=0.85)
    p.add_argument("--least", type=float, default=0.6)
    args = p.parse_args()
    judge, good = runs.Judge(args), True
    print(f"{'pictures':<12} {'as asked':>8}  fewest")
    real = spec.fashion_mnist("t10k-images-idx3-ubyte"), spec.fashion_mnist("t10k-labels-idx1-ubyte")
    told("real, test", real[1], judge.classes(real[0]))
    for recipe in args.recipes.split(","):
        training = runs.Training(args, recipe, "--recipe", recipe)
        pictures = training.samples(args.count)
        right, least = told(recipe, np.arange(args.count) % runs.CLASSES, judge.classes(pictures[:, 0]))
        good &= right >= args.right and least >= args.least
        for line in training.warnings():
            good = False
            print(f"{recipe} warned: {line}")
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
