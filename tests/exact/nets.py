"""Layers in numpy and PyTorch: which tensors a recipe's nets have, how they begin, and what a layer computes.

Recipes are those of recipes.py; draws come from spec.py.
"""
import numpy as np
import torch
import torch.nn.functional as F

import recipes
import spec


def keys(layer):
    """A layer's keys as a dict; a plain value stands for the main key."""
    value = layer[1] if len(layer) > 1 else {}
    return value if isinstance(value, dict) else dict(out=value)


def pair(value):
    return tuple(value) if isinstance(value, (list, tuple)) else (value, value)


def sizes(k):
    """Of a convolution: kernel, and what torch's functions want."""
    kernel, stride, pad, dilation = (pair(k.get(n, d)) for n, d in (("kernel", 3), ("stride", 1), ("pad", 0), ("dilation", 1)))
    return kernel, dict(stride=stride, padding=pad, dilation=dilation, groups=k.get("groups", 1))


def convolved(layer, shape):
    """The shapes of a convolution's weight and result; shape [C, H, W]."""
    k, (c, *image) = keys(layer), shape
    (kernel, o), out = sizes(k), k["out"]
    steps = list(zip(image, kernel, o["stride"], o["padding"], o["dilation"], pair(k.get("output_pad", 0))))
    if layer[0] == "conv":
        weight, image = (out, c // o["groups"]), [(n + 2 * p - d * (r - 1) - 1) // s + 1 for n, r, s, p, d, _ in steps]
    else:
        weight, image = (c, out // o["groups"]), [(n - 1) * s - 2 * p + d * (r - 1) + m + 1 for n, r, s, p, d, m in steps]
    return weight + kernel, (out, *image)


def tensors(recipe, item):
    """(name, shape, init) of all tensors, in the order in which parameters are numbered: G then D, weight before bias; then
    the vectors of spectral norm, u before v."""
    out = []
    for net in recipes.nets(recipe):
        init, shape = recipes.of_net(recipe, net, "init"), (recipe["latent"],) if net == "G" else tuple(item)
        declare(recipes.layers(recipe, net), init, net, shape, out)
    out = [(name, shape, dict(std=1) if gain(recipe, name) and "init" not in layer_of(recipe, name)[1] else init)
           for name, shape, init in out]
    return out + [(name + f"_{v}", (size,), "vector") for name, shape, init in out for v, size in
                  vectors(recipe, name, shape).items()]


PRODUCTS = ("dense", "conv", "conv_transpose", "self_attention", "projection")


def layer_of(recipe, name):
    """The kind and keys of the layer that has the tensor. Blocks within blocks are not looked into."""
    net, *path = name.split(".")
    layers = recipes.layers(recipe, net)
    if len(path) > 2 and path[1] == "auxiliary":
        layers, path = layers[int(path[0])][1], path[2:]
    while len(path) > 3 and path[2] in ("residual", "skip", "concat"):
        block, _, part, *path = path
        layers = layers[int(block)][2]["skip"] if part == "skip" else layers[int(block)][1]
    layer = layers[int(path[0])]
    return layer[0], keys(layer)


def held(recipe, name, key, standard):
    """What the layer says of its weights, or its net, or nobody."""
    own = recipes.own(recipe, name[0], key)
    return layer_of(recipe, name)[1].get(key, standard if own is None else own)


def spectral(recipe, name):
    """The axis of a weight's rows, where it has spectral norm; else None."""
    kind, k = layer_of(recipe, name)
    if kind not in PRODUCTS or not name.endswith(".weight"):
        return None
    return int(kind == "conv_transpose") if k.get("spectral", recipes.own(recipe, name[0], "constraint")) else None


def gain(recipe, name):
    """Of a weight with an equalized learning rate; else 0."""
    product = layer_of(recipe, name)[0] in PRODUCTS and name.endswith(".weight")
    return held(recipe, name, "equalized", 0) if product else 0


def frozen(recipe, name):
    return held(recipe, name, "frozen", False)


def lr_mul(recipe, name):
    product = layer_of(recipe, name)[0] in PRODUCTS and not name.endswith("gamma")
    return held(recipe, name, "lr_mul", 1) if product else 1


def scale(recipe, name, shape):
    """What a layer reads is the parameter times this."""
    inputs = int(np.prod(shape)) // shape[layer_of(recipe, name)[0] == "conv_transpose"]
    return lr_mul(recipe, name) * (gain(recipe, name) / np.sqrt(inputs) if gain(recipe, name) else 1)


def as_matrix(w, axis):
    """Rows are on that axis; of numpy or torch."""
    return w.swapaxes(0, axis).reshape(w.shape[axis], -1)


def vectors(recipe, name, shape):
    """The sizes of a weight's u and v, or none."""
    axis = spectral(recipe, name)
    return {} if axis is None else {"u": shape[axis], "v": int(np.prod(shape)) // shape[axis]}


def first_vectors(w, axis, warmup, u, v):
    """Drawn, normalized, and moved on by power iterations, in float64."""
    w, u, v = as_matrix(w.astype(np.float64), axis), *(x / np.linalg.norm(x) for x in (u, v))
    for _ in range(warmup):
        v = w.T @ u
        v /= np.linalg.norm(v)
        u = w @ v
        u /= np.linalg.norm(u)
    return u.astype(np.float32), v.astype(np.float32)


def declare(layers, init, path, shape, out):
    """Appends the tensors of a list of layers that reads `shape`; yields the shape that it makes."""
    for i, layer in enumerate(layers):
        name, kind, k = f"{path}.{i}.", layer[0], keys(layer)
        if kind == "dense":
            out.append((name + "weight", (k["out"], *shape), k.get("init", init)))
            shape = (k["out"],)
        elif kind in ("conv", "conv_transpose"):
            weight, shape = convolved(layer, shape)
            out.append((name + "weight", weight, k.get("init", init)))
        elif kind == "batchnorm":
            out += [(name + "weight", shape[:1], k.get("init", "ones")), (name + "bias", shape[:1], "zeros")]
            out += [(name + "running_mean", shape[:1], "buffer 0"), (name + "running_var", shape[:1], "buffer 1")]
        elif kind == "class_batchnorm":
            table = (k["classes"], shape[0])
            out += [(name + "weight", table, k.get("init", "ones")), (name + "bias", table, "zeros")]
            out += [(name + "running_mean", shape[:1], "buffer 0"), (name + "running_var", shape[:1], "buffer 1")]
        elif kind == "label":
            if k.get("embed"):
                out.append((name + "weight", (k["classes"], k["embed"]), k.get("init", dict(std=1))))
            shape = (shape[0] + (k.get("embed") or k["classes"]), *shape[1:])
        elif kind == "projection":
            own = k.get("init", init)
            out.append((name + "weight", (1, *shape), own))
            out += [(name + "bias", (1,), "zeros")] * k.get("bias", True)
            out.append((name + "embedding.weight", (k["classes"], *shape), own))
            shape = (1,)
        elif kind == "auxiliary":
            declare(layer[1], init, name + "auxiliary", shape, out)
        elif kind == "flatten":
            shape = (int(np.prod(shape)),)
        elif kind == "reshape":
            shape = tuple(layer[1])
        elif kind in ("maxpool", "avgpool"):
            shape = (shape[0], *(n // layer[1] for n in shape[1:]))
        elif kind == "upsample":
            shape = (shape[0], *(n * s for n, s in zip(shape[1:], pair(k.get("scale", 2)))))
        elif kind == "downsample":
            shape = (shape[0], *(n // s for n, s in zip(shape[1:], pair(k.get("scale", 2)))))
        elif kind == "minibatch_stddev":
            shape = (shape[0] + k.get("channels", 1), *shape[1:])
        elif kind == "self_attention":
            c, narrow, half = shape[0], max(1, shape[0] // 8), max(1, shape[0] // 2)
            for part, to, of in (("f", narrow, c), ("g", narrow, c), ("h", half, c), ("v", c, half)):
                out.append((f"{name}{part}.weight", (to, of, 1, 1), k.get("init", init)))
            out.append((name + "gamma", (1,), "zeros"))
        elif kind == "noise":
            out.append((name + "strength", shape[:1] if k.get("channels") else (1,), k.get("init", "zeros")))
        elif kind == "residual":
            for copy in range(layer[2].get("repeat", 1)):
                before = shape
                shape = declare(layer[1], init, f"{name}{copy}.residual", before, out)
                declare(layer[2].get("skip", ()), init, f"{name}{copy}.skip", before, out)
        elif kind == "concat":
            for copy in range(layer[2].get("repeat", 1)):
                c = declare(layer[1], init, f"{name}{copy}.concat", shape, out)[0]
                shape = (shape[0] + c, *shape[1:])
        if kind in ("dense", "conv", "conv_transpose") and k.get("bias", True):
            *_, weight, drawn = out[-1]  # PyTorch's own draws biases as it draws weights
            out.append((name + "bias", shape[:1], ("torch", np.prod(weight[1:])) if drawn == "torch" else "zeros"))
    return shape


def minibatch_stddev(x, group=4, channels=1):
    """StyleGAN2's."""
    n, c, h, w = x.shape
    y = x.reshape(min(group, n), -1, channels, c // channels, h, w)
    y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean([2, 3, 4])
    return torch.cat([x, y.reshape(-1, channels, 1, 1).repeat(min(group, n), 1, h, w)], 1)


def upfirdn(x, taps, up=(1, 1), down=(1, 1)):
    """StyleGAN2's upsample2d, downsample2d and filter2d: zeros between and around, a correlation, every down-th number."""
    taps = torch.tensor(taps, dtype=x.dtype)
    n, c, h, w = x.shape
    x = x.reshape(n * c, 1, h, 1, w, 1)
    x = F.pad(x, (0, up[1] - 1, 0, 0, 0, up[0] - 1)).reshape(n * c, 1, h * up[0], w * up[1])
    pads = [((len(taps) + u - d) // 2, (len(taps) - u * d) // 2) for u, d in zip(up, down)]
    kernel = torch.outer(taps, taps) / taps.sum()**2 * up[0] * up[1]
    x = F.conv2d(F.pad(x, pads[1] + pads[0]), kernel[None, None])[:, :, ::down[0], ::down[1]]
    return x.reshape(n, c, *x.shape[2:])


def self_attention(x, f, g, h, v, gamma, pool):
    """Zhang et al. 2019, keys and values pooled as in their code."""
    keys, values = (F.max_pool2d(F.conv2d(x, w), pool).flatten(2) for w in (f, h))
    share = torch.softmax(F.conv2d(x, g).flatten(2).transpose(1, 2) @ keys, -1)
    return x + gamma * F.conv2d((values @ share.transpose(1, 2)).reshape(len(x), -1, *x.shape[2:]), v)


def initial(recipe, item, seed):
    """The engine's first values, float32 (exact for uniform draws, within 2e-6·std for normal ones)."""
    out, k = {}, 0
    for name, shape, init in tensors(recipe, item):
        keys = init if isinstance(init, dict) else dict(name=init)
        if keys.get("name", "normal") in ("normal", "glorot_normal", "he_normal"):
            mean, std = keys.get("mean", 0), keys.get("std")
            if std is None:
                taps = int(np.prod(shape[2:]))
                fan_in, fan_out = shape[1] * taps, shape[0] * taps
                std = keys.get("gain", 1) * np.sqrt(2 / (fan_in + fan_out if keys.get("name") == "glorot_normal" else fan_in))
            draw = spec.normal(seed, spec.INIT, 0, k, int(np.prod(shape))).reshape(shape)
            out[name] = draw.astype(np.float32) * np.float32(std / lr_mul(recipe, name)) + np.float32(mean)
        elif init == "vector":
            out[name] = spec.normal(seed, spec.INIT, 0, k, shape[0]).astype(np.float32).astype(np.float64)
            if name.endswith("_v"):
                weight, u = name[:-2], name[:-1] + "u"
                warmup = recipes.choice(recipes.own(recipe, name[0], "constraint") or {}).get("warmup", 15)
                out[u], out[name] = first_vectors(out[weight], spectral(recipe, weight), warmup, out[u], out[name])
        elif init == "glorot_uniform":
            out[name] = spec.uniform_within(np.sqrt(6.0 / (shape[0] + shape[1])), seed, k, shape)
        elif init[0] == "torch" or init == "torch":
            fan_in = np.prod(shape[1:]) if init == "torch" else init[1]
            out[name] = spec.uniform_within(1 / np.sqrt(fan_in), seed, k, shape)
        else:
            out[name] = np.full(shape, init in ("ones", "buffer 1"), np.float32)
        k += not str(init).startswith("buffer")
    return out
