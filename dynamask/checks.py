"""What the predictor accepts: photos as arrays, boxes inside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dynamask.errors import InputError

MIN_BOX_PX = 1.0
SLACK_PX = 1e-3  # float32 corners that are a pixel apart may come out a little less


def check_boxes(
    boxes: np.ndarray | Tensor | Sequence[Sequence[float]], image_size: tuple[int, ...]
) -> Tensor:
    """Return boxes as (N, 4) float32 xyxy clipped to the photo.

    Raises:
        InputError: not N rows of four finite numbers, a corner order that is no box, or a box
            that lies outside the photo.
    """
    height, width = image_size[:2]
    try:
        tensor = torch.as_tensor(np.asarray(boxes, dtype=np.float32)).reshape(-1, 4)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            "Expected boxes as rows of four numbers x1, y1, x2, y2, got something else; "
            "give pixels of the photo."
        ) from error
    if not torch.isfinite(tensor).all():
        raise InputError("Expected finite box corners, got NaN or infinity; give pixels.")
    clipped = tensor.clone()
    clipped[:, 0::2] = clipped[:, 0::2].clamp(0, width)
    clipped[:, 1::2] = clipped[:, 1::2].clamp(0, height)
    for before, box in zip(tensor.tolist(), clipped.tolist(), strict=True):
        if min(box[2] - box[0], box[3] - box[1]) < MIN_BOX_PX - SLACK_PX:
            corners = ", ".join(f"{v:g}" for v in before)
            raise InputError(
                f"Expected a box x1 < x2, y1 < y2 of at least one pixel inside the photo of "
                f"{width}x{height}, got ({corners}); draw it again inside the photo."
            )
    return clipped


def check_scores(scores: np.ndarray | Sequence[float] | None, count: int) -> Tensor:
    """Return (count,) float32 scores, 1 where None; raises InputError for anything else."""
    if scores is None:
        return torch.ones(count)
    try:
        tensor = torch.as_tensor(np.asarray(scores, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise InputError("Expected scores as numbers from 0 to 1, got something else.") from error
    usable = tensor.shape == (count,) and bool(((tensor >= 0) & (tensor <= 1)).all())
    if not usable:  # NaN is not within the bounds either
        raise InputError(
            f"Expected {count} scores from 0 to 1, got {tuple(tensor.shape)} with other values; "
            "give one for each box."
        )
    return tensor


def at_least_one_pixel(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Detector boxes never vanish: widen what rounding made thinner than a pixel."""
    height, width = image_size
    x1 = boxes[:, 0].clamp(0, width - 1)
    y1 = boxes[:, 1].clamp(0, height - 1)
    x2 = torch.maximum(boxes[:, 2].clamp(max=width), x1 + 1)
    y2 = torch.maximum(boxes[:, 3].clamp(max=height), y1 + 1)
    return torch.stack((x1, y1, x2, y2), dim=1)


def check_image(image: np.ndarray) -> np.ndarray:
    """Return a photo (H, W, 3) uint8 as it is; raises InputError for anything else."""
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or min(image.shape[:2]) < 1
    ):
        came = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image)
        raise InputError(
            f"Expected an RGB photo as an array (height, width, 3) of uint8, got {came}; "
            "read files with dynamask.read_image."
        )
    return image
