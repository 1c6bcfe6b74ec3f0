"""Are duel's pictures as good as PyTorch's? Trains mlp or dcgan on Fashion-MNIST with both, some seeds each, and compares.

    python bench/quality.py --duel build/duel                    # mlp: about half an hour on two cores
    python bench/quality.py --duel build/duel --recipe dcgan     # about an hour
    python bench/quality.py --duel build/duel --seeds 0 --steps 1876

The measure is the Fréchet distance between generated and real pictures in the features of a small classifier that this
script trains on the real training set first, and each class's share of the generated pictures by the same classifier.
PyTorch's model is that of bench/peers/peer_torch.py. What is finished stays in --work (the classifier, and each
trainer's numbers of a seed, of duel's for the same program and flags), so that the script goes on where it was stopped.
Exit status 1 unless duel's mean distance is at most --limit times PyTorch's at every number of steps, and every class has
at least --share of duel's pictures at the last.
"""
import argparse
import glob
import hashlib
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
import models  # noqa: E402
import peer_torch  # noqa: E402
import protocol  # noqa: E402

# steps, seeds, and the least share of a class
DEFAULTS = {"mlp": ([1876, 4690, 18760], [0, 1, 2], 0.04), "dcgan": ([469, 1172, 2345, 4690], [0, 1], 0)}
FEATURES = 64


# ---- the classifier
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 49, FEATURES), nn.ReLU())
        self.classes = nn.Linear(FEATURES, 10)

    def forward(self, x):
        return self.classes(self.features(x))


def to_input(pictures):
    return pictures.float() / 127.5 - 1


def train_classifier(x, y):
    torch.manual_seed(1)
    model, epochs, batch = Classifier(), 4, 128
    optim = torch.optim.Adam(model.parameters(), 1e-3)
    for epoch in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            optim.zero_grad()
            cross_entropy(model(to_input(x[rows])), y[rows]).backward()
            optim.step()
        print(f"classifier: epoch {epoch + 1} of {epochs}", file=sys.stderr)
    return model


def replace(path, save):
    """A file that is there is whole."""
    save(path + ".new")
    os.replace(path + ".new", path)


def classifier(work):
    path, model = os.path.join(work, "classifier-1.pt"), Classifier()
    if os.path.exists(path):
        model.load_state_dict(torch.load(path, weights_only=True))
    else:
        labels = torch.tensor(protocol.spec.fashion_mnist("train-labels-idx1-ubyte"), dtype=torch.int64)
        model = train_classifier(peer_torch.images(), labels)
        replace(path, lambda new: torch.save(model.state_dict(), new))
    return model.eval()


@torch.no_grad()
def look(model, pictures):
    """Mean and covariance of the features, and each class's share."""
    parts = [model.features(to_input(p)) for p in pictures.split(1000)]
    f = torch.cat(parts)
    shares = np.bincount(model.classes(f).argmax(1).numpy(), minlength=10) / len(f)
    f = f.double().numpy()
    return f.mean(0), np.cov(f, rowvar=False), shares


def frechet(a, b):
    """|m1 - m2|² + tr(C1 + C2 - 2 sqrt(C1 C2)), Heusel et al. 2017."""
    values, vectors = np.linalg.eigh(a[1])
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ b[1] @ root).clip(0)).sum()
    return float(((a[0] - b[0]) ** 2).sum() + np.trace(a[1]) + np.trace(b[1]) - 2 * cross)


def to_bytes(pictures):
    return ((pictures + 1) * 127.5).round().clip(0, 255).to(torch.uint8)


# ---- the two trainers: each yields (steps, pictures)
def torch_pictures(args, seed):
    trainer, done = peer_torch.Trainer(peer_torch.images(), args.recipe, seed=seed), 0
    for target in args.steps:
        for _ in range(target - done):
            trainer.step()
        done, state = target, torch.get_rng_state()
        trainer.g.eval()
        with torch.no_grad():
            parts = [trainer.g(z) for z in torch.randn(args.samples, models.LATENT).split(1000)]
        trainer.g.train()
        torch.set_rng_state(state)
        yield target, to_bytes(torch.cat(parts))


def duel(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stdout}")


def duel_pictures(args, seed):
    with tempfile.TemporaryDirectory() as folder:
        threads, out = ["--threads", str(args.threads)] * bool(args.threads), os.path.join(folder, "samples.npy")
        how = ["--recipe", args.recipe, "--data", "fashion-mnist", "--batch", "64", "--seed", str(seed), "--outdir", folder,
               "--sample", "0", "--checkpoint", "0", *args.flags]
        for target in args.steps:  # in legs, of which each leaves a checkpoint: the same bits as in one go
            duel(args.duel, "train", *how, "--steps", str(target), *threads, "-q")
            run, = glob.glob(os.path.join(folder, "0*"))
            how = ["--resume", run]
            duel(args.duel, "generate", run, "--count", str(args.samples), "--out", out, "-q")
            yield target, to_bytes(torch.tensor(np.load(out)).reshape(-1, 1, 28, 28))


TRAINERS = {"torch": torch_pictures, "duel": duel_pictures}


def results(args, trainer, seed, model, real):
    """(steps, distance, least share) of one run: from --work where it was done before, else as it gets there."""
    key = [args.recipe, trainer, seed, args.steps, args.samples, args.real]
    if trainer == "duel":
        with open(args.duel, "rb") as f:
            key += [hashlib.sha256(f.read()).hexdigest(), args.flags]
    else:
        key.append(torch.__version__)
    name = f"{args.recipe}-{trainer}-{seed}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]}.json"
    path, rows = os.path.join(args.work, name), []
    if os.path.exists(path):
        with open(path) as f:
            yield from json.load(f)
        return
    for target, pictures in TRAINERS[trainer](args, seed):
        seen = look(model, pictures)
        rows.append((target, frechet(seen, real), float(seen[2].min())))
        yield rows[-1]

    def save(new):
        with open(new, "w") as f:
            json.dump(rows, f)
    replace(path, save)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--duel", default="build/duel", help="the command (default %(default)s)")
    p.add_argument("--recipe", choices=list(DEFAULTS), default="mlp")
    p.add_argument("--steps", type=int, nargs="+", help="where to look (default: " +
                   "; ".join(f"{r} {' '.join(map(str, d[0]))}" for r, d in DEFAULTS.items()) + ")")
    p.add_argument("--seeds", type=int, nargs="+", help="default: mlp 0 1 2, dcgan 0 1")
    p.add_argument("--threads", type=int, help="of both (default: each one's own)")
    p.add_argument("--samples", type=int, default=10000)
    p.add_argument("--real", choices=("test", "train"), default="test", help="what they are compared with")
    p.add_argument("--limit", type=float, default=1.05)
    p.add_argument("--share", type=float, help="default: mlp 0.04, dcgan 0")
    p.add_argument("--work", default="build/quality", help="folder that keeps what is finished (default %(default)s)")
    p.add_argument("flags", nargs="*", help="more flags for duel train, after --")
    args = p.parse_args()
    steps, seeds, share = DEFAULTS[args.recipe]
    args.steps, args.seeds = sorted(set(args.steps or steps)), args.seeds or seeds
    args.share = share if args.share is None else args.share
    if args.threads:
        torch.set_num_threads(args.threads)
    os.makedirs(args.work, exist_ok=True)

    train, test = peer_torch.images(), peer_torch.images("t10k-images-idx3-ubyte")
    model = classifier(args.work)
    real = look(model, test if args.real == "test" else train)
    labels = protocol.spec.fashion_mnist("t10k-labels-idx1-ubyte")
    with torch.no_grad():
        right = (model(to_input(test)).argmax(1).numpy() == labels).mean()
    print(f"classifier: {100 * right:.1f} % of the test set right; real training against real test pictures: "
          f"{frechet(look(model, train), look(model, test)):.2f}\n")

    print(f"{args.recipe}\n{'steps':>6} {'seed':>4} {'trainer':<8} {'Frechet':>8}  {'least class':>11}", flush=True)
    distance, least = {}, {}
    for seed in args.seeds:
        for name in TRAINERS:
            for target, far, rare in results(args, name, seed, model, real):
                distance.setdefault((name, target), []).append(far)
                least.setdefault((name, target), []).append(rare)
                print(f"{target:6} {seed:4} {name:<8} {far:8.2f}  {100 * rare:9.1f} %", flush=True)

    good = True
    print(f"\n{'steps':>6} {'duel':>8} {'torch':>8} {'ratio':>6}")
    for target in args.steps:
        ours, theirs = (np.mean(distance[name, target]) for name in ("duel", "torch"))
        ok = ours <= args.limit * theirs
        good &= ok
        print(f"{target:6} {ours:8.2f} {theirs:8.2f} {ours / theirs:6.3f}  {'ok' if ok else 'FAIL'}: at most {args.limit:g}")
    share = min(least["duel", args.steps[-1]])
    ok = share >= args.share
    print(f"least class of duel after {args.steps[-1]} steps: {100 * share:.1f} %  {'ok' if ok else 'FAIL'}: "
          f"at least {100 * args.share:g} %")
    return 0 if good and ok else 1


if __name__ == "__main__":
    sys.exit(main())
