"""The user's way in: ``encode`` a photo once, ``decode`` it under any policy, again and again.

The predictor keeps nothing between calls but the model: whatever belongs to a photo is in its
:class:`~dynamask.types.Scene`, so one predictor may serve many threads and users.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from dynamask.checkpoint import BUNDLED_WEIGHTS, LoadedWeights, load_weights
from dynamask.checks import at_least_one_pixel, check_boxes, check_image, check_scores
from dynamask.config import GRIDS, PYRAMID_LEVELS, DynaMaskConfig
from dynamask.cost import CostTable, cost_table
from dynamask.device import pick_device
from dynamask.errors import InputError
from dynamask.policies import Policy, RoIs, budget_range_gmac, parse_policy, select
from dynamask.types import Instances, Scene

logger = logging.getLogger(__name__)

PAD_MULTIPLE = 32
MAX_ENLARGE = 2.0  # a thumbnail gains nothing from more
ROIS_PER_CHUNK = 32  # bounds the memory of a decode
RETRY_SCALE = 0.6  # of the input side, after the device ran out of memory

T = TypeVar("T")


class Predictor:
    """A model ready to use. Make one with :meth:`from_weights`; all methods are thread-safe.

    Attributes:
        config: the model's configuration.
        categories: class names by index.
        weights_sha256: hash of the weights file.
        metadata: what the weights file says about its training.
        cost_table: MACs of every part.
    """

    def __init__(self, loaded: LoadedWeights, *, device: str = "auto") -> None:
        self.model = loaded.model
        self.config: DynaMaskConfig = loaded.model.config
        self.categories = loaded.categories
        self.weights_sha256 = loaded.sha256
        self.metadata = loaded.metadata
        self.cost_table: CostTable = cost_table(self.config)
        self.device = pick_device(device)
        self.model.to(self.device).eval()
        self._lock = threading.Lock()

    @classmethod
    def from_weights(cls, path: str | Path | None = None, *, device: str = "auto") -> Predictor:
        """Load weights; ``None`` is the bundled model.

        Raises:
            WeightsError: the file cannot be used; InputError: there is no such device.
        """
        return cls(load_weights(path or BUNDLED_WEIGHTS), device=device)

    # -- the slow part ---------------------------------------------------------------------

    def encode(
        self,
        image: np.ndarray,
        boxes: np.ndarray | Tensor | Sequence[Sequence[float]] | None = None,
        labels: np.ndarray | Sequence[int] | None = None,
        scores: np.ndarray | Sequence[float] | None = None,
    ) -> Scene:
        """Run backbone, FPN, detector and switch.

        Args:
            image: (H, W, 3) uint8 RGB.
            boxes: (N, 4) xyxy in photo pixels to use instead of the detector's, in this order.
            labels: (N,) category indices of the boxes; needed by class-specific mask heads.
            scores: (N,) from 0 to 1, of the boxes; 1 where None.

        Returns:
            Everything that decoding needs. If the device ran out of memory, ``notices`` says
            what was done about it.

        Raises:
            InputError: the image or a box cannot be used.
        """
        image = check_image(image)
        given = None if boxes is None else check_boxes(boxes, image.shape[:2])
        told = None if given is None else check_scores(scores, len(given))
        notices: list[str] = []

        def at_scale(scale: float) -> Scene:
            return self._encode(image, given, labels, scale)

        scene = self._with_memory_fallback(at_scale, notices)
        if told is not None:
            scene = replace(scene, scores=told)
        return replace(scene, notices=tuple(notices))

    def add_boxes(
        self, scene: Scene, boxes: np.ndarray | Tensor | Sequence[Sequence[float]]
    ) -> Scene:
        """Append drawn boxes (class unknown, score 1) to a scene without encoding again.

        Raises:
            InputError: a box cannot be used, or the mask head needs classes.
        """
        new = check_boxes(boxes, scene.image_size)
        labels = self._labels_of(None, len(new))
        probabilities = self._switch(self._here(scene.pyramid), self._rois(new, scene))
        return replace(
            scene,
            boxes_xyxy_px=torch.cat((scene.boxes_xyxy_px, new)),
            labels=torch.cat((scene.labels, labels)),
            scores=torch.cat((scene.scores, torch.ones(len(new)))),
            probabilities=torch.cat((scene.probabilities, probabilities)),
        )

    # -- the quick part --------------------------------------------------------------------

    def decode(
        self,
        scene: Scene,
        policy: str | Policy = "msm",
        *,
        threshold: float = 0.5,
        min_score: float = 0.0,
        ious: np.ndarray | None = None,
    ) -> Instances:
        """Choose a grid for every object and run the mask stages up to it.

        Args:
            scene: from :meth:`encode`.
            policy: a policy or its text, such as ``msm``, ``fixed:28`` or ``budget:0.1``.
            threshold: mask probability above which a pixel belongs to the object.
            min_score: objects below it are left out, and cost nothing.
            ious: (N, 4) mask IoU at each grid, for the ``oracle`` policy; N before ``min_score``.

        Raises:
            PolicyError: the policy is unknown or cannot be met.
        """
        if min_score > 0:
            kept = torch.nonzero(scene.scores >= min_score).squeeze(1)
            scene = keep_objects(scene, kept)
            ious = None if ious is None else ious[kept.numpy()]
        if isinstance(policy, str):
            policy = parse_policy(policy, config=self.config)
        selection = select(
            policy,
            RoIs(
                probabilities=scene.probabilities.numpy(),
                boxes_xyxy_px=scene.boxes_xyxy_px.numpy(),
                level_shapes=self.model.level_shapes(scene.pyramid),
                cost=self.cost_table,
                ious=ious,
            ),
        )
        grids = torch.from_numpy(selection.grids)
        try:
            masks, edges = self._decode_grids(scene, grids)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            self._move_to_cpu()
            masks, edges = self._decode_grids(scene, grids)
        return Instances(
            image_size=scene.image_size,
            boxes_xyxy_px=scene.boxes_xyxy_px,
            labels=scene.labels,
            scores=scene.scores,
            mask_logits=masks,
            edge_logits=edges,
            selection=selection,
            categories=self.categories,
            threshold=threshold,
        )

    def predict(
        self,
        image: np.ndarray,
        policy: str | Policy = "msm",
        *,
        boxes: np.ndarray | Tensor | Sequence[Sequence[float]] | None = None,
        labels: np.ndarray | Sequence[int] | None = None,
        threshold: float = 0.5,
        min_score: float = 0.0,
    ) -> Instances:
        """Encode and decode in one call; arguments as there."""
        scene = self.encode(image, boxes, labels)
        return self.decode(scene, policy, threshold=threshold, min_score=min_score)

    def decode_all_grids(
        self, scene: Scene, index: int | None = None
    ) -> dict[int, tuple[Tensor, Tensor]]:
        """Masks at every grid: of one object, or of all.

        Returns:
            Grid to (mask logits, edge logits), each (N, grid, grid) float32 on the CPU; N is 1
            where ``index`` is given.
        """
        rows = range(len(scene)) if index is None else [index]
        picked = torch.tensor(list(rows), dtype=torch.int64)
        if not len(picked):
            return {g: (torch.zeros((0, g, g)), torch.zeros((0, g, g))) for g in GRIDS}
        chunks: list[dict[int, tuple[Tensor, Tensor]]] = []
        rois = self._rois(scene.boxes_xyxy_px[picked], scene)
        labels = scene.labels[picked].clamp(min=0).to(self.device)
        pyramid = self._here(scene.pyramid)
        with self._lock, torch.inference_mode():
            for part in torch.arange(len(picked)).split(ROIS_PER_CHUNK):
                logits = self.model.mask_head.all_grids(pyramid, rois[part], labels[part])
                chunks.append(
                    {g: (m.float().cpu(), e.float().cpu()) for g, (m, e) in logits.items()}
                )
        return {
            g: (torch.cat([c[g][0] for c in chunks]), torch.cat([c[g][1] for c in chunks]))
            for g in GRIDS
        }

    def budget_range(self, scene: Scene | None = None) -> tuple[float, float]:
        """Smallest and largest useful ``budget:C`` in GMAC per object, the switch included."""
        del scene  # the same for every photo: image branches are not part of an object's budget
        return budget_range_gmac(self.cost_table)

    # -- parts -----------------------------------------------------------------------------

    def input_size(self, image_size: tuple[int, int], scale: float = 1.0) -> tuple[int, int]:
        """(height, width) that a photo is resized to.

        The short side becomes ``config.short_side`` unless that makes the long side longer than
        ``config.long_side``; photos are enlarged at most twofold.
        """
        short, long = min(image_size), max(image_size)
        factor = min(
            self.config.short_side * scale / short,
            self.config.long_side * scale / long,
            MAX_ENLARGE * scale,
        )
        height, width = (max(1, round(side * factor)) for side in image_size)
        return height, width

    def _encode(
        self,
        image: np.ndarray,
        given: Tensor | None,
        labels: np.ndarray | Sequence[int] | None,
        scale: float,
    ) -> Scene:
        image_size = (int(image.shape[0]), int(image.shape[1]))
        height, width = self.input_size(image_size, scale)
        batch = self._to_batch(image, (height, width))
        with self._lock, torch.inference_mode():
            pyramid = self.model.extract(batch)
            if given is None:
                boxes, found, scores = self.model.detect(pyramid, (height, width))
        pyramid = {name: pyramid[name] for name in PYRAMID_LEVELS}
        if given is None:
            factor = torch.tensor([image_size[1] / width, image_size[0] / height] * 2)
            boxes = at_least_one_pixel(boxes.float().cpu() * factor, image_size)
            found, scores = found.cpu(), scores.float().cpu()
        else:
            boxes, scores = given, torch.ones(len(given))
            found = self._labels_of(labels, len(given))
        scene = Scene(
            image_size=image_size,
            input_size=(height, width),
            pyramid=pyramid,
            boxes_xyxy_px=boxes,
            labels=found,
            scores=scores,
            probabilities=torch.zeros(len(boxes), 4),
            key=self.scene_key(image, (height, width)),
            box_source="detector" if given is None else "given",
        )
        return replace(scene, probabilities=self._switch(pyramid, self._rois(boxes, scene)))

    def scene_key(self, image: np.ndarray, input_size: tuple[int, int] | None = None) -> str:
        """Hash of pixels, weights and preprocessing: equal keys mean equal pyramids."""
        size = input_size or self.input_size((image.shape[0], image.shape[1]))
        digest = hashlib.sha256(np.ascontiguousarray(image).tobytes())
        digest.update(f"{image.shape}{size}{self.weights_sha256}{self.config.to_json()}".encode())
        return digest.hexdigest()

    def _to_batch(self, image: np.ndarray, size: tuple[int, int]) -> Tensor:
        height, width = size
        shrinks = height < image.shape[0]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = cv2.resize(image, (width, height), interpolation=method)
        mean = np.asarray(self.config.pixel_mean, dtype=np.float32)
        std = np.asarray(self.config.pixel_std, dtype=np.float32)
        pixels = torch.from_numpy((resized.astype(np.float32) - mean) / std).permute(2, 0, 1)
        padded = [-(-side // PAD_MULTIPLE) * PAD_MULTIPLE for side in size]
        batch = torch.zeros(1, 3, *padded)
        batch[0, :, :height, :width] = pixels
        return batch.to(self.device)

    def _rois(self, boxes: Tensor, scene: Scene) -> Tensor:
        """Photo boxes (N, 4) -> RoIs (N, 5) in network-input pixels, on the device."""
        factor = torch.tensor(
            [
                scene.input_size[1] / scene.image_size[1],
                scene.input_size[0] / scene.image_size[0],
            ]
            * 2
        )
        rois = torch.cat((torch.zeros(len(boxes), 1), boxes.float() * factor), dim=1)
        return rois.to(self.device)

    def _switch(self, pyramid: dict[str, Tensor], rois: Tensor) -> Tensor:
        with self._lock, torch.inference_mode():
            logits = [
                self.model.mask_switch(pyramid["p2"], part) for part in rois.split(ROIS_PER_CHUNK)
            ]
            if not logits:
                return torch.zeros(0, 4)
            return torch.cat(logits).float().softmax(dim=1).cpu()

    def _decode_grids(
        self, scene: Scene, grids: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        rois = self._rois(scene.boxes_xyxy_px, scene)
        labels = scene.labels.clamp(min=0).to(self.device)
        masks: list[Tensor] = [torch.zeros(0)] * len(scene)
        edges: list[Tensor] = [torch.zeros(0)] * len(scene)
        # objects of one grid together: a chunk then runs no stage for a few stragglers
        order = torch.argsort(grids, stable=True)
        pyramid = self._here(scene.pyramid)
        branches: dict[int, Tensor] = {}  # image branches run once a photo, as the cost says
        with self._lock, torch.inference_mode():
            for part in order.split(ROIS_PER_CHUNK):
                some = self.model.mask_head.decode(
                    pyramid, rois[part], labels[part], grids[part], branches=branches
                )
                for row, mask, edge in zip(part.tolist(), *some, strict=True):
                    masks[row], edges[row] = mask.cpu(), edge.cpu()
        return tuple(masks), tuple(edges)

    def _labels_of(self, labels: np.ndarray | Sequence[int] | None, count: int) -> Tensor:
        if labels is None:
            if not self.config.mask.class_agnostic and count:
                raise InputError(
                    f"Expected a class for each box, since the masks of {self.config.preset} are "
                    "class specific; give labels, or use a class-agnostic preset such as "
                    "effnet_lite2_fpn."
                )
            return torch.full((count,), -1, dtype=torch.int64)
        tensor = torch.as_tensor(np.asarray(labels), dtype=torch.int64)
        if tuple(tensor.shape) != (count,):
            raise InputError(
                f"Expected {count} labels for {count} boxes, got {tuple(tensor.shape)}; "
                "give one category index for each box."
            )
        if count and (int(tensor.min()) < -1 or int(tensor.max()) >= len(self.categories)):
            raise InputError(
                f"Expected category indices 0 to {len(self.categories) - 1}, got "
                f"{int(tensor.min())} to {int(tensor.max())}; use indices into the categories."
            )
        return tensor

    def _with_memory_fallback(self, work: Callable[[float], T], notices: list[str]) -> T:
        """Full size; then smaller; then on the CPU, which the model stays on."""
        try:
            return work(1.0)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
        try:
            result = work(RETRY_SCALE)
            notices.append(
                "The GPU ran out of memory, so the photo was analysed at "
                f"{RETRY_SCALE:.0%} of the usual size; small objects may be missed."
            )
            return result
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
        self._move_to_cpu()
        notices.append("The GPU ran out of memory, so the CPU was used; this is slower.")
        return work(1.0)

    def _move_to_cpu(self) -> None:
        with self._lock:
            self.device = torch.device("cpu")
            self.model.to(self.device)
        logger.warning("out of GPU memory; the model moved to the CPU, which is slower")

    def _here(self, pyramid: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The pyramid on the model's device, which may have changed since it was made."""
        return {name: level.to(self.device) for name, level in pyramid.items()}


def keep_objects(scene: Scene, rows: Tensor | np.ndarray) -> Scene:
    """Return a scene of only the given objects, in the given order; the pyramid is shared.

    Args:
        scene: N objects.
        rows: (M,) int64 indices of those to keep.
    """
    rows = torch.as_tensor(rows)
    return replace(
        scene,
        boxes_xyxy_px=scene.boxes_xyxy_px[rows],
        labels=scene.labels[rows],
        scores=scene.scores[rows],
        probabilities=scene.probabilities[rows],
    )
