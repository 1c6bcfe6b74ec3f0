"""The two GANs as tables, and what follows from these: parameters and FLOPs. The standard library alone.

They are recipes/mlp.yaml and recipes/dcgan.yaml, and every peer builds its players from them.
"""
import math

LATENT, ITEM = 100, (1, 28, 28)
ADAM = {"lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-8}
EPS, MOMENTUM, SLOPE = 1e-5, 0.1, 0.2  # of batch normalization, PyTorch's way; of leaky_relu
STD = 0.02  # of init normal

# dense, conv, conv_transpose: outputs, bias; convolutions: kernel 4, stride 2, padding 1. Shapes are C, H, W: a framework
# that stores channels last turns them, which permutes units and no more.
RECIPES = {
    "mlp": {
        "init": "glorot_uniform",
        "G": [("dense", 256, True), ("leaky_relu",), ("dense", 512, True), ("batchnorm",), ("leaky_relu",),
              ("dense", 784, True), ("tanh",), ("reshape", ITEM)],
        "D": [("flatten",), ("dense", 512, True), ("leaky_relu",), ("dense", 1, True)]},
    "dcgan": {
        "init": "normal",  # N(0, STD); scales of batch normalization N(1, STD)
        "G": [("dense", 6272, False), ("reshape", (128, 7, 7)), ("batchnorm",), ("relu",), ("conv_transpose", 64, False),
              ("batchnorm",), ("relu",), ("conv_transpose", 1, True), ("tanh",)],
        "D": [("conv", 64, True), ("leaky_relu",), ("conv", 128, False), ("batchnorm",), ("leaky_relu",), ("flatten",),
              ("dense", 1, True)]}}


def walk(layers, shape):
    """(layer, the shape that enters it, the shape that leaves it), for one item."""
    for layer in layers:
        entered, kind = shape, layer[0]
        if kind == "dense":
            shape = (layer[1],)
        elif kind == "conv":
            shape = (layer[1], shape[1] // 2, shape[2] // 2)
        elif kind == "conv_transpose":
            shape = (layer[1], 2 * shape[1], 2 * shape[2])
        elif kind == "flatten":
            shape = (math.prod(shape),)
        elif kind == "reshape":
            shape = layer[1]
        yield layer, entered, shape


def parameters(recipe):
    """{"G": how many trained numbers, "D": …}, by the tables."""
    count = {}
    for player, shape in ("G", (LATENT,)), ("D", ITEM):
        count[player] = 0
        for layer, entered, left in walk(RECIPES[recipe][player], shape):
            if layer[0] in ("dense", "conv", "conv_transpose"):
                taps = 1 if layer[0] == "dense" else 16
                count[player] += entered[0] * left[0] * taps + left[0] * layer[2]
            elif layer[0] == "batchnorm":
                count[player] += 2 * entered[0]
    return count


def step_flops(recipe, batch):
    """FLOPs of a step's products and direct convolutions: forward, to the weights, and to the input where it matters."""
    forward = {}
    for player, shape in ("G", (LATENT,)), ("D", ITEM):
        forward[player] = []
        for layer, entered, left in walk(RECIPES[recipe][player], shape):
            if layer[0] == "dense":
                forward[player].append(2 * entered[0] * left[0])
            elif layer[0] in ("conv", "conv_transpose"):
                small = left if layer[0] == "conv" else entered  # each of its pixels meets 4×4 taps
                forward[player].append(2 * 16 * entered[0] * left[0] * small[1] * small[2])
    g, d = forward["G"], forward["D"]
    update_d = 3 * sum(d) - d[0]
    return batch * (2 * update_d + 2 * sum(d) + 3 * sum(g) - g[0])
