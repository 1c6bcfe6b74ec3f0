"""Times PyTorch's training step of the dense GAN on a GPU: the peer that bench/gpu_check.sh holds duel against.

    python bench/gpu_torch.py --json torch.json [--batches 64,256,1024] [--precisions fp32,tf32,bf16] [--limit 100]

The same work as recipes/mlp.yaml, as bench/peers/peer_torch.py has it (separate updates of D, one latent batch, fused Adam),
with the data set as bytes and its order in the GPU's memory, in four ways:
  eager          as it stands
  compile        both players under torch.compile
  graph          the whole step captured by hand as a CUDA graph, its rows in a static buffer
  compile-graph  both
fp32 and tf32 differ in torch.backends.cuda.matmul.allow_tf32; bf16 is autocast around the players. A way that fails says
why; what does not fit into --limit seconds is left out, the larger batches first. --device cpu is a smoke test of eager
and compile in fp32 and bf16.
"""
import argparse
import contextlib
import json
import os
import statistics
import sys
import time

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
import peer_torch  # noqa: E402

WAYS = "graph", "compile-graph", "eager", "compile"  # in order of weight, should time run out


def data_set(device):
    try:
        return peer_torch.images().to(device), "fashion-mnist"
    except (SystemExit, OSError) as why:
        print(f"gpu_torch: random bytes instead of Fashion-MNIST, which takes the same time: {why}", file=sys.stderr)
        return torch.randint(0, 256, (60000, 1, 28, 28), dtype=torch.uint8, device=device), "random"


class Trainer:
    def __init__(self, data, batch, precision, compiled, captured):
        torch.manual_seed(0)
        device = data.device
        self.data, self.batch, self.order, self.at = data, batch, torch.randperm(len(data), device=device), 0
        self.g, self.d = (player.to(device) for player in peer_torch.players("mlp"))
        self.opt_g, self.opt_d = (peer_torch.adam(player, capturable=captured) for player in (self.g, self.d))
        self.one, self.zero = torch.ones(batch, 1, device=device), torch.zeros(batch, 1, device=device)
        self.bf16 = precision == "bf16"
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        if compiled:
            torch.compiler.reset()
            self.g, self.d = torch.compile(self.g), torch.compile(self.d)
        self.rows = torch.empty(batch, dtype=torch.int64, device=device)
        self.next_rows()
        self.step = self.run
        if captured:
            self.capture()

    def capture(self):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(5):  # allocations, handles, compilation
                self.work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.work()

        def replay():
            self.next_rows()
            graph.replay()
        self.step = replay

    def next_rows(self):
        """The next batch's; no item is dropped at the end of an epoch."""
        if self.at + self.batch > len(self.order):
            self.order = torch.cat([self.order[self.at:], torch.randperm(len(self.data), device=self.data.device)])
            self.at = 0
        self.rows.copy_(self.order[self.at:self.at + self.batch])
        self.at += self.batch

    def players(self):  # a cache of cast weights would outlive their update within a graph
        if not self.bf16:
            return contextlib.nullcontext()
        return torch.autocast(self.data.device.type, dtype=torch.bfloat16, cache_enabled=False)

    def loss(self, x, target):
        with self.players():
            logits = self.d(x)
        return peer_torch.bce(logits.float(), target)

    def update_d(self, x, target):
        self.opt_d.zero_grad()
        self.loss(x, target).backward()
        self.opt_d.step()

    def run(self):
        self.next_rows()
        self.work()

    def work(self):
        with self.players():
            fake = self.g(torch.randn(self.batch, peer_torch.LATENT, device=self.data.device)).float()
        self.update_d(self.data[self.rows].float().div_(127.5).sub_(1), self.one)
        self.update_d(fake.detach(), self.zero)
        self.d.requires_grad_(False)
        self.opt_g.zero_grad()
        self.loss(fake, self.one).backward()
        self.opt_g.step()
        self.d.requires_grad_(True)


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def measure(trainer, args, until):
    """ms per step of each repetition."""
    def chunk(steps):
        wait(args.device)
        began = time.perf_counter()
        for _ in range(steps):
            trainer.step()
        wait(args.device)
        return 1000 * (time.perf_counter() - began) / steps
    chunk(args.warmup)
    steps = max(1, min(100000, round(1000 * args.seconds / chunk(args.warmup))))
    times = []
    while len(times) < args.repetitions and (not times or time.monotonic() < until):
        times.append(chunk(steps))
    return times


def row_of(data, args, batch, precision, way, until):
    row = {"way": way, "batch": batch, "precision": precision}
    if time.monotonic() > until:
        return {**row, "error": f"left out: {args.limit} s were over"}
    try:
        times = measure(Trainer(data, batch, precision, "compile" in way, "graph" in way), args, until)
        return {**row, "ms": times, "ms_per_step": statistics.median(times)}
    except Exception as why:  # of whatever kind: the other ways go on
        return {**row, "error": f"{type(why).__name__}: {why}".split("\n")[0][:300]}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--json", metavar="FILE", help="where all results go")
    p.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    p.add_argument("--batches", default="64,256,1024")
    p.add_argument("--precisions", default="fp32,tf32,bf16")
    p.add_argument("--ways", default=",".join(WAYS))
    p.add_argument("--warmup", type=int, default=20, help="steps before each measurement (default %(default)s)")
    p.add_argument("--repetitions", type=int, default=11)
    p.add_argument("--seconds", type=float, default=0.2, help="of a repetition (default %(default)s)")
    p.add_argument("--limit", type=float, default=100, help="seconds in all (default %(default)s)")
    args = p.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu_torch: error: PyTorch finds no CUDA device")
    until = time.monotonic() + args.limit
    device = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    data, name = data_set(args.device)
    result = {"torch": torch.__version__, "cuda": torch.version.cuda, "device": device, "data": name, "rows": []}
    for batch in map(int, args.batches.split(",")):
        for way in args.ways.split(","):
            for precision in args.precisions.split(","):
                if args.device == "cpu" and ("graph" in way or precision == "tf32"):
                    continue
                row = row_of(data, args, batch, precision, way, until)
                result["rows"].append(row)
                print(f"{way:<14} {precision} batch {batch:<5} " +
                      (f"{row['ms_per_step']:9.4f} ms" if "ms" in row else row["error"]), flush=True)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")
    return 0 if any("ms" in row for row in result["rows"]) else 1


if __name__ == "__main__":
    sys.exit(main())
