"""Colours of grids and classes, one truth for the picture, the page and the plots.

The four grid colours run from dark indigo to bright yellow: their order is still seen in grey, and
they were searched so that any two stay apart under protanopia, deuteranopia and tritanopia, plain
and as a 45 % fill over dark, middle and light photos (tests/unit/dynamask/test_palette.py). A dash
pattern for each grid repeats the message without colour.
"""

from __future__ import annotations

import colorsys

GRID_COLOURS: dict[int, str] = {
    14: "#482cc8",
    28: "#ec3d73",
    56: "#e5a053",
    112: "#f3ff00",
}
"""Grid to fill and outline colour."""

GRID_DASHES: dict[int, tuple[int, ...]] = {14: (2, 7), 28: (9, 7), 56: (24, 7), 112: ()}
"""Grid to outline dash pattern (on, off) in px of a 2 px line; empty is a full line."""

HALO_DARK = "#14161a"
HALO_LIGHT = "#ffffff"
"""Drawn beside a grid colour so that its outline is seen on any photo or page."""

FILL_ALPHA = 0.45
"""Opacity of a mask's fill over the photo."""

ONLY_FIRST = "#1a9dff"
ONLY_SECOND = "#ff5c00"
"""Pixels of one mask and not of the other, where two are compared: blue and orange stay apart
under every colour-vision deficiency."""

GOLDEN_RATIO = 0.618033988749895
CLASS_LIGHTNESS = (0.45, 0.62, 0.54)
CLASS_SATURATION = (0.75, 0.6, 0.9)
UNKNOWN_CLASS = "#8a8f98"


def rgb(colour: str) -> tuple[int, int, int]:
    """``#rrggbb`` -> (red, green, blue), each 0..255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def halo(colour: str) -> str:
    """Return the dark or the light helper colour, whichever contrasts more with ``colour``."""
    return max((HALO_DARK, HALO_LIGHT), key=lambda other: contrast(colour, other))


def contrast(first: str, second: str) -> float:
    """WCAG contrast ratio of two colours, 1 to 21."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def class_colour(index: int) -> str:
    """Colour of a class, the same in every session; grey for -1, the unknown class.

    Hues step by the golden ratio, so that neighbouring indices never look alike; lightness and
    saturation change with a period of three to tell apart hues that come close.
    """
    if index < 0:
        return UNKNOWN_CLASS
    hue = (0.58 + index * GOLDEN_RATIO) % 1.0
    channels = colorsys.hls_to_rgb(hue, CLASS_LIGHTNESS[index % 3], CLASS_SATURATION[index % 3])
    return "#" + "".join(f"{round(255 * c):02x}" for c in channels)


def _luminance(colour: str) -> float:
    linear = []
    for channel in rgb(colour):
        c = channel / 255
        linear.append(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
