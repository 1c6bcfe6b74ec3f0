"""WebP: lossy and lossless, with alpha, moving, and held in all ways."""
import io

import numpy as np
from PIL import Image

import draw


def webp(image, **options):
    out = io.BytesIO()
    image.save(out, "WEBP", **options)
    return out.getvalue()


def pictures():
    smooth = draw.smooth(24, 37, 4)
    smooth[:8, :8, 3], smooth[10:, 20:, 3] = 0, 255
    rgb, rgba = Image.fromarray(smooth[..., :3].copy()), Image.fromarray(smooth)
    noise = draw.noise(7, 11, 4, 255).astype(np.uint8)
    yield "lossy.webp", 2, webp(rgb, quality=80), None
    yield "lossy-alpha.webp", 2, webp(rgba, quality=80), None
    yield "lossless.webp", 0, webp(Image.fromarray(noise[..., :3].copy()), lossless=True), None
    yield "lossless-alpha.webp", 0, webp(Image.fromarray(noise), lossless=True, exact=True), None
    yield "size-1x1.webp", 0, webp(Image.fromarray(noise[:1, :1]), lossless=True, exact=True), None
    oblong = Image.fromarray(noise[:3, :5, :3].copy())
    for o in range(1, 9):
        yield f"exif{o}.webp", 0, webp(oblong, lossless=True, exif=draw.exif(o, "<>"[o % 2], prefix=b"Exif\0\0")), None
    yield "xmp8.webp", 0, webp(oblong, lossless=True, xmp=draw.xmp(8)), None
    for name, data in draw.broken_exif().items():
        if data:
            yield f"broken-{name}.webp", 0, webp(oblong, lossless=True, exif=data), None
    frames = [Image.fromarray(np.roll(noise, k, axis=1)) for k in range(3)]
    yield "moving.webp", 0, webp(frames[0], save_all=True, append_images=frames[1:], lossless=True, exact=True), None
    still = [f.convert("RGB") for f in frames]
    yield "moving-rgb.webp", 0, webp(still[0], save_all=True, append_images=still[1:], lossless=True), None
