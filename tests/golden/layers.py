"""Writes layers.safetensors: single layers and their gradients to second order in PyTorch float64, for
tests/test_layers.c.

    python tests/golden/layers.py

Of case k there are, with metadata "layer.k" the layer as a recipe has it: k.x and k.v, the input and a direction; k.u, a
seed of y's shape; the parameters k.weight and k.bias, if any; k.y = layer(x); with L = Σ u·y the gradients k.d.x,
k.d.weight, k.d.bias; and of S = Σ v·dL/dx the gradients k.s.x, k.s.u, k.s.weight, k.s.bias. Needs torch, numpy and
safetensors.
"""
import os
import sys

import numpy as np
import torch
import torch.nn as nn
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "exact"))
import nets  # noqa: E402

IMAGE = (3, 4, 3, 5)
torch.manual_seed(5)  # of the convolutions below


class PixelNorm(nn.Module):
    """Karras et al. 2018: there is none in PyTorch."""

    def __init__(self, eps=1e-8):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return x / torch.sqrt((x * x).mean(1, keepdim=True) + self.eps)


class MinibatchStddev(nn.Module):
    def __init__(self, **keys):
        super().__init__()
        self.keys = keys

    def forward(self, x):
        return nets.minibatch_stddev(x, **self.keys)


class SelfAttention(nn.Module):
    def __init__(self, channels, pool):
        super().__init__()
        narrow, half, self.pool = channels // 8, channels // 2, pool
        for name, out, of in (("f", narrow, channels), ("g", narrow, channels), ("h", half, channels), ("v", channels, half)):
            self.add_module(name, nn.Conv2d(of, out, 1, bias=False))
        self.gamma = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, x):
        return nets.self_attention(x, self.f.weight, self.g.weight, self.h.weight, self.v.weight, self.gamma, self.pool)


class Residual(nn.Module):
    """Copies of body and skip, which have the engine's names."""

    def __init__(self, *copies):
        super().__init__()
        for k, (body, skip) in enumerate(copies):
            self.add_module(str(k), nn.ModuleDict({"residual": body, "skip": skip}))

    def forward(self, x):
        for block in self.children():
            x = block["residual"](x) + block["skip"](x)
        return x


class Concat(nn.Module):
    """Copies of a list, beside whose channels those of its input stay."""

    def __init__(self, *copies):
        super().__init__()
        for k, body in enumerate(copies):
            self.add_module(str(k), nn.ModuleDict({"concat": body}))

    def forward(self, x):
        for block in self.children():
            x = torch.cat([x, block["concat"](x)], 1)
        return x


def body():
    return nn.Sequential(nn.Tanh(), nn.Conv2d(4, 4, 3, padding=1))


class Pool(nn.Module):
    """All pixels of a channel as one number."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x, (2, 3))


class Filter(nn.Module):
    """upfirdn2d and its uses in StyleGAN2, whose taps are turned around where they are not symmetric."""

    def __init__(self, taps, up=(1, 1), down=(1, 1)):
        super().__init__()
        self.taps, self.up, self.down = taps, up, down

    def forward(self, x):
        return nets.upfirdn(x, self.taps, self.up, self.down)


CASES = [
    ("layernorm", nn.LayerNorm(IMAGE[1:]), IMAGE),
    ("layernorm: {eps: 0.01}", nn.LayerNorm(7, eps=0.01), (4, 7)),
    ("layernorm: {affine: false}", nn.LayerNorm(IMAGE[1:], elementwise_affine=False), IMAGE),
    ("instancenorm", nn.InstanceNorm2d(4), IMAGE),
    ("instancenorm: {affine: true, eps: 0.001}", nn.InstanceNorm2d(4, affine=True, eps=0.001), IMAGE),
    ("groupnorm: 2", nn.GroupNorm(2, 4), IMAGE),
    ("groupnorm: {groups: 1, eps: 0.001}", nn.GroupNorm(1, 4, eps=0.001), IMAGE),
    ("groupnorm: {groups: 2, affine: false}", nn.GroupNorm(2, 6, affine=False), (4, 6)),
    ("pixelnorm", PixelNorm(), IMAGE),
    ("pixelnorm: 0.01", PixelNorm(0.01), (4, 6)),
    ("silu", nn.SiLU(), IMAGE),
    ("gelu", nn.GELU(), IMAGE),
    ("gelu: tanh", nn.GELU(approximate="tanh"), IMAGE),
    ("prelu", nn.PReLU(), IMAGE),
    ("prelu: {channels: true}", nn.PReLU(4), IMAGE),
    ("minibatch_stddev", MinibatchStddev(), (8, 4, 3, 5)),
    ("minibatch_stddev: {group: 3, channels: 2}", MinibatchStddev(group=3, channels=2), (6, 4, 3, 5)),
    ("self_attention", SelfAttention(16, 2), (2, 16, 5, 6)),
    ("self_attention: 1", SelfAttention(16, 1), (2, 16, 3, 2)),
    ("{residual: [tanh, conv: {out: 4, pad: 1}], repeat: 2}", Residual(*[(body(), nn.Identity()) for _ in range(2)]), IMAGE),
    ("{residual: [{residual: [tanh, conv: {out: 4, pad: 1}]}, conv: {out: 3, kernel: 1}], skip: [conv: {out: 3, pad: 1}]}",
     Residual((nn.Sequential(Residual((body(), nn.Identity())), nn.Conv2d(4, 3, 1)),
               nn.Sequential(nn.Conv2d(4, 3, 3, padding=1)))), IMAGE),
    ("upsample: 2", nn.Upsample(scale_factor=2), IMAGE),
    ("upsample: {scale: [3, 2], mode: bilinear}", nn.Upsample(scale_factor=(3, 2), mode="bilinear"), IMAGE),
    ("upsample: {size: [7, 4]}", nn.Upsample((7, 4)), IMAGE),
    ("upsample: {size: [7, 4], mode: bilinear}", nn.Upsample((7, 4), mode="bilinear"), IMAGE),
    ("upsample: {size: [2, 9], mode: bilinear}", nn.Upsample((2, 9), mode="bilinear"), IMAGE),
    ("avgpool", nn.AvgPool2d(2), IMAGE),
    ("avgpool: {kernel: 3, stride: 2, pad: 1}", nn.AvgPool2d(3, 2, 1), IMAGE),
    ("avgpool: {kernel: [2, 3], stride: [3, 1], pad: [0, 2, 1, 1]}",
     nn.Sequential(nn.ZeroPad2d((2, 1, 0, 1)), nn.AvgPool2d((2, 3), (3, 1))), IMAGE),
    ("maxpool", nn.MaxPool2d(2), IMAGE),
    ("maxpool: {kernel: 3, stride: 2, pad: 1}", nn.MaxPool2d(3, 2, 1), IMAGE),
    ("maxpool: {kernel: [2, 3], stride: [1, 2], pad: [0, 2, 1, 1]}",
     nn.Sequential(nn.ConstantPad2d((2, 1, 0, 1), -torch.inf), nn.MaxPool2d((2, 3), (1, 2))), IMAGE),
    ("global_pool", Pool(torch.mean), IMAGE),
    ("global_pool: max", Pool(torch.amax), IMAGE),
    ("global_pool: sum", Pool(torch.sum), IMAGE),
    ("{concat: [conv: {out: 2, pad: 1}, tanh], repeat: 2}",
     Concat(*[nn.Sequential(nn.Conv2d(c, 2, 3, padding=1), nn.Tanh()) for c in (4, 6)]), IMAGE),
    ("{concat: [maxpool: 2, {concat: [tanh, conv: {out: 3, pad: 1}]}, upsample: {size: [3, 5]}]}",
     Concat(nn.Sequential(nn.MaxPool2d(2), Concat(nn.Sequential(nn.Tanh(), nn.Conv2d(4, 3, 3, padding=1))),
                          nn.Upsample((3, 5)))), IMAGE),
    ("concat: [dense: 3, silu]", Concat(nn.Sequential(nn.Linear(6, 3), nn.SiLU())), (4, 6)),
    ("upsample: {scale: 2, mode: fir}", Filter((1, 3, 3, 1), up=(2, 2)), IMAGE),
    ("upsample: {scale: [3, 1], mode: fir, taps: [1, 2, 5, -1, 2]}", Filter((1, 2, 5, -1, 2), up=(3, 1)), IMAGE),
    ("downsample", Filter((1, 3, 3, 1), down=(2, 2)), IMAGE),
    ("downsample: {scale: [1, 3], taps: [1, 2, 5]}", Filter((1, 2, 5), down=(1, 3)), IMAGE),
    ("blur", Filter((1, 3, 3, 1)), IMAGE),
    ("blur: [1, 2, 4]", Filter((1, 2, 4)), IMAGE),
    ("pad: 1", nn.ZeroPad2d(1), IMAGE),
    ("pad: [0, 2, 3, 1]", nn.ZeroPad2d((2, 1, 0, 3)), IMAGE),
    ("pad: {pad: [1, 3], mode: reflect}", nn.ReflectionPad2d((3, 3, 1, 1)), IMAGE),
    ("pad: {pad: [0, 1, 2, 4], mode: reflect}", nn.ReflectionPad2d((1, 4, 0, 2)), IMAGE),
]


def main():
    torch.manual_seed(5)
    tensors, meta = {}, {"cases": str(len(CASES))}
    for k, (text, layer, shape) in enumerate(CASES):
        layer = layer.double()
        x, v, u = (torch.randn(s, dtype=torch.float64) for s in (shape, shape, layer(torch.zeros(shape).double()).shape))
        own = {"x": x.requires_grad_(), "u": u.requires_grad_(), **dict(layer.named_parameters())}
        for name, p in layer.named_parameters():
            p.data += 0.3 * torch.randn_like(p)
        y = layer(x)
        first = {n: t for n, t in own.items() if n != "u"}
        d = dict(zip(first, torch.autograd.grad((u * y).sum(), first.values(), create_graph=True)))
        s = torch.autograd.grad((v * d["x"]).sum(), own.values(), allow_unused=True)
        out = {**own, "v": v, "y": y, **{f"d.{n}": t for n, t in d.items()},
               **{f"s.{n}": torch.zeros_like(own[n]) if t is None else t for n, t in zip(own, s)}}
        tensors |= {f"{k}.{n}": np.ascontiguousarray(t.detach().numpy()) for n, t in out.items()}
        meta[f"layer.{k}"] = text
    path = os.path.join(HERE, "layers.safetensors")
    save_file(tensors, path, meta)
    os.chmod(path, 0o644)
    print(f"{len(CASES)} layers, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
