"""What every grid really gains: measured once per object of training photos, for fitting switches.

Each sample is the crop that the switch sees, the quality of the four masks at the photo's own
size, measured as evaluation measures it, and the four edge losses that the paper's loss compares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from dynamask.config import GRIDS
from dynamask.errors import DataError
from dynamask.losses import edge_costs, mask_targets
from dynamask.metrics import boundary_width, mask_boundary, mask_iou
from dynamask.model.mask_switch import MaskSwitch
from dynamask.model.roi import boxes_to_rois
from dynamask.paste import crop_mask
from dynamask.predictor import Predictor
from dynamask.training.augment import AugmentConfig, Raw, augment, jitter_boxes
from dynamask.training.data import Source

MIN_SIDE_PX = 4.0


@dataclass(frozen=True)
class SwitchData:
    """Objects with known gains.

    Attributes:
        crops: (N, C, s, s) float16, what the switch sees.
        quality: (N, 4) float32 of :func:`quality_at_grids`.
        edges: (N, 4) float32 of :func:`dynamask.losses.edge_costs`.
        photos: (N,) int64, which photo each object comes from.
    """

    crops: Tensor
    quality: Tensor
    edges: Tensor
    photos: Tensor

    def __len__(self) -> int:
        return len(self.photos)

    def rows(self, picked: Tensor) -> SwitchData:
        """The given rows, or those where a (N,) bool is true."""
        return SwitchData(*(t[picked] for t in self.tensors().values()))

    def tensors(self) -> dict[str, Tensor]:
        """Every field by its name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def save(self, path: str | Path) -> None:
        """Keep the measurements in a safetensors file."""
        safetensors.torch.save_file({k: t.contiguous() for k, t in self.tensors().items()}, path)

    @classmethod
    def load(cls, path: str | Path) -> SwitchData:
        """Read what :meth:`save` wrote; DataError where it is something else."""
        try:
            tensors = safetensors.torch.load_file(path)
            return cls(**tensors)
        except (OSError, TypeError, safetensors.SafetensorError) as error:
            raise DataError(
                f"Expected measurements of fit-switch in {Path(path).name}, got another file "
                f"({type(error).__name__}); delete it, and they are measured again."
            ) from error


def quality_at_grids(
    logits: Mapping[int, Tensor], box: Tensor, truth: np.ndarray, known: np.ndarray | None = None
) -> np.ndarray:
    """(4,) float: mean of mask IoU and boundary IoU with the truth, for one object.

    Args:
        logits: grid to (grid, grid) mask logits.
        box: (4,) xyxy in photo pixels.
        truth: (H, W) bool mask of the object at the photo's size.
        known: (H, W) bool, false where the photo does not say; None if it always does.
    """
    height, width = truth.shape
    d = boundary_width(height, width)
    x1, y1 = (max(0, int(v) - d - 2) for v in box[:2])
    x2, y2 = (int(v) + d + 3 for v in box[2:])
    ys, xs = np.nonzero(truth)
    if len(ys):  # the truth may reach beyond a jittered box
        x1, x2 = min(x1, int(xs.min())), max(x2, int(xs.max()) + 1)
        y1, y2 = min(y1, int(ys.min())), max(y2, int(ys.max()) + 1)
    window = (slice(y1, min(y2, height)), slice(x1, min(x2, width)))
    wanted = truth[window]
    rim = mask_boundary(truth, d)[window]
    seen = None if known is None else known[window]
    values = []
    for grid in GRIDS:
        crop, (x, y) = crop_mask(logits[grid], box, (height, width))
        full = np.zeros((height, width), dtype=bool)
        full[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        found, band = full[window], mask_boundary(full, d)[window]
        pairs = [(found, wanted), (band, rim)]
        if seen is not None:
            pairs = [(a & seen, b & seen) for a, b in pairs]
        values.append(np.mean([mask_iou(a, b) for a, b in pairs]))
    return np.array(values, dtype=np.float32)


@torch.inference_mode()
def measure_photo(
    predictor: Predictor,
    raw: Raw,
    rng: np.random.Generator,
    *,
    box_jitter: float,
    most: int,
    switch: MaskSwitch,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """(N, C, s, s) float16 crops, (N, 4) quality and (N, 4) edge losses; None without objects."""
    boxes = torch.from_numpy(raw.boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    usable = torch.nonzero((sides >= MIN_SIDE_PX).all(dim=1)).squeeze(1)
    if len(usable) > most:
        usable = usable[torch.from_numpy(np.sort(rng.permutation(len(usable))[:most]))]
    if not len(usable):
        return None
    scene = predictor.encode(raw.image, jitter_boxes(boxes[usable], rng, box_jitter).numpy())
    height, width = scene.input_size
    factor = torch.tensor([width / scene.image_size[1], height / scene.image_size[0]] * 2)
    rois = boxes_to_rois([(scene.boxes_xyxy_px * factor).to(predictor.device)])
    crops = switch.crop(scene.pyramid["p2"], rois)
    logits = predictor.decode_all_grids(scene)
    known = None if raw.ignore is None else raw.ignore == 0
    quality = [
        quality_at_grids(
            {g: logits[g][0][i] for g in GRIDS},
            scene.boxes_xyxy_px[i],
            raw.masks[int(row)].astype(bool),
            known,
        )
        for i, row in enumerate(usable)
    ]
    targets = mask_targets(
        torch.from_numpy(np.stack([raw.masks[int(row)] for row in usable])),
        scene.boxes_xyxy_px,
        torch.arange(len(usable)),
        ignore=None if raw.ignore is None else torch.from_numpy(raw.ignore),
    )
    edges = edge_costs(logits, targets, predictor.config.loss)
    return crops.to(torch.float16).cpu(), torch.from_numpy(np.stack(quality)), edges.float()


def collect_gains(
    predictor: Predictor,
    sources: Mapping[str, Source],
    photos: Mapping[str, int],
    *,
    augmentation: AugmentConfig,
    box_jitter: float = 0.1,
    most: int = 12,
    seed: int = 0,
    switch: MaskSwitch | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SwitchData:
    """Measure every grid on augmented training photos.

    Args:
        predictor: the model, masks already trained.
        sources: training sets.
        photos: source name to how many photos; more than there are means several passes, each
            augmented anew.
        augmentation: crops, flips, scale, colour.
        box_jitter: see :func:`dynamask.training.augment.jitter_boxes`.
        most: objects of a photo at most.
        seed: of every draw.
        switch: gives the shape of the crops; None is the model's own.
        progress: called with (photos done, photos in all).

    Raises:
        DataError: no object in these photos.
    """
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    photo: list[Tensor] = []
    switch = switch or predictor.model.mask_switch
    total = sum(photos.values())
    done = 0
    for tag, (name, count) in enumerate(sorted(photos.items())):
        source = sources[name]
        for k in range(count):
            turn, place = divmod(k, len(source))
            order = np.random.default_rng([seed, tag, turn]).permutation(len(source))
            index = int(order[place])
            rng = np.random.default_rng([seed, tag, turn, index])
            raw = augment(source.load(index), augmentation, rng)
            made = measure_photo(
                predictor, raw, rng, box_jitter=box_jitter, most=most, switch=switch
            )
            if made is not None:  # the same photo has one number, however often it is seen
                parts.append(made)
                photo.append(torch.full((len(made[0]),), tag * 1_000_000 + index))
            done += 1
            if progress is not None:
                progress(done, total)
    if not parts:
        raise DataError("Expected training photos with objects, got none; check --data.")
    return SwitchData(*map(torch.cat, zip(*parts, strict=True)), torch.cat(photo))
