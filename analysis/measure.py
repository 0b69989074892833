"""What a worker of a dataset run does: one model, photos in, rows out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.clock import StageClock
from analysis.photo import PhotoWork
from analysis.rows import Rows, photo_row, skipped_photo
from analysis.schema import TABLES
from dynamask.coco_read import CocoAnnotation, CocoImage, read_photo
from dynamask.errors import DynaMaskError

if TYPE_CHECKING:
    from dynamask.detectors import Detector
    from dynamask.predictor import Predictor
    from dynamask.types import Scene


@dataclass(frozen=True)
class Plan:
    """What every worker must know; small, and safe to send to another process.

    Attributes:
        images: folder of the photos.
        policies: at ground-truth boxes.
        detector_policies: at the detector's boxes; empty leaves the detector out.
        category_ids: of the set, by label.
        category_names: of the set, by label.
        weights: file; None is the bundled one.
        device: ``auto``, ``cpu``, ``cuda`` ...
        detector: as ``dynamask.detectors.parse_detector`` reads it.
        detector_weights: local file for a torchvision detector.
        detector_grids: compare every detection with the objects at all four grids.
    """

    images: str
    policies: tuple[str, ...]
    detector_policies: tuple[str, ...]
    category_ids: tuple[int, ...]
    category_names: tuple[str, ...]
    weights: str | None = None
    device: str = "auto"
    detector: str = "own"
    detector_weights: str | None = None
    detector_grids: bool = False


@dataclass(frozen=True)
class Item:
    """One photo to do.

    Attributes:
        position: its place in the set, from 0.
        image: its entry.
        annotations: its usable annotations, crowds included.
        verified: category ids whose presence or absence was checked on this photo, as LVIS has
            it; None where every class was.
    """

    position: int
    image: CocoImage
    annotations: tuple[CocoAnnotation, ...]
    verified: tuple[int, ...] | None = None


class Meter:
    """Measures photos with one model.

    Args:
        plan: what to do.
        predictor: a loaded model; loaded from the plan's weights where None.
        detector: a loaded detector that is not the model's own.
    """

    def __init__(
        self, plan: Plan, predictor: Predictor | None = None, detector: Detector | None = None
    ) -> None:
        if predictor is None:
            from dynamask.predictor import Predictor as Loaded

            predictor = Loaded.from_weights(plan.weights, device=plan.device)
        if detector is None and plan.detector_policies:
            from dynamask.detectors import parse_detector

            detector = parse_detector(plan.detector, plan.detector_weights, device=plan.device)
        self.plan, self.predictor, self._detector = plan, predictor, detector
        known = {name: i for i, name in enumerate(predictor.categories)}
        self._to_label = [known.get(name, -1) for name in plan.category_names]
        self._category_of = {
            label: (plan.category_ids[i], plan.category_names[i])
            for i, label in enumerate(self._to_label)
            if label >= 0
        }

    def __call__(self, item: Item) -> Rows:
        """Measure one photo.

        Returns:
            Rows of every table of analysis.schema. A photo that cannot be used is one row in
            ``photos`` and ``problems``.
        """
        started = time.perf_counter()
        rows: Rows = {table: [] for table in TABLES}
        try:
            pixels = read_photo(self.plan.images, item.image)
            with StageClock(self.predictor) as clock:
                photo = PhotoWork(self, item, pixels, clock)
                photo.measure()
        except DynaMaskError as error:
            return skipped_photo(item.image, str(error))
        rows |= photo.rows
        seconds = time.perf_counter() - started
        counts = (len(photo.objects), photo.found, photo.encode_ms)
        rows["photos"] = [photo_row(item.image, "done", *counts, seconds)]
        return rows

    def category(self, label: int) -> tuple[int, str] | None:
        """(category id, name) in the set of a class of the model; None where it has none."""
        return self._category_of.get(label)

    def labels(self, annotations: Sequence[CocoAnnotation]) -> np.ndarray:
        """(N,) int64 classes of the model, -1 where it does not know the annotation's."""
        return np.array([self._to_label[a.label] for a in annotations], dtype=np.int64)

    def encode(self, pixels: np.ndarray, file_name: str) -> Scene:
        """Encode with the detector's boxes."""
        from dynamask.detectors import encode_found

        return encode_found(self.predictor, pixels, self._detector, file_name)
