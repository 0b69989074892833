"""The model and the photos in memory; knows nothing of Gradio.

A photo is encoded once. Its scene is kept under a hash of its pixels, so that sliders, drawn boxes
and other users with the same photo only decode. Nothing that belongs to one user is kept here.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from app import overrides, settings, text
from app.caches import ByteLRU
from app.discretion import DISCRETION
from app.truth import Truth, read_truth
from app.uploads import read_upload
from dynamask.errors import DynaMaskError, InputError, WeightsError

if TYPE_CHECKING:
    from dynamask.detectors import Detector
    from dynamask.inside import Inside
    from dynamask.predictor import Predictor
    from dynamask.redecode import MaskStore
    from dynamask.strip import Strip
    from dynamask.types import Instances, Scene

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Opened:
    """A photo that was read and encoded.

    Attributes:
        scene: the detector's objects and the pyramid.
        pixels: (H, W, 3) uint8 RGB.
        notices: sentences about how the photo was read and encoded.
    """

    scene: Scene
    pixels: np.ndarray = field(repr=False)
    notices: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes held by pyramid and pixels."""
        return self.scene.nbytes + self.pixels.nbytes


@dataclass(frozen=True)
class Ask:
    """Everything that decides what is decoded, besides the photo.

    Attributes:
        policy: text such as ``msm`` or ``budget:0.1``.
        threshold: mask probability above which a pixel belongs to the object.
        min_score: objects with a lower score are left out.
        drawn: boxes x1, y1, x2, y2 in photo pixels, appended to the detector's.
        drawn_labels: category index of each drawn box, -1 where unknown; () is all unknown.
        by_hand: (object id, grid) pairs that overrule the policy.
        truth: key of the loaded ground truth, for the oracle.
        everything: also objects of classes that the weights' metadata does not vouch for, and
            likely doubles; None where the user has not said: then only where a photo has nothing
            else to show.
    """

    policy: str = settings.POLICY
    threshold: float = settings.THRESHOLD
    min_score: float = settings.MIN_SCORE
    drawn: tuple[tuple[float, float, float, float], ...] = ()
    drawn_labels: tuple[int, ...] = ()
    by_hand: tuple[tuple[int, int], ...] = ()
    truth: str = ""
    everything: bool | None = True


@dataclass(frozen=True, eq=False)
class Decoded:
    """Objects of a photo under one :class:`Ask`.

    Attributes:
        instances: the objects, those below the smallest score left out.
        ids: (N,) int64, 1 + index in the scene: an object keeps its id when sliders move.
        first_drawn: ids from here on are drawn boxes.
        by_hand: ids whose grid a user has set.
        hidden: objects left out since their class is not vouched for.
        unsure: objects of such classes that are shown since the photo has nothing else.
        doubles: objects left out since they overlap a surer one of their class.
        notices: sentences about these.
    """

    instances: Instances
    ids: np.ndarray
    first_drawn: int
    by_hand: frozenset[int] = frozenset()
    hidden: int = 0
    unsure: int = 0
    doubles: int = 0
    notices: tuple[str, ...] = ()

    def row(self, object_id: int | None) -> int | None:
        """Index of an id in ``instances``; None where it is not among them."""
        found = np.flatnonzero(self.ids == object_id) if object_id is not None else ()
        return int(found[0]) if len(found) else None

    @property
    def nbytes(self) -> int:
        """Bytes held by the mask and edge logits."""
        logits = (*self.instances.mask_logits, *self.instances.edge_logits)
        return sum(t.numel() * t.element_size() for t in logits)


class Session:
    """One model and its caches, shared by everyone who uses the server; thread-safe.

    Args:
        weights: a weights file; None is the bundled one.
        device: ``auto``, ``cpu``, ``cuda`` ...
        detector: makes what finds the boxes, beside the model; None is the model's own.
        load: makes the predictor instead, called once in a thread of its own.
        scene_bytes: how much the photos in memory may take.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        device: str = "auto",
        detector: Callable[[], Detector | None] = lambda: None,
        load: Callable[[], Predictor] | None = None,
        scene_bytes: int = settings.SCENE_CACHE_BYTES,
    ) -> None:
        self._weights = weights
        self._device = device
        self._load = load or self._load_weights
        self._make_detector = detector
        self._detector: Detector | None = None
        self._predictor: Predictor | None = None
        self._problem: str | None = None
        self._done = threading.Event()
        self._start_lock = threading.Lock()
        self._started = False
        self.scenes: ByteLRU[Opened] = ByteLRU(scene_bytes, lambda o: o.nbytes)
        self.decoded: ByteLRU[Decoded] = ByteLRU(
            settings.DECODED_CACHE_BYTES, lambda d: d.nbytes + 4096
        )
        self.strips: ByteLRU[Any] = ByteLRU(settings.STRIP_CACHE_BYTES, lambda s: s.nbytes)
        self.truths: ByteLRU[Truth] = ByteLRU(settings.TRUTH_CACHE_BYTES, lambda t: t.nbytes)
        self._stores: OrderedDict[str, MaskStore] = OrderedDict()
        self._stores_lock = threading.Lock()

    # -- the model -------------------------------------------------------------------------

    def start(self) -> None:
        """Load the model in the background; further calls do nothing."""
        with self._start_lock:
            if self._started:
                return
            self._started = True
        threading.Thread(target=self._run_load, name="load-model", daemon=True).start()

    def predictor(self, wait: float = settings.MODEL_WAIT_SECONDS) -> Predictor:
        """Return the model, waiting for it if it is still being loaded.

        Raises:
            WeightsError: it cannot be loaded, or is not there in time.
        """
        self.start()
        if not self._done.wait(wait):
            raise WeightsError(text.MODEL_SLOW.format(seconds=wait))
        if self._predictor is None:
            raise WeightsError(self._problem or text.MODEL_FAILED)
        return self._predictor

    @property
    def state(self) -> str:
        """``loading``, ``ready`` or ``failed``."""
        if not self._done.is_set():
            return "loading"
        return "ready" if self._predictor is not None else "failed"

    @property
    def problem(self) -> str | None:
        """Why there is no model, as a sentence."""
        # told as it is asked for: the model may load before the page is known to be public
        return None if self._problem is None else DISCRETION.told(self._problem)

    @property
    def own_boxes(self) -> bool:
        """Whether the model's own detector finds the boxes; known once it is loaded."""
        return self._detector is None

    @property
    def weights_name(self) -> str:
        """File name of the weights, without its folder; names nothing of the server's disk."""
        if self._weights is not None:
            return Path(self._weights).name
        return "bundled weights"

    def _load_weights(self) -> Predictor:
        from dynamask.predictor import Predictor

        return Predictor.from_weights(self._weights, device=self._device)

    def _run_load(self) -> None:
        started = time.perf_counter()
        try:
            self._detector = self._make_detector()
            self._predictor = self._load()
            logger.info("model ready after %.1f s", time.perf_counter() - started)
        except DynaMaskError as error:
            # visitors of the page read this: no folder of the server in it
            self._problem = str(error).replace(f"{settings.ROOT}{os.sep}", "")
            logger.warning("no model: %s", error)
        except Exception:
            self._problem = text.MODEL_FAILED
            logger.exception("the model could not be loaded")
        finally:
            self._done.set()

    # -- photos ----------------------------------------------------------------------------

    def open(self, path: str | Path) -> Opened:
        """Read and encode an uploaded photo, or take it from memory.

        Raises:
            InputError: the photo cannot be used; WeightsError: there is no model.
        """
        read = read_upload(path)
        predictor = self.predictor()
        kept = self.scenes.get(predictor.scene_key(read.pixels))
        if kept is not None:
            return kept
        opened = self.encode_pixels(read.pixels, Path(path).name, read.notices)
        self.scenes.put(opened.scene.key, opened)
        return opened

    def encode_pixels(
        self, pixels: np.ndarray, name: str = "", notices: tuple[str, ...] = ()
    ) -> Opened:
        """Encode a photo and keep nothing: a long list would push out everybody's photos.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            name: of the file, which some detectors look up.
            notices: about how it was read.
        """
        scene = self._encode(self.predictor(), pixels, name)
        notices = (*notices, *scene.notices)
        if self._detector is not None:
            notices = (*notices, text.BOXES_BY.format(name=self._detector.name))
        return Opened(scene, pixels, notices)

    def _encode(self, predictor: Predictor, pixels: np.ndarray, name: str) -> Scene:
        if self._detector is None:
            return predictor.encode(pixels)
        from dynamask.detectors import encode_found

        return encode_found(predictor, pixels, self._detector, name)

    def reopen(self, key: object, path: str | Path | None = None) -> Opened:
        """Return a photo that was opened before; from its file if it has left the memory.

        Raises:
            InputError: it is known no more.
        """
        kept = self.scenes.get(key) if isinstance(key, str) else None
        if kept is not None:
            return kept
        if path is not None and Path(path).is_file():
            opened = self.open(path)
            if opened.scene.key == key:
                return opened
        raise InputError(text.PHOTO_FORGOTTEN)

    def decode(self, opened: Opened, ask: Ask) -> Decoded:
        """Decode a photo; the image is not encoded again, whatever is asked.

        Raises:
            PolicyError: no such policy; InputError: a drawn box that cannot be used.
        """
        key = (opened.scene.key, ask)
        kept = self.decoded.get(key)
        if kept is not None:
            return kept
        predictor = self.predictor()
        scene = self.full_scene(opened, ask)
        first_drawn = len(opened.scene) + 1
        rows, *left = overrides.kept_rows(scene, first_drawn, ask, predictor)
        some = overrides.keep(scene, rows)
        ids = rows + 1
        ious = self._ious(opened, some, ask) if ask.policy == "oracle" else None
        policy = overrides.policy_of(ask, ids, predictor.config)
        instances = self.store(opened).decode(some, policy, threshold=ask.threshold, ious=ious)
        by_hand = frozenset(i for i, _ in ask.by_hand) & frozenset(ids.tolist())
        said = overrides.notices(*left, predictor)
        decoded = Decoded(instances, ids, first_drawn, by_hand, *left, said)
        self.decoded.put(key, decoded)
        self._drop_stores()
        return decoded

    def full_scene(self, opened: Opened, ask: Ask) -> Scene:
        """The photo's objects and the drawn ones, all of them: row = id - 1."""
        if not ask.drawn:
            return opened.scene
        boxes = np.asarray(ask.drawn, dtype=np.float32)
        scene = self.predictor().add_boxes(opened.scene, boxes)
        return overrides.with_labels(scene, len(opened.scene), ask.drawn_labels)

    def store(self, opened: Opened) -> MaskStore:
        """Masks of this photo that were decoded so far."""
        from dynamask.redecode import MaskStore

        key = opened.scene.key
        with self._stores_lock:
            if key not in self._stores:
                self._stores[key] = MaskStore(self.predictor())
            self._stores.move_to_end(key)
            return self._stores[key]

    def _drop_stores(self) -> None:
        with self._stores_lock:
            sizes = {key: store.nbytes for key, store in self._stores.items()}
            while len(sizes) > 1 and sum(sizes.values()) > settings.DECODED_CACHE_BYTES:
                oldest = next(iter(sizes))
                del self._stores[oldest], sizes[oldest]

    # -- ground truth and film strips ------------------------------------------------------

    def load_truth(self, path: str | Path, opened: Opened, name: str) -> Truth:
        """Read the ground truth of a photo from a COCO file; kept under ``Truth.key``.

        Raises:
            DataError: the file cannot be used, or does not have this photo.
        """
        truth = read_truth(path, opened.scene.image_size, name)
        self.truths.put(truth.key, truth)
        return truth

    def truth(self, key: str) -> Truth | None:
        """Ground truth that was loaded; None where it has left the memory or none was."""
        return self.truths.get(key) if key else None

    def _ious(self, opened: Opened, scene: Scene, ask: Ask) -> np.ndarray:
        from dynamask.strip import grid_ious

        truth = self.truth(ask.truth)
        if truth is None:
            raise InputError(text.TRUTH_NEEDED)
        masks = truth.masks_of(scene.boxes_xyxy_px.numpy())
        key = (opened.scene.key, "ious", scene.boxes_xyxy_px.numpy().tobytes(), ask.truth)
        return self.strips.compute(
            (*key, ask.threshold),
            lambda: grid_ious(self.predictor(), scene, masks, ask.threshold),
        )

    def strip(self, opened: Opened, ask: Ask, object_id: int) -> Strip:
        """One object at every grid; measured once, then kept."""
        from dynamask.strip import film_strip

        scene, row = self.full_scene(opened, ask), object_id - 1
        box = scene.boxes_xyxy_px[row : row + 1].numpy()
        truth = self.truth(ask.truth)
        key = (opened.scene.key, "strip", box.tobytes(), ask.threshold, truth and ask.truth)
        mask = truth.masks_of(box)[0] if truth else None
        return self.strips.compute(
            key,
            lambda: film_strip(self.predictor(), scene, row, threshold=ask.threshold, truth=mask),
        )

    def inside(self, opened: Opened, ask: Ask, object_id: int) -> Inside:
        """What the model sees of one object; computed once, then kept.

        Raises:
            InputError: there is no such object.
        """
        from dynamask.inside import look_inside

        scene, row = self.full_scene(opened, ask), object_id - 1
        box, label = scene.boxes_xyxy_px[row : row + 1], scene.labels[row : row + 1]
        key = (opened.scene.key, "inside", box.numpy().tobytes(), tuple(label.tolist()))
        return self.strips.compute(key, lambda: look_inside(self.predictor(), scene, row))
