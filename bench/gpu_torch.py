"""Times PyTorch's training step of both GANs on a GPU: the peer that bench/gpu_check.sh holds duel against.

    python bench/gpu_torch.py --json torch.json [--recipes mlp,dcgan] [--batches 64,256,1024] [--limit 100]

The same work as recipes/mlp.yaml and dcgan.yaml, as bench/peers/peer_torch.py has it (separate updates of D, one latent
batch, fused Adam), with the data set as bytes and its order in the GPU's memory; dcgan in channels_last. In these ways:
  graph          the whole step captured by hand as a CUDA graph, its rows in a static buffer
  compile-graph  as graph, with torch.compile around all between the updates: the batch from its bytes, players and loss,
                 so that these and their gradients become few kernels. PyTorch's best
  eager          neither; at the smallest batch
  compile        what is compiled in compile-graph, without the capture; at the smallest batch
  graph-nchw     dcgan as graph, in PyTorch's default order, which cuDNN may do faster in fp32; at the smallest batch
fp32 and tf32 differ in what cuBLAS and cuDNN may use; bf16 is autocast around the players. Rows that matter most come
first. A way that fails says why; what does not fit into --limit seconds is left out. The JSON file is written anew after
each row. Exit status 1 where a row failed, 77 without a CUDA device. --device cpu is a smoke test of eager and compile.
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

FIRST = "graph", "compile-graph"  # for all batches; the others at the smallest only
WAYS = FIRST + ("eager", "compile", "graph-nchw")
RECIPES, PRECISIONS = ("mlp", "dcgan"), ("tf32", "fp32", "bf16")
LARGEST = {"mlp": 1024, "dcgan": 256}  # batches beyond are not asked of a recipe


def data_set(device):
    try:
        return peer_torch.images().to(device), "fashion-mnist"
    except (SystemExit, OSError) as why:
        print(f"gpu_torch: random bytes instead of Fashion-MNIST, which takes the same time: {why}", file=sys.stderr)
        return torch.randint(0, 256, (60000, 1, 28, 28), dtype=torch.uint8, device=device), "random"


class Trainer:
    def __init__(self, data, recipe, batch, precision, way):
        torch.manual_seed(0)
        device, captured = data.device, "graph" in way
        self.data, self.batch, self.order, self.at = data, batch, torch.randperm(len(data), device=device), 0
        self.layout = torch.channels_last if recipe == "dcgan" and way != "graph-nchw" else torch.contiguous_format
        self.g, self.d = (p.to(device).to(memory_format=self.layout) for p in peer_torch.players(recipe))
        self.opt_g, self.opt_d = (peer_torch.adam(player, capturable=captured) for player in (self.g, self.d))
        self.one, self.zero = torch.ones(batch, 1, device=device), torch.zeros(batch, 1, device=device)
        self.bf16 = precision == "bf16"
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True  # the fastest of its ways, found in the warm-up
        if "compile" in way:
            torch.compiler.reset()
            self.fakes, self.loss, self.real_loss = map(torch.compile, (self.fakes, self.loss, self.real_loss))
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

    # ---- what is compiled
    def fakes(self, z):
        with self.players():
            return self.g(z).float()

    def loss(self, x, target):
        with self.players():
            logits = self.d(x)
        return peer_torch.bce(logits.float(), target)

    def real_loss(self, rows, target):
        x = self.data[rows].float().div_(127.5).sub_(1).contiguous(memory_format=self.layout)
        with self.players():
            logits = self.d(x)
        return peer_torch.bce(logits.float(), target)

    # ---- a step
    def update(self, optimizer, loss, x, target):
        optimizer.zero_grad()
        value = loss(x, target)
        value.backward()
        optimizer.step()
        return value.detach()

    def run(self):
        self.next_rows()
        return self.work()

    def work(self):
        """D's loss on real, on fake, and G's."""
        fake = self.fakes(torch.randn(self.batch, peer_torch.LATENT, device=self.data.device))
        real_loss = self.update(self.opt_d, self.real_loss, self.rows, self.one)
        fake_loss = self.update(self.opt_d, self.loss, fake.detach(), self.zero)
        self.d.requires_grad_(False)
        g_loss = self.update(self.opt_g, self.loss, fake, self.one)
        self.d.requires_grad_(True)
        return real_loss, fake_loss, g_loss


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


def cells(args):
    """(way, recipe, precision, batch), in order of weight: the captured ways first, of these the largest batch last, tf32
    before the others; and what takes no compilation before what does."""
    batches, asked = sorted(map(int, args.batches.split(","))), args.precisions.split(",")
    ways = args.ways.split(",")
    found = [(way, recipe, precision, batch) for way in ways for recipe in args.recipes.split(",") for precision in asked
             for batch in batches
             if (way in FIRST or batch == batches[0]) and (recipe == "dcgan" or way != "graph-nchw")
             and (batch <= LARGEST[recipe] or batch == batches[0])
             and (args.device == "cuda" or "graph" not in way and precision != "tf32")]
    return sorted(found, key=lambda c: (c[0] not in FIRST, c[3] > 256, asked.index(c[2]), ways.index(c[0]), c[3]))


def row_of(data, args, cell, until):
    way, recipe, precision, batch = cell
    row = {"way": way, "recipe": recipe, "batch": batch, "precision": precision}
    if time.monotonic() > until:
        return {**row, "error": f"left out: {args.limit:g} s were over"}
    began = time.monotonic()
    try:
        times = measure(Trainer(data, recipe, batch, precision, way), args, until)
    except Exception as why:  # of whatever kind: the other ways go on
        return {**row, "error": f"{type(why).__name__}: {why}".split("\n")[0][:300]}
    return {**row, "ms": times, "ms_per_step": statistics.median(times), "took_s": round(time.monotonic() - began, 1)}


def write(path, result):
    with open(path + ".new", "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    os.replace(path + ".new", path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--json", metavar="FILE", help="where all results go")
    p.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    p.add_argument("--recipes", default=",".join(RECIPES))
    p.add_argument("--batches", default="64,256,1024")
    p.add_argument("--precisions", default=",".join(PRECISIONS))
    p.add_argument("--ways", default=",".join(WAYS))
    p.add_argument("--warmup", type=int, default=20, help="steps before each measurement (default %(default)s)")
    p.add_argument("--repetitions", type=int, default=7)
    p.add_argument("--seconds", type=float, default=0.15, help="of a repetition (default %(default)s)")
    p.add_argument("--limit", type=float, default=100, help="seconds in all (default %(default)s)")
    args = p.parse_args()
    until = time.monotonic() + args.limit
    if args.device == "cuda" and not torch.cuda.is_available():
        print("gpu_torch: error: PyTorch finds no CUDA device", file=sys.stderr)
        return 77
    device = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    data, name = data_set(args.device)
    result = {"torch": str(torch.__version__), "cuda": torch.version.cuda, "device": device, "data": name, "rows": []}
    for cell in cells(args):
        row = row_of(data, args, cell, until)
        result["rows"].append(row)
        way, recipe, precision, batch = cell
        print(f"{way:<14} {recipe:<6} {precision} batch {batch:<5} " +
              (f"{row['ms_per_step']:9.4f} ms, {row['took_s']} s in all" if "ms" in row else row["error"]), flush=True)
        if args.json:
            write(args.json, result)
    errors = [row["error"] for row in result["rows"] if "error" in row]
    return 1 if any(not error.startswith("left out") for error in errors) else 0


if __name__ == "__main__":
    sys.exit(main())
