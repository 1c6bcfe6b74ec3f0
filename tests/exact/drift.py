"""How far do the precisions drift from float64 in 100 steps?

    python tests/exact/drift.py --duel build/duel
    python tests/exact/drift.py --duel build/duel --recipe mlp --precisions fp32,tf32,bf16 -- --backend cuda

Trains a recipe and its smooth twin (tanh for each leaky_relu and relu, whose kinks amplify rounding) through the command, and both
in PyTorch float64 from the same start, draws and data order (exact.py). Prints, for each precision of products, the largest
and the median error of a tensor, ‖engine − float64‖ / ‖float64 − start‖.
"""
import argparse
import os
import tempfile

import numpy as np
import torch

import exact
import gan
import recipes
import spec


def trained(args, name, recipe, steps, precision):
    """Start and end of the engine's run."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name + ".yaml")
        with open(path, "w") as f:
            f.write(recipes.to_yaml(recipe, "fashion-mnist", steps, name))
        args.flags = [*args.given, "--precision", precision]
        return exact.run_engine(args, path, steps, os.path.join(folder, "runs"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--duel", default="build/duel", help="the command (default %(default)s)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--recipe", default="mlp,dcgan")
    p.add_argument("--precisions", default="fp32,bf16")
    p.add_argument("given", nargs="*", help="more flags for duel train, after --")
    args = p.parse_args()
    images = spec.fashion_mnist().reshape(-1, *exact.ITEM)
    print(f"{args.steps} steps, seed {args.seed}{''.join(' ' + g for g in args.given)}\n"
          f"{'model':<13} {'products':<9} {'worst':>9} {'median':>9}  tensor")
    known = {"mlp": recipes.MLP, "dcgan": recipes.DCGAN}
    models = [m for n in args.recipe.split(",") for m in (("smooth-" + n, recipes.smooth(known[n])), (n, known[n]))]
    for name, recipe in models:
        double = None
        for precision in args.precisions.split(","):
            start, end = trained(args, name, recipe, args.steps, precision)
            if double is None:
                double, _ = gan.train(recipe, start, images, args.seed, args.steps, torch.float64)
            errors = {n: e for n, e in gan.errors(end, double, start).items() if e is not None}
            worst = max(errors, key=errors.get)
            print(f"{name:<13} {precision:<9} {errors[worst]:9.2e} {np.median(list(errors.values())):9.2e}  {worst}",
                  flush=True)


if __name__ == "__main__":
    main()
