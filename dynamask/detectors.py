"""Boxes from elsewhere: torchvision's COCO detectors, a COCO results file, ground truth.

A detector turns a photo into boxes, class names and scores; our mask branch then masks what is in
each box. The bundled mask head knows no classes, so any detector of any classes will do.
"""

from __future__ import annotations

import json
import logging
import math
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
import torchvision
from torch import Tensor

from dynamask.convert import read_state
from dynamask.device import pick_device
from dynamask.errors import DataError, InputError, WeightsError

if TYPE_CHECKING:
    from dynamask.predictor import Predictor
    from dynamask.types import Scene

logger = logging.getLogger(__name__)

TORCHVISION = (
    "fasterrcnn_resnet50_fpn_v2",
    "maskrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
)
FORMS = "own, torchvision:NAME, coco:RESULTS.json or gt:ANNOTATIONS.json"
MIN_SIDE_PX = 1.01
MIN_SCORE = 0.05
NO_CLASS = "N/A"


@dataclass(frozen=True)
class Found:
    """What a detector found in one photo.

    Attributes:
        boxes: (N, 4) float32 xyxy in photo pixels, inside the photo.
        names: N class names; "" where the class is unknown.
        scores: (N,) float32 from 0 to 1.
    """

    boxes: np.ndarray
    names: tuple[str, ...]
    scores: np.ndarray


class Detector(Protocol):
    """Anything that finds boxes."""

    name: str

    def __call__(self, image: np.ndarray, file_name: str = "") -> Found:
        """Boxes of an (H, W, 3) uint8 RGB photo; ``file_name`` tells file-based ones which."""
        ...


def parse_detector(
    spec: str | None, weights: str | Path | None = None, *, device: str = "auto"
) -> Detector | None:
    """Read a detector as users write it.

    Args:
        spec: None or ``own`` for the model's own, ``torchvision:NAME``, ``coco:FILE`` (a COCO
            results list) or ``gt:FILE`` (COCO annotations: their boxes, score 1).
        weights: a local file with the weights of a torchvision detector; None lets torchvision
            take its own, downloading them on first use.
        device: where a torchvision detector runs.

    Returns:
        The detector; None for the model's own.

    Raises:
        InputError: no such detector; WeightsError, DataError: its file cannot be used.
    """
    kind, _, rest = (spec or "own").strip().partition(":")
    if weights is not None and kind != "torchvision":
        raise InputError(
            f"Expected --detector torchvision:NAME with --detector-weights, got {spec or 'own'}; "
            f"for example torchvision:{TORCHVISION[0]}."
        )
    if kind == "own" and not rest:
        return None
    if kind == "torchvision" and rest in TORCHVISION:
        return TorchvisionDetector(rest, weights, device=device)
    if kind == "coco" and rest:
        return ResultsDetector(Path(rest))
    if kind == "gt" and rest:
        return AnnotationsDetector(Path(rest))
    raise InputError(
        f"Expected a detector, {FORMS}, with NAME one of {', '.join(TORCHVISION)}; got {spec!r}."
    )


def encode_found(
    predictor: Predictor, image: np.ndarray, detector: Detector | None, file_name: str = ""
) -> Scene:
    """Encode a photo with the boxes of a detector; with the model's own where it is None.

    Classes are matched by name; one that the model does not know becomes -1, unknown.
    """
    if detector is None:
        return predictor.encode(image)
    found = detector(image, file_name)
    index = {name: i for i, name in enumerate(predictor.categories)}
    labels = np.array([index.get(n, -1) for n in found.names], dtype=np.int64)
    return predictor.encode(image, found.boxes, labels, scores=found.scores)


class TorchvisionDetector:
    """A COCO detector of torchvision.

    Args:
        name: one of TORCHVISION.
        weights: local file, or None for torchvision's own download.
        device: ``auto``, ``cpu``, ``cuda`` ...

    Raises:
        WeightsError: the file is missing, damaged or of another network, or the download failed.
    """

    def __init__(
        self, name: str, weights: str | Path | None = None, *, device: str = "auto"
    ) -> None:
        self.name = f"torchvision:{name}"
        self.device = pick_device(device)
        published = torchvision.models.get_model_weights(name).DEFAULT
        self.categories: tuple[str, ...] = tuple(published.meta["categories"])
        build = torchvision.models.get_model_builder(name)
        model = build(weights=None, weights_backbone=None, num_classes=len(self.categories))
        state = read_state(Path(weights)) if weights else _download(published, name)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(
                f"Expected the weights of {name}, got those of another network; give the file that "
                "torchvision publishes under this name."
            ) from error
        if published.name == "COCO_V1" and name in (
            "fasterrcnn_resnet50_fpn",
            "maskrcnn_resnet50_fpn",
        ):
            from dynamask.torchvision_convert import set_epsilon

            set_epsilon(model, 0.0)  # as torchvision does with these two files
        self.model = model.eval().to(self.device)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray, file_name: str = "") -> Found:
        """Find boxes; those of classes without a name are left out."""
        del file_name
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255
        (out,) = self.model([pixels.to(self.device)])
        boxes, scores = out["boxes"].cpu().numpy(), out["scores"].cpu().numpy()
        names = [self.categories[int(i)] for i in out["labels"].cpu()]
        kept = np.array(
            [n != NO_CLASS and s >= MIN_SCORE for n, s in zip(names, scores, strict=True)],
            dtype=bool,
        )
        boxes = inside(boxes[kept], image.shape[:2])
        named = tuple(n for n, k in zip(names, kept, strict=True) if k)
        return Found(boxes, named, scores[kept].astype(np.float32))


def _download(published: Any, name: str) -> dict[str, Tensor]:
    size = published.meta.get("_file_size")
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / published.url.rsplit("/", 1)[-1]
    if not file.is_file():
        logger.warning(
            "Downloading the weights of %s (%s) from %s to %s.",
            name,
            f"{size:.0f} MB" if size else "size unknown",
            published.url,
            file,
        )
    try:
        return published.get_state_dict(progress=True, check_hash=True)
    except (OSError, urllib.error.URLError, RuntimeError) as error:
        raise WeightsError(
            f"Expected to download the weights of {name} from {published.url}, got "
            f"{type(error).__name__} ({' '.join(str(error).split())[:120]}); fetch the file "
            "elsewhere and give it with --detector-weights."
        ) from error


class ResultsDetector:
    """Boxes from a COCO results list: ``[{image_id, category_id, bbox, score}, ...]``.

    A photo is found by ``file_name`` where the entries carry one, else by ``image_id``: the number
    in the photo's name, as COCO names its photos. Category ids are COCO's, unless an entry has a
    ``category`` name.

    Raises:
        DataError: the file is missing, or is no such list.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"coco:{path.name}"
        entries = _read_json(path)
        if not isinstance(entries, list):
            raise DataError(
                f"Expected a COCO results list in {path.name}, got {type(entries).__name__}; for "
                "an annotation file use gt:FILE."
            )
        self._by_photo: dict[str, list[tuple[list[float], str, float]]] = {}
        for number, entry in enumerate(entries):
            key, row = _result(entry, number, path.name)
            self._by_photo.setdefault(key, []).append(row)

    def __call__(self, image: np.ndarray, file_name: str = "") -> Found:
        """Boxes of the photo of this name; none where the file has none."""
        stem = Path(file_name).stem
        number = "".join(c for c in stem if c.isdigit())
        rows = self._by_photo.get(Path(file_name).name)
        if rows is None:
            rows = self._by_photo.get(str(int(number)) if number else "", [])
        return _found(rows, image.shape[:2])


class AnnotationsDetector:
    """Ground-truth boxes of a COCO annotation file, score 1, crowds left out.

    Raises:
        DataError: see :func:`dynamask.coco_read.read_coco`.
    """

    def __init__(self, path: Path) -> None:
        from dynamask.coco_read import read_coco

        self.name = f"gt:{path.name}"
        coco = read_coco(path)
        self._by_photo = {
            Path(image.file_name).name: [
                (list(a.bbox), coco.category_names[a.label], 1.0)
                for a in coco.by_image[image.id]
                if not a.crowd
            ]
            for image in coco.images
        }
        self._file = path.name

    def __call__(self, image: np.ndarray, file_name: str = "") -> Found:
        """Boxes of the photo of this name; DataError where the file does not have it."""
        name = Path(file_name).name
        if name not in self._by_photo:
            raise DataError(
                f"Expected {name or 'a photo with a name'} in {self._file}, found no such "
                "file_name; keep the photo's name as it is in the annotations."
            )
        return _found(self._by_photo[name], image.shape[:2])


def inside(boxes: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """(N, 4) boxes clipped to a photo of (height, width), at least a pixel wide and high."""
    boxes = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    for axis, size in ((0, image_size[1]), (1, image_size[0])):
        low = np.clip(boxes[:, axis], 0, max(0.0, size - MIN_SIDE_PX))
        high = np.clip(boxes[:, axis + 2], low + MIN_SIDE_PX, max(size, MIN_SIDE_PX))
        boxes[:, axis], boxes[:, axis + 2] = low, high
    return boxes


def _found(rows: list[tuple[list[float], str, float]], image_size: tuple[int, int]) -> Found:
    rows = sorted(rows, key=lambda row: -row[2])
    corners = [[x, y, x + w, y + h] for (x, y, w, h), _, _ in rows]
    return Found(
        inside(np.array(corners, dtype=np.float32), image_size),
        tuple(name for _, name, _ in rows),
        np.array([score for _, _, score in rows], dtype=np.float32),
    )


def _result(entry: Any, number: int, file: str) -> tuple[str, tuple[list[float], str, float]]:
    try:
        box = [float(v) for v in entry["bbox"]]
        score = float(entry["score"])
        known = entry.get("category")
        name = str(known) if known else _coco_names().get(int(entry["category_id"]), "")
        key = (
            Path(str(entry["file_name"])).name
            if "file_name" in entry
            else str(int(entry["image_id"]))
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"Expected image_id, category_id, bbox and score in entry {number} of {file}, got "
            f"{type(error).__name__} ({str(error)[:60]}); export COCO results again."
        ) from error
    usable = len(box) == 4 and all(map(math.isfinite, box)) and box[2] > 0 and box[3] > 0
    if not usable or not 0 <= score <= 1:
        raise DataError(
            f"Expected a box [x, y, w, h] with a size and a score from 0 to 1 in entry {number} of "
            f"{file}, got {box} and {score}; export COCO results again."
        )
    return key, (box, name, score)


def _coco_names() -> dict[int, str]:
    """COCO's category ids (1 to 90, with gaps) to names."""
    published = torchvision.models.detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1
    return {i: n for i, n in enumerate(published.meta["categories"]) if i and n != NO_CLASS}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"Expected a COCO results file, found none at {path}.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"Expected JSON in {path.name}, got a file that cannot be read ({error}); "
            "export it again."
        ) from error
