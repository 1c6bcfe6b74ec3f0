"""What the pictures of the corpus show, and EXIF for them."""
import struct

import numpy as np


def noise(h, w, channels, top, seed=1):
    """Any values, the least and the largest among them."""
    v = np.random.default_rng(seed + 31 * h + w).integers(0, top + 1, (h, w, channels)).astype(np.uint32)
    v[0, 0], v[-1, -1] = 0, top
    return v


def smooth(h, w, channels):
    """A picture that JPEG is made for: uint8, different in every corner."""
    y, x = np.mgrid[0:h, 0:w]
    planes = [(40 + 150 * x // w + 30 * y // h), (200 - 120 * y // h), (20 + 90 * x // w + 90 * y // h), 30 + 60 * x // w]
    return np.stack(planes[:channels], axis=2).astype(np.uint8)


def exif(orientation, order="<", kind=3, count=1, before=(), prefix=b""):
    """A TIFF whose first directory says Orientation; `before`: other entries (tag, type, count, value)."""
    magic = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    entries = list(before) + [(0x112, kind, count, orientation)]
    body = struct.pack(order + "H", len(entries))
    for tag, t, n, value in entries:
        raw = {1: "B", 3: "H", 4: "I", 8: "h"}[t]
        body += struct.pack(order + "HHI", tag, t, n) + struct.pack(order + raw, value).ljust(4, b"\0")
    return prefix + magic + body + b"\0\0\0\0"


def xmp(orientation, element=False):
    says = f"<tiff:Orientation>{orientation}</tiff:Orientation>" if element else ""
    attribute = "" if element else f' tiff:Orientation="{orientation}"'
    return (f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
            f'{attribute}>{says}</rdf:Description></rdf:RDF></x:xmpmeta>').encode()


def broken_exif():
    """EXIF that makes no sense, by name."""
    good = exif(6)
    return {
        "empty": b"", "short": good[:7], "cut": good[:12], "no-order": b"XX" + good[2:], "version": b"II+\0" + good[4:],
        "far": b"II*\0" + struct.pack("<I", 0xFFFFFFF0) + good[8:], "behind": b"II*\0" + struct.pack("<I", len(good)) + good[8:],
        "many": good[:8] + b"\xff\xff" + good[10:], "zero": exif(0), "nine": exif(9), "large": exif(65535),
        "two": exif(6, count=2), "text": good[:12] + b"\2\0" + good[14:],
    }
