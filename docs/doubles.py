"""What leaving out likely doubles costs: `PYTHONPATH=. python docs/doubles.py ANN DIR [N]`.

Counts, over the first N photos (all without N), the objects that the page shows with *Show
everything found* switched off: how many are right (a ground-truth box of the class at an IoU of 0.5
or more, each taken once, the surest first), how many are not, for several limits of the overlap
within a class. Objects that lie in a crowd region of their class count neither way.
"""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
from pycocotools import mask as mask_api

from analysis.coco_io import read_dataset
from app import overrides, settings
from app.session import Ask
from dynamask.coco_read import read_photo
from dynamask.predictor import Predictor
from dynamask.types import Scene

LIMITS = (1.0, 0.5, 0.4, 0.3, 0.2)
MATCH = 0.5  # IoU


def judged(scene: Scene, rows: np.ndarray, truths: list, names: list[str]) -> tuple[int, int]:
    """(right, wrong) of the rows of a scene."""
    right = wrong = 0
    taken: set[int] = set()
    boxes = scene.boxes_xyxy_px.numpy().astype(np.float64)
    boxes = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    truth = np.array([t.bbox for t in truths], dtype=np.float64).reshape(-1, 4)
    crowd = [int(t.crowd) for t in truths]
    for row in sorted(rows.tolist(), key=lambda r: -float(scene.scores[r])):
        mine = np.array([names[t.label] == row_name(scene, row) for t in truths], dtype=bool)
        overlap = np.zeros(len(truths))
        if len(truths):
            overlap = np.asarray(mask_api.iou(boxes[row : row + 1], truth, crowd))[0] * mine
        free = [i for i in np.argsort(-overlap) if not crowd[i] and i not in taken]
        if free and overlap[free[0]] >= MATCH:
            taken.add(free[0])
            right += 1
        elif not any(crowd[i] and overlap[i] >= MATCH for i in range(len(truths))):
            wrong += 1
    return right, wrong


def row_name(scene: Scene, row: int) -> str:
    """Class of an object."""
    return PREDICTOR.categories[int(scene.labels[row])]


def main(annotations: str, folder: str, most: str = "0") -> None:
    """Print a line for each limit."""
    dataset = read_dataset(annotations, folder)
    coco = dataset.coco
    shown = overrides.shown_classes(PREDICTOR) or frozenset(PREDICTOR.categories)
    images = coco.images[: int(most) or None]
    counts = {limit: np.zeros(2, dtype=int) for limit in LIMITS}
    total = 0
    names = list(coco.category_names)
    for image in images:
        truths = [a for a in coco.by_image[image.id] if names[a.label] in shown]
        total += sum(not t.crowd for t in truths)
        scene = PREDICTOR.encode(read_photo(folder, image))
        scene = dataclasses.replace(scene, pyramid={})  # only its boxes are needed
        for limit in LIMITS:
            settings.MAX_OVERLAP = limit
            rows = overrides.kept_rows(scene, len(scene) + 1, Ask(everything=False), PREDICTOR)[0]
            counts[limit] += judged(scene, rows, truths, names)
    say = sys.stdout.write
    say(f"{len(images)} photos, {total} objects of the {len(shown)} classes shown\n")
    for limit, (right, wrong) in counts.items():
        said = right + wrong
        precision, recall = right / max(said, 1), right / max(total, 1)
        say(f"IoU {limit:g}: {right} right, {wrong} wrong, precision {precision:.3f}, ")
        say(f"recall {recall:.3f}, F1 {2 * right / max(said + total, 1):.3f}\n")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    PREDICTOR = Predictor.from_weights()
    main(*sys.argv[1:4])
