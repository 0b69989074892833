"""Write the example photos from files that installed packages ship; no network.

Run from the repository root: python assets/examples/make_examples.py [FOLDER]
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

MAX_BYTES = 120_000
MAX_SIDE = 640  # px; the bundled model's own long side


@dataclass(frozen=True)
class Example:
    name: str
    package: str
    inside: str  # path inside the package
    shows: str
    source: str
    licence: str
    crop: tuple[int, int, int, int] | None = None  # x1, y1, x2, y2 px of the source


EXAMPLES = (
    Example(
        "astronaut.jpg",
        "skimage",
        "data/astronaut.png",
        "Eileen Collins in a space suit, with a model of the Space Shuttle",
        "NASA Great Images database, https://flic.kr/p/r9qvLn",
        "public domain (scikit-image's docs: no known copyright restrictions)",
    ),
    Example(
        "chelsea.jpg",
        "skimage",
        "data/chelsea.png",
        "Chelsea the cat, close up (cut to the face)",
        "Stéfan van der Walt",
        "CC0 (stated in scikit-image's docs)",
        crop=(80, 0, 380, 300),  # beside the face the bundled model sees a person
    ),
    Example(
        "coffee.jpg",
        "skimage",
        "data/coffee.png",
        "A cup of espresso with a spoon on a table",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar",
        "CC0 (stated in scikit-image's docs)",
    ),
    Example(
        "camera.jpg",
        "skimage",
        "data/camera.png",
        "A photographer at a tripod, grey",
        "Lav Varshney",
        "CC0 (stated in scikit-image's docs)",
    ),
    Example(
        "rocket.jpg",
        "skimage",
        "data/rocket.jpg",
        "Launch of a Falcon 9 with DSCOVR",
        "SpaceX Photos, https://www.flickr.com/photos/spacexphotos/16511594820/",
        "public domain, released by SpaceX (stated in scikit-image's docs)",
    ),
    Example(
        "grace_hopper.jpg",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "Commodore Grace M. Hopper, official portrait, 1984",
        "U.S. Navy, http://commons.wikimedia.org/wiki/File:Grace_Hopper.jpg "
        "(named in the file itself)",
        "public domain as a work of the U.S. government (matplotlib pull request 1599)",
    ),
)


def jpeg(example: Example) -> bytes:
    """The photo as RGB JPEG without metadata, at the best quality that fits MAX_BYTES."""
    spec = importlib.util.find_spec(example.package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"Expected the package {example.package}; install requirements.txt.")
    with Image.open(Path(spec.origin).parent / example.inside) as source:
        photo = source.convert("RGB").crop(example.crop)
    photo.info.clear()  # or a comment of the source would be written again
    photo.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    for quality in range(92, 40, -4):
        out = io.BytesIO()
        photo.save(out, "JPEG", quality=quality, optimize=True)
        if out.tell() <= MAX_BYTES:
            return out.getvalue()
    raise SystemExit(f"Expected {example.name} to fit {MAX_BYTES} bytes; lower MAX_SIDE.")


def licences() -> str:
    """LICENSES.md: one row per photo."""
    lines = [
        "# The example photos",
        "",
        "Written by `python assets/examples/make_examples.py` from files inside installed",
        "packages: made smaller where the long side is above 640 px, saved as JPEG, metadata",
        "removed.",
        "",
        "| file | shows | package and file | source | licence |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {e.name} | {e.shows} | {e.package}: `{e.inside}` | {e.source} | {e.licence} |"
        for e in EXAMPLES
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for example in EXAMPLES:
        data = jpeg(example)
        (folder / example.name).write_bytes(data)
        print(f"{example.name}: {len(data)} bytes")
    (folder / "LICENSES.md").write_text(licences(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
