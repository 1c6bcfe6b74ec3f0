"""Writes layers.safetensors: single layers and their gradients to second order in PyTorch float64, for
tests/test_layers.c.

    python tests/golden/layers.py

Of case k there are, with metadata "layer.k" the layer as a recipe has it: k.x and k.v, the input and a direction; k.u, a
seed of y's shape; the parameters k.weight and k.bias, if any; k.y = layer(x); with L = Σ u·y the gradients k.d.x,
k.d.weight, k.d.bias; and of S = Σ v·dL/dx the gradients k.s.x, k.s.u, k.s.weight, k.s.bias. Needs torch, numpy and
safetensors.
"""
import os

import numpy as np
import torch
import torch.nn as nn
from safetensors.numpy import save_file

IMAGE = (3, 4, 3, 5)


class PixelNorm(nn.Module):
    """Karras et al. 2018: there is none in PyTorch."""

    def __init__(self, eps=1e-8):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return x / torch.sqrt((x * x).mean(1, keepdim=True) + self.eps)


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
]


def main():
    torch.manual_seed(5)
    tensors, meta = {}, {"cases": str(len(CASES))}
    for k, (text, layer, shape) in enumerate(CASES):
        layer = layer.double()
        x, v, u = (torch.randn(shape, dtype=torch.float64) for _ in range(3))
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
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.safetensors")
    save_file(tensors, path, meta)
    os.chmod(path, 0o644)
    print(f"{len(CASES)} layers, {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
