"""A recipe's models and its training step in PyTorch, any precision: what the engine is compared with.

A recipe is a plain dict (see MLP); layers are tuples, numbered as in the YAML, so tensors have the engine's names. A
residual block is ("residual", layers, more): `more` may hold its skip list and repeat. A recipe with the net C is a
classifier's, one with G and D a GAN's.
Draws, data order and initial values come from spec.py.
"""
import numpy as np
import torch
import torch.nn.functional as F

import spec

MLP = dict(
    latent=100, init="glorot_uniform", batch=64, d_steps=1, d_update="separate", latents="shared",
    G=[("dense", 256), ("leaky_relu", 0.2), ("dense", 512), ("batchnorm",), ("leaky_relu", 0.2), ("dense", 784),
       ("tanh",), ("reshape", (1, 28, 28))],
    D=[("flatten",), ("dense", 512), ("leaky_relu", 0.2), ("dense", 1)],
    optim=dict(name="adam", lr=2e-4, betas=(0.5, 0.999), eps=1e-8))

HALF, SCALE = dict(kernel=4, stride=2, pad=1), dict(init=dict(name="normal", mean=1, std=0.02))
DCGAN = {**MLP, "init": dict(name="normal", std=0.02),
         "G": [("dense", dict(out=6272, bias=False)), ("reshape", (128, 7, 7)), ("batchnorm", SCALE), ("relu",),
               ("conv_transpose", dict(out=64, bias=False, **HALF)), ("batchnorm", SCALE), ("relu",),
               ("conv_transpose", dict(out=1, **HALF)), ("tanh",)],
         "D": [("conv", dict(out=64, **HALF)), ("leaky_relu", 0.2), ("conv", dict(out=128, bias=False, **HALF)),
               ("batchnorm", SCALE), ("leaky_relu", 0.2), ("flatten",), ("dense", 1)]}

PAIR = dict(kernel=3, pad=1, bias=False)
CLASSIFIER = dict(
    init="torch", batch=128, noise=0.4, smoothing=0.05,
    C=[("conv", dict(out=32, **PAIR)), ("batchnorm",), ("relu",), ("maxpool", 2),
       ("conv", dict(out=64, **PAIR)), ("batchnorm",), ("relu",), ("maxpool", 2),
       ("flatten",), ("dense", 128), ("relu",), ("dropout", 0.3), ("dense", 10)],
    optim=dict(name="adam", lr={"from": 0.002, "to": 0, "curve": "cosine"}, betas=(0.9, 0.99), eps=1e-8))


def nets(recipe):
    """The names of its nets, in the engine's order."""
    return [n for n in "GDC" if n in recipe]


def smooth(recipe):
    """tanh for each leaky_relu and relu, avgpool for each maxpool."""
    def twin(layer):
        return ("tanh",) if "relu" in layer[0] else ("avgpool", *layer[1:]) if layer[0] == "maxpool" else layer

    return {**recipe, **{p: [twin(layer) for layer in recipe[p]] for p in nets(recipe)}}


def flow(value):
    """A value as YAML in flow style."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    return f"{value:.9f}".rstrip("0") if isinstance(value, float) and value < 1e-3 else str(value)


def layer_text(layer):
    """A layer in flow style, without its braces."""
    if layer[0] == "residual":
        lists = [("residual", layer[1])] + [("skip", v) for k, v in layer[2].items() if k == "skip"]
        parts = [f"{name}: [" + ", ".join("{%s}" % layer_text(l) if len(l) > 1 else l[0] for l in layers) + "]"
                 for name, layers in lists]
        return ", ".join(parts + [f"repeat: {layer[2].get('repeat', 1)}"])
    return layer[0] + (f": {flow(layer[1])}" if len(layer) > 1 else "")


def to_yaml(recipe, data, steps, comment, seed=0):
    lines = [f"# {comment}", "recipe: 1", f"data: {data}"]
    lines.insert(2, "game: classifier") if "C" in recipe else lines.append(f"latent: {recipe['latent']}")
    differs = {k: v for k, v in recipe["optim"].items() if isinstance(v, dict) and "G" in v}
    optim = recipe["optim"] | {k: v["G"] for k, v in differs.items()}
    own = {k: v["D"] for k, v in differs.items()}  # D's where it differs from G's
    for player in nets(recipe):
        nested = player == "D" and own
        lines += [f"{player}:"] + ["  layers:"] * bool(nested)
        lines += [("    - " if nested else "  - ") + ("{%s}" if layer[0] == "residual" else "%s") % layer_text(layer)
                  for layer in recipe[player]]
        lines += [f"  optim: {flow(own)}"] * bool(nested)
    loss = "cross_entropy" if "C" in recipe else "bce"
    loss = dict(name=loss, label_smoothing=recipe["smoothing"]) if "smoothing" in recipe else loss
    lines += [f"{key}: {flow(value)}" for key, value in (("init", recipe["init"]), ("loss", loss),
                                                         ("optim", optim))]
    if "ema" in recipe:
        lines.append(f"ema: {{half_life: {recipe['ema']} images}}")
    keys_of_game = ("batch", "d_steps", "d_update", "latents", "noise")
    train = dict(length=f"{steps} steps", seed=seed, **{k: recipe[k] for k in keys_of_game if k in recipe})
    return "\n".join(lines + [f"train: {flow(train)}"]) + "\n"


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
    """(name, shape, init) of all tensors, in the order in which parameters are numbered: G then D, weight before bias."""
    out = []
    for player in nets(recipe):
        declare(recipe, recipe[player], player, (recipe["latent"],) if player == "G" else tuple(item), out)
    return out


def declare(recipe, layers, path, shape, out):
    """Appends the tensors of a list of layers that reads `shape`; yields the shape that it makes."""
    for i, layer in enumerate(layers):
        name, kind, k = f"{path}.{i}.", layer[0], keys(layer)
        if kind == "dense":
            out.append((name + "weight", (k["out"], *shape), k.get("init", recipe["init"])))
            shape = (k["out"],)
        elif kind in ("conv", "conv_transpose"):
            weight, shape = convolved(layer, shape)
            out.append((name + "weight", weight, k.get("init", recipe["init"])))
        elif kind == "batchnorm":
            out += [(name + "weight", shape[:1], k.get("init", "ones")), (name + "bias", shape[:1], "zeros")]
            out += [(name + "running_mean", shape[:1], "buffer 0"), (name + "running_var", shape[:1], "buffer 1")]
        elif kind == "flatten":
            shape = (int(np.prod(shape)),)
        elif kind == "reshape":
            shape = tuple(layer[1])
        elif kind in ("maxpool", "avgpool"):
            shape = (shape[0], *(n // layer[1] for n in shape[1:]))
        elif kind == "minibatch_stddev":
            shape = (shape[0] + k.get("channels", 1), *shape[1:])
        elif kind == "self_attention":
            c, narrow, half = shape[0], max(1, shape[0] // 8), max(1, shape[0] // 2)
            for part, to, of in (("f", narrow, c), ("g", narrow, c), ("h", half, c), ("v", c, half)):
                out.append((f"{name}{part}.weight", (to, of, 1, 1), k.get("init", recipe["init"])))
            out.append((name + "gamma", (1,), "zeros"))
        elif kind == "residual":
            for copy in range(layer[2].get("repeat", 1)):
                before = shape
                shape = declare(recipe, layer[1], f"{name}{copy}.residual", before, out)
                declare(recipe, layer[2].get("skip", ()), f"{name}{copy}.skip", before, out)
        if kind in ("dense", "conv", "conv_transpose") and k.get("bias", True):
            *_, weight, init = out[-1]  # PyTorch's own draws biases as it draws weights
            out.append((name + "bias", shape[:1], ("torch", np.prod(weight[1:])) if init == "torch" else "zeros"))
    return shape


def minibatch_stddev(x, group=4, channels=1):
    """StyleGAN2's."""
    n, c, h, w = x.shape
    y = x.reshape(min(group, n), -1, channels, c // channels, h, w)
    y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean([2, 3, 4])
    return torch.cat([x, y.reshape(-1, channels, 1, 1).repeat(min(group, n), 1, h, w)], 1)


def self_attention(x, f, g, h, v, gamma, pool):
    """Zhang et al. 2019, keys and values pooled as in their code."""
    keys, values = (F.max_pool2d(F.conv2d(x, w), pool).flatten(2) for w in (f, h))
    share = torch.softmax(F.conv2d(x, g).flatten(2).transpose(1, 2) @ keys, -1)
    return x + gamma * F.conv2d((values @ share.transpose(1, 2)).reshape(len(x), -1, *x.shape[2:]), v)


def initial(recipe, item, seed):
    """The engine's first values, float32 (exact for uniform draws, within 2e-6·std for normal ones)."""
    out, k = {}, 0
    for name, shape, init in tensors(recipe, item):
        if isinstance(init, dict) or init in ("glorot_normal", "he_normal"):
            mean, std = 0, 0
            if isinstance(init, dict):
                mean, std = init.get("mean", 0), init["std"]
            else:
                taps = int(np.prod(shape[2:]))
                fan_in, fan_out = shape[1] * taps, shape[0] * taps
                std = np.sqrt(2 / (fan_in + fan_out if init == "glorot_normal" else fan_in))
            draw = spec.normal(seed, spec.INIT, 0, k, int(np.prod(shape))).reshape(shape)
            out[name] = draw.astype(np.float32) * np.float32(std) + np.float32(mean)
        elif init == "glorot_uniform":
            out[name] = spec.uniform_within(np.sqrt(6.0 / (shape[0] + shape[1])), seed, k, shape)
        elif init[0] == "torch" or init == "torch":
            fan_in = np.prod(shape[1:]) if init == "torch" else init[1]
            out[name] = spec.uniform_within(1 / np.sqrt(fan_in), seed, k, shape)
        else:
            out[name] = np.full(shape, init in ("ones", "buffer 1"), np.float32)
        k += not str(init).startswith("buffer")
    return out


class Run:
    """The nets, from given tensors. `images` are uint8 [items, C, H, W] or float32 points [items, n]."""

    def __init__(self, recipe, start, images, seed, dtype, rows=None):
        self.r, self.seed, self.dtype = recipe, seed, dtype
        self.images, self.order, self.step_number = images, spec.Order(seed, len(images)), 0
        # a permutation of the rows of every batch: another summation order, the same mathematics
        self.rows = np.arange(recipe["batch"]) if rows is None else rows
        self.t = {n: torch.tensor(v, dtype=dtype) for n, v in start.items()}
        self.optim = {}
        for player in nets(recipe):
            own = [t.requires_grad_() for n, t in self.t.items() if n[0] == player and "running" not in n]
            o = {k: v[player] if isinstance(v, dict) and player in v else v for k, v in recipe["optim"].items()}
            o["lr"] = 0 if isinstance(o["lr"], dict) else o["lr"]  # a schedule sets it step by step
            if o["name"] == "adam":
                self.optim[player] = torch.optim.AdamW(own, o["lr"], o["betas"], o["eps"],
                                                       weight_decay=o.get("weight_decay", 0))
            else:
                self.optim[player] = torch.optim.SGD(own, o["lr"], momentum=o["momentum"])
        if "ema" in recipe:
            self.averaged = "C" if "C" in recipe else "G"
            self.ema = {n: t.detach().clone() for n, t in self.t.items() if n[0] == self.averaged}

    def forward(self, player, x):
        """One training-mode forward; advances running statistics."""
        self.slot = 0
        x = self.run(self.r[player], player, x)
        self.forwards += 1
        return x

    def run(self, layers, path, x):
        for i, layer in enumerate(layers):
            kind, *value = layer
            name = f"{path}.{i}."
            at = {n: self.t.get(name + n) for n in ("weight", "bias", "running_mean", "running_var")}
            if kind == "dense":
                x = F.linear(x, at["weight"], at["bias"])
            elif kind == "conv":
                x = F.conv2d(x, at["weight"], at["bias"], **sizes(keys(layer))[1])
            elif kind == "conv_transpose":
                x = F.conv_transpose2d(x, at["weight"], at["bias"], output_padding=pair(keys(layer).get("output_pad", 0)),
                                       **sizes(keys(layer))[1])
            elif kind == "batchnorm":
                x = F.batch_norm(x, at["running_mean"], at["running_var"], at["weight"], at["bias"], training=True,
                                 momentum=0.1, eps=1e-5)
            elif kind == "dropout":
                k, self.slot = 4096 * self.forwards + self.slot, self.slot + 1
                u = spec.uniform(self.seed, spec.NOISE, self.step_number, k, x.numel()).reshape(x.shape)[self.rows]
                x = x * torch.tensor((u > np.float32(value[0])) / (1 - value[0]), dtype=self.dtype)
            elif kind == "leaky_relu":
                x = F.leaky_relu(x, value[0])
            elif kind in ("relu", "tanh", "sigmoid"):
                x = getattr(torch, kind)(x)
            elif kind in ("maxpool", "avgpool"):
                x = (F.max_pool2d if kind == "maxpool" else F.avg_pool2d)(x, value[0])
            elif kind == "flatten":
                x = x.flatten(1)
            elif kind == "minibatch_stddev":
                x = minibatch_stddev(x, **(value[0] if value else {}))
            elif kind == "self_attention":
                weights = [self.t[f"{name}{part}"] for part in ("f.weight", "g.weight", "h.weight", "v.weight", "gamma")]
                x = self_attention(x, *weights, keys(layer).get("pool", 2))
            elif kind == "residual":
                for copy in range(layer[2].get("repeat", 1)):
                    body = self.run(layer[1], f"{name}{copy}.residual", x)
                    x = body + self.run(layer[2].get("skip", ()), f"{name}{copy}.skip", x)
            else:
                x = x.reshape(len(x), *value[0])
        return x

    def update(self, player, loss):
        self.optim[player].zero_grad()
        names = [n for n, t in self.t.items() if t.requires_grad and n[0] == player]
        for n, g in zip(names, torch.autograd.grad(loss, [self.t[n] for n in names], retain_graph=True)):
            self.t[n].grad = g
        self.optim[player].step()

    def items(self, j):
        """Which ones real batch number j of the step has."""
        n = self.r["batch"]
        return self.order.batch((self.step_number * self.r.get("d_steps", 1) + j) * n, n)[self.rows]

    def real(self, j):
        x = torch.tensor(self.images[self.items(j)]).to(self.dtype)
        return x / 127.5 - 1 if self.images.dtype == np.uint8 else x

    def average(self):
        if "ema" not in self.r:
            return
        w = 1 - 0.5 ** (self.r["batch"] * self.r.get("d_steps", 1) / self.r["ema"])
        for n, e in self.ema.items():
            new = self.t[n].detach()
            e.copy_(new) if "running" in n else e.add_(new - e, alpha=w)

    def values(self):
        """All tensors in float64, those of the moving average too."""
        out = {n: t.detach().double().numpy() for n, t in self.t.items()}
        if "ema" in self.r:
            out |= {self.averaged + "_ema" + n[1:]: t.double().numpy() for n, t in self.ema.items()}
        return out


class Gan(Run):
    def latent(self, k):
        n, size = self.r["batch"], self.r["latent"]
        z = spec.normal(self.seed, spec.LATENT, self.step_number, k, n * size).astype(np.float32).reshape(n, size)
        return torch.tensor(z[self.rows], dtype=self.dtype)

    def step(self):
        """One update of both players; yields (d_loss, g_loss) as the engine reports them."""
        r, bce = self.r, F.binary_cross_entropy_with_logits
        self.forwards = 0

        def loss(logits, target):
            return bce(logits, torch.full_like(logits, target))

        for j in range(r["d_steps"]):
            real, fake = self.real(j), self.forward("G", self.latent(j))
            d_real = loss(self.forward("D", real), 1 - r.get("smoothing", 0))
            if r["d_update"] == "separate":
                self.update("D", d_real)
                d_fake = loss(self.forward("D", fake.detach()), 0)
                self.update("D", d_fake)
            else:
                d_fake = loss(self.forward("D", fake.detach()), 0)
                self.update("D", d_real + d_fake)
        if r["latents"] == "fresh":
            fake = self.forward("G", self.latent(r["d_steps"]))
        g_loss = loss(self.forward("D", fake), 1)
        self.update("G", g_loss)
        self.average()
        self.step_number += 1
        return (d_real.item() + d_fake.item()) / 2, g_loss.item()


class Classifier(Run):
    """C alone. `data` is (images, labels)."""

    def __init__(self, recipe, start, data, seed, dtype, rows=None, steps=None):
        super().__init__(recipe, start, data[0], seed, dtype, rows)
        self.labels, self.steps = data[1], steps

    def noise(self, shape):
        """Normal numbers times a level, one an item, that is uniform up to the recipe's."""
        t, k, n = self.step_number, 4096 * self.forwards, self.r["batch"]
        level = spec.uniform(self.seed, spec.NOISE, t, k + 4094, n).reshape(n, *[1] * (len(shape) - 1))
        normal = spec.normal(self.seed, spec.NOISE, t, k + 4095, int(np.prod(shape))).reshape(shape)
        return torch.tensor((self.r["noise"] * level.astype(np.float64) * normal)[self.rows], dtype=self.dtype)

    def step(self):
        """One update; yields (loss, accuracy) as the engine reports them."""
        self.forwards, lr = 0, self.r["optim"]["lr"]
        if isinstance(lr, dict):
            part = 0.5 * (1 - np.cos(np.pi * self.step_number / self.steps))
            for group in self.optim["C"].param_groups:
                group["lr"] = lr["from"] + (lr["to"] - lr["from"]) * part
        x, label = self.real(0), torch.tensor(self.labels[self.items(0)].astype(np.int64))
        logits = self.forward("C", x + self.noise(x.shape))
        loss = F.cross_entropy(logits, label, label_smoothing=self.r.get("smoothing", 0))
        self.update("C", loss)
        self.average()
        self.step_number += 1
        return loss.item(), (logits.argmax(1) == label).double().mean().item()


def train(recipe, start, data, seed, steps, dtype, rows=None):
    run = Classifier(recipe, start, data, seed, dtype, rows, steps) if "C" in recipe else Gan(recipe, start, data, seed,
                                                                                              dtype, rows)
    losses = [run.step() for _ in range(steps)]
    return run.values(), np.array(losses)


def permute_hidden(recipe, values, generator):
    """The same network with its hidden units, or channels, in another order; yields it and the way back. Of plain chains
    of layers only: others stay as they are."""
    known = ("dense", "conv", "conv_transpose", "batchnorm", "relu", "leaky_relu", "tanh", "sigmoid", "flatten", "reshape",
             "maxpool", "avgpool")
    if any(layer[0] not in known for p in nets(recipe) for layer in recipe[p]):
        return values, dict
    undo, out = [], dict(values)

    def apply(name, axis, order):
        pixels = out[name].shape[axis] // len(order)  # of each channel, where a dense layer meets images
        order = (order[:, None] * pixels + np.arange(pixels)).ravel()
        out[name] = out[name].take(order, axis)
        undo.append((name, axis, np.argsort(order)))

    for player in nets(recipe):
        layers = recipe[player]
        products = [i for i, layer in enumerate(layers) if layer[0] in ("dense", "conv", "conv_transpose")]
        order = None
        for i, layer in enumerate(layers):
            name = f"{player}.{i}."
            if i in products:
                turned = layer[0] == "conv_transpose"  # [in, out, ...], the others [out, in, ...]
                if order is not None:
                    apply(name + "weight", 0 if turned else 1, order)
                order = None
                if i != products[-1]:
                    shaped = i + 1 < len(layers) and layers[i + 1][0] == "reshape"
                    units = layers[i + 1][1][0] if shaped else out[name + "weight"].shape[1 if turned else 0]
                    order = generator.permutation(units)
                    apply(name + "weight", 1 if turned else 0, order)
            if order is not None:
                for tensor in ("bias", "running_mean", "running_var") + (() if i in products else ("weight",)):
                    if name + tensor in out:
                        apply(name + tensor, 0, order)

    def back(result):
        result = dict(result)
        for name, axis, order in undo:
            result[name] = result[name].take(order, axis)
        return result

    return out, back


def errors(recipe, result, exact, start):
    """Per tensor ‖result − exact‖ / ‖exact − start‖; None where the tensor hardly moved (see exact.py)."""
    norm = np.linalg.norm
    moved = {n: norm(exact[n] - start[n]) for n in start}
    out = {}
    for n in start:
        median = np.median([m for other, m in moved.items() if other[0] == n[0] and "running" not in other])
        out[n] = norm(result[n] - exact[n]) / moved[n] if moved[n] >= 1e-3 * median else None
    return out
