"""Average precision through pycocotools, for masks, boundaries and boxes.

Only masks that this project decoded or checked itself reach pycocotools, and annotation ids are
given anew from 1: its matching takes id 0 for "no match".
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dynamask.coco_read import CocoImage, CocoSet, decode_mask
from dynamask.metrics import boundary_width, mask_boundary


@dataclass(frozen=True)
class Detection:
    """One predicted object: compressed RLE at photo size, xyxy box in photo pixels."""

    image_id: int
    category_id: int
    score: float
    rle: dict[str, Any]
    box: tuple[float, float, float, float]

    @classmethod
    def of_mask(
        cls, image_id: int, category_id: int, score: float, mask: np.ndarray, box: np.ndarray
    ) -> Detection:
        """Encode a (H, W) bool mask."""
        x1, y1, x2, y2 = (float(v) for v in box)
        return cls(image_id, category_id, score, _encode(mask), (x1, y1, x2, y2))


class BoundaryEval(COCOeval):
    """COCOeval whose overlap is min(mask IoU, boundary IoU), as in Cheng et al. 2021."""

    def computeIoU(self, imgId: int, catId: int) -> Any:
        """Return (detections by falling score, ground truths) overlaps, or an empty list."""
        ious = super().computeIoU(imgId, catId)
        if len(ious) == 0:
            return ious
        truths = self._gts[imgId, catId]
        found = self._dts[imgId, catId]
        order = np.argsort([-d["score"] for d in found], kind="mergesort")
        found = [found[i] for i in order[: self.params.maxDets[-1]]]
        bands = mask_api.iou(
            [_boundary_rle(d) for d in found],
            [_boundary_rle(g) for g in truths],
            [int(g["iscrowd"]) for g in truths],
        )
        return np.minimum(ious, bands)


class Scorer:
    """Scores detections on some photos of a set; the ground truth is encoded only once.

    Args:
        coco: the set.
        images: the photos that detections come from.
    """

    def __init__(self, coco: CocoSet, images: Sequence[CocoImage]) -> None:
        self._truth = _truth(coco, images)
        self._ids = dict(zip(coco.category_names, coco.category_ids, strict=True))

    def masks(self, detections: Sequence[Detection]) -> dict[str, float | None]:
        """Return AP, AP50, AP75, APS, APM, APL and boundary_AP in 0..1; None where undefined."""
        found = _found(self._truth, detections)
        stats = _stats(COCOeval, self._truth, found, "segm")
        names = ("AP", "AP50", "AP75", "APS", "APM", "APL")
        row = {name: _defined(value) for name, value in zip(names, stats, strict=False)}
        row["boundary_AP"] = _defined(_stats(BoundaryEval, self._truth, found, "segm")[0])
        return row

    def boxes(self, detections: Sequence[Detection]) -> dict[str, Any]:
        """How well boxes are found.

        Returns:
            ``box_AP50`` over all classes and ``box_AP50_person`` in 0..1, None where undefined;
            ``box_AP50_per_class``, class name to AP50, of the classes that have objects.
        """
        run = _evaluated(COCOeval, self._truth, _found(self._truth, detections), "bbox")
        # [IoU 0.5, every recall, class, all areas, most detections]; -1 where undefined
        precision = run.eval["precision"][0, :, :, 0, -1]
        name_of = {category: name for name, category in self._ids.items()}
        per_class = {
            name_of[category]: float(values.mean())
            for category, values in zip(run.params.catIds, precision.T, strict=True)
            if values.max() > -1
        }
        return {
            "box_AP50": _defined(run.stats[1]),
            "box_AP50_person": per_class.get("person"),
            "box_AP50_per_class": per_class,
        }


def _encode(mask: np.ndarray) -> dict[str, Any]:
    return mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))


def _boundary_rle(entry: dict[str, Any]) -> dict[str, Any]:
    # kept on the entry: each object is compared under every IoU threshold and area range
    if "boundary" not in entry:
        mask = mask_api.decode(entry["segmentation"])
        entry["boundary"] = _encode(mask_boundary(mask, boundary_width(*mask.shape)))
    return entry["boundary"]


def _truth(coco: CocoSet, images: Sequence[CocoImage]) -> COCO:
    annotations = []
    for image in images:
        for a in coco.by_image[image.id]:
            rle = _encode(decode_mask(a, image.height, image.width))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image.id,
                    "category_id": a.category_id,
                    "iscrowd": int(a.crowd),
                    "area": a.area,
                    "bbox": list(a.bbox),
                    "segmentation": rle,
                }
            )
    return _index(
        {
            "images": [{"id": i.id, "height": i.height, "width": i.width} for i in images],
            "categories": [{"id": c} for c in coco.category_ids],
            "annotations": annotations,
        }
    )


def _found(truth: COCO, detections: Sequence[Detection]) -> COCO:
    annotations = []
    for d in detections:
        x1, y1, x2, y2 = d.box
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": d.image_id,
                "category_id": d.category_id,
                "iscrowd": 0,
                "score": d.score,
                "area": float(mask_api.area(d.rle)),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "segmentation": d.rle,
            }
        )
    return _index({**truth.dataset, "annotations": annotations})


def _index(dataset: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco.createIndex()
    return coco


def _stats(kind: type[COCOeval], truth: COCO, found: COCO, what: str) -> np.ndarray:
    """The 12 numbers of COCO's summary; -1 where undefined."""
    return _evaluated(kind, truth, found, what).stats


def _evaluated(kind: type[COCOeval], truth: COCO, found: COCO, what: str) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        run = kind(truth, found, what)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


def _defined(value: float) -> float | None:
    return float(value) if value >= 0 else None
