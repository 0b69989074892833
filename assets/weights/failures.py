"""Draw the objects that the bundled weights mask worst, as silhouettes, and count failures.

    PYTHONPATH=. python assets/weights/failures.py ANNOTATIONS PHOTOS

No pixel of a photo is drawn, only masks: the photos are not ours to show. Writes failures.png and
failures.json beside this file.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from dynamask import Predictor
from dynamask.coco_read import decode_mask, read_coco, read_photo
from dynamask.metrics import mask_iou

HERE = Path(__file__).resolve().parent
SHOWN = 16
LOW = 0.5
BINS = (
    ("small, below 32² px", 0, 32**2),
    ("medium", 32**2, 96**2),
    ("large, above 96² px", 96**2, 1e12),
)
TRUTH, FOUND = np.array([0.0, 0.45, 0.70]), np.array([0.90, 0.60, 0.0])  # Okabe and Ito's pair


@dataclass(frozen=True)
class Masked:
    """One object: its class, grid, IoU and both masks cut to the box with a margin."""

    name: str
    grid: int
    iou: float
    area: int
    truth: np.ndarray
    found: np.ndarray


def measure(annotations: Path, photos: Path) -> list[Masked]:
    """Every object of the set under the switch's own choice, at ground-truth boxes."""
    predictor = Predictor.from_weights(device="cpu")
    coco = read_coco(annotations)
    out = []
    for image in coco.images:
        objects = [a for a in coco.by_image[image.id] if not a.crowd]
        boxes = np.array([a.box_xyxy for a in objects], dtype=np.float32).reshape(-1, 4)
        kept = (boxes[:, 2:] - boxes[:, :2] >= 2).all(axis=1)
        if not kept.any():
            continue
        instances = predictor.predict(read_photo(photos, image), boxes=boxes[kept])
        chosen = [a for a, k in zip(objects, kept, strict=True) if k]
        for i, annotation in enumerate(chosen):
            truth = decode_mask(annotation, image.height, image.width)
            found = instances.paste(i)
            x1, y1, x2, y2 = annotation.box_xyxy
            margin = 0.08 * max(x2 - x1, y2 - y1) + 2
            window = (
                slice(max(0, int(y1 - margin)), int(y2 + margin) + 1),
                slice(max(0, int(x1 - margin)), int(x2 + margin) + 1),
            )
            out.append(
                Masked(
                    coco.category_names[annotation.label],
                    int(instances.selection.grids[i]),
                    float(mask_iou(truth, found)),
                    int(truth.sum()),
                    truth[window],
                    found[window],
                )
            )
    return out


def panel(item: Masked) -> np.ndarray:
    """(h, w, 3): the truth alone blue, the mask alone orange, both grey."""
    picture = np.ones((*item.truth.shape, 3))
    picture[item.truth] = TRUTH
    picture[item.found] = FOUND
    picture[item.truth & item.found] = 0.75
    return picture


def worst(items: list[Masked], count: int) -> list[Masked]:
    """The lowest IoUs, at most two of a class and none smaller than a thumbnail shows."""
    chosen: list[Masked] = []
    for item in sorted(items, key=lambda m: m.iou):
        if item.area >= 24**2 and sum(c.name == item.name for c in chosen) < 2:
            chosen.append(item)
        if len(chosen) == count:
            break
    return chosen


def main(annotations: str, photos: str) -> None:
    """Measure, count, draw."""
    items = measure(Path(annotations), Path(photos))
    facts = {
        "objects": len(items),
        "low": LOW,
        "failed": {
            name: {
                "objects": sum(low <= m.area < high for m in items),
                "below": sum(low <= m.area < high and m.iou < LOW for m in items),
            }
            for name, low, high in BINS
        },
        "classes": sorted(
            (
                {"class": name, "objects": len(v), "mean_iou": round(float(np.mean(v)), 3)}
                for name in {m.name for m in items}
                if len(v := [m.iou for m in items if m.name == name]) >= 8
            ),
            key=lambda row: row["mean_iou"],
        )[:8],
    }
    (HERE / "failures.json").write_text(json.dumps(facts, indent=1) + "\n")
    shown = worst(items, SHOWN)
    figure, axes = plt.subplots(4, 4, figsize=(9, 9.4))
    for axis in axes.flat:
        axis.axis("off")
    for axis, item in zip(axes.flat, shown, strict=False):
        axis.imshow(panel(item), interpolation="nearest")
        axis.set_title(f"{item.name}, grid {item.grid}, IoU {item.iou:.2f}", fontsize=9)
    figure.suptitle(
        "Worst masks at ground-truth boxes: blue missed, orange too much, grey right", fontsize=11
    )
    figure.tight_layout()
    figure.savefig(HERE / "failures.png", dpi=90)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
