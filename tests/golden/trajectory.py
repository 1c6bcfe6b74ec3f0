"""Writes trajectory/: small nets trained for 20 steps in PyTorch float64, for tests/test_trajectory.c.

    python tests/golden/trajectory.py [CASE ...]

trajectory/README.md says what the files hold. Needs torch, numpy and safetensors.
"""
import os
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "exact"))
import gan  # noqa: E402
import spec  # noqa: E402

STEPS, SEED, OUT = 20, 7, os.path.join(HERE, "trajectory")
ADAM = dict(name="adam", lr=0.002, betas=(0.5, 0.999), eps=1e-8)

# What a training step of `mlp` does, in small; then what it does not.
SEPARATE = dict(
    latent=10, init="glorot_uniform", batch=16, d_steps=1, d_update="separate", latents="shared",
    G=[("dense", 20), ("leaky_relu", 0.2), ("dense", 24), ("batchnorm",), ("leaky_relu", 0.2), ("dense", 36), ("tanh",),
       ("reshape", (1, 6, 6))],
    D=[("flatten",), ("dense", 24), ("leaky_relu", 0.2), ("dense", 1)], optim=ADAM)
CASES = {
    "separate": (SEPARATE, "images"),
    "joint": ({**SEPARATE, "d_update": "joint", "latents": "fresh", "d_steps": 2, "init": "he_normal", "smoothing": 0.1,
               "optim": {**ADAM, "lr": dict(G=0.001, D=0.003), "weight_decay": 0.01},
               "D": [("flatten",), ("dense", 24), ("batchnorm",), ("tanh",), ("dense", 12), ("sigmoid",), ("dense", 1)]},
              "images"),
    "sgd": (dict(latent=5, init="glorot_normal", batch=16, d_steps=1, d_update="separate", latents="fresh", ema=100,
                 G=[("dense", 17), ("batchnorm",), ("relu",), ("dense", 3)],
                 D=[("dense", 19), ("tanh",), ("dense", 1)], optim=dict(name="sgd", lr=0.05, momentum=0.9)), "points"),
    "dropout": (dict(latent=6, init="glorot_uniform", batch=16, d_steps=1, d_update="joint", latents="shared",
                     G=[("dense", 16), ("tanh",), ("dropout", 0.25), ("dense", 3)],
                     D=[("dense", 16), ("tanh",), ("dropout", 0.5), ("dense", 9), ("tanh",), ("dropout", 0.3),
                        ("dense", 1)], optim=ADAM), "points"),
    # Strides, dilation, groups, a kernel that is no square, output_pad.
    "conv": ({**SEPARATE, "init": dict(name="normal", std=0.2),
              "G": [("dense", dict(out=24, bias=False)), ("reshape", (6, 2, 2)), ("batchnorm", gan.SCALE), ("tanh",),
                    ("conv_transpose", dict(out=8, kernel=(3, 4), stride=2, pad=1, output_pad=(1, 0), bias=False)),
                    ("batchnorm", gan.SCALE), ("tanh",), ("conv_transpose", dict(out=4, kernel=3, groups=2)), ("tanh",),
                    ("conv", dict(out=1, kernel=3, pad=1)), ("tanh",)],
              "D": [("conv", dict(out=6, kernel=4, stride=2, pad=1)), ("leaky_relu", 0.2),
                    ("conv", dict(out=8, kernel=2, pad=(1, 2), dilation=2, groups=2, bias=False)),
                    ("batchnorm", gan.SCALE), ("tanh",), ("flatten",), ("dense", 1)]}, "images"),
    # Blocks within blocks, with and without a skip list and copies, and what looks at more than a pixel's surroundings.
    "blocks": ({**SEPARATE, "init": dict(name="normal", std=0.3),
                "G": [("dense", 45), ("reshape", (5, 3, 3)),
                      ("residual", [("batchnorm",), ("tanh",), ("conv", dict(out=5, kernel=3, pad=1)),
                                    ("residual", [("tanh",), ("conv", dict(out=5, kernel=1))], {})], dict(repeat=2)),
                      ("residual", [("tanh",), ("conv_transpose", dict(out=4, kernel=4, stride=2, pad=1))],
                       dict(skip=[("conv_transpose", dict(out=4, kernel=2, stride=2, bias=False))])),
                      ("self_attention", dict(pool=1)), ("conv", dict(out=1, kernel=3, pad=1)), ("tanh",)],
                "D": [("conv", dict(out=9, kernel=3, pad=1)), ("tanh",), ("self_attention",),
                      ("residual", [("tanh",), ("conv", dict(out=8, kernel=4, stride=2, pad=1))],
                       dict(skip=[("conv", dict(out=8, kernel=2, stride=2))])),
                      ("minibatch_stddev",), ("minibatch_stddev", dict(group=8, channels=3)), ("tanh",), ("flatten",),
                      ("dense", 1)]}, "images"),
    # As `classifier-28`, in small; what is held out for its test is in no batch.
    "classifier": (dict(
        init="torch", batch=16, noise=0.4, smoothing=0.1, ema=100,
        C=[("conv", dict(out=8, kernel=3, pad=1, bias=False)), ("batchnorm",), ("relu",), ("maxpool", 2), ("flatten",),
           ("dense", 12), ("relu",), ("dropout", 0.3), ("dense", 3)],
        optim={**ADAM, "lr": {"from": 0.01, "to": 0, "curve": "cosine"}}), "labelled"),
}


def data():
    """45 images and 50 points: neither is a multiple of the batch, so batches straddle epochs. An image's label is the
    third of its width that its spot is in."""
    g = np.random.default_rng(3)
    y, x = np.mgrid[0:6, 0:6]
    centre = g.uniform(0, 5, (45, 2, 1, 1))
    images = 255 * np.exp(-((x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2) / 3)
    points = g.normal(size=(50, 3)) * [0.2, 0.5, 0.1] + [0.5, -0.2, 0]
    images, labels = np.rint(images).astype(np.uint8), (centre[:, 1, 0, 0] * 3 / 5).astype(np.uint8)
    return {"images": images, "points": points.astype(np.float32), "labels": labels}


def items_of(kind, sets):
    """What a case trains on."""
    if kind == "points":
        return sets["points"]
    images, kept = sets["images"][:, None], ~spec.held_out(len(sets["images"]))
    return images if kind == "images" else (images[kept], sets["labels"][kept])


def write_idx(path, a):
    with open(path, "wb") as f:
        f.write(bytes([0, 0, 8 if a.dtype == np.uint8 else 13, a.ndim]) + np.array(a.shape, ">u4").tobytes())
        f.write(a.astype(a.dtype.newbyteorder(">")).tobytes())


def permuted_rows(recipe, g):
    """Another order of a batch's rows, in which those that minibatch_stddev compares stay together."""
    kinds = [layer[0] for p in gan.nets(recipe) for layer in recipe[p]]
    if "minibatch_stddev" not in kinds:
        return g.permutation(recipe["batch"])
    rows = np.arange(recipe["batch"]).reshape(-1, 2, 2)  # compared are those that agree modulo 4, or modulo 2
    for axis in range(3):
        rows = g.permutation(rows, axis=axis)
    return rows.flatten()


def worst_float32(recipe, start, items, exact):
    """The worst error of six float32 runs in other summation orders: what the test's limit must leave room for."""
    g, worst = np.random.default_rng(1), 0.0
    for _ in range(6):
        hidden, back = gan.permute_hidden(recipe, start, g)
        end, _ = gan.train(recipe, hidden, items, SEED, STEPS, torch.float32, permuted_rows(recipe, g))
        found = gan.errors(recipe, back(end), exact, start)
        worst = max([worst] + [e for n, e in found.items() if e is not None and "running_mean" not in n])
    return worst


def main():
    os.makedirs(OUT, exist_ok=True)
    files = {"images": "images-idx3-ubyte", "points": "points-idx2-float", "labels": "labels-idx1-ubyte"}
    sets = data()
    for name, a in sets.items():
        write_idx(os.path.join(OUT, files[name]), a)
    for name, (recipe, kind) in CASES.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        items = items_of(kind, sets)
        item = (items[0] if kind == "labelled" else items).shape[1:]
        start = gan.initial(recipe, item, SEED)
        start |= {n: np.full_like(v, 0.4) for n, v in start.items() if n.endswith("gamma")}  # 0 would hide attention
        exact, losses = gan.train(recipe, start, items, SEED, STEPS, torch.float64)
        worst = worst_float32(recipe, start, items, exact)
        tensors = {"start." + n: v for n, v in start.items()} | {"end." + n: v for n, v in exact.items()}
        names = ("loss", "accuracy") if "C" in recipe else ("d_loss", "g_loss")
        tensors |= {n: losses[:, i] for i, n in enumerate(names)}
        path = os.path.join(OUT, name)
        save_file({n: np.ascontiguousarray(v) for n, v in tensors.items()}, path + ".safetensors",
                  {"steps": str(STEPS), "seed": str(SEED), "worst_float32": f"{worst:.1e}"})
        os.chmod(path + ".safetensors", 0o644)
        with open(path + ".yaml", "w") as f:
            f.write(gan.to_yaml(recipe, "./" + files.get(kind, files["images"]), STEPS, "Written by trajectory.py.", SEED))
        print(f"{name}: {os.path.getsize(path + '.safetensors')} bytes, worst float32 error {worst:.1e}, "
              f"losses {losses[0].round(3)} .. {losses[-1].round(3)}")


if __name__ == "__main__":
    main()
