#!/usr/bin/env python3
"""Whether two builds train to the same bits: tensors of checkpoints after the same steps, and after a resume.

    bench/same_bits.py OLD_TREE NEW_TREE [--quick]

Both are build trees with the command and the emulated CUDA backend (targets duel, duel_cuda_emulated). Each recipe trains
on the CPU and on the emulator with both builds; then the new build goes on from its own checkpoint of the first half, and
from the old one's. Metadata may differ. Exit status 1 if any tensor does.
"""
import argparse
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

from cuda_table import emulated_library

CASES = [("mlp", "cpu", 100), ("dcgan", "cpu", 100), ("resnet-32", "cpu", 100), ("ring", "cpu", 100), ("mlp", "cuda", 100),
         ("classifier-28", "cpu", 100), ("ring", "cuda", 100), ("dcgan", "cuda", 3), ("resnet-32", "cuda", 3)]


def tensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    return {name: (e["dtype"], e["shape"], data[slice(*e["data_offsets"])]) for name, e in header.items()
            if name != "__metadata__"}


def duel(tree, backend, *args):
    env = {**os.environ, "CUEMU_ORDER": "forward"}
    if backend == "cuda":
        env["DUEL_CUDA_LIBRARY"] = os.path.abspath(emulated_library(tree))
    done = subprocess.run([os.path.join(tree, "duel"), "train", *args, "-q"], env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"same_bits: {tree}: duel train {' '.join(args)} ended with {done.returncode}: {done.stderr}")


def last(folder):
    return sorted(glob.glob(os.path.join(folder, "latest", "checkpoint-*.safetensors")))[-1]


def compare(what, a, b):
    a, b = tensors(a), tensors(b)
    other = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    print(f"{what:<44} {len(a):4d} tensors: " + ("the same" if not other else f"{len(other)} differ: {other[:4]}"), flush=True)
    return not other


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("old")
    p.add_argument("new")
    p.add_argument("--quick", action="store_true", help="a tenth of the steps")
    args = p.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as home:
        for recipe, backend, steps in CASES:
            steps = max(steps // 10, 2) if args.quick else steps
            half = steps // 2 or 1
            small = ["--batch", "4"] if backend == "cuda" and recipe in ("dcgan", "resnet-32") else []
            unseen = [] if recipe.startswith("classifier") else ["--sample", "0"]
            folder = {}
            for name, tree in ("old", args.old), ("new", args.new):
                folder[name] = os.path.join(home, f"{recipe}-{backend}-{name}")
                duel(tree, backend, "--recipe", recipe, "--backend", backend, "--outdir", folder[name], *unseen, *small,
                     "--steps", str(steps), "--checkpoint", str(half))
            good &= compare(f"{recipe}, {backend}, {steps} steps", last(folder["old"]), last(folder["new"]))
            for name, of in ("own", "new"), ("old's", "old"):
                where = os.path.join(home, f"{recipe}-{backend}-{name}")
                shutil.copytree(folder[of], where, symlinks=True)
                for path in glob.glob(os.path.join(where, "latest", "checkpoint-*.safetensors")):
                    if int(path[-20:-12]) > half:
                        os.remove(path)
                duel(args.new, backend, "--resume", os.path.join(where, "latest"), "--backend", backend)
                good &= compare(f"  {name} checkpoint of {half} steps goes on", last(folder["old"]), last(where))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
