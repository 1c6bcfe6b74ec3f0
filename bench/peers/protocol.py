"""What all peers share: the data, and how bench/compare speaks with a peer. numpy alone.

A peer is a process. It builds its model, does one step and writes a line, a JSON object with its name, version, numbers
of parameters and first losses. From then on each line of its stdin is
  a number of steps   it does that many, and answers with ms_per_step and the means of the losses of these steps
  flops               it answers with the FLOPs of a step as the framework itself counts them, or null
and every answer has peak_mib, the most memory that the process ever held. One step is the same work for all: D on real
and update, D on fake and update, G through D and update, with one draw of latents and one run of G.
"""
import argparse
import json
import os
import resource
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "exact"))
import spec  # noqa: E402

from models import RECIPES  # noqa: E402


def images(name="train-images-idx3-ubyte"):
    """uint8 [items, 1, 28, 28]"""
    return spec.fashion_mnist(name)[:, None]


class Order:
    """Rows of the next batch, a new permutation each epoch; no item is dropped at its end."""

    def __init__(self, items, batch, seed=0):
        self.random, self.items, self.batch = np.random.default_rng(seed), items, batch
        self.rows = np.empty(0, np.int64)

    def next(self):
        while len(self.rows) < self.batch:
            self.rows = np.concatenate([self.rows, self.random.permutation(self.items)])
        rows, self.rows = self.rows[:self.batch], self.rows[self.batch:]
        return rows


def peak_mib():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def answer(**fields):
    print(json.dumps({**fields, "peak_mib": peak_mib()}), flush=True)


def run(trainer, steps):
    """Does some steps; ms of each, and the means of the losses."""
    losses, began = [], time.perf_counter()
    for _ in range(steps):
        losses.append(trainer.step())
    trainer.wait(losses[-1])
    ms = 1000 * (time.perf_counter() - began) / steps
    real, fake, g = np.array([[float(x) for x in three] for three in losses]).mean(0)
    return {"ms_per_step": round(ms, 4), "d_loss": (real + fake) / 2, "g_loss": g}


def serve(framework, version, ways, make):
    """A peer's main(). ways: {way: recipes that it knows}. make(recipe, batch, threads, way) yields a trainer with
    step() -> (D's loss on real, on fake, G's), which may be still on their way; wait(losses); parameters(); flops()."""
    p = argparse.ArgumentParser(description=f"A peer of bench/compare, in {framework}.")
    p.add_argument("--recipe", choices=list(RECIPES), default="mlp")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--way", choices=list(ways), default=list(ways)[0])
    args = p.parse_args()
    if args.recipe not in ways[args.way]:
        p.error(f"{args.way} knows {' and '.join(ways[args.way])} only")
    trainer = make(args.recipe, args.batch, args.threads, args.way)
    first = run(trainer, 1)
    answer(framework=framework, version=version, way=args.way, parameters=trainer.parameters(), d_loss=first["d_loss"],
           g_loss=first["g_loss"])
    for line in map(str.strip, sys.stdin):
        if line == "flops":
            answer(flops=trainer.flops())
        else:
            answer(**run(trainer, int(line)))
