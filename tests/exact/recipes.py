"""Recipes as plain dicts, with the keys of the files; a list of layers holds tuples, numbered as in the YAML, so that
tensors have the engine's names. A block is ("residual" or "concat", layers, more): `more` may hold repeat, and a residual
one's skip list.
"""
import numpy as np

ADAM = dict(name="adam", lr=2e-4, betas=(0.5, 0.999), eps=1e-8)
MLP = dict(
    latent=100,
    G=[("dense", 256), ("leaky_relu", 0.2), ("dense", 512), ("batchnorm",), ("leaky_relu", 0.2), ("dense", 784),
       ("tanh",), ("reshape", (1, 28, 28))],
    D=[("flatten",), ("dense", 512), ("leaky_relu", 0.2), ("dense", 1)],
    init="glorot_uniform", loss="bce", optim=ADAM, train=dict(batch=64, d_update="separate", latents="shared"))

HALF, SCALE = dict(kernel=4, stride=2, pad=1), dict(init=dict(name="normal", mean=1, std=0.02))
DCGAN = {**MLP, "init": dict(name="normal", std=0.02),
         "G": [("dense", dict(out=6272, bias=False)), ("reshape", (128, 7, 7)), ("batchnorm", SCALE), ("relu",),
               ("conv_transpose", dict(out=64, bias=False, **HALF)), ("batchnorm", SCALE), ("relu",),
               ("conv_transpose", dict(out=1, **HALF)), ("tanh",)],
         "D": [("conv", dict(out=64, **HALF)), ("leaky_relu", 0.2), ("conv", dict(out=128, bias=False, **HALF)),
               ("batchnorm", SCALE), ("leaky_relu", 0.2), ("flatten",), ("dense", 1)]}

PAIR = dict(kernel=3, pad=1, bias=False)
CLASSIFIER = dict(
    game="classifier",
    C=[("conv", dict(out=32, **PAIR)), ("batchnorm",), ("relu",), ("maxpool", 2),
       ("conv", dict(out=64, **PAIR)), ("batchnorm",), ("relu",), ("maxpool", 2),
       ("flatten",), ("dense", 128), ("relu",), ("dropout", 0.3), ("dense", 10)],
    init="torch", loss=dict(name="cross_entropy", label_smoothing=0.05),
    optim={**ADAM, "lr": {"from": 0.002, "to": 0, "curve": "cosine"}, "betas": (0.9, 0.99)},
    train=dict(batch=128, noise=0.4))


BLOCKS = ("residual", "concat")


def nets(recipe):
    """The names of its nets, in the engine's order."""
    return [n for n in "GDC" if n in recipe]


def layers(recipe, net):
    return recipe[net]["layers"] if isinstance(recipe[net], dict) else recipe[net]


def own(recipe, net, key):
    """A key that a net alone has."""
    return recipe[net].get(key) if isinstance(recipe[net], dict) else None


def of_net(recipe, net, key):
    """`init` or `optim` of a net: its own, or that of all."""
    own, common = recipe[net].get(key) if isinstance(recipe[net], dict) else None, recipe[key]
    both = isinstance(own, dict) and isinstance(common, dict) and own.get("name", common["name"]) == common["name"]
    return {**common, **own} if both else common if own is None else own


def choice(value, main="name"):
    """A row's keys; a plain value stands for the main one."""
    return value if isinstance(value, dict) else {main: value}


def training(recipe):
    """The section `train`, with what the game gan has for keys that are not there."""
    return dict(d_steps=1, d_update="joint", latents="shared", noise=0, top_k=None) | recipe["train"]


def smooth(recipe):
    """tanh for each leaky_relu and relu, avgpool for each maxpool."""
    def twin(layer):
        return ("tanh",) if "relu" in layer[0] else ("avgpool", *layer[1:]) if layer[0] == "maxpool" else layer

    return {**recipe, **{n: [twin(layer) for layer in layers(recipe, n)] for n in nets(recipe)}}


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
    if layer[0] == "auxiliary":
        of = ", ".join("{%s}" % layer_text(l) if len(l) > 1 else l[0] for l in layer[1])
        return f"auxiliary: [{of}]" + "".join(f", {k}: {flow(v)}" for k, v in layer[2].items())
    if layer[0] in BLOCKS:
        lists = [(layer[0], layer[1])] + [("skip", v) for k, v in layer[2].items() if k == "skip"]
        parts = [f"{name}: [" + ", ".join("{%s}" % layer_text(l) if len(l) > 1 else l[0] for l in of) + "]"
                 for name, of in lists]
        return ", ".join(parts + [f"repeat: {layer[2].get('repeat', 1)}"])
    return layer[0] + (f": {flow(layer[1])}" if len(layer) > 1 else "")


def to_yaml(recipe, data, steps, comment, seed=0):
    """The recipe as a file, for a run of so many steps."""
    lines = [f"# {comment}", "recipe: 1", f"data: {data}"]
    for key, value in recipe.items():
        if key not in nets(recipe):
            text = flow(value | dict(length=f"{steps} steps", seed=seed) if key == "train" else value)
            lines.append(f"{key}: {text}")
            continue
        own = {k: v for k, v in value.items() if k != "layers"} if isinstance(value, dict) else {}
        lines += [f"{key}:"] + ["  layers:"] * bool(own)
        lines += [("    - " if own else "  - ") + ("{%s}" if layer[0] in (*BLOCKS, "auxiliary") else "%s") % layer_text(layer)
                  for layer in layers(recipe, key)]
        lines += [f"  {k}: {flow(v)}" for k, v in own.items()]
    return "\n".join(lines) + "\n"


def permute_hidden(recipe, values, generator):
    """The same network with its hidden units, or channels, in another order; yields it and the way back. Of plain chains
    of layers only: others stay as they are."""
    known = ("dense", "conv", "conv_transpose", "batchnorm", "relu", "leaky_relu", "tanh", "sigmoid", "flatten", "reshape",
             "maxpool", "avgpool")
    if any(layer[0] not in known for p in nets(recipe) for layer in layers(recipe, p)):
        return values, dict
    undo, out = [], dict(values)

    def apply(name, axis, order):
        pixels = out[name].shape[axis] // len(order)  # of each channel, where a dense layer meets images
        order = (order[:, None] * pixels + np.arange(pixels)).ravel()
        out[name] = out[name].take(order, axis)
        undo.append((name, axis, np.argsort(order)))

    for player in nets(recipe):
        own = layers(recipe, player)
        products = [i for i, layer in enumerate(own) if layer[0] in ("dense", "conv", "conv_transpose")]
        order = None
        for i, layer in enumerate(own):
            name = f"{player}.{i}."
            if i in products:
                turned = layer[0] == "conv_transpose"  # [in, out, ...], the others [out, in, ...]
                if order is not None:
                    apply(name + "weight", 0 if turned else 1, order)
                order = None
                if i != products[-1]:
                    shaped = i + 1 < len(own) and own[i + 1][0] == "reshape"
                    units = own[i + 1][1][0] if shaped else out[name + "weight"].shape[1 if turned else 0]
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
