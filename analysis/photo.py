"""One photo of a dataset run: encoded once, every object measured at every grid, as rows.

Masks at ground-truth boxes are decoded at all four grids and compared with the annotation once;
a policy then only picks among them, which gives what decoding under it would give. What the
detector found is decoded under its own policies for average precision; objects that it found are
measured at all grids too, at the detector's box.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import RIGHT, box_iou, classify
from analysis.metrics import Found, Truth, overlaps, rle_iou
from analysis.outline import outline
from analysis.rows import (
    Match,
    Row,
    Rows,
    box_columns,
    object_columns,
    per_grid,
    photo_columns,
    problem_row,
    truth_row,
    unmeasured,
    xywh,
)
from analysis.schema import TABLES
from dynamask.coco_read import decode_mask
from dynamask.config import GRIDS
from dynamask.metrics import boundary_width, mask_boundary, mask_iou

if TYPE_CHECKING:
    from analysis.clock import StageClock
    from analysis.measure import Item, Meter
    from dynamask.types import Scene, Selection

_PAIR = tuple(f"{prefix}{g}" for prefix in ("iou", "rim") for g in GRIDS)
MATCH_IOU = 0.5
"""Least IoU of a detection's box with an object's for the two to belong together."""
IDS_PER_PHOTO = 100_000
"""Detection ids of the k-th photo start at k times this."""


@dataclass(frozen=True)
class _Boxed:
    """Objects with boxes in a scene: rows of the scene, objects, and the switch's time each."""

    boxes: str
    scene: Scene
    rows: list[int]
    objects: list[int]
    switch_ms: float


class PhotoWork:
    """The work on one photo.

    Attributes:
        rows: of every table of analysis.schema but ``photos``.
        found: number of detections of classes of the set.
        encode_ms: time of backbone, FPN and detector.
    """

    def __init__(self, meter: Meter, item: Item, pixels: np.ndarray, clock: StageClock) -> None:
        self.meter, self.item, self.clock = meter, item, clock
        self.image, self.objects = item.image, item.annotations
        self.pixels = pixels
        self.size = (item.image.height, item.image.width)
        self.masks = [decode_mask(a, *self.size) for a in self.objects]
        self.distance = boundary_width(*self.size)
        self.rims = [mask_boundary(m, self.distance) for m in self.masks]
        self.outlines = [outline(m) for m in self.masks]
        self.matches: dict[int, Match] = {}
        self.rows: Rows = {table: [] for table in TABLES if table != "photos"}
        self.found, self.encode_ms = 0, 0.0

    def measure(self) -> None:
        """Fill ``rows``."""
        from dynamask.paste import encode_rle

        plan = self.meter.plan
        if not self.objects and not plan.detector_policies:
            return  # nothing is asked about this photo
        start = self.clock.now()
        if plan.detector_policies:
            scene = self.meter.encode(self.pixels, self.image.file_name)
        else:
            scene = self._with_boxes(None)
        self.encode_ms = (self.clock.now() - start - self.clock.switch) * 1e3
        switch_ms = self.clock.switch * 1e3 / max(1, len(scene))
        rles = [encode_rle(m) for m in self.masks]
        for annotation, name, rle in zip(self.objects, self._names(), rles, strict=True):
            row = truth_row(self.image, annotation, name, rle["counts"])
            self.rows["truths"].append(row)
        verdicts: dict[str, Mapping[int, str]] = {}
        given = scene
        if plan.detector_policies:
            scene = self._known_only(scene)
            self.found = len(scene)
            self.matches = self._match(scene)
            verdicts = {p: self._detections(scene, p, rles) for p in plan.detector_policies}
            if plan.detector_grids:
                self._pairs(scene, rles)
            given = self._with_boxes(scene)
        everyone = list(range(len(self.objects)))
        again = self.clock.switch * 1e3 / max(1, len(given)) if verdicts else switch_ms
        first = verdicts[plan.detector_policies[0]] if verdicts else {}
        self._objects(
            _Boxed("gt", given, everyone, everyone, again), dict.fromkeys(plan.policies, first)
        )
        found = sorted(self.matches)
        lines = [self.matches[k].row for k in found]
        self._objects(_Boxed("detector", scene, lines, found, switch_ms), verdicts)
        self._missed(verdicts)
        for annotation, shape in zip(self.objects, self.outlines, strict=True):
            if not shape.pixels:
                reason = "covers the centre of no pixel; kept, its mask IoU is 0"
                row = problem_row("annotation", annotation.id, self.image.id, "kept", reason)
                self.rows["problems"].append(row)

    # -- boxes -----------------------------------------------------------------------------

    def _with_boxes(self, scene: Scene | None) -> Scene:
        """The photo with the annotated boxes; only class-specific heads encode a second time."""
        import torch

        from dynamask.detectors import inside
        from dynamask.predictor import keep_objects

        predictor = self.meter.predictor
        boxes = inside(np.array([a.box_xyxy for a in self.objects], dtype=np.float32), self.size)
        labels = self.meter.labels(self.objects)
        self.clock.reset()
        if scene is None or (len(boxes) and not predictor.config.mask.class_agnostic):
            return predictor.encode(self.pixels, boxes, labels)
        bare = keep_objects(scene, torch.zeros(0, dtype=torch.int64))
        if not len(boxes):
            return bare
        added = predictor.add_boxes(bare, boxes)
        return dataclasses.replace(added, labels=torch.from_numpy(labels), box_source="given")

    def _known_only(self, scene: Scene) -> Scene:
        """The detections of classes that the set has, and that were checked on this photo."""
        import torch

        from dynamask.predictor import keep_objects

        verified = self.item.verified
        kept = []
        for row, label in enumerate(scene.labels.tolist()):
            category = self.meter.category(int(label))
            if category is not None and (verified is None or category[0] in verified):
                kept.append(row)
        return keep_objects(scene, torch.tensor(kept, dtype=torch.int64))

    def _match(self, scene: Scene) -> dict[int, Match]:
        """Object to its detection: by falling score, of the same class, by box IoU."""
        taken: dict[int, Match] = {}
        for row in np.argsort(-scene.scores.numpy(), kind="stable"):
            category = self.meter.category(int(scene.labels[row]))
            box = xywh(scene.boxes_xyxy_px[row].tolist())
            best, overlap = -1, MATCH_IOU
            for k, annotation in enumerate(self.objects):
                if annotation.crowd or k in taken or category is None:
                    continue
                if annotation.category_id != category[0]:
                    continue
                iou = box_iou(box, annotation.bbox)
                if iou >= overlap:
                    best, overlap = k, iou
            if best >= 0:
                score = float(scene.scores[row])
                taken[best] = Match(int(row), self._detection_id(int(row)), overlap, score)
        return taken

    def _detection_id(self, row: int) -> int:
        return self.item.position * IDS_PER_PHOTO + row

    # -- masks -----------------------------------------------------------------------------

    def _qualities(self, scene: Scene, truths: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(N, 4) float32 mask and boundary IoU of a scene's boxes against the objects named."""
        self.clock.reset()
        logits = self.meter.predictor.decode_all_grids(scene)
        from dynamask.paste import paste_mask

        iou = np.zeros((len(scene), len(GRIDS)), np.float32)
        biou = np.zeros_like(iou)
        for row, k in enumerate(truths):
            for column, grid in enumerate(GRIDS):
                box = scene.boxes_xyxy_px[row]
                mask = paste_mask(logits[grid][0][row], box, self.size)
                iou[row, column] = mask_iou(mask, self.masks[k])
                biou[row, column] = mask_iou(mask_boundary(mask, self.distance), self.rims[k])
        return iou, biou

    def _select(self, scene: Scene, policy: str, ious: np.ndarray | None) -> Selection:
        from dynamask.policies import RoIs, parse_policy, select

        predictor = self.meter.predictor
        rois = RoIs(
            probabilities=scene.probabilities.numpy(),
            boxes_xyxy_px=scene.boxes_xyxy_px.numpy(),
            level_shapes=predictor.model.level_shapes(scene.pyramid),
            cost=predictor.cost_table,
            ious=ious,
        )
        return select(parse_policy(policy, config=predictor.config), rois)

    def _detections(self, scene: Scene, policy: str, truth_rles: list[dict]) -> dict[int, str]:
        """Write the detections of one policy; annotation id to why nobody is right about it."""
        instances = self.meter.predictor.decode(scene, policy)
        founds: list[Found] = []
        rows: list[Row] = []
        for row in range(len(instances)):
            category_id, category = self.meter.category(int(scene.labels[row])) or (0, "")
            rle = instances.rle(row)
            score, box = float(scene.scores[row]), xywh(scene.boxes_xyxy_px[row].tolist())
            number = self._detection_id(row)
            founds.append(Found(number, self.image.id, category_id, score, _bytes(rle), box))
            rows.append(
                {
                    "detection_id": number,
                    "policy": policy,
                    **photo_columns(self.image),
                    "category_id": category_id,
                    "category": category,
                    "score": score,
                    **box_columns(box),
                    "rle": rle["counts"],
                    **per_grid("p", scene.probabilities[row].numpy()),
                    "grid": int(instances.selection.grids[row]),
                    "gmac": float(instances.selection.gmac[row]),
                }
            )
        truths = self._truths(truth_rles)
        verdicts = classify(overlaps(truths, founds, [self.image.id]))
        judged = {int(v.id): v for v in verdicts.detections.itertuples()}
        for row in rows:
            # beyond COCO's 100 of a photo and class nothing is judged
            verdict = judged.get(row["detection_id"])
            about = None if verdict is None or verdict.annotation_id < 0 else verdict.annotation_id
            row["annotation_id"] = None if about is None else int(about)
            row["mask_iou"] = None if about is None else float(verdict.iou)
            row["error"] = None if verdict is None else verdict.error
        self.rows["detections"] += rows
        named = verdicts.objects
        return dict(zip(named["annotation_id"].tolist(), named["error"].tolist(), strict=True))

    def _truths(self, rles: list[dict]) -> list[Truth]:
        return [
            Truth(a.id, self.image.id, a.category_id, _bytes(rle), a.area, a.bbox, a.crowd)
            for a, rle in zip(self.objects, rles, strict=True)
        ]

    def _pairs(self, scene: Scene, truth_rles: list[dict]) -> None:
        """Compare every detection with the photo's objects at all grids."""
        from dynamask.paste import encode_rle, paste_mask

        if not len(scene):
            return
        truths = self._truths(truth_rles)
        category = [(self.meter.category(int(label)) or (0, ""))[0] for label in scene.labels]
        logits = self.meter.predictor.decode_all_grids(scene)
        both: dict[tuple[int, int], dict[str, float | None]] = {}
        areas: list[Row] = [{"detection_id": self._detection_id(k)} for k in range(len(scene))]
        for g in GRIDS:
            founds = []
            for row in range(len(scene)):
                box = scene.boxes_xyxy_px[row]
                mask = paste_mask(logits[g][0][row], box, self.size)
                areas[row][f"area{g}"] = float(np.count_nonzero(mask))
                score, where = float(scene.scores[row]), xywh(box.tolist())
                number, rle = self._detection_id(row), _bytes(encode_rle(mask))
                founds.append(Found(number, self.image.id, category[row], score, rle, where))
            data = overlaps(truths, founds, [self.image.id])
            for prefix, cells in (("iou", data.masks), ("rim", data.boundaries)):
                for cell in cells:
                    for d, t in np.argwhere(cell.iou > 0):
                        key = (int(cell.found[d]), int(cell.truth[t]))
                        pair = both.setdefault(key, dict.fromkeys(_PAIR, 0.0))
                        pair[f"{prefix}{g}"] = float(cell.iou[d, t])
            self._confusions(g, founds, truths, both)
        wrong = {t.id: t.category_id for t in truths}
        kind = {self._detection_id(k): c for k, c in enumerate(category)}
        self.rows["areas"] += areas
        self.rows["pairs"] += [
            {"detection_id": d, "annotation_id": t, **values}
            for (d, t), values in sorted(both.items())
            if wrong[t] == kind[d] or max(values[f"iou{g}"] or 0.0 for g in GRIDS) >= RIGHT
        ]

    @staticmethod
    def _confusions(
        grid: int, founds: list[Found], truths: list[Truth], both: dict[tuple[int, int], dict]
    ) -> None:
        """Overlaps with objects of other classes, which tell a wrong name from a wrong place."""
        plain = [t for t in truths if not t.crowd]
        iou = rle_iou([d.rle for d in founds], [t.rle for t in plain], [False] * len(plain))
        for d, t in np.argwhere(iou > 0):
            if founds[d].category_id != plain[t].category_id:
                empty = {name: None if name.startswith("rim") else 0.0 for name in _PAIR}
                pair = both.setdefault((founds[d].id, plain[t].id), empty)
                pair[f"iou{grid}"] = float(iou[d, t])

    # -- rows ------------------------------------------------------------------------------

    def _objects(self, boxed: _Boxed, verdicts: Mapping[str, Mapping[int, str]]) -> None:
        """Write one row per object and policy; ``verdicts`` by policy, annotation id to error."""
        import torch

        from dynamask.predictor import keep_objects

        scene = boxed.scene
        if not boxed.rows or not verdicts:
            return
        part = keep_objects(scene, torch.tensor(boxed.rows, dtype=torch.int64))
        iou, biou = self._qualities(part, boxed.objects)
        decode_ms = [seconds * 1e3 / len(boxed.rows) for seconds in self.clock.to_grids()]
        best = iou.argmax(axis=1)  # the first of equals: the cheapest
        for policy, verdict in verdicts.items():
            # a policy looks at all boxes of the photo, as budgets hold for all of them
            chosen = self._select(scene, policy, iou if len(part) == len(scene) else None)
            for place, (row, k) in enumerate(zip(boxed.rows, boxed.objects, strict=True)):
                grid = int(chosen.grids[row])
                column = GRIDS.index(grid)
                self.rows["part"].append(
                    {
                        **self._columns(k, self.matches.get(k), verdict, boxed.boxes, policy),
                        **box_columns(xywh(scene.boxes_xyxy_px[row].tolist())),
                        **per_grid("p", scene.probabilities[row].tolist()),
                        "grid": grid,
                        "gmac": float(chosen.gmac[row]),
                        **per_grid("iou", iou[place]),
                        **per_grid("biou", biou[place]),
                        "oracle_grid": GRIDS[best[place]],
                        "iou": float(iou[place, column]),
                        "biou": float(biou[place, column]),
                        "regret": float(iou[place, best[place]] - iou[place, column]),
                        "switch_ms": boxed.switch_ms,
                        "decode_ms": decode_ms[column],
                    }
                )

    def _missed(self, verdicts: Mapping[str, Mapping[int, str]]) -> None:
        """Rows of the objects that no detection has; nothing is known about their masks."""
        for policy, verdict in verdicts.items():
            for k, annotation in enumerate(self.objects):
                if k not in self.matches and not annotation.crowd:
                    row = self._columns(k, None, verdict, "detector", policy)
                    self.rows["part"].append(
                        {**row, **box_columns(annotation.bbox), **unmeasured()}
                    )

    def _columns(
        self, k: int, match: Match | None, verdict: Mapping[int, str], boxes: str, policy: str
    ) -> Row:
        annotation = self.objects[k]
        name, error = self._names()[k], verdict.get(annotation.id)
        return {
            **object_columns(self.image, annotation, name, self.outlines[k], match, error),
            "boxes": boxes,
            "policy": policy,
            "encode_ms": self.encode_ms,
        }

    def _names(self) -> list[str]:
        return [self.meter.plan.category_names[a.label] for a in self.objects]


def _bytes(rle: Mapping[str, Any]) -> dict[str, Any]:
    return {"size": rle["size"], "counts": rle["counts"].encode()}
