"""Training photos: three sources with different label coverage, mixed step by step.

Everything random is a function of (seed, step, place in the batch), so a run that resumes at
step k sees exactly the batches that it would have seen without the interruption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dynamask.coco_read import CocoAnnotation, CocoSet, decode_mask, read_coco, read_photo, read_rgb
from dynamask.config import DynaMaskConfig
from dynamask.errors import DataError
from dynamask.training.augment import AugmentConfig, Raw, augment, paste_objects
from dynamask.training.sampler import MixedSampler, SampleKey

__all__ = [
    "AugmentConfig",
    "CocoSource",
    "DataPaths",
    "MaskFolderSource",
    "MixedDataset",
    "MixedSampler",
    "SampleKey",
    "Source",
    "collate",
    "refuse_validation",
    "standard_sources",
    "worker_init",
]

FULL, PERSON_ONLY, MASKS_ONLY = "full", "person_only", "masks_only"
"""Label coverage: all classes; one person and nothing else; masks without classes or the rest."""

PAD_MULTIPLE = 32


@dataclass(frozen=True)
class DataPaths:
    """Where the training data lies below ``root`` (the project's own layout)."""

    root: Path

    @classmethod
    def default(cls) -> DataPaths:
        """``../shared/data`` relative to the project's root."""
        return cls(Path(__file__).resolve().parents[2] / ".." / "shared" / "data")

    @property
    def train(self) -> tuple[Path, Path]:
        """(annotation file, photo folder), every class labelled."""
        coco = self.root / "coco_mini"
        return coco / "instances_train.json", coco / "train"

    @property
    def person(self) -> tuple[Path, Path]:
        """(annotation file, photo folder), only the one person labelled."""
        coco = self.root / "coco_mini"
        return coco / "person_single.json", coco / "person_single"

    @property
    def validation(self) -> tuple[Path, Path]:
        """(annotation file, photo folder) for evaluation; the sources here refuse it."""
        coco = self.root / "coco_mini"
        return coco / "instances_val.json", coco / "val"

    @property
    def extra(self) -> Path:
        """Folder of sets with ``images`` and ``masks``."""
        return self.root / "masks_extra"


def refuse_validation(*paths: Path) -> None:
    """Raise DataError where a file or folder name, or its parent's, contains ``val``.

    House rule: nothing named val is ever trained on. Folders further up are the user's own.
    """
    for path in paths:
        for name in (path.name, path.parent.name):
            if "val" in name.lower():
                raise DataError(
                    f"Expected training data, got {path.name} in {path.parent.name}, named like "
                    "validation data; train on another set, or rename it if it is none."
                )


class Source(Protocol):
    """A set of photos that all have the same label coverage."""

    partial: str

    def __len__(self) -> int: ...

    def load(self, index: int) -> Raw:
        """Return one photo with its objects, in the photo's own pixels."""

    def image_id(self, index: int) -> int | str:
        """Return what the set calls this photo."""


class CocoSource:
    """Photos of a COCO file.

    Args:
        annotations: the JSON file.
        images: the photo folder.
        partial: ``full`` or ``person_only``.
        categories: class names in label order that the file must have; None accepts any.

    Raises:
        DataError: see :func:`dynamask.coco_read.read_coco`; a path named like validation data;
            other categories; no photo with an object.
    """

    def __init__(
        self,
        annotations: Path,
        images: Path,
        partial: str = FULL,
        categories: tuple[str, ...] | None = None,
    ) -> None:
        refuse_validation(Path(annotations), Path(images))
        self.partial = partial
        self.folder = Path(images)
        self.coco: CocoSet = read_coco(annotations)
        if categories is not None and self.coco.category_names != categories:
            raise DataError(
                f"Expected {len(categories)} categories as in the first set, got others in "
                f"{Path(annotations).name}; use sets with the same categories."
            )
        self.images = [
            i
            for i in self.coco.images
            if partial == FULL or any(not a.crowd for a in self.coco.by_image[i.id])
        ]
        if not self.images:
            raise DataError(
                f"Expected photos with objects in {Path(annotations).name}, got none; "
                "pass a set that has some."
            )

    def __len__(self) -> int:
        return len(self.images)

    def image_id(self, index: int) -> int:
        """COCO's image id."""
        return self.images[index].id

    def load(self, index: int) -> Raw:
        """Return one photo with its objects; crowds become ignored boxes."""
        image = self.images[index]
        pixels = read_photo(self.folder, image)
        boxes: list[tuple[float, ...]] = []
        labels, masks = [], []
        crowds: list[tuple[float, ...]] = []
        for annotation in self.coco.by_image[image.id]:
            if annotation.crowd:
                crowds.append(annotation.box_xyxy)
                continue
            mask = decode_mask(annotation, image.height, image.width)
            if not mask.any():  # an object thinner than a pixel still must not be a negative
                crowds.append(annotation.box_xyxy)
                continue
            boxes.append(_clip(annotation, image.width, image.height))
            labels.append(annotation.label)
            masks.append(mask.astype(np.uint8))
        return Raw(
            image=pixels,
            boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
            labels=np.array(labels, dtype=np.int64),
            masks=masks,
            ignore_boxes=np.array(crowds, dtype=np.float32).reshape(-1, 4),
        )


class MaskFolderSource:
    """Photos with PNG index masks: 0 background, 1..n objects, 255 unknown.

    Args:
        root: folder of sets, each with ``images`` and ``masks``. Sets whose name contains
            ``val`` are left out.
        sets: names of sets to use; None takes all.

    Raises:
        DataError: no such folder, no photo, a photo without its mask file, or a set that is
            asked for by name and is named like validation data.
    """

    partial = MASKS_ONLY

    def __init__(self, root: Path, sets: tuple[str, ...] | None = None) -> None:
        root = Path(root)
        if not root.is_dir():
            raise DataError(f"Expected a folder of mask sets at {root}, got none; check the path.")
        if sets is None:
            found = sorted(p.name for p in root.iterdir() if (p / "images").is_dir())
            sets = tuple(name for name in found if "val" not in name.lower())
        self.pairs: list[tuple[str, Path, Path]] = []
        for name in sets:
            refuse_validation(root / name)
            for photo in sorted((root / name / "images").glob("*.jpg")):
                mask = root / name / "masks" / f"{photo.stem}.png"
                if not mask.is_file():
                    raise DataError(
                        f"Expected a mask {mask.name} for photo {photo.name} of {name}, got none; "
                        "add it or remove the photo."
                    )
                self.pairs.append((name, photo, mask))
        if not self.pairs:
            raise DataError(f"Expected sets with images/*.jpg in {root}, got none; add some.")

    def __len__(self) -> int:
        return len(self.pairs)

    def image_id(self, index: int) -> str:
        """``set/stem``."""
        name, photo, _ = self.pairs[index]
        return f"{name}/{photo.stem}"

    def load(self, index: int) -> Raw:
        """Return one photo with one mask per object and the map of unknown pixels."""
        _, photo, mask_path = self.pairs[index]
        pixels = read_rgb(photo)
        indices = cv2.imread(str(mask_path), cv2.IMREAD_UNCHANGED)
        if indices is None or indices.ndim != 2 or indices.shape != pixels.shape[:2]:
            raise DataError(
                f"Expected one-channel mask {mask_path.name} of its photo's size "
                f"{pixels.shape[1]}x{pixels.shape[0]}, got another; export it again."
            )
        boxes, masks = [], []
        for value in np.unique(indices):
            if value in (0, 255):
                continue
            mask = (indices == value).astype(np.uint8)
            x, y, w, h = cv2.boundingRect(mask)
            boxes.append((x, y, x + w, y + h))
            masks.append(mask)
        return Raw(
            image=pixels,
            boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
            labels=np.full(len(masks), -1, dtype=np.int64),
            masks=masks,
            ignore=(indices == 255).astype(np.uint8),
        )


class MixedDataset(Dataset):
    """Map-style dataset over several sources, indexed by :class:`SampleKey`.

    A sample is a dict: ``image`` (3, H, W) float32 normalised; ``boxes`` (M, 4) float32 xyxy in
    network-input pixels; ``labels`` (M,) int64; ``masks`` (M, H, W) uint8; ``ignore`` (H, W)
    uint8; ``ignore_boxes`` (K, 4) float32; ``partial``; ``image_id``; ``source``.

    Args:
        sources: name to source.
        config: gives pixel mean and std (RGB, 0..255 scale).
        augmentation: how much photos are changed.
        seed: of the run.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        config: DynaMaskConfig,
        augmentation: AugmentConfig | None = None,
        seed: int = 0,
    ) -> None:
        self.sources = dict(sources)
        self.mean = np.array(config.pixel_mean, dtype=np.float32)
        self.std = np.array(config.pixel_std, dtype=np.float32)
        self.augmentation = augmentation or AugmentConfig((config.long_side,) * 2)
        self.seed = seed

    def __len__(self) -> int:
        return sum(len(s) for s in self.sources.values())

    def __getitem__(self, key: SampleKey) -> dict[str, Any]:
        key = SampleKey(*key)
        source = self.sources[key.source]
        config = self.augmentation
        # one long side per step: photos of one batch then need little padding
        side = config.draw_side(np.random.default_rng([self.seed, key.step]))
        generator = np.random.default_rng([self.seed, key.step, key.slot, key.index])
        raw = augment(source.load(key.index), config, generator, side)
        if generator.random() < config.copy_paste:
            other = int(generator.integers(len(source)))
            raw = paste_objects(
                raw, augment(source.load(other), config, generator, side), config, generator
            )
        return self._to_sample(raw, key, source)

    def _to_sample(self, raw: Raw, key: SampleKey, source: Source) -> dict[str, Any]:
        height, width = raw.image.shape[:2]
        pixels = (raw.image.astype(np.float32) - self.mean) / self.std
        masks = np.stack(raw.masks) if raw.masks else np.zeros((0, height, width), np.uint8)
        ignore = raw.ignore if raw.ignore is not None else np.zeros((height, width), np.uint8)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))),
            "boxes": torch.from_numpy(raw.boxes),
            "labels": torch.from_numpy(raw.labels),
            "masks": torch.from_numpy(masks),
            "ignore": torch.from_numpy(ignore),
            "ignore_boxes": torch.from_numpy(raw.ignore_boxes),
            "partial": source.partial,
            "image_id": source.image_id(key.index),
            "source": key.source,
        }


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Pad photos to one size.

    Returns:
        ``images`` (B, 3, H, W) float32, zero (the mean colour) right of and below each photo,
        H and W multiples of 32; ``sizes`` B tuples (h, w) of the photos inside; ``targets`` B
        dicts with the rest of each sample (masks at the photo's own network size, not padded).
    """
    sizes = [tuple(s["image"].shape[1:]) for s in samples]
    height, width = (-(-max(s[i] for s in sizes) // PAD_MULTIPLE) * PAD_MULTIPLE for i in (0, 1))
    images: Tensor = torch.zeros((len(samples), 3, height, width))
    for image, sample, (h, w) in zip(images, samples, sizes, strict=True):
        image[:, :h, :w] = sample["image"]
    targets = [{k: v for k, v in s.items() if k != "image"} for s in samples]
    return {"images": images, "sizes": sizes, "targets": targets}


def worker_init(worker_id: int) -> None:
    """One thread per DataLoader worker: several workers times several threads thrash."""
    del worker_id
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def standard_sources(paths: DataPaths) -> dict[str, Source]:
    """Return the project's sources: ``coco``, ``person``, and ``extra`` where it is there."""
    coco = CocoSource(*paths.train)
    sources: dict[str, Source] = {
        "coco": coco,
        "person": CocoSource(*paths.person, PERSON_ONLY, coco.coco.category_names),
    }
    if paths.extra.is_dir():
        sources["extra"] = MaskFolderSource(paths.extra)
    return sources


def _clip(annotation: CocoAnnotation, width: int, height: int) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = annotation.box_xyxy
    return (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
