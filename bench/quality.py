"""Are duel's pictures as good as PyTorch's? Trains a recipe on Fashion-MNIST with both, some seeds each, and compares.

    python bench/quality.py --duel build/duel                    # mlp: about half an hour on two cores
    python bench/quality.py --duel build/duel --recipe dcgan     # about an hour
    python bench/quality.py --duel build/duel --recipe wgan-gp   # sngan-32, projgan-32, r3gan-32: hours; on a GPU --device cuda
    python bench/quality.py --duel build/duel --seeds 0 --steps 1876

The measure is the Fréchet distance between generated and real pictures in the features of a small classifier, and each
class's share of the generated pictures by a second one; this script trains both on the real training set first. The
second learns on pictures with noise, since a dense GAN's pictures have speckles, and the first calls speckled garments
shirts: real ones too, as the table says that is printed first.
PyTorch's models are those of bench/peers: peer_torch.py, torch_family.py, torch_modern.py; those of the last two run for a
quarter of their recipes' steps, at the end of which rates that fall have fallen. What is finished stays in --work (the
classifiers, and each trainer's numbers of a seed, of duel's for the same program and flags), so that the script goes on
where it was stopped. Exit status 1 unless duel's mean distance is at most --limit times PyTorch's at every number of steps
(of those of a quarter at most PyTorch's and two standard errors of the difference), and of mlp and dcgan every class has at
least --share of duel's pictures at the last.
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
import torch_family  # noqa: E402
import torch_modern  # noqa: E402

# steps and seeds
DEFAULTS = {"mlp": ([1876, 4690, 18760], [0, 1, 2]), "dcgan": ([469, 1172, 2345, 4690], [0, 1]),
            "wgan-gp": ([2500], [0, 1, 2]), "sngan-32": ([750], [0, 1, 2]), "projgan-32": ([750], [0, 1, 2]),
            "r3gan-32": ([750], [0, 1, 2])}
QUARTER = torch_family.NAMES + torch_modern.NAMES  # whose steps above are a quarter of their recipes'
FEATURES = 64
# noise (the most, in units of -1 to 1; a picture's own level is uniform up to it), epochs, learning rate to 0 or constant
CLASSIFIERS = {"features": (0, 4, False), "shares": (0.4, 10, True)}


# ---- the classifiers
class Classifier(nn.Module):
    def __init__(self, side):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * side * side, FEATURES), nn.ReLU())
        self.classes = nn.Linear(FEATURES, 10)

    def forward(self, x):
        return self.classes(self.features(x))


def to_input(pictures):
    return pictures.float() / 127.5 - 1


def with_noise(x, level):
    return (x + level * torch.randn_like(x)).clip(-1, 1)


def train_classifier(name, x, y):
    torch.manual_seed(1)
    model, batch, (noise, epochs, anneal) = Classifier(x.shape[-1]).to(x.device), 128, CLASSIFIERS[name]
    optim = torch.optim.Adam(model.parameters(), 1e-3)
    rate = torch.optim.lr_scheduler.LambdaLR(optim, lambda epoch: 1 - epoch / epochs if anneal else 1)
    for epoch in range(epochs):
        for rows in torch.randperm(len(x), device=x.device).split(batch):
            src = to_input(x[rows])
            if noise:
                src = with_noise(src, noise * torch.rand(len(rows), 1, 1, 1, device=x.device))
            optim.zero_grad()
            cross_entropy(model(src), y[rows]).backward()
            optim.step()
        rate.step()
        print(f"classifier of {name}: epoch {epoch + 1} of {epochs}", file=sys.stderr)
    return model


def replace(path, save):
    """A file that is there is whole."""
    save(path + ".new")
    os.replace(path + ".new", path)


def classifier(name, train, args):
    side = train.shape[-1]
    path, model = os.path.join(args.work, f"classifier-{name}{'' if side == 28 else f'-{side}'}.pt"), Classifier(side)
    if os.path.exists(path):
        model.load_state_dict(torch.load(path, weights_only=True))
    else:
        labels = torch.tensor(protocol.spec.fashion_mnist("train-labels-idx1-ubyte"), dtype=torch.int64)
        model = train_classifier(name, train.to(args.device), labels.to(args.device)).cpu()
        replace(path, lambda new: torch.save(model.state_dict(), new))
    return model.eval()


@torch.no_grad()
def features(networks, pictures):
    """Mean and covariance."""
    f = torch.cat([networks["features"].features(to_input(p)) for p in pictures.split(1000)]).double().numpy()
    return f.mean(0), np.cov(f, rowvar=False)


@torch.no_grad()
def classes(model, src):
    return torch.cat([model(part).argmax(1) for part in src.split(1000)]).numpy()


def least_share(found):
    return float(np.bincount(found, minlength=10).min() / len(found))


def check(networks, pictures, labels):
    """Prints what each classifier makes of real pictures, of which each class has a tenth, with noise. A classifier that loses
    a class there could not tell whether a trainer did."""
    print(f"{'classifier':<10} {'noise':>5}  {'right':>7}  {'least class':>11}, of real test pictures")
    for name, model in networks.items():
        for noise in (0, 0.1, 0.2, 0.3):
            torch.manual_seed(2)
            found = classes(model, with_noise(to_input(pictures), noise))
            least = least_share(found)
            print(f"{name:<10} {noise:5.1f}  {100 * (found == labels).mean():5.1f} %  {100 * least:9.1f} %")
            if name == "shares" and least < 0.08:
                raise SystemExit("quality: error: this classifier loses a class in noise; train it anew (remove it from --work)")
    print(flush=True)


def frechet(a, b):
    """|m1 - m2|² + tr(C1 + C2 - 2 sqrt(C1 C2)), Heusel et al. 2017."""
    values, vectors = np.linalg.eigh(a[1])
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ b[1] @ root).clip(0)).sum()
    return float(((a[0] - b[0]) ** 2).sum() + np.trace(a[1]) + np.trace(b[1]) - 2 * cross)


def to_bytes(pictures):
    return ((pictures + 1) * 127.5).round().clip(0, 255).to(torch.uint8)


# ---- the two trainers: each yields (steps, pictures)
def family_pictures(args, seed):
    make = torch_modern.trainer if args.recipe in torch_modern.NAMES else torch_family.Trainer
    trainer, done = make(torch_family.images_of(args.recipe), args.recipe, seed, args.steps[-1], args.device), 0
    for target in args.steps:
        for _ in range(target - done):
            trainer.step()
        done = target
        yield target, to_bytes(trainer.pictures(args.samples))


def torch_pictures(args, seed):
    if args.recipe in QUARTER:
        yield from family_pictures(args, seed)
        return
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
               "--sample", "0", "--checkpoint", "0", "--backend", args.backend, *args.flags]
        for target in args.steps:  # in legs, of which each leaves a checkpoint: the same bits as in one go
            duel(args.duel, "train", *how, "--steps", str(target), *threads, "-q")
            run, = glob.glob(os.path.join(folder, "0*"))
            how = ["--resume", run]
            duel(args.duel, "generate", run, "--count", str(args.samples), "--out", out, "-q")
            pictures = np.load(out)
            yield target, to_bytes(torch.tensor(pictures).reshape(len(pictures), 1, *pictures.shape[-2:]))


TRAINERS = {"torch": torch_pictures, "duel": duel_pictures}


def results(args, trainer, seed, networks, real):
    """(steps, distance, least share) of one run: from --work where it was done before, else as it gets there."""
    key = [args.recipe, trainer, seed, args.steps, args.samples, args.real, CLASSIFIERS]
    if trainer == "duel":
        with open(args.duel, "rb") as f:
            key += [hashlib.sha256(f.read()).hexdigest(), args.backend, args.flags]
    else:
        key += [torch.__version__, args.device]
    name = f"{args.recipe}-{trainer}-{seed}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]}.json"
    path, rows = os.path.join(args.work, name), []
    if os.path.exists(path):
        with open(path) as f:
            yield from json.load(f)
        return
    for target, pictures in TRAINERS[trainer](args, seed):
        rows.append((target, frechet(features(networks, pictures), real),
                     least_share(classes(networks["shares"], to_input(pictures)))))
        yield rows[-1]

    def save(new):
        with open(new, "w") as f:
            json.dump(rows, f)
    replace(path, save)


def deviation(x):
    return x.std(ddof=1) if len(x) > 1 else 0.0


def bound(args, ours, theirs):
    """What duel's mean may be, and why."""
    if args.recipe in QUARTER:
        error = np.sqrt(deviation(ours) ** 2 / len(ours) + deviation(theirs) ** 2 / len(theirs))
        return theirs.mean() + 2 * error, "PyTorch's and two standard errors"
    return args.limit * theirs.mean(), f"{args.limit:g} of PyTorch's"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--duel", default="build/duel", help="the command (default %(default)s)")
    p.add_argument("--recipe", choices=list(DEFAULTS), default="mlp")
    p.add_argument("--steps", type=int, nargs="+", help="where to look (default: " +
                   "; ".join(f"{r} {' '.join(map(str, d[0]))}" for r, d in DEFAULTS.items()) + ")")
    p.add_argument("--seeds", type=int, nargs="+", help="default: 0 1 2, of dcgan 0 1")
    p.add_argument("--threads", type=int, help="of both (default: each one's own)")
    p.add_argument("--backend", default="auto", help="of duel")
    p.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="of PyTorch; mlp and dcgan take the CPU")
    p.add_argument("--samples", type=int, default=10000)
    p.add_argument("--real", choices=("test", "train"), default="test", help="what they are compared with")
    p.add_argument("--limit", type=float, default=1.05)
    p.add_argument("--share", type=float, default=0.04)
    p.add_argument("--work", default="build/quality", help="folder that keeps what is finished (default %(default)s)")
    p.add_argument("flags", nargs="*", help="more flags for duel train, after --")
    args = p.parse_args()
    steps, seeds = DEFAULTS[args.recipe]
    args.steps, args.seeds = sorted(set(args.steps or steps)), args.seeds or seeds
    if args.threads:
        torch.set_num_threads(args.threads)
    os.makedirs(args.work, exist_ok=True)

    train, test = torch_family.images_of(args.recipe), torch_family.images_of(args.recipe, "t10k-images-idx3-ubyte")
    networks = {name: classifier(name, train, args) for name in CLASSIFIERS}
    check(networks, test, protocol.spec.fashion_mnist("t10k-labels-idx1-ubyte"))
    of_train, of_test = features(networks, train), features(networks, test)
    real = of_test if args.real == "test" else of_train
    print(f"Frechet distance of real training from real test pictures: {frechet(of_train, of_test):.2f}\n")

    print(f"{args.recipe}\n{'steps':>6} {'seed':>4} {'trainer':<8} {'Frechet':>8}  {'least class':>11}", flush=True)
    distance, least = {}, {}
    for seed in args.seeds:
        for name in TRAINERS:
            for target, far, rare in results(args, name, seed, networks, real):
                distance.setdefault((name, target), []).append(far)
                least.setdefault((name, target), []).append(rare)
                print(f"{target:6} {seed:4} {name:<8} {far:8.2f}  {100 * rare:9.1f} %", flush=True)

    good = True
    print(f"\n{'steps':>6} {'duel':>8} {'deviation':>9} {'torch':>8} {'deviation':>9} {'ratio':>6}")
    for target in args.steps:
        ours, theirs = (np.array(distance[name, target]) for name in ("duel", "torch"))
        most, why = bound(args, ours, theirs)
        ok = ours.mean() <= most
        good &= ok
        print(f"{target:6} {ours.mean():8.2f} {deviation(ours):9.2f} {theirs.mean():8.2f} {deviation(theirs):9.2f} "
              f"{ours.mean() / theirs.mean():6.3f}  {'ok' if ok else 'FAIL'}: at most {most:.2f}, {why}")
    share = min(least["duel", args.steps[-1]])
    early = args.recipe in QUARTER  # a quarter of a training: not all classes are there, nor are PyTorch's
    ok = early or share >= args.share
    print(f"least class of duel after {args.steps[-1]} steps: {100 * share:.1f} %" +
          ("" if early else f"  {'ok' if ok else 'FAIL'}: at least {100 * args.share:g} %"))
    return 0 if good and ok else 1


if __name__ == "__main__":
    sys.exit(main())
