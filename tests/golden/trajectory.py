"""Small nets trained for 20 steps in PyTorch and by the engine: are they the same training?

    python tests/golden/trajectory.py [--build build] [CASE ...]      compares
    python tests/golden/trajectory.py --write [CASE ...]              and writes trajectory/, for tests/test_trajectory.c

A row of CASES is a recipe and what it trains on. Its training is recomputed from the draws (tests/exact/spec.py) in
float64, and three times in float32 with the rows of the batch in another order. The error of a tensor is its distance
from float64 in parts of its movement, ‖engine − float64‖ / ‖float64 − start‖; it may be 2e-4, or twice the worst of the
three in float32 where that is more. Printed for each case and backend is the tensor that is nearest to its limit.
Tensors that move less than 1e-3 of their net's median are left out: a bias before batchnorm has no true gradient.

A row of MISTAKES is a case with a mistake that is often made: it must be ten limits or more away from the true one.
Exit status 1 if one of these fails. Needs torch, numpy and safetensors; trajectory/README.md tells what is written.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "exact"))
import augment  # noqa: E402
import family  # noqa: E402
import gan  # noqa: E402
import recipes  # noqa: E402
import spec  # noqa: E402
import nets  # noqa: E402
from nets import initial  # noqa: E402
from recipes import of_net  # noqa: E402

STEPS, SEED, LIMIT, OUT = 20, 7, 2e-4, os.path.join(HERE, "trajectory")
ADAM = dict(name="adam", lr=0.002, betas=(0.5, 0.999), eps=1e-8)

# What a training step of `mlp` does, in small: dense, leaky_relu, batchnorm, tanh, reshape; Adam; separate updates, shared
# latents.
SEPARATE = dict(
    latent=10,
    G=[("dense", 20), ("leaky_relu", 0.2), ("dense", 24), ("batchnorm",), ("leaky_relu", 0.2), ("dense", 36), ("tanh",),
       ("reshape", (1, 6, 6))],
    D=[("flatten",), ("dense", 24), ("leaky_relu", 0.2), ("dense", 1)],
    init="glorot_uniform", loss="bce", optim=ADAM, train=dict(batch=16, d_update="separate", latents="shared"))
ENGINE = {
    "separate": (SEPARATE, "images"),
    # Fresh latents, two sub-steps, batchnorm in D, sigmoid, label smoothing, he_normal, D's own rate, weight decay.
    "joint": ({**SEPARATE, "init": "he_normal", "loss": dict(name="bce", label_smoothing=0.1),
               "D": dict(layers=[("flatten",), ("dense", 24), ("batchnorm",), ("tanh",), ("dense", 12), ("sigmoid",),
                                 ("dense", 1)], optim=dict(lr=0.003)),
               "optim": {**ADAM, "lr": 0.001, "weight_decay": 0.01},
               "train": dict(batch=16, d_update="joint", latents="fresh", d_steps=2)}, "images"),
    # Momentum, an average of G, separate updates with fresh latents, relu, glorot_normal.
    "sgd": (dict(latent=5, G=[("dense", 17), ("batchnorm",), ("relu",), ("dense", 3)],
                 D=[("dense", 19), ("tanh",), ("dense", 1)], init="glorot_normal", loss="bce",
                 optim=dict(name="sgd", lr=0.05, momentum=0.9), ema=dict(half_life="100 images"),
                 train=dict(batch=16, d_update="separate", latents="fresh")), "points"),
    # Its draws are k = 4096·(forward of the step) + (dropout of the forward), in G and in D.
    "dropout": (dict(latent=6, G=[("dense", 16), ("tanh",), ("dropout", 0.25), ("dense", 3)],
                     D=[("dense", 16), ("tanh",), ("dropout", 0.5), ("dense", 9), ("tanh",), ("dropout", 0.3),
                        ("dense", 1)], init="glorot_uniform", loss="bce", optim=ADAM, train=dict(batch=16)), "points"),
    # Strides, dilation, groups, a kernel that is no square, output_pad.
    "conv": ({**SEPARATE, "init": dict(name="normal", std=0.2),
              "G": [("dense", dict(out=24, bias=False)), ("reshape", (6, 2, 2)), ("batchnorm", recipes.SCALE), ("tanh",),
                    ("conv_transpose", dict(out=8, kernel=(3, 4), stride=2, pad=1, output_pad=(1, 0), bias=False)),
                    ("batchnorm", recipes.SCALE), ("tanh",), ("conv_transpose", dict(out=4, kernel=3, groups=2)),
                    ("tanh",), ("conv", dict(out=1, kernel=3, pad=1)), ("tanh",)],
              "D": [("conv", dict(out=6, kernel=4, stride=2, pad=1)), ("leaky_relu", 0.2),
                    ("conv", dict(out=8, kernel=2, pad=(1, 2), dilation=2, groups=2, bias=False)),
                    ("batchnorm", recipes.SCALE), ("tanh",), ("flatten",), ("dense", 1)]}, "images"),
    # Blocks within blocks, with and without a skip list and copies, and what looks at more than a pixel's surroundings:
    # minibatch_stddev; self_attention, its gamma beginning as 0.4.
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
    # A U-Net as pix2pix nests it, and a D that grows by what each copy of a list makes; one layer within stays.
    "unet": ({**SEPARATE, "init": dict(name="normal", std=0.3),
              "G": [("dense", 36), ("reshape", (1, 6, 6)),
                    ("concat", [("conv", dict(out=4, kernel=4, stride=2, pad=1)), ("tanh",),
                                ("concat", [("conv", dict(out=5, kernel=3)), ("tanh",),
                                            ("conv_transpose", dict(out=3, kernel=3, bias=False)), ("batchnorm",)], {}),
                                ("tanh",), ("conv_transpose", dict(out=2, kernel=4, stride=2, pad=1))], {}),
                    ("tanh",), ("conv", dict(out=1, kernel=3, pad=1)), ("tanh",)],
              "D": [("conv", dict(out=3, kernel=4, stride=2, pad=1)),
                    ("concat", [("tanh",), ("conv", dict(out=2, kernel=3, pad=1, frozen=True)), ("tanh",),
                                ("conv", dict(out=2, kernel=3, pad=1))], dict(repeat=2)),
                    ("flatten",), ("concat", [("dense", 6), ("tanh",)], {}), ("dense", 1)]}, "images"),
    # As R3GAN's: filters on the way up and down, both sides' slopes; taps that are not symmetric.
    "fir": ({**SEPARATE, "init": dict(name="normal", std=0.3), "loss": dict(name="rpgan", reals="fresh"),
             "G": [("dense", 18), ("reshape", (2, 3, 3)), ("tanh",), ("upsample", dict(scale=2, mode="fir")),
                   ("conv", dict(out=3, kernel=3, pad=1)), ("tanh",),
                   ("upsample", dict(scale=(1, 2), mode="fir", taps=(1, 2, 4))), ("downsample", dict(scale=(1, 2))),
                   ("conv", dict(out=1, kernel=1)), ("tanh",)],
             "D": [("conv", dict(out=4, kernel=3, pad=1)), ("tanh",), ("downsample",), ("conv", dict(out=5, kernel=1)),
                   ("tanh",), ("downsample", dict(scale=(2, 1), taps=(3, 2, 1))), ("flatten",),
                   ("dense", dict(out=1, bias=False))],
             "penalty": dict(r1=1, r2=1), "train": dict(batch=16, latents="fresh")}, "images"),
    # StyleGAN's noise, of all channels and of each, from 0 and from elsewhere; dropout between takes a slot of its own. Shards
    # draw what belongs to their rows.
    "pixel-noise": ({**SEPARATE, "init": dict(name="normal", std=0.3),
                     "G": [("dense", 45), ("reshape", (5, 3, 3)), ("noise",), ("tanh",), ("dropout", 0.2),
                           ("conv_transpose", dict(out=4, kernel=4, stride=2, pad=1, bias=False)),
                           ("noise", dict(channels=True, init=dict(name="normal", mean=0.3, std=0.2))), ("batchnorm",),
                           ("tanh",), ("conv", dict(out=1, kernel=3, pad=1)), ("tanh",)],
                     "D": [("conv", dict(out=4, kernel=4, stride=2, pad=1)), ("noise", dict(channels=True)), ("tanh",),
                           ("noise", dict(init=dict(name="normal", mean=0.2, std=0))), ("flatten",), ("dense", 1)],
                     "penalty": dict(r1=1), "ema": dict(half_life="100 images"), "train": dict(batch=16, shards=2)}, "images"),
    # As `classifier-28`, in small: maxpool, dropout, noise on the items, label smoothing, a cosine for the rate, an average;
    # what is held out for its test is in no batch.
    "classifier": (dict(
        game="classifier",
        C=[("conv", dict(out=8, kernel=3, pad=1, bias=False)), ("batchnorm",), ("relu",), ("maxpool", 2), ("flatten",),
           ("dense", 12), ("relu",), ("dropout", 0.3), ("dense", 3)],
        init="torch", loss=dict(name="cross_entropy", label_smoothing=0.1),
        optim={**ADAM, "lr": {"from": 0.01, "to": 0, "curve": "cosine"}}, ema=dict(half_life="100 images"),
        train=dict(batch=16, noise=0.4)), "labelled"),
    # Micro-shards: draws, real items and labels are those of the rows of a shard, statistics are a shard's, and with shared
    # latents no state advances when G's fakes are made again.
    "shards": ({**SEPARATE, "init": dict(name="normal", std=0.3),
                "G": [("dense", dict(out=24, bias=False)), ("batchnorm",), ("tanh",), ("dropout", 0.2), ("dense", 36), ("tanh",),
                      ("reshape", (1, 6, 6))],
                "D": [("conv", dict(out=6, kernel=4, stride=2, pad=1, bias=False)), ("batchnorm",), ("tanh",),
                      ("dropout", 0.2), ("minibatch_stddev",), ("flatten",), ("dense", 1)],
                "train": dict(batch=16, shards=4, d_update="separate", d_steps=2, latents="shared")}, "images"),
}
ENGINE["shards-classifier"] = ({**ENGINE["classifier"][0], "train": dict(batch=16, shards=2, noise=0.4)}, "labelled")

# The GAN family on points, without kinks, and without biases before a batchnorm: in float32 rounding alone moves one, and
# the running mean behind it. NORMED has batch statistics in D.
SMALL = dict(
    latent=5, G=[("dense", 16), ("tanh",), ("dense", dict(out=12, bias=False)), ("batchnorm",), ("tanh",), ("dense", 3)],
    D=[("dense", 16), ("tanh",), ("dense", 12), ("tanh",), ("dense", 1)],
    init="glorot_uniform", loss="bce", optim=ADAM, train=dict(batch=16))
NORMED = {**SMALL, "D": [("dense", 16), ("tanh",), ("dense", dict(out=12, bias=False)), ("batchnorm",), ("tanh",),
                         ("dense", 1)]}
# Relative losses know no level of D's output: a last bias would move by rounding alone.
LEVEL = {**NORMED, "D": NORMED["D"][:-1] + [("dense", dict(out=1, bias=False))]}
LOSSES = {
    "bce": (NORMED, "points"),
    "minimax": ({**NORMED, "loss": dict(name="bce", generator="minimax")}, "points"),
    "lsgan": ({**NORMED, "loss": dict(name="lsgan", label_smoothing=0.1)}, "points"),
    "hinge": ({**NORMED, "loss": "hinge"}, "points"),
    "wasserstein": ({**SMALL, "loss": "wasserstein"}, "points"),
    "clip": ({**SMALL, "loss": dict(name="wasserstein", clip=0.1), "train": dict(batch=16, d_update="separate", d_steps=2)},
             "points"),
    "flips": ({**NORMED, "loss": dict(name="bce", label_smoothing=0.1, label_flips=0.2)}, "points"),
    "flips-lsgan": ({**NORMED, "loss": dict(name="lsgan", label_smoothing=0.1, label_flips=0.2),
                     "train": dict(batch=16, d_update="separate", d_steps=2)}, "points"),
    "flips-hinge": ({**SMALL, "loss": dict(name="hinge", label_flips=0.2)}, "points"),
    # Noise in each pass of D that falls to 0 before the end, and a penalty on what D sees.
    "noise": ({**LEVEL, "loss": "ragan", "penalty": dict(r1=dict(weight=0.5, update="own", every=2)), "train": dict(
        batch=16, noise={"from": 0.3, "to": 0, "curve": "linear", "over": 15})}, "points"),
    # From 14.3 of 16 items down to 8.
    "top-k": ({**NORMED, "train": dict(batch=16, top_k={"from": 14.3, "to": 8, "curve": "linear"})}, "points"),
    "top-k-lsgan": ({**NORMED, "loss": "lsgan", "train": dict(batch=16, top_k=5)}, "points"),
    "top-k-ragan": ({**LEVEL, "loss": dict(name="ragan", reals="fresh"), "ema": dict(half_life="100 images"),
                     "train": dict(batch=16, top_k=11, shards=2)}, "points"),
    "top-k-rpgan": ({**LEVEL, "loss": dict(name="rpgan", reals="fresh"), "train": dict(batch=16, top_k=11, d_steps=2)},
                    "points"),
    "rpgan": ({**LEVEL, "loss": "rpgan", "train": dict(batch=16, d_steps=2, latents="fresh")}, "points"),
    "ragan": ({**LEVEL, "loss": "ragan"}, "points"),
    # Its means, dragan's deviation and what standing statistics are means of are a shard's.
    "shards-family": ({**LEVEL, "loss": "ragan", "ema": dict(half_life="100 images", buffers="standing"), "penalty": dict(dragan=dict(weight=1, every=2)),
                       "train": dict(batch=16, shards=4, latents="fresh")}, "points"),
}

# JUDGED has a D of convolutions, on images.
JUDGED = {**SMALL, "G": [("dense", 36), ("tanh",), ("reshape", (1, 6, 6))],
          "D": [("conv", dict(out=4, kernel=3, stride=2, pad=1)), ("tanh",), ("conv", dict(out=6, kernel=2)), ("tanh",),
                ("flatten",), ("dense", 1)]}
PENALTIES = {
    "gp": ({**SMALL, "loss": "hinge", "penalty": dict(gp=10)}, "points"),
    # Of images, in two sub-steps of one step in three.
    "gp-lazy": ({**JUDGED, "penalty": dict(gp=dict(weight=10, every=3)), "train": dict(batch=16, d_steps=2)}, "images"),
    # D's slope is 0 at first, and the root of 0 has no derivative.
    "gp-flat": ({**SMALL, "D": [("dense", 16), ("tanh",), ("dense", dict(out=1, init="zeros"))], "penalty": dict(gp=10)},
                "points"),
    # Batch statistics of D: the mix is a batch of its own.
    "gp-normed": ({**NORMED, "penalty": dict(gp=10)}, "points"),
    "dragan": ({**JUDGED, "penalty": dict(dragan=10)}, "images"),
    "r1": ({**JUDGED, "penalty": dict(r1=10)}, "images"),
    # In the first of D's two updates, in every second step; a weight by the rule.
    "r1-auto": ({**JUDGED, "penalty": dict(r1=dict(weight="auto", every=2)),
                 "train": dict(batch=16, d_update="separate")}, "images"),
    # Weights that change, and statistics of D's batch.
    "r1-r2": ({**NORMED, "penalty": {
        "r1": dict(weight={"from": 5, "to": 0.5, "curve": "cosine"}),
        "r2": dict(weight={"from": 2, "to": 4, "curve": "linear", "over": 12, "warmup": 4}, every=3)}}, "points"),
    # An update of their own after D's, of which dropout tells the passes apart.
    "own": ({**SMALL, "D": [("dense", 16), ("tanh",), ("dropout", 0.2), ("dense", 1)],
             "penalty": dict(r1=dict(weight=5, every=3, update="own"), r2=dict(weight=1, every=3, update="own")),
             "train": dict(batch=16, d_steps=2)}, "points"),
    "lecam": ({**SMALL, "loss": "hinge", "penalty": dict(lecam=dict(weight=3, every=2, start=5)),
               "train": dict(batch=16, d_steps=2)}, "points"),
    "consistency": ({**SMALL, "D": [("dense", 16), ("tanh",), ("dropout", 0.2), ("dense", 1)],
                     "penalty": dict(gp=dict(weight=1, every=3), consistency=dict(z=20, generator=0.5, radius=0.3, every=2)),
                     "train": dict(batch=16, d_steps=2)}, "points"),
    "consistency-fresh": ({**SMALL, "penalty": dict(consistency=dict(z={"from": 0, "to": 20, "curve": "linear"}, radius=0.3)),
                           "train": dict(batch=16, latents="fresh")}, "points"),
}

# Without biases before batchnorm: their gradient is rounding alone, and lion moves by its sign.
UNBIASED = {**SMALL, "G": [("dense", 16), ("tanh",), ("dense", dict(out=12, bias=False)), *SMALL["G"][3:]]}
OPTIMIZERS = {
    # Each net has its own; G's weights shrink by its default.
    "adamw": ({**SMALL, "optim": dict(name="adamw", lr=0.002), "D": dict(
        layers=SMALL["D"], optim=dict(name="adamw", lr=0.004, betas=(0.0, 0.9), eps=1e-4, weight_decay=2.0))}, "points"),
    "rmsprop": ({**SMALL, "optim": dict(name="rmsprop", lr=0.002), "D": dict(
        layers=SMALL["D"], optim=dict(name="rmsprop", lr=0.001, alpha=0.9, eps=1e-3))}, "points"),
    "lion": ({**UNBIASED, "optim": dict(name="lion", lr=0.002), "D": dict(
        layers=SMALL["D"], optim=dict(name="lion", lr=0.001, betas=(0.8, 0.95), weight_decay=5.0))}, "points"),
    # A rate that warms up, a beta2 that goes over 12 steps.
    "schedules": ({**SMALL, "optim": {**ADAM, "lr": {"from": 0.002, "to": 0.001, "curve": "linear", "warmup": 5}, "beta2": {
        "from": 0.9, "to": 0.99, "curve": "cosine", "over": 12}}}, "points"),
}
AVERAGES = {
    # As R3GAN's: from nothing, so that it begins as a copy.
    "half-life": ({**SMALL, "ema": dict(half_life={"from": 0, "to": "300 images", "curve": "cosine", "over": 15})}, "points"),
    "average": ({**SMALL, "ema": dict(half_life="200 images", ramp_up=0.5, buffers="average")}, "points"),
    "standing": ({**SMALL, "ema": dict(half_life="100 images", buffers="standing")}, "points"),
}

# What holds weights, with convolutions either way and attention.
IMAGES = {**SMALL,
          "G": [("dense", 45), ("reshape", (5, 3, 3)), ("batchnorm",), ("tanh",),
                ("conv_transpose", dict(out=4, kernel=4, stride=2, pad=1)), ("tanh",),
                ("conv", dict(out=1, kernel=3, pad=1)), ("tanh",)],
          "D": [("conv", dict(out=6, kernel=4, stride=2, pad=1)), ("tanh",), ("self_attention", dict(pool=1)),
                ("conv", dict(out=8, kernel=3, pad=1)), ("tanh",), ("flatten",), ("dense", 1)]}
SPECTRAL = {**IMAGES, "loss": "hinge", "ema": dict(half_life="100 images"),
            "G": [(kind, dict(*more, spectral=True)) if kind == "conv_transpose" else (kind, *more)
                  for kind, *more in IMAGES["G"]],
            "D": dict(layers=IMAGES["D"][:-1] + [("dense", dict(out=1, spectral=False))],
                      constraint=dict(name="spectral", warmup=3)),
            "train": dict(batch=16, d_steps=2)}
WEIGHTS = {
    "spectral": (SPECTRAL, "images"),
    "spectral-separate": ({**SEPARATE, "D": dict(layers=SEPARATE["D"], constraint="spectral")}, "images"),
    # As StyleGAN's: all of G and, with a gain that is no number of a float, two layers of D; a slow beginning of G.
    "equalized": ({**IMAGES, "G": dict(layers=[("dense", dict(out=20, lr_mul=0.25)), ("tanh",), *IMAGES["G"]], equalized=1),
                   "D": [("conv", dict(out=6, kernel=4, stride=2, pad=1, equalized=1.3)), *IMAGES["D"][1:3],
                         ("conv", dict(out=8, kernel=3, pad=1, equalized=1.3, lr_mul=2)), *IMAGES["D"][4:]]}, "images"),
    # Gradients that are longer in some updates and shorter in others; D's two updates are each clipped.
    "clip-norm": ({**SMALL, "optim": dict(name="sgd", lr=0.2, momentum=0.5, clip_norm=0.7),
                   "D": dict(layers=SMALL["D"], optim=dict(lr=0.4, clip_norm=1.0)),
                   "train": dict(batch=16, d_update="separate")}, "points"),
}
# What learns goes on around what does not; the average and statistics follow, and no decay or bound reaches it.
WEIGHTS["frozen"] = (
    {**NORMED, "G": [("dense", dict(out=16, frozen=True)), *NORMED["G"][1:3], ("batchnorm", dict(frozen=True)),
                     *NORMED["G"][4:]],
     "D": dict(layers=[("dense", 16), ("tanh",), ("dense", dict(out=12, bias=False, frozen=False)), ("batchnorm",),
                       ("tanh",), ("dense", dict(out=1, frozen=False))], frozen=True),
     "penalty": dict(r1=1), "optim": dict(name="adamw", lr=0.002, weight_decay=2.0, clip_norm=1.0),
     "ema": dict(half_life="100 images")}, "points")
# Labels: 0 to 2. Fakes take those of the real batch, fresh ones of G those of items that are drawn.
K = dict(classes=3)
LABELS = {
    # One-hot to G, an embedding to D, each beside numbers and beside channels.
    "cgan": ({**JUDGED, "G": [("label", K), ("dense", 16), ("tanh",), ("label", dict(embed=2, **K)), ("dense", 36), ("tanh",),
                              ("reshape", (1, 6, 6))],
              "D": [("label", dict(embed=2, **K)), ("conv", dict(out=4, kernel=3, stride=2, pad=1)), ("tanh",), ("label", K),
                    ("flatten",), ("dense", 1)],
              "penalty": dict(gp=dict(weight=10, every=2)), "train": dict(batch=16, d_steps=2, latents="fresh")}, "classed"),
    # Their own statistics of the average; spectral norm of both of the projection's weights.
    "projection": ({**JUDGED, "loss": "hinge", "ema": dict(half_life="100 images", buffers="standing"),
                    "G": [("dense", dict(out=36, bias=False)), ("reshape", (4, 3, 3)), ("class_batchnorm", K), ("tanh",),
                          ("conv_transpose", dict(out=1, kernel=4, stride=2, pad=1)), ("tanh",)],
                    "D": dict(layers=[("conv", dict(out=4, kernel=3, stride=2, pad=1)), ("tanh",), ("flatten",), ("dense", 8),
                                      ("tanh",), ("projection", K)], constraint="spectral"),
                    "penalty": dict(r1=1)}, "classed"),
    # A loss that compares, on real items and labels of G's own; shards read the labels of their rows.
    "classes-shards": ({**JUDGED, "loss": dict(name="rpgan", reals="fresh"),
                        "G": [("dense", dict(out=36, bias=False)), ("reshape", (4, 3, 3)), ("class_batchnorm", K), ("tanh",),
                              ("conv_transpose", dict(out=1, kernel=4, stride=2, pad=1)), ("tanh",)],
                        "D": [("conv", dict(out=4, kernel=3, stride=2, pad=1)), ("tanh",), ("flatten",),
                              ("projection", dict(bias=False, **K))],
                        "penalty": dict(r1=1, r2=1), "train": dict(batch=16, shards=4, latents="fresh")}, "classed"),
}
# As r3gan-32, in small: residual blocks in groups whose last weights begin as 0, filters, no normalization; both sides'
# slopes, rates and weights that fall by cosines, an average that grows longer, changes that grow more probable.
PLAIN, FIXUP = dict(bias=False, init=dict(name="he_normal", gain=0.7071)), dict(name="he_normal", gain=0.6)
BLOCK = ("residual", [("conv", dict(out=8, kernel=1)), ("leaky_relu", 0.2), ("conv", dict(out=8, kernel=3, pad=1, groups=2)),
                      ("leaky_relu", 0.2), ("conv", dict(out=4, kernel=1, bias=False, init="zeros"))], {})
MODERN = {
    "r3gan": (dict(
        latent=5, G=[("dense", dict(out=4, **PLAIN)), ("reshape", (4, 1, 1)),
                     ("conv_transpose", dict(out=4, kernel=3, groups=4, bias=False, init=dict(name="normal", std=1))), BLOCK,
                     ("upsample", dict(scale=2, mode="fir")), BLOCK, ("conv", dict(out=1, kernel=1, **PLAIN))],
        D=[("conv", dict(out=4, kernel=1, **PLAIN)), BLOCK, ("downsample",), BLOCK,
           ("conv", dict(out=4, kernel=3, groups=4, **PLAIN)), ("flatten",), ("dense", dict(out=1, **PLAIN))],
        init=FIXUP, loss=dict(name="rpgan", reals="fresh"),
        penalty={side: dict(weight={"from": 1, "to": 0.1, "curve": "cosine"}) for side in ("r1", "r2")},
        optim={**ADAM, "lr": {"from": 0.004, "to": 0.001, "curve": "cosine"}, "betas": (0.0, 0.9),
               "beta2": {"from": 0.9, "to": 0.99, "curve": "cosine"}},
        ema=dict(half_life={"from": 0, "to": "200 images", "curve": "cosine"}),
        augment=dict(policy="ada", p={"from": 0, "to": 0.55, "curve": "cosine"}, brightness=0.5),
        train=dict(batch=16, latents="fresh")), "images"),
}
HEAD = [("conv", dict(out=4, kernel=3, stride=2, pad=1)), ("tanh",), ("flatten",), ("dense", 12), ("tanh",)]
LABELS |= {
    "acgan": ({**JUDGED, "G": [("label", dict(embed=3, **K)), *JUDGED["G"]],
               "D": HEAD + [("auxiliary", [("dense", 6), ("tanh",), ("dense", 3)], dict(weight=0.7, generator=0.3)),
                            ("dense", 1)], "train": dict(batch=16, d_update="separate")}, "classed"),
    # As Gulrajani et al.'s: D tells the classes of real items alone.
    "acgan-real": ({**JUDGED, "loss": "wasserstein", "G": [("label", K), *JUDGED["G"]],
                    "D": HEAD + [("auxiliary", [("dense", 3)], dict(generator=0.1, fakes=False)), ("dense", 1)],
                    "penalty": dict(gp=10), "train": dict(batch=16, shards=2, latents="fresh")}, "classed"),
}
# What D sees is changed: each change alone, in D's passes, G's turn and penalties of first and second order.
COLORED = {**JUDGED, "G": [("dense", 16), ("tanh",), ("dense", 240), ("tanh",), ("reshape", (3, 8, 10))],
           "D": [("conv", dict(out=4, kernel=3, stride=2, pad=1)), ("tanh",), ("conv", dict(out=6, kernel=2)), ("tanh",),
                 ("flatten",), ("dense", 1)]}
AUGMENT = {
    "augment-" + name: ({**COLORED, "augment": {"policy": "ada", "pipe": "none", name: 1, "p": 0.9},
                         "penalty": dict(gp=1) if i % 2 else dict(r1=1)}, "color")
    for i, name in enumerate(augment.NAMES)}
AUGMENT |= {
    # All of them, of gray images too, with a p that changes.
    "augment-all": ({**COLORED, "loss": dict(name="rpgan", reals="fresh"), "penalty": dict(r1=1, r2=1),
                     "D": COLORED["D"][:-1] + [("dense", dict(out=1, bias=False))],
                     "augment": dict(policy="ada", pipe="bgc", cutout=0.5, noise=1, hue=0.5,
                                     p={"from": 0.2, "to": 1, "curve": "linear"})}, "color"),
    "augment-gray": ({**JUDGED, "augment": dict(policy="ada", pipe="bgc", p=0.7), "penalty": dict(dragan=1),
                      "train": dict(batch=16, d_update="joint", noise=0.1)}, "images"),
    # At twice the size.
    "augment-sym6": ({**COLORED, "augment": dict(policy="ada", filter="sym6", p=0.8), "penalty": dict(gp=1)}, "color"),
    # D's two sub-steps and two shards move p, up and down.
    "ada": ({**COLORED, "augment": dict(policy="ada", target=0.1, speed=0.4, most=0.7),
             "penalty": dict(r1=dict(weight=1, every=2)), "train": dict(batch=16, d_steps=2, shards=2)}, "color"),
    "ada-separate": ({**JUDGED, "augment": dict(policy="diffaugment", p="adaptive", speed=0.1, target=0.55),
                      "train": dict(batch=16, d_update="separate", latents="fresh")}, "images"),
    "flip": ({**JUDGED, "augment": "flip", "penalty": dict(r1=dict(weight=1, update="own", every=2))}, "images"),
    "diffaugment": ({**COLORED, "loss": "hinge", "augment": "diffaugment", "penalty": dict(r1=1)}, "color"),
    # CR and bCR: items flipped and shifted, with and without latents that change; a weight that grows.
    "cr": ({**COLORED, "penalty": dict(consistency=dict(real=10))}, "color"),
    "bcr": ({**COLORED, "D": [("conv", dict(out=4, kernel=3, stride=2, pad=1)), ("tanh",), ("dropout", 0.2), ("flatten",),
                              ("dense", 1)],
             "penalty": dict(consistency=dict(real=10, fake={"from": 0, "to": 10, "curve": "linear"}, z=5, every=2)),
             "train": dict(batch=16, shards=2)}, "color"),
}
CASES = {**AUGMENT, **MODERN, **LABELS, **ENGINE, **LOSSES, **PENALTIES, **OPTIMIZERS, **AVERAGES, **WEIGHTS}


class Attached(gan.Gan):
    """The gradient of D's loss in its fakes stays in G's weights until G's update adds its own."""

    def fakes_of_d(self, fake):
        return fake

    def gradients(self, net, loss):
        own = super().gradients(net, loss)
        if net == "G":
            return [a + b for a, b in zip(own, self.kept)]
        self.kept = super().gradients("G", loss)
        return own


class Together(gan.Gan):
    """One pass of D over real items and fakes: they share its statistics."""

    def show(self, at, sides):
        both = self.forward("D", torch.cat(list(at.items.values())))
        at.on_real, at.on_fake = both[:self.batch], both[self.batch:]


class Whole(gan.Gan):
    """Statistics of the whole batch, as if there were no shards."""

    def shards(self, x):
        return [x]

    def by_shards(self, f, *x):
        return f(*x)


class EachShard(gan.Gan):
    """Running statistics make a step for each shard."""

    def batchnorm(self, x, **tensors):
        whole = SimpleNamespace(shards=lambda x: [x], momentum=self.momentum)
        return torch.cat([gan.Gan.batchnorm(whole, part, **tensors) for part in self.shards(x)])


class SameDraws(gan.Gan):
    """Each shard draws what the first one draws."""

    def normal(self, purpose, k, shape):
        first = self.shards(super().normal(purpose, k, shape))[0]
        return first.repeat(shape[0] // len(first), *[1] * (len(shape) - 1))


class NoiseOfElements(gan.Gan):
    """Each channel of a pixel has a draw of its own."""

    def pixels(self, k, x):
        return self.normal(spec.NOISE, k, x.shape)


class PlainG(gan.Gan):
    """PyTorch-GAN's relativistic_gan.py: G's relativistic loss is overwritten by the plain one."""

    def g_loss(self, real, fake):
        return family.bce_g(None, self.forward("D", fake), {})


class HingeG(gan.Gan):
    """G has a margin too: relu(1 - f)."""

    def g_loss(self, real, fake):
        return torch.relu(1 - self.forward("D", fake)).mean()


class Probabilities(gan.Gan):
    """compare_gan's least squares: of sigmoid(D), not of D's output."""

    def forward(self, net, x):
        x = super().forward(net, x)
        return torch.sigmoid(x) if net == "D" else x


class LateClip(gan.Gan):
    """WassersteinGAN's main.py: D is clamped before its update, so that G learns from weights that may be larger."""

    def update(self, net, loss):
        if net == "D":
            for t in self.parameters("D"):
                t.data.clamp_(-self.loss["clip"], self.loss["clip"])
        gan.Run.update(self, net, loss)


def penalized(name, **changed):
    """With another penalty of that name."""
    return type("Mistaken", (gan.Gan,), dict(penalties={**family.PENALTIES, name: family.PENALTIES[name]._replace(**changed)}))


def between(run, at, share, least=1e-12):
    return family.unit_slope(run, share * at.real + (1 - share) * at.fake, least)


def gp_of_elements(run, keys, at):
    return between(run, at, run.uniform(spec.PENALTY, family.SLOT * at.j, at.real.shape))


def gp_of_normals(run, keys, at):
    return between(run, at, run.normal(spec.PENALTY, family.SLOT * at.j, (len(at.real), *[1] * (at.real.dim() - 1))))


def gp_without_constant(run, keys, at):
    return between(run, at, family.uniform_rows(run, at.real, at.j), 0)


def r1_not_halved(run, keys, at):
    return 2 * family.r1(run, keys, at)


def r1_of_the_mean(run, keys, at):
    return 0.5 * family.slope(at.real, at.on_real / len(at.real)).square().sum(1).mean()


def lecam_of_squares(run, keys, at):
    return family.lecam(run, keys, at, lambda x: x)


def lecam_biased(run, at):
    family.watch_lecam(run, at)
    if at.j == 0:
        run.before = run.lecam


def consistency_on_one_side(run, keys, at):
    return keys["z"] * (at.on_fake - run.forward("D", family.neighbor(run, keys, at)).detach()).square().mean()


class Uncorrected(gan.Gan):
    """An update more in some steps, and rate and betas as if there were none."""

    def share(self, net):
        return 1


class Shrunk(gan.Gan):
    """The decay is added to the gradient, as in torch.optim.Adam."""

    def __init__(self, *args):
        super().__init__(*args)
        for optim in self.optim.values():
            for group in optim.param_groups:
                group["weight_decay"] = 0

    def gradients(self, net, loss):
        decay = of_net(self.r, net, "optim").get("weight_decay", 0.01)
        return [g + decay * t.detach() for g, t in zip(super().gradients(net, loss), self.parameters(net))]


class RootOfBoth(gan.Gan):
    """TensorFlow's RMSprop: eps is within the root."""

    def update(self, net, loss):
        for t, g in zip(self.parameters(net), self.gradients(net, loss)):
            optim = of_net(self.r, net, "optim")
            v = self.__dict__.setdefault("squares", {}).setdefault(t, torch.zeros_like(t))
            alpha = optim.get("alpha", 0.99)
            v.mul_(alpha).add_((1 - alpha) * g * g)
            t.data.sub_(optim["lr"] * g / (v + optim.get("eps", 1e-8)).sqrt())


class Copied(gan.Gan):
    """The average takes G's running statistics, which are those of other weights."""

    def __init__(self, recipe, *args):
        super().__init__({**recipe, "ema": {**recipe["ema"], "buffers": "copy"}}, *args)


class ConstantSigma(gan.Gan):
    """No gradient goes through the largest singular value."""

    def largest(self, name, m):
        return super().largest(name, m).detach()


class StillVectors(gan.Gan):
    """A power iteration a step, in its first pass, not one a pass."""

    def largest(self, name, m):
        kept = self.t[name + "_u"], self.t[name + "_v"]
        sigma = super().largest(name, m)
        if self.forwards > 1:
            self.t[name + "_u"], self.t[name + "_v"] = kept
            sigma = kept[0] @ m @ kept[1]
        return sigma


class RowsOfInputs(gan.Gan):
    """A transposed convolution's rows are its inputs, as they lie in memory."""

    def largest(self, name, m):
        w = self.t[name]
        if name != "G.4.weight":
            return super().largest(name, m)
        return torch.linalg.matrix_norm(w.reshape(len(w), -1), 2)


class ScaledOnce(gan.Gan):
    """Weights are drawn small, and not scaled again as they are read: no learning rate is equal."""

    def __init__(self, recipe, start, *args):
        super().__init__(recipe, start, *args)
        for name, t in self.t.items():
            if t.requires_grad and nets.gain(recipe, name):
                t.data.mul_(nets.scale(recipe, name, t.shape))

    def read(self, name):
        return self.t[name] if nets.gain(self.r, name) else super().read(name)


class ClippedApart(gan.Gan):
    """Each tensor by a norm of its own."""

    def clip(self, parameters, most):
        for t in parameters:
            super().clip([t], most)


class DoubleSoftmax(gan.Gan):
    """PyTorch-GAN's acgan.py: probabilities go into a cross-entropy that takes logits."""

    def class_loss(self, logits, *more):
        return super().class_loss(logits if logits is None else logits.softmax(1), *more)


class SameChanges(gan.Gan):
    """All passes of a step draw alike: real items and fakes are changed in the same way."""

    def changed(self, x):
        return augment.changed(self, self.augment, x, 0, self.controller.value(self))


class PlainInG(gan.Gan):
    """G learns from a D that sees its items as they are: changes leak into them."""

    def g_loss(self, real, fake):
        kept, self.augment = self.augment, None
        loss = super().g_loss(real, fake)
        self.augment = kept
        return loss


class SlopeOfChanged(gan.Gan):
    """The slope that r1 bounds is that at the changed items."""

    def changed(self, x):
        self.seen = super().changed(x)
        return self.seen

    def show(self, at, sides, watched=True):
        classes = {}
        for side in sides:
            super().show(at, [side], watched)
            classes |= at.classes
            if side == "real":
                at.changed = self.seen
        at.classes = classes


SlopeOfChanged.penalties = {**family.PENALTIES, "r1": family.PENALTIES["r1"]._replace(
    term=lambda run, keys, at: 0.5 * family.slope(at.changed, at.on_real).square().sum(1).mean())}


MISTAKES = [
    ("acgan", "softmax before the cross-entropy", DoubleSoftmax),
    ("diffaugment", "the same draws for both sides", SameChanges),
    ("diffaugment", "G's items are not changed", PlainInG),
    ("augment-rotate", "r1 of changed items", SlopeOfChanged),
    ("bce", "fakes not detached", Attached),
    ("bce", "statistics of real and fake together", Together),
    ("shards", "statistics of the whole batch", Whole),
    ("shards", "a running step for each shard", EachShard),
    ("shards", "each shard's draws are the first one's", SameDraws),
    ("pixel-noise", "each shard's draws are the first one's", SameDraws),
    ("pixel-noise", "a draw for each channel", NoiseOfElements),
    ("shards-family", "means of the whole batch", Whole),
    ("ragan", "G's loss is not relativistic", PlainG),
    ("hinge", "a margin for G", HingeG),
    ("lsgan", "squares of probabilities", Probabilities),
    ("clip", "clamped before the update", LateClip),
    ("gp", "a share for each number", penalized("gp", term=gp_of_elements)),
    ("gp-lazy", "a share for each pixel", penalized("gp", term=gp_of_elements)),
    ("gp", "a normal share", penalized("gp", term=gp_of_normals)),
    ("gp-flat", "no constant in the root", penalized("gp", term=gp_without_constant)),
    ("r1", "not halved", penalized("r1", term=r1_not_halved)),
    ("r1", "the gradient of D's mean", penalized("r1", term=r1_of_the_mean)),
    ("own", "rate and betas not corrected", Uncorrected),
    ("consistency", "no gradient on one side", penalized("consistency", term=consistency_on_one_side)),
    ("lecam", "squares on both sides", penalized("lecam", term=lecam_of_squares)),
    ("lecam", "averages that still begin", penalized("lecam", watch=lecam_biased)),
    ("adamw", "decay in the gradient", Shrunk),
    ("rmsprop", "eps within the root", RootOfBoth),
    ("average", "statistics copied", Copied),
    ("standing", "statistics copied", Copied),
    ("equalized", "scaled at the beginning", ScaledOnce),
    ("clip-norm", "each tensor by its own norm", ClippedApart),
    ("spectral", "σ taken for a constant", ConstantSigma),
    ("spectral", "one power iteration a step", StillVectors),
    ("spectral", "rows of a transposed convolution its inputs", RowsOfInputs),
]


def data():
    """45 images and 50 points: neither is a multiple of the batch, so batches straddle epochs. An image's label is the
    third of its width that its spot is in."""
    g = np.random.default_rng(3)
    y, x = np.mgrid[0:6, 0:6]
    centre = g.uniform(0, 5, (45, 2, 1, 1))
    images = 255 * np.exp(-((x - centre[:, 0]) ** 2 + (y - centre[:, 1]) ** 2) / 3)
    points = g.normal(size=(50, 3)) * [0.2, 0.5, 0.1] + [0.5, -0.2, 0]
    images, labels = np.rint(images).astype(np.uint8), (centre[:, 1, 0, 0] * 3 / 5).astype(np.uint8)
    color = np.clip(np.rint(255 * g.uniform(0, 1, (45, 3, 1, 1)) * np.exp(
        -((np.mgrid[0:8, 0:10] - g.uniform(0, 8, (45, 2, 1, 1))) ** 2).sum(1, keepdims=True) / 6)), 0, 255)
    return {"images": images, "points": points.astype(np.float32), "labels": labels, "color": color.astype(np.uint8)}


FILES = {"color": "color.npy", "images": "images-idx3-ubyte", "points": "points-idx2-float", "labels": "labels-idx1-ubyte"}


def items_of(kind, sets):
    """What a case trains on, and the shape of an item."""
    if kind in ("points", "color"):
        return sets[kind], sets[kind].shape[1:]
    images, kept = sets["images"][:, None], ~spec.held_out(len(sets["images"]))
    if kind == "classed":
        return (images, sets["labels"]), images.shape[1:]
    return images if kind == "images" else (images[kept], sets["labels"][kept]), images.shape[1:]


def write_file(path, a):
    if path.endswith(".npy"):
        np.save(path, a)
        return
    with open(path, "wb") as f:
        f.write(bytes([0, 0, 8 if a.dtype == np.uint8 else 13, a.ndim]) + np.array(a.shape, ">u4").tobytes())
        f.write(a.astype(a.dtype.newbyteorder(">")).tobytes())


def permuted_rows(recipe, g):
    """Another order of a batch's rows, in which those that minibatch_stddev compares stay together, and shards too."""
    kinds = [layer[0] for net in recipes.nets(recipe) for layer in recipes.layers(recipe, net)]
    batch, shards = recipe["train"]["batch"], recipe["train"].get("shards", 1)
    if "minibatch_stddev" not in kinds or shards > 1:
        own = np.arange(batch).reshape(shards, -1)
        return np.concatenate([g.permutation(own[s]) for s in g.permutation(shards)])
    rows = np.arange(batch).reshape(-1, 2, 2)  # compared are those that agree modulo 4, or modulo 2
    for axis in range(3):
        rows = g.permutation(rows, axis=axis)
    return rows.flatten()


class Twin:
    """A case in PyTorch."""

    def __init__(self, name, sets):
        self.name, (self.recipe, self.kind) = name, CASES[name]
        self.data, item = items_of(self.kind, sets)
        start = initial(self.recipe, item, SEED)
        self.start = start | {n: np.full_like(v, 0.4) for n, v in start.items() if n.endswith("gamma")}  # 0 hides attention
        self.end, self.told = self.train(torch.float64)
        g, worst = np.random.default_rng(1), {}
        for _ in range(3):
            end, _ = self.train(torch.float32, permuted_rows(self.recipe, g))
            for n, e in gan.errors(end, self.end, self.start).items():
                if e is not None:
                    worst[n] = max(worst.get(n, 0), e)
        self.float32 = worst

    def train(self, dtype, rows=None, kind=None):
        return gan.train(self.recipe, self.start, self.data, SEED, STEPS, dtype, rows, kind)

    def mistaken(self, kind):
        """How many limits is the tensor off that is farthest off, its name and error."""
        end, _ = self.train(torch.float64, None, kind)
        error = gan.errors(end, self.end, self.start)
        off = {n: e if np.isfinite(e) else np.inf for n, e in error.items() if e is not None}
        return max((off[n] / max(LIMIT, 2 * e), n, off[n]) for n, e in self.float32.items())

    def write(self, folder):
        tensors = {"start." + n: v for n, v in self.start.items()} | {"end." + n: v for n, v in self.end.items()}
        tensors |= {"float32." + n: np.float64(e) for n, e in self.float32.items()}
        names = {n for step in self.told for n in step} | {"d_loss_real", "d_loss_fake"}  # these must be absent, if they are
        tensors |= {"scalar." + n: np.array([step.get(n, np.nan) for step in self.told]) for n in sorted(names)}
        file, path = FILES.get(self.kind, FILES["images"]), os.path.join(folder, self.name)
        save_file({n: np.ascontiguousarray(v) for n, v in tensors.items()}, path + ".safetensors",
                  {"steps": str(STEPS), "data": file})
        os.chmod(path + ".safetensors", 0o644)
        with open(path + ".yaml", "w") as f:
            f.write(recipes.to_yaml(self.recipe, "./" + file, STEPS, "Written by trajectory.py.", SEED))


def keep(folder):
    """Copies what is new or other than in trajectory/, but for rounding."""
    def differs(path, old):
        if not path.endswith(".safetensors"):
            return open(path, "rb").read() != open(old, "rb").read()
        a, b = ({n: t for n, t in load_file(p).items() if not n.startswith("float32.")} for p in (path, old))
        return a.keys() != b.keys() or not all(np.allclose(a[n], b[n], 1e-9, 1e-9, equal_nan=True) for n in a)

    for name in os.listdir(folder):
        path, old = os.path.join(folder, name), os.path.join(OUT, name)
        if not os.path.exists(old) or differs(path, old):
            shutil.copy(path, old)


def run_engine(build, folder):
    """What test_trajectory says of the folder's cases, on the CPU and on CUDA's emulator."""
    done = subprocess.run(["ctest", "--test-dir", build, "-V", "-R", "^(test|emulated)_trajectory$"], text=True,
                          stdout=subprocess.PIPE, env={**os.environ, "DUEL_TRAJECTORIES": folder})
    lines = [line.split("trajectory: ", 1)[1] for line in done.stdout.splitlines() if "trajectory: " in line]
    for line in lines:
        print(line)
    if done.returncode or len({line.split()[1] for line in lines}) != 2:
        print(done.stdout)
    return done.returncode == 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default="build", help="where the engine was built, with its tests (default %(default)s)")
    p.add_argument("--write", action="store_true", help="keep what was computed in trajectory/, whatever the engine says")
    p.add_argument("case", nargs="*", metavar="CASE", help="these alone: " + ", ".join(CASES))
    args = p.parse_args()
    torch.set_num_threads(1)
    good, sets = True, data()
    with tempfile.TemporaryDirectory() as folder:
        for name, a in sets.items():
            write_file(os.path.join(folder, FILES[name]), a)
        twins = {name: Twin(name, sets) for name in args.case or CASES}
        for twin in twins.values():
            twin.write(folder)
        for name, mistake, kind in MISTAKES:
            if name not in twins:
                continue
            limits, tensor, error = twins[name].mistaken(kind)
            good &= limits >= 10
            print(f"mistake in {name}: {mistake}: {tensor} {error:.1e}, {limits:.0f} times its limit"
                  f"{'' if limits >= 10 else ', NOT told'}")
        if args.write:
            keep(folder)
        good &= run_engine(args.build, folder)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
