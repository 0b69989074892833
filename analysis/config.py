"""What a dataset run is about, and everything about it that can be checked before the work."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import store
from analysis.schema import check_version
from dynamask.errors import DataError, InputError, PolicyError

if TYPE_CHECKING:
    from analysis.measure import Item
    from dynamask.checkpoint import LoadedWeights
    from dynamask.config import DynaMaskConfig

DEFAULT_POLICIES = ("msm", "size", "fixed:14", "fixed:28", "fixed:56", "fixed:112", "oracle")
DETECTOR_POLICIES = ("msm",)
SHARDS, MIN_SHARD, MAX_SHARD = 8, 8, 500
"""A run has about SHARDS shards, of MIN_SHARD to MAX_SHARD photos each."""


@dataclass(frozen=True)
class RunConfig:
    """What a run is about. All of it but paths and device decides the configuration hash.

    Attributes:
        coco: annotation file.
        images: folder of the photos.
        out: run folder; made where it is missing, otherwise empty unless the run is resumed.
        policies: who chooses grids at ground-truth boxes.
        detector_policies: who does at the detector's boxes; empty leaves the detector out.
        weights: weights file; None is the bundled one.
        device: ``auto``, ``cpu``, ``cuda`` ...
        detector: ``own`` or as ``dynamask.detectors.parse_detector`` reads it.
        detector_weights: local file for a torchvision detector.
        detector_grids: compare every detection with the annotated objects at all four grids, from
            which AP under any choice of grids follows (the tables ``pairs`` and ``areas``).
        limit: only the first photos; None for all.
        photos_per_shard: None lets the number of photos decide.
        name: for people; the folder's name where it is empty.
    """

    coco: str | Path
    images: str | Path
    out: str | Path
    policies: tuple[str, ...] = DEFAULT_POLICIES
    detector_policies: tuple[str, ...] = DETECTOR_POLICIES
    weights: str | Path | None = None
    device: str = "auto"
    detector: str = "own"
    detector_weights: str | Path | None = None
    detector_grids: bool = True
    limit: int | None = None
    photos_per_shard: int | None = None
    name: str = ""

    @property
    def has_pairs(self) -> bool:
        """Whether the run has the tables ``pairs`` and ``areas``."""
        return bool(self.detector_grids and self.detector_policies)

    @classmethod
    def of_run(cls, path: str | Path, **changes: Any) -> RunConfig:
        """The configuration that a run folder was made with, for resuming it.

        Args:
            path: the run folder.
            changes: fields that differ now, for example ``images`` after the photos were moved.

        Raises:
            DataError: no readable manifest.
        """
        manifest = store.read_manifest(Path(path))
        check_version(manifest, str(path))
        asked = manifest.get("asked")
        names = {f.name for f in dataclasses.fields(cls)} - {"out"}
        if not isinstance(asked, dict) or not {"coco", "images"} <= set(asked) <= names:
            raise DataError(
                f"Expected how the run was made in manifest.json at {path}, got none; make it "
                "again with python -m analysis run."
            )
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in asked.items()}
        # runs that were begun before this option hold no such table
        values.setdefault("detector_grids", False)
        return cls(**{**values, **changes, "out": path})


def shard_size(photos: int) -> int:
    """Photos of a shard of a set of this size."""
    return min(MAX_SHARD, max(MIN_SHARD, math.ceil(photos / SHARDS)))


def check_options(config: RunConfig, processes: int | None) -> None:
    """Refuse numbers and policies that mean nothing, and a photo folder that is not there."""
    for name, value in (
        ("limit", config.limit),
        ("photos per shard", config.photos_per_shard),
        ("processes", processes),
    ):
        if value is not None and (isinstance(value, bool) or value < 1):
            raise InputError(f"Expected {name} of at least 1, got {value}; leave it out for all.")
    for policies in (config.policies, config.detector_policies):
        if len(set(policies)) < len(policies):
            raise PolicyError(
                f"Expected every policy once, got {', '.join(policies)}; name each once."
            )
    if not config.policies:
        raise PolicyError("Expected at least one policy, got none; name one, for example msm.")
    if not os.path.isdir(config.images):
        raise DataError(
            f"Expected a folder of photos, found none at {config.images}; check the path."
        )


def check_place(path: Path, resume: bool) -> None:
    """Refuse a place that cannot become, or go on being, the run's folder; nothing is made."""
    from dynamask.batch import check_folder

    if path.exists() and not path.is_dir():
        raise InputError(f"Expected a run folder, got the file {path}; choose another --out.")
    check_folder(path)
    there = {p.name for p in path.iterdir()} - {store.LOCK} if path.is_dir() else set()
    known = store.MANIFEST in there or store.JOURNAL in there
    if known and not resume:
        raise InputError(
            f"Expected a new run folder, got {path}, which holds a run; go on with it with "
            "--resume, or choose another --out."
        )
    if there and not known and any(not name.startswith(".") for name in there):
        raise InputError(
            f"Expected a new or empty run folder, got {path}, which holds other files; choose "
            "another --out."
        )
    if known and store.is_busy(path):
        raise InputError(store.BUSY.format(path=path))
    at = next(p for p in (path, *path.absolute().parents) if p.exists())
    free = shutil.disk_usage(at).free
    if free < store.MIN_FREE_BYTES:
        raise InputError(
            f"Expected at least {store.MIN_FREE_BYTES / 1e9:.0f} GB of free disk at {at}, got "
            f"{free / 1e9:.2f} GB; make room or choose another --out."
        )


def check_photos(folder: Path, items: Sequence[Item]) -> None:
    """A wrong folder is said at once; a photo that is missing is a row of the report."""
    for item in items:
        if os.path.isfile(folder / item.image.file_name):
            return
    raise DataError(
        f"Expected the photos of the annotation file in {folder}, found none of {len(items)}, "
        f"for example {items[0].image.file_name!r}; give the folder that file names start from."
    )


def load_model(config: RunConfig) -> LoadedWeights:
    """Read the weights, and check what else the workers will load."""
    from dynamask.checkpoint import BUNDLED_WEIGHTS, load_weights
    from dynamask.detectors import parse_detector
    from dynamask.device import pick_device

    pick_device(config.device)
    if config.detector_policies and not config.detector.startswith("torchvision:"):
        parse_detector(config.detector, config.detector_weights)
    return load_weights(config.weights or BUNDLED_WEIGHTS)


def model_facts(config: RunConfig, model: DynaMaskConfig, sha256: str) -> dict[str, Any]:
    """What the manifest says about the model; checks the policies against it."""
    from dynamask.checkpoint import BUNDLED_WEIGHTS
    from dynamask.policies import OraclePolicy, parse_policy

    for spec in config.policies:
        parse_policy(spec, config=model)
    for spec in config.detector_policies:
        if isinstance(parse_policy(spec, config=model), OraclePolicy):
            raise PolicyError(
                "Expected ground-truth boxes for the policy 'oracle', got the detector's; leave "
                "it out of --detector-policy."
            )
    return {
        "weights": Path(config.weights or BUNDLED_WEIGHTS).name,
        "weights_sha256": sha256,
        "preset": model.preset,
        "config": json.loads(model.to_json()),
    }


def configuration_hash(manifest: dict[str, Any], items: Sequence[Item], config: RunConfig) -> str:
    """Hex SHA-256 of everything that decides what a run's tables hold, times aside."""
    kept = ("schema_version", "weights_sha256", "config", "policies", "detector_policies")
    kept = (*kept, "detector", "annotations_sha256", "photos_per_shard")
    parts = {k: manifest[k] for k in kept}
    parts["images"] = [item.image.id for item in items]
    kind, _, file = config.detector.partition(":")
    files = [file] if kind in ("coco", "gt") else []
    if config.has_pairs:  # absent, not False: runs from before the option keep their hash
        parts["detector_grids"] = True
    if config.detector_policies:
        named = [*files, *([config.detector_weights] if config.detector_weights else [])]
        parts["detector_files"] = [_sha256(Path(f)) for f in named]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
