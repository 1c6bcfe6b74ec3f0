"""Times PyTorch's training step of the dense GAN.

    python bench/peer_mlp.py --batch 64 --chunks 20 --steps 100

prints a JSON line a chunk. Without --chunks it reads a number of steps a line from stdin and answers each with one such
line: bench/pair.py interleaves it with others that way.
"""
import argparse
import json
import sys
import time

import torch

import torch_mlp


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--compile", action="store_true", help="torch.compile both players")
    p.add_argument("--chunks", type=int, help="how many; default: as stdin says")
    p.add_argument("--steps", type=int, default=100, help="steps a chunk")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    trainer = torch_mlp.Trainer(torch_mlp.images(), args.batch, compiled=args.compile)
    for steps in [args.steps] * args.chunks if args.chunks else map(int, sys.stdin):
        began = time.perf_counter()
        for _ in range(steps):
            trainer.step()
        ms = 1000 * (time.perf_counter() - began) / steps
        print(json.dumps({"name": "torch.compile" if args.compile else "torch", "version": torch.__version__,
                          "batch": args.batch, "steps": steps, "ms_per_step": round(ms, 4)}), flush=True)


if __name__ == "__main__":
    main()
