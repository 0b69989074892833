"""Two ways to mask the same boxes of one photo: how far they differ, object by object.

The two may be policies of one model or two weight files; all that is needed is that row i of both
is the same box.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dynamask.errors import InputError
from dynamask.metrics import boundary_iou, boundary_width, mask_iou
from dynamask.paste import crop_mask

if TYPE_CHECKING:
    import pandas as pd

    from dynamask.types import Instances

COLUMNS = (
    "row",
    "area_a",
    "area_b",
    "grid_a",
    "grid_b",
    "gmac_a",
    "gmac_b",
    "iou",
    "boundary_iou",
    "only_a",
    "only_b",
    "truth_iou_a",
    "truth_iou_b",
    "changed",
)


@dataclass(frozen=True, eq=False)
class MaskPair:
    """One object twice.

    Attributes:
        row: its place in both results.
        corner: (x, y) of the masks' top-left pixel in the photo.
        a: (h, w) bool, inside the box only: nothing outside it belongs to either mask.
        b: the same of the other result.
    """

    row: int
    corner: tuple[int, int]
    a: np.ndarray = field(repr=False)
    b: np.ndarray = field(repr=False)

    @property
    def only_a(self) -> np.ndarray:
        """(h, w) bool pixels that only the first has."""
        return self.a & ~self.b

    @property
    def only_b(self) -> np.ndarray:
        """(h, w) bool pixels that only the second has."""
        return self.b & ~self.a


@dataclass(frozen=True)
class Totals:
    """What the two results cost, and how far they agree.

    Attributes:
        objects: how many there are.
        changed: of them, those with another grid or any other pixel.
        gmac_a: GMAC of all masks of the first, image branches included.
        gmac_b: of the second.
        iou: mean mask IoU between the two over all objects; NaN without objects.
        boundary_iou: mean boundary IoU between the two; NaN without objects.
        truth_iou_a: mean mask IoU of the first to ground truth, where it is known; else NaN.
        truth_iou_b: of the second, over the same objects.
        known: objects with ground truth.
    """

    objects: int
    changed: int
    gmac_a: float
    gmac_b: float
    iou: float
    boundary_iou: float
    truth_iou_a: float = math.nan
    truth_iou_b: float = math.nan
    known: int = 0

    @property
    def ratio(self) -> float:
        """Cost of the second as a multiple of the first's; NaN where the first costs nothing."""
        return self.gmac_b / self.gmac_a if self.gmac_a else math.nan


def check_pair(a: Instances, b: Instances) -> None:
    """Whether two results can be compared row by row.

    Raises:
        InputError: they are of two photos, or of different boxes.
    """
    same = a.image_size == b.image_size and len(a) == len(b)
    if not same or not np.array_equal(a.boxes_xyxy_px.numpy(), b.boxes_xyxy_px.numpy()):
        raise InputError(
            f"Expected two results for the same boxes of one photo, got {len(a)} boxes on "
            f"{a.image_size} and {len(b)} on {b.image_size} (height, width) or other boxes; "
            "decode both from the same boxes."
        )


def mask_pair(a: Instances, b: Instances, row: int) -> MaskPair:
    """Both masks of an object, at the photo's size; see :func:`check_pair`."""
    mask, corner = crop_mask(a.mask_logits[row], a.boxes_xyxy_px[row], a.image_size, a.threshold)
    other, _ = crop_mask(b.mask_logits[row], b.boxes_xyxy_px[row], b.image_size, b.threshold)
    return MaskPair(row, corner, mask, other)


def mask_pairs(a: Instances, b: Instances) -> Iterator[MaskPair]:
    """Every object's pair, one at a time: all of them at once may not fit into memory.

    Raises:
        InputError: see :func:`check_pair`.
    """
    check_pair(a, b)
    for row in range(len(a)):
        yield mask_pair(a, b, row)


def measure(
    a: Instances, b: Instances, pair: MaskPair, truth: np.ndarray | None = None
) -> dict[str, Any]:
    """Numbers of one object, by :data:`COLUMNS`.

    Args:
        a: the first result.
        b: the second.
        pair: of the object.
        truth: (H, W) bool true mask of the object; without it the IoU to it is NaN.

    Returns:
        Areas and differences in px² of the photo, costs in GMAC of the object alone.
    """
    row, (x, y), (height, width) = pair.row, pair.corner, pair.a.shape
    only_a, only_b = int(pair.only_a.sum()), int(pair.only_b.sum())
    grid_a, grid_b = int(a.selection.grids[row]), int(b.selection.grids[row])
    true_a = true_b = math.nan
    if truth is not None:
        inside, whole = truth[y : y + height, x : x + width], int(truth.sum())
        true_a, true_b = (_iou_to_whole(mask, inside, whole) for mask in (pair.a, pair.b))
    return {
        "row": row,
        "area_a": int(pair.a.sum()),
        "area_b": int(pair.b.sum()),
        "grid_a": grid_a,
        "grid_b": grid_b,
        "gmac_a": float(a.selection.gmac[row]),
        "gmac_b": float(b.selection.gmac[row]),
        "iou": mask_iou(pair.a, pair.b),
        "boundary_iou": boundary_iou(pair.a, pair.b, boundary_width(*a.image_size)),
        "only_a": only_a,
        "only_b": only_b,
        "truth_iou_a": true_a,
        "truth_iou_b": true_b,
        "changed": grid_a != grid_b or only_a + only_b > 0,
    }


def compare_objects(
    a: Instances, b: Instances, truths: Sequence[np.ndarray | None] | None = None
) -> pd.DataFrame:
    """One row per object, in the order of the results; columns as in :data:`COLUMNS`.

    Args:
        a: the first result.
        b: the second, of the same boxes.
        truths: for each object its (H, W) bool true mask, or None.

    Raises:
        InputError: see :func:`check_pair`.
    """
    known = truths if truths is not None else [None] * len(a)
    return as_table([measure(a, b, pair, known[pair.row]) for pair in mask_pairs(a, b)])


def as_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Rows of :func:`measure` as a table; all columns are there also without rows."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def most_changed(table: pd.DataFrame) -> pd.DataFrame:
    """The changed objects, those of the lowest IoU first; of equal ones, the larger first."""
    changed = table[table["changed"].astype(bool)].assign(
        larger=lambda t: t[["area_a", "area_b"]].max(axis=1)
    )
    ordered = changed.sort_values(["iou", "larger"], ascending=[True, False], kind="stable")
    return ordered.drop(columns="larger")


def totals(a: Instances, b: Instances, table: pd.DataFrame) -> Totals:
    """Sums and means over the objects; see :class:`Totals`."""
    known = table[table["truth_iou_a"].notna() & table["truth_iou_b"].notna()]
    return Totals(
        objects=len(table),
        changed=int(table["changed"].sum()),
        gmac_a=a.selection.total_gmac,
        gmac_b=b.selection.total_gmac,
        iou=_mean(table["iou"]),
        boundary_iou=_mean(table["boundary_iou"]),
        truth_iou_a=_mean(known["truth_iou_a"]),
        truth_iou_b=_mean(known["truth_iou_b"]),
        known=len(known),
    )


def _iou_to_whole(mask: np.ndarray, inside: np.ndarray, whole: int) -> float:
    """IoU of a crop with a true mask of ``whole`` pixels that may reach out of the crop."""
    shared = np.count_nonzero(mask & inside)
    union = np.count_nonzero(mask) + whole - shared
    return shared / union if union else 1.0


def _mean(values: pd.Series) -> float:
    return float(values.mean()) if len(values) else math.nan
