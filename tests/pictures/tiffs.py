"""TIFFs: gray, RGB, palettes and CMYK, of 1 to 16 bits, with alpha of all kinds, in strips and tiles, by all compressions."""
import io

import numpy as np
import tifffile
from PIL import Image

import draw


def tiff(v, big=False, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, v, byteorder=">" if big else "<", metadata=None, software=None, **options)
    return out.getvalue()


def by_pillow(image, compression, **options):
    out = io.BytesIO()
    image.save(out, "TIFF", compression=compression, **options)
    return out.getvalue()


def pictures():
    h, w = 9, 20
    u8 = lambda c, s=1: draw.noise(h, w, c, 255, s).astype(np.uint8)
    u16 = lambda c, s=1: draw.noise(h, w, c, 65535, s).astype(np.uint16)
    gray, rgb = u8(1)[..., 0], u8(3)
    for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_deflate", "zstd", "lzma"):
        yield f"rgb-{name}.tif", 0, by_pillow(Image.fromarray(rgb), name), None
    bits = Image.fromarray(gray > 100)
    for name in ("raw", "group3", "group4", "tiff_ccitt", "packbits"):
        yield f"bits-{name}.tif", 0, by_pillow(bits, name), None
    yield "gray.tiff", 0, by_pillow(Image.fromarray(gray), "raw"), None
    yield "palette.tif", 0, by_pillow(Image.fromarray(rgb).quantize(16), "tiff_lzw"), None
    smooth = Image.fromarray(draw.smooth(40, 48, 3))
    yield "jpeg.tif", 2, by_pillow(smooth, "jpeg"), None
    yield "jpeg-gray.tif", 2, by_pillow(smooth.convert("L"), "jpeg"), None
    yield "ycbcr.tif", 2, by_pillow(smooth.convert("YCbCr"), "raw"), None
    yield "cmyk.tif", 2, by_pillow(Image.fromarray(u8(4), "CMYK"), "tiff_lzw"), None
    for big in (False, True):
        end = "-big.tif" if big else ".tif"
        v = u16(1)
        yield f"gray16{end}", 0, tiff(v[..., 0], big), (v, 65535)
        yield f"rgb16{end}", 0, tiff(u16(3), big, photometric="rgb"), (u16(3), 65535)
        yield f"white0{end}", 0, tiff(gray, big, photometric="miniswhite"), None
        yield f"tiles{end}", 0, tiff(rgb, big, tile=(16, 16), photometric="rgb"), None
    yield "white0-16.tif", 0, tiff(u16(1)[..., 0], photometric="miniswhite"), (65535 - u16(1), 65535)
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    yield "planes.tif", 0, tiff(planes, photometric="rgb", planarconfig="separate"), (rgb, 255)
    yield "planes-tiles.tif", 0, tiff(planes, photometric="rgb", planarconfig="separate", tile=(16, 16)), (rgb, 255)
    yield "planes16.tif", 0, tiff(np.ascontiguousarray(u16(3).transpose(2, 0, 1)), photometric="rgb",
                                  planarconfig="separate", compression="lzw"), (u16(3), 65535)
    yield "strips.tif", 0, tiff(rgb, photometric="rgb", rowsperstrip=2, compression="deflate", predictor=True), None
    yield "strips16.tif", 0, tiff(u16(3), photometric="rgb", rowsperstrip=4, compression="lzw", predictor=True), (u16(3), 65535)
    yield "tiles16.tif", 0, tiff(u16(1)[..., 0], tile=(16, 32), compression="deflate"), (u16(1), 65535)
    yield "bigtiff.tif", 0, tiff(rgb, photometric="rgb", bigtiff=True), None
    yield "pages.tif", 0, tiff(np.stack([gray, gray[::-1]])), (gray[..., None], 255)
    for name in ("unassalpha", "assocalpha", "unspecified"):
        four, deep, two = u8(4, 2), u16(4, 2), u8(2, 2)
        if name == "assocalpha":
            four[..., :3] = four[..., :3] * (four[..., 3:] / 255.0)
            deep[..., :3] = deep[..., :3] * (deep[..., 3:] / 65535.0)
            two[..., :1] = two[..., :1] * (two[..., 1:] / 255.0)
        yield f"rgb-{name}.tif", 0, tiff(four, photometric="rgb", extrasamples=[name]), None
        raw = {"unassalpha": deep, "unspecified": deep[..., :3], "assocalpha": straight(deep)}[name]
        yield f"rgb16-{name}.tif", 0, tiff(deep, photometric="rgb", extrasamples=[name]), (raw, 65535)
        yield f"gray-{name}.tif", 0, tiff(two, photometric="minisblack", planarconfig="contig", extrasamples=[name]), None
    for bits in (2, 4):
        v = draw.noise(h, w, 1, 2**bits - 1)
        data = tiff(v[..., 0].astype(np.uint8), bitspersample=bits)
        yield f"gray{bits}.tif", 0, data, (v, 2**bits - 1)
    v = draw.noise(h, w, 1, 4095)
    yield "gray12.tif", 0, tiff(v[..., 0].astype(np.uint16), bitspersample=12), (v, 4095)
    oblong = rgb[:3, :5]
    for o in range(1, 9):
        yield f"held{o}.tif", 0, tiff(oblong, photometric="rgb", extratags=[(274, 3, 1, o, True)]), None
    yield "held6-16.tif", 0, tiff(u16(3), photometric="rgb", extratags=[(274, 3, 1, 6, True)]), (np.rot90(u16(3), -1), 65535)
    yield "held9.tif", 0, tiff(oblong, photometric="rgb", extratags=[(274, 3, 1, 9, True)]), None


def straight(deep):
    """As numbers, exact in the end: what alpha hides is nothing."""
    color, alpha = deep[..., :3].astype(np.uint64), deep[..., 3:].astype(np.uint64)
    return np.concatenate([np.where(alpha == 0, 0, (color * 65535 + alpha // 2) // np.maximum(alpha, 1)), alpha], axis=2)
