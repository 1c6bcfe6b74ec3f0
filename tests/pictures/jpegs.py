"""JPEGs: gray, color and CMYK, of all samplings and codings, and held in all ways."""
import io
import shutil
import struct
import subprocess
import tempfile

from PIL import Image

import draw


def jpeg(v, mode=None, **options):
    out = io.BytesIO()
    Image.fromarray(v[..., 0] if v.shape[2] == 1 else v, mode).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def program(name, data, *options):
    assert shutil.which(name), f"{name} is needed"
    with tempfile.NamedTemporaryFile() as f:
        f.write(data)
        f.flush()
        return subprocess.run([name, *options, f.name], check=True, stdout=subprocess.PIPE).stdout


def ppm(v):
    return b"P6 %d %d 255\n" % (v.shape[1], v.shape[0]) + v.tobytes()


def segment(marker, data):
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def with_segment(data, *segments):
    return data[:2] + b"".join(segments) + data[2:]


def pictures():
    h, w = 21, 35
    gray, rgb, cmyk = draw.smooth(h, w, 1), draw.smooth(h, w, 3), draw.smooth(h, w, 4)
    yield "gray.jpg", 2, jpeg(gray), None
    yield "gray-progressive.jpg", 2, jpeg(gray, progressive=True), None
    for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1"):
        data = jpeg(rgb, subsampling=sampling)
        yield f"rgb-{sampling.replace(':', '')}.jpg", 2, data, None
    for sampling in ("1x2", "4x1", "2x2,1x2,2x1", "1x1,2x2,1x1"):
        data = program("cjpeg", ppm(rgb), "-quality", "90", "-sample", sampling)
        yield f"rgb-{sampling.replace(',', '-')}.jpg", 2, data, None
    yield "rgb-progressive.jpg", 2, jpeg(rgb, progressive=True), None
    yield "rgb-restart.jpg", 2, program("cjpeg", ppm(rgb), "-restart", "1"), None
    yield "rgb-colors.jpg", 2, program("cjpeg", ppm(rgb), "-rgb"), None
    yield "rgb-arithmetic.jpg", 2, program("jpegtran", jpeg(rgb), "-arithmetic"), None
    yield "rgb-arithmetic-progressive.jpg", 2, program("jpegtran", jpeg(rgb), "-arithmetic", "-progressive"), None
    yield "junk.jpg", 2, with_segment(jpeg(rgb), segment(0xFE, b"x"), b"junk", b"\xff\0", b"\xff\xff"), None
    yield "size-1x1.jpg", 2, jpeg(rgb[:1, :1]), None
    yield "size-1x40.jpg", 2, jpeg(draw.smooth(1, 40, 3)), None
    yield "cmyk.jpg", 2, jpeg(cmyk, "CMYK"), None
    yield "cmyk-progressive.jpg", 2, jpeg(cmyk, "CMYK", progressive=True), None
    adobe = jpeg(cmyk, "CMYK", subsampling=0)
    at = adobe.index(b"Adobe") + 11
    assert adobe[at] == 0
    yield "ycck.jpg", 2, adobe[:at] + b"\2" + adobe[at + 1:], None
    plain = jpeg(draw.smooth(5, 9, 1))
    for o in range(1, 9):
        order = "<" if o % 2 else ">"
        said = segment(0xE1, draw.exif(o, order, prefix=b"Exif\0\0"))
        yield f"exif{o}-gray.jpg", 2, with_segment(plain, said), None
        yield f"exif{o}-rgb.jpg", 2, with_segment(jpeg(rgb), said), None
    said = segment(0xE1, draw.exif(6, prefix=b"Exif\0\0"))
    yield "exif6-cmyk.jpg", 2, with_segment(jpeg(cmyk, "CMYK"), said), None
    more = [(0x10F, 3, 1, 7), (0x100, 4, 1, 99)]
    for name, options in (("long", {"kind": 4}), ("byte", {"kind": 1}), ("signed", {"kind": 8}), ("third", {"before": more})):
        said = draw.exif(8, prefix=b"Exif\0\0", **options)
        yield f"exif8-{name}.jpg", 2, with_segment(plain, segment(0xE1, said)), None
    xmp = b"http://ns.adobe.com/xap/1.0/\0"
    yield "xmp6.jpg", 2, with_segment(plain, segment(0xE1, xmp + draw.xmp(6))), None
    yield "xmp8-element.jpg", 2, with_segment(plain, segment(0xE1, xmp + draw.xmp(8, True))), None
    both = segment(0xE1, xmp + draw.xmp(6)), segment(0xE1, draw.exif(3, prefix=b"Exif\0\0"))
    yield "xmp6-exif3.jpg", 2, with_segment(plain, *both), None
    yield "exif3-xmp6.jpg", 2, with_segment(plain, *both[::-1]), None
    for name, data in draw.broken_exif().items():
        yield f"broken-{name}.jpg", 2, with_segment(plain, segment(0xE1, b"Exif\0\0" + data)), None
