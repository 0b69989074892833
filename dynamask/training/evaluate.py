"""COCO metrics of a predictor, one row per policy.

Every photo is encoded once; each policy then only decodes. All AP values and IoUs are shares
from 0 to 1, as pycocotools gives them, at the photo's own size.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dynamask.coco_read import (
    CocoAnnotation,
    CocoImage,
    CocoSet,
    decode_mask,
    read_coco,
    read_photo,
)
from dynamask.config import GRIDS
from dynamask.detectors import encode_found
from dynamask.errors import DataError, PolicyError
from dynamask.metrics import boundary_width, mask_boundary, mask_iou
from dynamask.paste import paste_mask
from dynamask.policies import OraclePolicy, parse_policy
from dynamask.training.coco_ap import Detection, Scorer
from dynamask.training.tradeoff import interval, photo_weights
from dynamask.types import Instances, Scene, Selection, empty_boxes

if TYPE_CHECKING:
    from dynamask.detectors import Detector
    from dynamask.predictor import Predictor

MIN_BOX_PX = 1.01  # a little above the predictor's own limit, for float32 rounding
BOX_SOURCES = ("detector", "gt")


@dataclass
class _Tally:
    """What one policy has collected so far."""

    policy: str
    detections: list[Detection] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    boundary_ious: list[float] = field(default_factory=list)
    photos: list[int] = field(default_factory=list)  # of each IoU
    counts: dict[int, int] = field(default_factory=lambda: dict.fromkeys(GRIDS, 0))
    gmac: float = 0.0
    seconds: float = 0.0

    def add_selection(self, selection: Selection) -> None:
        self.gmac += selection.total_gmac
        for grid, count in selection.counts().items():
            self.counts[grid] += count


@dataclass
class _Truth:
    """Ground-truth objects of one photo, decoded; crowds apart."""

    objects: list[CocoAnnotation]
    masks: list[np.ndarray]
    boundaries: list[np.ndarray]
    width_px: int
    number: int


def evaluate(
    predictor: Predictor,
    coco_json: str | Path,
    images_dir: str | Path,
    policies: Sequence[str],
    boxes: str = "detector",
    progress: Callable[[int, int], None] | None = None,
    limit: int | None = None,
    *,
    detector: Detector | None = None,
) -> list[dict[str, Any]]:
    """Measure policies on a COCO set.

    ``AP*`` and ``boundary_AP`` match masks of the chosen boxes; with ``boxes='gt'`` every object
    has score 1.0, so they measure masks alone and are not comparable with a detector's. With
    ``boxes='detector'`` the cost, share and time are those of the detected objects;
    ``mean_iou`` and ``mean_boundary_iou`` always come from ground-truth boxes of objects that
    are no crowd. Budget policies hold on every photo by itself.

    Args:
        predictor: the model; its categories are matched with the set's by name.
        coco_json: annotations.
        images_dir: photos.
        policies: for example ``["msm", "fixed:28"]``; ``oracle`` needs ``boxes='gt'``.
        boxes: ``detector`` or ``gt``.
        progress: called with (photos done, photos in all).
        limit: only the first photos; None for all.
        detector: finds the boxes where ``boxes`` is ``detector``; None is the model's own.

    Returns:
        One dict per policy: ``policy``, ``boxes``, ``AP``, ``AP50``, ``AP75``, ``APS``, ``APM``,
        ``APL``, ``boundary_AP``, ``mean_iou``, ``mean_boundary_iou``, ``gmac_per_roi``,
        ``share`` (grid as text to share of objects), ``seconds_per_image`` (encode and decode,
        without pasting), ``images``, ``objects``; ``ci95`` of both IoUs, [low, high] of a
        bootstrap over photos; ``against_first``, the paired difference of both IoUs to the first
        policy's on the same objects, with its ``ci95``; with detector boxes also ``box_AP50``,
        ``box_AP50_person`` and ``box_AP50_per_class``. None stands where nothing could be
        measured (no such objects).

    Raises:
        DataError: a missing or malformed file, photos of another size, no shared category.
        PolicyError: an unknown policy, or ``oracle`` without ground-truth boxes.
    """
    if boxes not in BOX_SOURCES:
        raise DataError(f"Expected boxes 'detector' or 'gt', got {boxes!r}; choose one of these.")
    if not policies:
        raise PolicyError("Expected at least one policy, got none; name one, for example msm.")
    for spec in policies:
        parsed = parse_policy(spec, config=predictor.config)
        if isinstance(parsed, OraclePolicy) and boxes != "gt":
            raise PolicyError(
                "Expected ground-truth boxes for the policy 'oracle', got the detector's; "
                "use boxes 'gt'."
            )
    coco = read_coco(coco_json)
    images = coco.images if limit is None else coco.images[:limit]
    to_label, to_category = _match_categories(coco, predictor.categories, boxes)
    tallies = [_Tally(policy=spec) for spec in policies]
    for done, image in enumerate(images, start=1):
        pixels = read_photo(images_dir, image)
        truth = _truth(coco, image, done - 1)
        if boxes == "gt":
            _run_ground_truth(predictor, pixels, image, truth, to_label, tallies)
        else:
            _run_detector(predictor, pixels, image, truth, to_label, to_category, tallies, detector)
        if progress is not None:
            progress(done, len(images))
    objects = sum(not a.crowd for i in images for a in coco.by_image[i.id])
    scorer = Scorer(coco, images)
    # the detector's boxes do not depend on the policy
    extra = scorer.boxes(tallies[0].detections) if boxes == "detector" else {}
    return [
        {
            **_row(t, scorer, boxes, len(images)),
            **_intervals(t, tallies[0]),
            "objects": objects,
            **extra,
        }
        for t in tallies
    ]


def _match_categories(
    coco: CocoSet, categories: Sequence[str], boxes: str
) -> tuple[dict[int, int], dict[int, int]]:
    """Dataset label to model label, and model label to dataset category id, by name."""
    by_name = {name: i for i, name in enumerate(categories)}
    to_label, to_category = {}, {}
    for label, name in enumerate(coco.category_names):
        if name in by_name:
            to_label[label] = by_name[name]
            to_category[by_name[name]] = coco.category_ids[label]
    if not to_label and boxes == "detector":
        raise DataError(
            f"Expected categories that the model knows, got {coco.category_names[0]!r} and others "
            f"in {coco.path.name}; use boxes 'gt', or a set with shared names."
        )
    return to_label, to_category


def _truth(coco: CocoSet, image: CocoImage, number: int) -> _Truth:
    objects = [a for a in coco.by_image[image.id] if not a.crowd]
    masks = [decode_mask(a, image.height, image.width) for a in objects]
    d = boundary_width(image.height, image.width)
    return _Truth(objects, masks, [mask_boundary(m, d) for m in masks], d, number)


def _boxes_and_labels(
    truth: _Truth, to_label: dict[int, int], image: CocoImage
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 4) boxes inside the photo, at least MIN_BOX_PX wide and high, and (N,) model labels."""
    boxes = np.array([a.box_xyxy for a in truth.objects], dtype=np.float32).reshape(-1, 4)
    for axis, size in ((0, image.width), (1, image.height)):
        # COCO holds a few boxes thinner than a pixel, which the predictor refuses
        low = np.clip(boxes[:, axis], 0, max(0.0, size - MIN_BOX_PX))
        boxes[:, axis] = low
        boxes[:, axis + 2] = np.clip(boxes[:, axis + 2], low + MIN_BOX_PX, max(size, MIN_BOX_PX))
    labels = np.array([to_label.get(a.label, -1) for a in truth.objects], dtype=np.int64)
    return boxes, labels


def _run_ground_truth(
    predictor: Predictor,
    pixels: np.ndarray,
    image: CocoImage,
    truth: _Truth,
    to_label: dict[int, int],
    tallies: list[_Tally],
) -> None:
    given, labels = _boxes_and_labels(truth, to_label, image)
    started = time.perf_counter()
    scene = predictor.encode(pixels, given, labels)
    encoded = time.perf_counter() - started
    decoder = _Decoder(predictor, scene, truth)
    for tally in tallies:
        instances, seconds = decoder.decode(tally.policy)
        tally.seconds += encoded + seconds
        tally.add_selection(instances.selection)
        pasted = decoder.compare(tally, instances)
        for annotation, mask, box in zip(truth.objects, pasted, given, strict=True):
            tally.detections.append(
                Detection.of_mask(image.id, annotation.category_id, 1.0, mask, box)
            )


def _run_detector(
    predictor: Predictor,
    pixels: np.ndarray,
    image: CocoImage,
    truth: _Truth,
    to_label: dict[int, int],
    to_category: dict[int, int],
    tallies: list[_Tally],
    detector: Detector | None,
) -> None:
    started = time.perf_counter()
    scene = encode_found(predictor, pixels, detector, image.file_name)
    encoded = time.perf_counter() - started
    decoder = _Decoder(
        predictor, _with_boxes(predictor, scene, pixels, image, truth, to_label), truth
    )
    for tally in tallies:
        started = time.perf_counter()
        instances = predictor.decode(scene, tally.policy)
        tally.seconds += encoded + time.perf_counter() - started
        tally.add_selection(instances.selection)
        for i in range(len(instances)):
            category = to_category.get(int(instances.labels[i]))
            if category is not None:
                box = instances.boxes_xyxy_px[i].numpy()
                score = float(instances.scores[i])
                tally.detections.append(
                    Detection.of_mask(image.id, category, score, instances.paste(i), box)
                )
        if truth.objects:
            decoder.compare(tally, decoder.decode(tally.policy)[0])


def _with_boxes(
    predictor: Predictor,
    scene: Scene,
    pixels: np.ndarray,
    image: CocoImage,
    truth: _Truth,
    to_label: dict[int, int],
) -> Scene:
    """The same photo with ground-truth boxes in place of the detector's.

    Only class-specific mask heads, whose predictor cannot add boxes, pay a second encoding.
    """
    boxes, labels = _boxes_and_labels(truth, to_label, image)
    if len(boxes) and not predictor.config.mask.class_agnostic:
        return predictor.encode(pixels, boxes, labels)
    bare = dataclasses.replace(
        scene,
        boxes_xyxy_px=empty_boxes(),
        labels=torch.zeros(0, dtype=torch.int64),
        scores=torch.zeros(0),
        probabilities=torch.zeros((0, len(GRIDS))),
        box_source="given",
    )
    if not len(boxes):
        return bare
    added = predictor.add_boxes(bare, boxes)
    return dataclasses.replace(added, labels=torch.from_numpy(labels))


@dataclass
class _Decoder:
    """Decodes one photo's ground-truth boxes under several policies."""

    predictor: Predictor
    scene: Scene
    truth: _Truth

    def decode(self, policy: str) -> tuple[Instances, float]:
        """Instances in the order of the ground truth, and the seconds that decoding took."""
        started = time.perf_counter()
        parsed = parse_policy(policy, config=self.predictor.config)
        if isinstance(parsed, OraclePolicy):
            instances = self._oracle(parsed)
        else:
            instances = self.predictor.decode(self.scene, policy)
        return instances, time.perf_counter() - started

    def compare(self, tally: _Tally, instances: Instances) -> list[np.ndarray]:
        """Record both IoUs of every object; returns the pasted (H, W) masks."""
        pasted = [instances.paste(i) for i in range(len(instances))]
        truth = self.truth
        for mask, target, boundary in zip(pasted, truth.masks, truth.boundaries, strict=True):
            tally.photos.append(truth.number)
            tally.ious.append(mask_iou(mask, target))
            tally.boundary_ious.append(mask_iou(mask_boundary(mask, truth.width_px), boundary))
        return pasted

    def _oracle(self, policy: OraclePolicy) -> Instances:
        scene = self.scene
        logits = self.predictor.decode_all_grids(scene)
        ious = np.zeros((len(scene), len(GRIDS)))
        for i, target in enumerate(self.truth.masks):
            for k, grid in enumerate(GRIDS):
                box = scene.boxes_xyxy_px[i]
                mask = paste_mask(logits[grid][0][i], box, scene.image_size)
                ious[i, k] = mask_iou(mask, target)
        return self.predictor.decode(scene, policy, ious=ious)


def _intervals(tally: _Tally, first: _Tally) -> dict[str, Any]:
    """95 % intervals of the mean IoUs, and of their differences to the first policy's."""
    if not tally.ious:
        return {"ci95": None, "against_first": None}
    numbers = np.unique(np.array(tally.photos), return_inverse=True)[1]
    weights = photo_weights(int(numbers.max()) + 1)
    own = {"mean_iou": tally.ious, "mean_boundary_iou": tally.boundary_ious}
    base = {"mean_iou": first.ious, "mean_boundary_iou": first.boundary_ious}
    differences = {name: np.subtract(own[name], base[name]) for name in own}
    return {
        "ci95": {n: list(interval(np.array(v), numbers, weights)) for n, v in own.items()},
        "against_first": {
            "policy": first.policy,
            **{
                name: {
                    "difference": float(values.mean()),
                    "ci95": list(interval(values, numbers, weights)),
                }
                for name, values in differences.items()
            },
        },
    }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _row(tally: _Tally, scorer: Scorer, boxes: str, photos: int) -> dict[str, Any]:
    count = sum(tally.counts.values())
    return {
        "policy": tally.policy,
        "boxes": boxes,
        **scorer.masks(tally.detections),
        "mean_iou": _mean(tally.ious),
        "mean_boundary_iou": _mean(tally.boundary_ious),
        "gmac_per_roi": tally.gmac / count if count else 0.0,
        "share": {str(g): n / count if count else 0.0 for g, n in tally.counts.items()},
        "seconds_per_image": tally.seconds / photos if photos else None,
        "images": photos,
    }
