"""Random changes to training samples; every draw comes from a generator that is passed in.

A raw sample is a :class:`Raw`: pixels and objects of one photo in the same pixel frame.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from dynamask.errors import InputError

_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # RGB weights of ITU-R BT.601


@dataclass(frozen=True)
class AugmentConfig:
    """How much photos are changed.

    Attributes:
        long_side: (low, high) of the photo's long side after resizing, in pixels; low == high
            fixes it.
        flip: probability of a horizontal flip.
        crop: probability of a random crop before resizing.
        crop_range: smallest and largest side of the crop as a share of the photo's side.
        keep_area: an object cut below this share of its area becomes an ignored box.
        brightness: the factor is drawn from 1 - value .. 1 + value; contrast and saturation too.
        contrast: see brightness.
        saturation: see brightness.
        copy_paste: probability that objects of a second photo of the same source are pasted.
        min_side: objects with a box side below this, in pixels after resizing, are ignored.
        short_sides: where given, the photo's short side becomes one of these and ``long_side[1]``
            only bounds the long one (the published schedules).
    """

    long_side: tuple[int, int] = (384, 640)
    flip: float = 0.5
    crop: float = 0.5
    crop_range: tuple[float, float] = (0.6, 1.0)
    keep_area: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.3
    copy_paste: float = 0.0
    min_side: float = 2.0
    short_sides: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 32 <= self.long_side[0] <= self.long_side[1]:
            raise InputError(
                f"Expected long_side as (low, high) with 32 <= low <= high, got {self.long_side}; "
                "give pixels such as (384, 640)."
            )
        if self.short_sides and min(self.short_sides) < 32:
            raise InputError(
                f"Expected short_sides of at least 32 pixels, got {self.short_sides}; "
                "give pixels such as (800,)."
            )
        if not 0 < self.crop_range[0] <= self.crop_range[1] <= 1:
            raise InputError(
                f"Expected crop_range within (0, 1], got {self.crop_range}; give shares of a side."
            )

    def draw_side(self, generator: np.random.Generator) -> int:
        """Draw the side that a photo is resized to: short where ``short_sides`` is given."""
        if self.short_sides:
            return self.short_sides[int(generator.integers(len(self.short_sides)))]
        return int(generator.integers(self.long_side[0], self.long_side[1] + 1))

    def scale(self, width: int, height: int, side: int) -> float:
        """Factor that brings a photo to a side of :meth:`draw_side`."""
        if self.short_sides:
            return min(side / min(width, height), self.long_side[1] / max(width, height))
        return side / max(width, height)


def no_augmentation(long_side: int) -> AugmentConfig:
    """Return a config that only resizes: for validation and for measuring."""
    return AugmentConfig((long_side, long_side), 0.0, 0.0, brightness=0, contrast=0, saturation=0)


@dataclass
class Raw:
    """One photo with its objects.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (M, 4) float32 xyxy in pixels of ``image``.
        labels: (M,) int64, -1 where the class is unknown.
        masks: M arrays (H, W) uint8 of 0 and 1.
        ignore_boxes: (K, 4) float32: crowds, and objects that were cut or became too small.
        ignore: (H, W) uint8, 1 where it is unknown what the pixel belongs to; None where all
            are known.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    masks: list[np.ndarray] = field(default_factory=list)
    ignore_boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    ignore: np.ndarray | None = None


def augment(
    raw: Raw,
    config: AugmentConfig,
    generator: np.random.Generator,
    long_side: int | None = None,
) -> Raw:
    """Crop, flip, resize and recolour one sample.

    Args:
        raw: the sample in the photo's own frame.
        config: how much to change.
        generator: source of every draw.
        long_side: target of ``draw_side`` in pixels; drawn from the config where None.

    Returns:
        A new sample in network-input pixels. Objects cut below ``keep_area`` or smaller than
        ``min_side`` have moved to ``ignore_boxes``.
    """
    height, width = raw.image.shape[:2]
    if long_side is None:
        long_side = config.draw_side(generator)
    window = (0, 0, width, height)
    if generator.random() < config.crop:
        window = _choose_window(raw, config, generator)
    flip = bool(generator.random() < config.flip)
    out = _transform(raw, window, flip, long_side, config)
    out.image = _recolour(out.image, config, generator)
    return out


def jitter_boxes(boxes: Tensor, generator: np.random.Generator, amount: float) -> Tensor:
    """Move each box side by up to ``amount`` of the box's own width or height.

    Mask RoIs at inference come from a detector, whose boxes are a little off, or from ground
    truth and careful hands, whose boxes are tight: the bound is drawn anew for every box, so
    that nearly exact boxes are common too.

    Args:
        boxes: (N, 4) float xyxy in pixels.
        generator: source of the draws.
        amount: largest bound as a share of the side, in [0, 0.5) so that no box turns over.

    Returns:
        (N, 4) float32; not clipped to the photo.
    """
    if not 0 <= amount < 0.5:
        raise InputError(f"Expected a jitter amount in [0, 0.5), got {amount}; try 0.1.")
    side = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    bound = amount * generator.random((len(boxes), 1))
    draw = torch.from_numpy(generator.uniform(-1, 1, tuple(boxes.shape)) * bound)
    return (boxes + side * draw.to(boxes)).to(torch.float32)


def paste_objects(
    base: Raw, other: Raw, config: AugmentConfig, generator: np.random.Generator
) -> Raw:
    """Copy a random half of ``other``'s objects onto ``base`` at the same place.

    Both are samples after :func:`augment`. Objects of ``base`` that end up covered move to
    ``ignore_boxes``.

    Returns:
        A new sample of ``base``'s size.
    """
    height, width = base.image.shape[:2]
    chosen = [i for i in range(len(other.masks)) if generator.random() < 0.5]
    h, w = min(height, other.image.shape[0]), min(width, other.image.shape[1])
    fresh, labels = [], []
    cover = np.zeros((height, width), np.uint8)
    for i in chosen:
        mask = np.zeros((height, width), np.uint8)
        mask[:h, :w] = other.masks[i][:h, :w]
        if mask.sum() >= config.keep_area * other.masks[i].sum():
            fresh.append(mask)
            labels.append(other.labels[i])
            cover |= mask
    if not fresh:
        return base
    image = base.image.copy()
    # a one-pixel soft rim, so that the cut itself is no cue
    alpha = cv2.GaussianBlur(cover.astype(np.float32), (3, 3), 0)[:h, :w, None]
    mixed = alpha * other.image[:h, :w] + (1 - alpha) * base.image[:h, :w]
    image[:h, :w] = np.rint(mixed).astype(np.uint8)
    ignore_boxes = list(base.ignore_boxes)
    boxes, masks, kept = [], [], []
    for box, mask, label in zip(base.boxes, base.masks, base.labels, strict=True):
        seen = mask & (1 - cover)
        if seen.sum() < config.keep_area * mask.sum():
            ignore_boxes.append(box)
            continue
        boxes.append(box if seen.sum() == mask.sum() else _tight_box(seen))
        masks.append(seen)
        kept.append(label)
    return Raw(
        image=image,
        boxes=_as_boxes(boxes + [_tight_box(m) for m in fresh]),
        labels=np.array(kept + labels, dtype=np.int64),
        masks=masks + fresh,
        ignore_boxes=_as_boxes(ignore_boxes),
        ignore=None if base.ignore is None else base.ignore & (1 - cover),
    )


def _as_boxes(boxes: list[np.ndarray]) -> np.ndarray:
    return np.array(boxes, dtype=np.float32).reshape(-1, 4)


def _tight_box(mask: np.ndarray) -> np.ndarray:
    """(4,) float32 xyxy around the pixels of a mask that has some."""
    x, y, w, h = cv2.boundingRect(np.ascontiguousarray(mask))
    return np.array([x, y, x + w, y + h], dtype=np.float32)


def _choose_window(
    raw: Raw, config: AugmentConfig, generator: np.random.Generator, tries: int = 5
) -> tuple[int, int, int, int]:
    """A window (x1, y1, x2, y2) in which some object stays; the whole photo otherwise."""
    height, width = raw.image.shape[:2]
    low, high = config.crop_range
    areas = [np.count_nonzero(mask) for mask in raw.masks]
    for _ in range(tries):
        w = max(1, round(width * generator.uniform(low, high)))
        h = max(1, round(height * generator.uniform(low, high)))
        x = int(generator.integers(0, width - w + 1))
        y = int(generator.integers(0, height - h + 1))
        if not raw.masks:
            return (x, y, x + w, y + h)
        for mask, area in zip(raw.masks, areas, strict=True):
            if np.count_nonzero(mask[y : y + h, x : x + w]) >= config.keep_area * area:
                return (x, y, x + w, y + h)
    return (0, 0, width, height)


def _transform(
    raw: Raw, window: tuple[int, int, int, int], flip: bool, long_side: int, config: AugmentConfig
) -> Raw:
    x1, y1, x2, y2 = window
    w, h = x2 - x1, y2 - y1
    scale = config.scale(w, h, long_side)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    # shrinking by linear interpolation skips pixels, and so aliases
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR

    def warp(array: np.ndarray) -> np.ndarray:
        array = np.ascontiguousarray(array[y1:y2, x1:x2])
        array = cv2.resize(array, size, interpolation=method)
        return cv2.flip(array, 1) if flip else array

    def warp_binary(mask: np.ndarray) -> np.ndarray:
        return (warp(mask * np.uint8(255)) >= 128).astype(np.uint8)

    def warp_boxes(boxes: np.ndarray) -> np.ndarray:
        boxes = boxes.reshape(-1, 4) - np.array([x1, y1, x1, y1], np.float32)
        boxes = boxes * np.array([size[0] / w, size[1] / h] * 2, np.float32)
        boxes = np.clip(boxes, 0, np.array(size * 2, np.float32))
        if flip:
            boxes = np.stack(
                [size[0] - boxes[:, 2], boxes[:, 1], size[0] - boxes[:, 0], boxes[:, 3]], axis=1
            )
        return boxes.astype(np.float32)

    boxes, masks, kept = [], [], []
    ignored = list(warp_boxes(raw.ignore_boxes))
    whole = (w, h) == (raw.image.shape[1], raw.image.shape[0])
    for i, box in enumerate(warp_boxes(raw.boxes)):
        if min(box[2] - box[0], box[3] - box[1]) <= 0:
            continue  # outside the window altogether
        total = 1 if whole else int(raw.masks[i].sum())
        inside = 1 if whole else int(raw.masks[i][y1:y2, x1:x2].sum())
        mask = warp_binary(raw.masks[i])
        if inside < total and mask.any():
            # the box of a cut object follows what is still seen of it
            tight = _tight_box(mask)
            box = np.concatenate(
                [np.maximum(box[:2], tight[:2] - 1), np.minimum(box[2:], tight[2:] + 1)]
            )
        small = min(box[2] - box[0], box[3] - box[1]) < config.min_side
        if inside < config.keep_area * total or small or not mask.any():
            ignored.append(box)
            continue
        boxes.append(box)
        masks.append(mask)
        kept.append(raw.labels[i])
    ignored = [b for b in ignored if min(b[2] - b[0], b[3] - b[1]) > 0]
    return dataclasses.replace(
        raw,
        image=warp(raw.image),
        boxes=_as_boxes(boxes),
        labels=np.array(kept, dtype=np.int64),
        masks=masks,
        ignore_boxes=_as_boxes(ignored),
        ignore=None if raw.ignore is None else warp_binary(raw.ignore),
    )


def _recolour(
    image: np.ndarray, config: AugmentConfig, generator: np.random.Generator
) -> np.ndarray:
    """Brightness, contrast and saturation as one 3x3 colour matrix; (H, W, 3) uint8 RGB."""
    # drawn even where switched off, so that one setting does not shift the other draws
    draw = generator.uniform(-1, 1, 3)
    if not (config.brightness or config.contrast or config.saturation):
        return image
    b, c, s = 1 + draw * np.array([config.brightness, config.contrast, config.saturation])
    grey = float(np.dot(image[::4, ::4].reshape(-1, 3).mean(0), _GREY))
    matrix = b * c * (s * np.eye(3) + (1 - s) * np.tile(_GREY, (3, 1)))
    offset = np.full((3, 1), b * (1 - c) * grey)
    return cv2.transform(image, np.hstack([matrix, offset]))  # saturates to 0..255
