#!/usr/bin/env python3
"""Makes tests/pictures/corpus.gz: pictures of all kinds, each with the pixels that duel must see in it.

    python3 tests/pictures/make.py [FOLDER]     FOLDER: the pictures as files too, to look at

The pixels are Pillow's, as it decodes them; transparency over white and 16 bits to 8 are exact fractions rounded once,
in NumPy, from the raw samples. Run by hand, with Pillow 13, NumPy, tifffile and imagecodecs, and with cjpeg and jpegtran of
libjpeg-turbo; tests/test_picture_corpus.c needs none of them.

The file, gzipped: for each picture a line "NAME HEIGHT WIDTH CHANNELS TOLERANCE BYTES", then those bytes, the pixels
[H,W,CHANNELS] over white, and the pixels [H,W,4] with alpha.
"""
import gzip
import io
import os
import sys

import numpy as np
from PIL import Image, ImageOps

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bmps
import gifs
import jpegs
import pngs
import pnms
import tiffs
import webps


def over_white(color, alpha, top):
    """Exact, rounded once: color and alpha of 0..top to 0..255."""
    color, alpha = color.astype(object), alpha.astype(object)[..., None]
    above, below = 255 * (color * alpha + top * (top - alpha)), top * top
    return ((2 * above + below) // (2 * below)).astype(np.uint8)


def to_bytes(samples, top):
    return ((2 * 255 * samples.astype(object) + top) // (2 * top)).astype(np.uint8)


def expected(samples, top):
    """From raw samples [H,W,1..4] to what is seen over white, and to RGBA."""
    n = samples.shape[2]
    color, alpha = (samples[..., :-1], samples[..., -1]) if n in (2, 4) else (samples, np.full(samples.shape[:2], top))
    flat = over_white(color, alpha, top)
    wide = np.repeat(color, 3, axis=2) if color.shape[2] == 1 else color
    return flat, to_bytes(np.concatenate([wide, alpha[..., None]], axis=2), top)


def by_pillow(data, name):
    """Raw samples and their largest value, as Pillow decodes them. Broken EXIF, where Pillow gives up, turns nothing."""
    image = Image.open(io.BytesIO(data))
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:
        assert name.startswith("broken-"), name
    transparent = "transparency" in image.info
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None], 65535
    if image.mode == "1":
        image = image.convert("L")
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode == "L" and transparent:
        image = image.convert("LA")
    elif image.mode in ("P", "PA", "RGB") and (transparent or image.mode == "PA"):
        image = image.convert("RGBA")
    elif image.mode in ("P", "CMYK", "YCbCr"):
        image = image.convert("RGB")
    assert image.mode in ("L", "LA", "RGB", "RGBA"), image.mode
    samples = np.asarray(image)
    return (samples[..., None] if samples.ndim == 2 else samples), 255


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    out, names = io.BytesIO(), set()
    for module in (pngs, jpegs, bmps, gifs, tiffs, webps, pnms):
        for name, tolerance, data, raw in module.pictures():
            assert name not in names, name
            names.add(name)
            samples, top = raw if raw else by_pillow(data, name)
            flat, rgba = expected(samples, top)
            h, w, c = flat.shape
            out.write(b"%s %d %d %d %d %d\n" % (name.encode(), h, w, c, tolerance, len(data)))
            out.write(data + flat.tobytes() + rgba.tobytes())
            if folder:
                with open(os.path.join(folder, name), "wb") as f:
                    f.write(data)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus.gz")
    with open(path, "wb") as f, gzip.GzipFile("", "wb", 9, f, 0) as z:
        z.write(out.getvalue())
    print(len(names), "pictures,", os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
