"""The colors of the page, and how people with any color vision see them."""

from pathlib import Path

from afnio_tellurio.backend import site

# As people with a color vision deficiency see colors: Machado, Oliveira, and Fernandes, 2009.
VISIONS = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.01182, 0.04294, 0.968881),
    ),
)
OKLAB = (
    ((0.41222147, 0.53633254, 0.05144599), (0.2119035, 0.6806995, 0.10739696),
     (0.08830246, 0.28171884, 0.6299787)),
    ((0.21045426, 0.79361779, -0.00407205), (1.9779985, -2.4285922, 0.4505937),
     (0.02590404, 0.78277177, -0.80867577)),
)  # fmt: skip


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def linear(color):
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def styles_of(name):
    return (Path(site.__file__).parent / "page" / name).read_text("utf-8")


def luminance(color):
    return times([(0.2126, 0.7152, 0.0722)], linear(color))[0]
