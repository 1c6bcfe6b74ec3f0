"""The GANs in JAX: a peer of bench/compare. A whole step is one jitted function that is given its state's memory.

Plain JAX without a library of layers, whose jitted step would be the same program. Channels come last, as XLA wants it
on a CPU. The number of threads is that of the CPUs that the process may use.
"""
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import models
import protocol
from models import ADAM, ITEM, LATENT, RECIPES

WAYS = {"jit": ("mlp", "dcgan")}
LAST = ITEM[1:] + ITEM[:1]
NHWC = ("NHWC", "HWIO", "NHWC")


def first_values(recipe, player, shape, random):
    """Parameters and running statistics of each layer."""
    params, running = [], []
    normal = RECIPES[recipe]["init"] == "normal"
    for layer, entered, left in models.walk(RECIPES[recipe][player], shape):
        p, r = {}, {}
        if layer[0] in ("dense", "conv", "conv_transpose"):
            taps = () if layer[0] == "dense" else (4, 4)
            size, limit = (*taps, entered[0], left[0]), np.sqrt(6 / (entered[0] + left[0]))
            p["weight"] = random.normal(0, models.STD, size) if normal else random.uniform(-limit, limit, size)
            if layer[2]:
                p["bias"] = np.zeros(left[0])
        elif layer[0] == "batchnorm":
            p = {"scale": random.normal(1, models.STD, entered[0]) if normal else np.ones(entered[0]),
                 "bias": np.zeros(entered[0])}
            r = {"mean": np.zeros(entered[0]), "var": np.ones(entered[0])}
        params.append(p)
        running.append(r)
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (params, running))


def batchnorm(p, r, x):
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes), x.var(axes)
    y = (x - mean) * (lax.rsqrt(var + models.EPS) * p["scale"]) + p["bias"]
    m, n = models.MOMENTUM, x.size // x.shape[-1]
    return y, {"mean": (1 - m) * r["mean"] + m * mean, "var": (1 - m) * r["var"] + m * var * n / (n - 1)}


def forward(table, params, running, x):
    """In training mode; yields the new running statistics too."""
    new = []
    for (kind, *more), p, r in zip(table, params, running):
        if kind == "dense":
            x = x @ p["weight"]
        elif kind == "conv":
            x = lax.conv_general_dilated(x, p["weight"], (2, 2), ((1, 1), (1, 1)), dimension_numbers=NHWC)
        elif kind == "conv_transpose":
            x = lax.conv_transpose(x, p["weight"], (2, 2), "SAME", dimension_numbers=NHWC)
        elif kind == "batchnorm":
            x, r = batchnorm(p, r, x)
        elif kind == "leaky_relu":
            x = jnp.where(x > 0, x, models.SLOPE * x)
        elif kind == "relu":
            x = jnp.maximum(x, 0)
        elif kind == "tanh":
            x = jnp.tanh(x)
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
        else:
            c, h, w = more[0]
            x = x.reshape(len(x), h, w, c)
        if "bias" in p and kind != "batchnorm":
            x = x + p["bias"]
        new.append(r)
    return x, new


def bce(logits, target):
    return jnp.mean(jnp.logaddexp(0, logits) - target * logits)


def adam(params, grads, moments):
    (b1, b2), (m, v, t) = ADAM["betas"], moments
    t = t + 1
    m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, grads)
    v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, grads)
    rate, root = ADAM["lr"] / (1 - b1**t), lax.rsqrt(1 - b2**t)
    new = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) * root + ADAM["eps"]), params, m, v)
    return new, (m, v, t)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def train_step(recipe, state, real):
    table, (g, g_run, g_adam, d, d_run, d_adam, key) = RECIPES[recipe], state
    key, now = jax.random.split(key)
    z = jax.random.normal(now, (len(real), LATENT))
    real = real.astype(jnp.float32) / 127.5 - 1
    fake, back, g_run = jax.vjp(lambda p: forward(table["G"], p, g_run, z), g, has_aux=True)

    def d_loss(p, run, x, target):
        logits, run = forward(table["D"], p, run, x)
        return bce(logits, target), run

    losses = []
    for x, target in (real, 1.0), (fake, 0.0):
        (loss, d_run), grads = jax.value_and_grad(d_loss, has_aux=True)(d, d_run, x, target)
        d, d_adam = adam(d, grads, d_adam)
        losses.append(loss)
    (loss, d_run), d_fake = jax.value_and_grad(lambda x: d_loss(d, d_run, x, 1.0), has_aux=True)(fake)
    g, g_adam = adam(g, back(d_fake)[0], g_adam)
    return (g, g_run, g_adam, d, d_run, d_adam, key), (*losses, loss)


class Trainer:
    def __init__(self, recipe, batch):
        self.recipe, self.data = recipe, protocol.images().reshape(-1, *LAST)
        self.order, random = protocol.Order(len(self.data), batch), np.random.default_rng(0)
        state = []
        for player, shape in ("G", (LATENT,)), ("D", ITEM):
            params, running = first_values(recipe, player, shape, random)
            zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]  # two, since memory is given away
            state += [params, running, (*zeros, jnp.zeros(()))]
        self.state = (*state, jax.random.key(0))

    def step(self):
        self.state, losses = train_step(self.recipe, self.state, self.data[self.order.next()])
        return losses

    def wait(self, losses):
        jax.block_until_ready((self.state, losses))

    def parameters(self):
        return {name: sum(p.size for p in jax.tree.leaves(self.state[at])) for name, at in (("G", 0), ("D", 3))}

    def flops(self):
        done = train_step.lower(self.recipe, self.state, self.data[self.order.next()]).compile()
        return (done.cost_analysis() or {}).get("flops")


def make(recipe, batch, threads, way):
    return Trainer(recipe, batch)


if __name__ == "__main__":
    protocol.serve("JAX", jax.__version__, WAYS, make)
