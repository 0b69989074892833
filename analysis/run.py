"""Dataset runs: every object of a set measured under every policy, resumable at any moment.

From a script or a page::

    config = RunConfig(coco="instances_val.json", images="val", out="runs/val")
    stop = threading.Event()
    info = run_dataset(config, progress=lambda p: print(p.done, p.total), cancel=stop)

or step by step, which suits a generator that feeds a page::

    run = Run(config, resume=True)
    for progress in run.steps(cancel=stop):
        ...
    run.info
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import store
from analysis.coco_io import Dataset, read_dataset
from analysis.config import (
    RunConfig,
    check_options,
    check_photos,
    check_place,
    configuration_hash,
    load_model,
    model_facts,
    shard_size,
)
from analysis.measure import Item, Plan
from analysis.schema import SCHEMA_VERSION, TABLES, check_version
from dynamask.errors import DataError, InputError

if TYPE_CHECKING:
    from dynamask.checkpoint import LoadedWeights
    from dynamask.detectors import Detector
    from dynamask.predictor import Predictor

WORKERS = ("local", "ray")


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        done: photos finished, those of earlier sessions included.
        total: photos of the run.
        objects: annotated objects measured so far.
        skipped_photos: photos that could not be used so far.
        seconds: since this session began, loading the model included.
        eta_seconds: expected until the end; None before the second photo of this session, as the
            first one's time is mostly that of loading the model.
        file_name: the photo that was just finished; empty before the first.
    """

    done: int
    total: int
    objects: int
    skipped_photos: int
    seconds: float
    eta_seconds: float | None
    file_name: str = ""


class _Pace:
    """How fast photos come in, for the time that is left."""

    def __init__(self, started: float, left: int) -> None:
        self.started, self._left = started, left
        self._done = 0
        self._first = self._last = started

    def photo(self) -> None:
        self._last = time.perf_counter()
        self._first = self._first if self._done else self._last
        self._done, self._left = self._done + 1, self._left - 1

    def eta(self) -> float | None:
        if not self._left:
            return 0.0
        if self._done < 2:
            return None
        return (self._last - self._first) / (self._done - 1) * self._left


class Run:
    """One run, new or resumed. Making it checks everything that can be checked at once.

    Args:
        config: what to do.
        resume: go on with a run that was stopped; starts a new one where there is none.
        predictor: a loaded model of the same weights, so that a server need not load a second
            one; work then stays in this process.
        detector: a loaded detector that is not the model's own; only with ``predictor``.
        workers: ``local`` (processes of this machine) or ``ray`` (a Ray cluster).
        processes: how many local processes or Ray actors; None fits the machine.
        dataset: what ``read_dataset(config.coco, config.images)`` gave, to read it only once.

    Attributes:
        config: as given.
        dataset: the checked annotations, with the report of what was left out.
        manifest: what manifest.json says at the moment.

    Raises:
        DataError: the annotation file, the photo folder or an earlier run cannot be used.
        InputError: a bad option, a folder that is in use or holds something else, a full disk.
        PolicyError: an unknown policy, or ``oracle`` at the detector's boxes.
        WeightsError: the weights cannot be used.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        resume: bool = False,
        predictor: Predictor | None = None,
        detector: Detector | None = None,
        workers: str = "local",
        processes: int | None = None,
        dataset: Dataset | None = None,
    ) -> None:
        if workers not in WORKERS:
            raise InputError(
                f"Expected workers local or ray, got {workers!r}; choose one of these."
            )
        self.config, self._resume = config, resume
        self._predictor, self._detector = predictor, detector
        self._workers, self._processes = workers, processes
        self._path = Path(config.out)
        check_options(config, processes)
        check_place(self._path, resume)
        self.dataset: Dataset = dataset or read_dataset(config.coco, config.images)
        self._items = _items(self.dataset, config)
        check_photos(Path(config.images), self._items)
        self._loaded: LoadedWeights | None = None
        if predictor is None:
            self._loaded = load_model(config)
            model, sha256 = self._loaded.model.config, self._loaded.sha256
        else:
            model, sha256 = predictor.config, predictor.weights_sha256
        facts = model_facts(config, model, sha256)
        self._size = config.photos_per_shard or shard_size(len(self._items))
        self._plan = Plan(
            images=str(Path(config.images).resolve()),
            policies=config.policies,
            detector_policies=config.detector_policies,
            category_ids=self.dataset.coco.category_ids,
            category_names=self.dataset.coco.category_names,
            weights=_absolute(config.weights),
            device=config.device,
            detector=_absolute_detector(config.detector),
            detector_weights=_absolute(config.detector_weights),
            detector_grids=config.has_pairs,
        )
        self.manifest = self._first_manifest(facts)
        if resume and (self._path / store.MANIFEST).is_file():
            self.manifest = self._compatible(store.read_manifest(self._path))

    @property
    def info(self) -> store.RunInfo:
        """The run as a list of runs shows it."""
        return store.run_info(self._path)

    def steps(
        self,
        cancel: threading.Event | None = None,
        guard: AbstractContextManager[Any] | None = None,
    ) -> Iterator[Progress]:
        """Work, and say after every photo where the run stands.

        The run is ``done`` when the generator ends by itself, unless ``cancel`` was set. It is
        left ``stopped``, with all finished photos kept, when ``cancel`` is set, the generator is
        closed, or an error ends it.

        Args:
            cancel: set it from anywhere to stop after the photo in work.
            guard: held around each photo where the model is shared, for example a lock that a
                server's other requests take; only with ``predictor``.

        Yields:
            Progress: first the state at the start, then one for every finished photo.
        """
        cancel = cancel or threading.Event()
        self._path.mkdir(parents=True, exist_ok=True)
        with store.locked(self._path):
            yield from self._work(cancel, guard or contextlib.nullcontext())

    def _work(
        self, cancel: threading.Event, guard: AbstractContextManager[Any]
    ) -> Iterator[Progress]:
        started = time.perf_counter()
        earlier = float(self.manifest.get("seconds") or 0.0)
        size, count = self._size, len(self._items)
        shards = [range(i, min(i + size, count)) for i in range(0, count, size)]
        left_out = set() if self.config.detector_policies else {"detections"}
        left_out |= set() if self.config.has_pairs else {"pairs", "areas"}
        tables = [t for t in TABLES if t not in left_out]
        folder = store.RunFolder(self._path, shards, tables)
        folder.recover()
        folder.write_problems(self.dataset.problems)

        def note(state: str) -> None:
            seconds = earlier + time.perf_counter() - started
            self.manifest |= {
                "state": state,
                "photos_done": len(folder.done),
                **folder.counts,
                "updated": _now(),
                "seconds": round(seconds, 3),
            }
            folder.write_manifest(self.manifest)

        note("running")
        shard_done = len(folder.done) // size
        todo = [item for item in self._items if item.position not in folder.done]
        pace = _Pace(started, len(todo))
        yield self._progress(folder, pace, "")
        try:
            for position, rows in self._results(todo, cancel, guard):
                folder.keep(position, rows)
                pace.photo()
                if len(folder.done) // size > shard_done:
                    shard_done = len(folder.done) // size
                    note("running")
                yield self._progress(folder, pace, self._items[position].image.file_name)
        except BaseException:
            folder.show_open()
            note("stopped")
            raise
        folder.show_open()
        note("done" if len(folder.done) == count else "stopped")

    def _results(
        self, todo: Sequence[Item], cancel: threading.Event, guard: AbstractContextManager[Any]
    ) -> Iterator[tuple[int, dict]]:
        from analysis import cluster

        loaded, self._loaded = self._loaded, None  # worker processes read their own
        if not todo:
            return
        if self._predictor is not None:
            yield from cluster.inline(
                self._plan, todo, cancel, guard, self._predictor, self._detector
            )
        elif self._workers == "ray":
            yield from cluster.ray(self._plan, todo, cancel, self._processes)
        else:
            yield from cluster.local(self._plan, todo, cancel, self._processes, loaded)

    def _progress(self, folder: store.RunFolder, pace: _Pace, name: str) -> Progress:
        counts = folder.counts
        return Progress(
            done=len(folder.done),
            total=len(self._items),
            objects=counts["objects"],
            skipped_photos=counts["skipped_photos"],
            seconds=time.perf_counter() - pace.started,
            eta_seconds=pace.eta(),
            file_name=name,
        )

    # -- the manifest ----------------------------------------------------------------------

    def _first_manifest(self, facts: dict[str, Any]) -> dict[str, Any]:
        config = self.config
        asked = {
            "coco": str(config.coco),
            "images": str(config.images),
            "policies": list(config.policies),
            "detector_policies": list(config.detector_policies),
            "weights": _text(config.weights),
            "device": config.device,
            "detector": config.detector,
            "detector_weights": _text(config.detector_weights),
            "detector_grids": config.detector_grids,
            "limit": config.limit,
            "photos_per_shard": config.photos_per_shard,
            "name": config.name,
        }
        skipped = sum(p["outcome"] == "skipped" for p in self.dataset.problems)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "state": "running",
            "name": config.name or self._path.resolve().name,
            **facts,
            "policies": list(config.policies),
            "detector_policies": list(config.detector_policies),
            "detector": config.detector if config.detector_policies else "",
            "detector_grids": config.has_pairs,
            "annotations": Path(config.coco).name,
            "annotations_sha256": self.dataset.sha256,
            "photos": len(self._items),
            "photos_done": 0,
            "photos_per_shard": self._size,
            "skipped_entries": skipped,
            "created": _now(),
            "seconds": 0.0,
            "asked": asked,
        }
        manifest["configuration_hash"] = configuration_hash(manifest, self._items, config)
        return manifest

    def _compatible(self, old: dict[str, Any]) -> dict[str, Any]:
        check_version(old, str(self._path))
        if old.get("configuration_hash") != self.manifest["configuration_hash"]:
            keys = ("weights_sha256", "annotations_sha256", "policies", "detector_policies")
            keys = (*keys, "detector", "detector_grids", "photos", "photos_per_shard")
            names = [k for k in keys if old.get(k) != self.manifest[k]] or ["configuration"]
            raise InputError(
                f"Expected the configuration that {self._path} was begun with, got another one "
                f"(different: {', '.join(names)}); resume with the same options, or choose a new "
                "--out."
            )
        kept = {k: old[k] for k in ("created", "seconds", "name") if k in old}
        return {**self.manifest, **kept}


def run_dataset(
    config: RunConfig,
    *,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
    predictor: Predictor | None = None,
    detector: Detector | None = None,
    guard: AbstractContextManager[Any] | None = None,
    workers: str = "local",
    processes: int | None = None,
) -> store.RunInfo:
    """Make a run, or go on with one, to its end or until ``cancel`` is set.

    Args:
        config: what to do.
        resume: as for :class:`Run`.
        progress: called after every photo, in the calling thread.
        cancel: as for :meth:`Run.steps`.
        predictor: as for :class:`Run`.
        detector: as for :class:`Run`.
        guard: as for :meth:`Run.steps`.
        workers: as for :class:`Run`.
        processes: as for :class:`Run`.

    Returns:
        The run; its ``state`` is ``done`` or ``stopped``.

    Raises:
        DataError, InputError, PolicyError, WeightsError: as :class:`Run`.
    """
    run = Run(
        config,
        resume=resume,
        predictor=predictor,
        detector=detector,
        workers=workers,
        processes=processes,
    )
    for step in run.steps(cancel, guard):
        if progress is not None:
            progress(step)
    return run.info


def _items(dataset: Dataset, config: RunConfig) -> list[Item]:
    coco = dataset.coco
    images = coco.images[: config.limit]
    if not images:
        raise DataError(
            f"Expected at least one usable photo in {coco.path.name}, got none; see its images."
        )
    return [
        Item(k, image, coco.by_image[image.id], dataset.verified.get(image.id))
        for k, image in enumerate(images)
    ]


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _absolute(path: str | Path | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _absolute_detector(spec: str) -> str:
    kind, colon, file = spec.partition(":")
    return f"{kind}:{Path(file).resolve()}" if colon and kind in ("coco", "gt") else spec


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
