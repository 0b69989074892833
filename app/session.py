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
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from app import settings, text
from app.uploads import read_upload
from dynamask.errors import DynaMaskError, InputError, WeightsError

if TYPE_CHECKING:
    from dynamask.detectors import Detector
    from dynamask.predictor import Predictor
    from dynamask.types import Instances, Scene

logger = logging.getLogger(__name__)

V = TypeVar("V")


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
    """

    policy: str = settings.POLICY
    threshold: float = settings.THRESHOLD
    min_score: float = settings.MIN_SCORE
    drawn: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Decoded:
    """Objects of a photo under one :class:`Ask`.

    Attributes:
        instances: the objects, those below the smallest score left out.
        ids: (N,) int64, 1 + index in the scene: an object keeps its id when sliders move.
        first_drawn: ids from here on are drawn boxes.
    """

    instances: Instances
    ids: np.ndarray
    first_drawn: int

    def row(self, object_id: int | None) -> int | None:
        """Index of an id in ``instances``; None where it is not among them."""
        found = np.flatnonzero(self.ids == object_id) if object_id is not None else ()
        return int(found[0]) if len(found) else None

    @property
    def nbytes(self) -> int:
        """Bytes held by the mask and edge logits."""
        logits = (*self.instances.mask_logits, *self.instances.edge_logits)
        return sum(t.numel() * t.element_size() for t in logits)


class ByteLRU(Generic[V]):
    """A thread-safe cache that drops what was used longest ago once it holds too many bytes.

    Args:
        max_bytes: largest sum of sizes.
        size: bytes of a value.
    """

    def __init__(self, max_bytes: int, size: Callable[[V], int]) -> None:
        self.max_bytes = max_bytes
        self._size = size
        self._items: OrderedDict[Any, V] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Any) -> V | None:
        """Return the value, which counts as a use; None where there is none."""
        with self._lock:
            if key not in self._items:
                return None
            self._items.move_to_end(key)
            return self._items[key]

    def put(self, key: Any, value: V) -> None:
        """Keep a value; one that is larger than the whole cache is not kept."""
        size = self._size(value)
        with self._lock:
            if key in self._items:
                self._bytes -= self._size(self._items.pop(key))
            if size > self.max_bytes:
                return
            self._items[key] = value
            self._bytes += size
            while self._bytes > self.max_bytes:
                _, dropped = self._items.popitem(last=False)
                self._bytes -= self._size(dropped)

    @property
    def nbytes(self) -> int:
        """Sum of the sizes of what is kept."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: Any) -> bool:
        return key in self._items


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
        return self._problem

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
        scene = self._encode(predictor, read.pixels, Path(path).name)
        notices = (*read.notices, *scene.notices)
        if self._detector is not None:
            notices = (*notices, text.BOXES_BY.format(name=self._detector.name))
        opened = Opened(scene, read.pixels, notices)
        self.scenes.put(scene.key, opened)
        return opened

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
        scene = opened.scene
        first_drawn = len(scene) + 1
        if ask.drawn:
            scene = predictor.add_boxes(scene, np.asarray(ask.drawn, dtype=np.float32))
        instances = predictor.decode(
            scene, ask.policy, threshold=ask.threshold, min_score=ask.min_score
        )
        rows = np.flatnonzero(scene.scores.numpy() >= np.float32(ask.min_score))
        decoded = Decoded(instances, rows.astype(np.int64) + 1, first_drawn)
        self.decoded.put(key, decoded)
        return decoded
