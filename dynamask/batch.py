"""``predict`` over files: every input checked first, every output whole or absent."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynamask.errors import DynaMaskError, InputError

if TYPE_CHECKING:
    import numpy as np

    from dynamask.detectors import Detector
    from dynamask.predictor import Predictor
    from dynamask.types import Instances


@dataclass(frozen=True)
class PredictJob:
    """What to do with every photo.

    Attributes:
        out: folder for ``<stem>.png`` and ``<stem>.json``.
        policy: text such as ``msm``.
        threshold: mask probability above which a pixel belongs to the object, 0 to 1, exclusive.
        min_score: objects with a lower score are left out, 0 to 1.
        write_json: whether JSON is written beside the picture.
    """

    out: Path
    policy: str = "msm"
    threshold: float = 0.5
    min_score: float = 0.3
    write_json: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise InputError(
                f"Expected a mask threshold between 0 and 1, got {self.threshold:g}; try 0.5."
            )
        if not 0 <= self.min_score <= 1:
            raise InputError(
                f"Expected a smallest score from 0 to 1, got {self.min_score:g}; try 0.3."
            )


def predict_files(
    photos: Sequence[Path],
    job: PredictJob,
    *,
    weights: str | Path | None,
    device: str,
    detector: Callable[[], Detector | None] = lambda: None,
) -> list[str]:
    """Analyse photos one by one; progress goes to stderr.

    A photo that cannot be used does not stop the others, nor does an unexpected error, which is
    raised again after the last photo.

    Args:
        photos: files to read.
        job: what to do with each.
        weights: file of the model; None is the bundled one.
        device: ``auto``, ``cpu``, ``cuda`` ...
        detector: makes what finds the boxes; None is the model's own.

    Returns:
        One sentence for each photo that failed, naming it.

    Raises:
        DynaMaskError: what no photo would survive: two photos of the same stem, an output folder
            that cannot be, weights, device, policy.
    """
    _check_names(photos, job.out)
    check_folder(job.out)
    from dynamask.policies import parse_policy
    from dynamask.predictor import Predictor

    predictor = Predictor.from_weights(weights, device=device)
    finder = detector()
    _check_policy(parse_policy(job.policy, config=predictor.config).name, job.policy)
    failed: list[str] = []
    unexpected: list[Exception] = []
    for count, photo in enumerate(photos, start=1):
        try:
            said = _predict_one(predictor, photo, job, finder)
        except DynaMaskError as error:
            failed.append(f"{photo}: {error}")
            said = "failed"
        except Exception as error:  # raised below, after the other photos
            unexpected.append(error)
            said = f"failed ({type(error).__name__})"
        sys.stderr.write(f"[{count}/{len(photos)}] {photo.name}: {said}\n")
    if unexpected:
        raise unexpected[0]
    return failed


def result_dict(instances: Instances, *, file_name: str) -> dict[str, Any]:
    """The JSON of one photo, as the command line promises it (DESIGN.md, Command line)."""
    height, width = instances.image_size
    selection = instances.selection
    return {
        "image": {"file_name": file_name, "width": width, "height": height},
        "policy": selection.policy,
        "cost": {
            "gmac_total": selection.total_gmac,
            "gmac_per_roi": selection.gmac_per_roi,
            "share_of_112": selection.share_of_full,
            "image_branch_gmac": selection.image_mac / 1e9,
        },
        "objects": instances.to_coco(),
    }


def check_out_file(path: str | Path) -> Path:
    """Return ``path`` where it seems that a file can be written there; nothing is made yet.

    Raises:
        InputError: it is a folder, or its folder cannot be made.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"Expected a file to write, got the folder {path}; add a file name.")
    check_folder(path.parent)
    return path


def check_folder(folder: Path) -> None:
    """Look whether a folder exists or could be made, before the long work that fills it.

    Raises:
        InputError: something else is in the way, or writing is not allowed there.
    """
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = "may not be written to" if there.is_dir() else "is a file"
        raise InputError(
            f"Expected a folder to write into, got {folder}, where {there} {why}; choose another."
        )


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        InputError: the place cannot be written to.
    """
    _make_folder(path.parent)
    _write_bytes(path, text.encode())


def _predict_one(
    predictor: Predictor, photo: Path, job: PredictJob, detector: Detector | None
) -> str:
    from dynamask.detectors import encode_found
    from dynamask.images import read_image
    from dynamask.overlay import cost_line, draw_overlay

    read = read_image(photo)
    scene = encode_found(predictor, read.pixels, detector, photo.name)
    instances = predictor.decode(
        scene, job.policy, threshold=job.threshold, min_score=job.min_score
    )
    notices = (*read.notices, *scene.notices)
    picture = _png(draw_overlay(read.pixels, instances))
    # both are made before either is written: a failure leaves no half of a pair
    text = None
    if job.write_json:
        facts = result_dict(instances, file_name=photo.name)
        text = json.dumps(facts, allow_nan=False, indent=1) + "\n"
    folder = _make_folder(job.out)
    _write_bytes(folder / f"{photo.stem}.png", picture)
    if text is not None:
        write_text(folder / f"{photo.stem}.json", text)
    count = f"{len(instances)} objects, " if len(instances) else ""
    return " ".join((f"{count}{cost_line(instances)}.", *notices))


def _png(pixels: np.ndarray) -> bytes:
    import cv2

    done, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if not done:
        raise InputError("Expected a picture that PNG can hold, got one that it cannot.")
    return data.tobytes()


def _check_names(photos: Sequence[Path], out: Path) -> None:
    seen: dict[str, Path] = {}
    inputs = {photo.resolve() for photo in photos}
    for photo in photos:
        target = out / f"{photo.stem}.png"
        if target.resolve() in inputs:
            raise InputError(
                f"Expected an output folder without the photos, got {out}, where {target.name} "
                "would overwrite a photo; choose another."
            )
        stem = photo.stem.casefold()  # some file systems do not tell A.png from a.png
        if stem in seen:
            raise InputError(
                f"Expected photos of different names, got {seen[stem]} and {photo}, which would "
                f"both be written to {photo.stem}.png; rename one, or run them apart."
            )
        seen[stem] = photo


def _check_policy(name: str, text: str) -> None:
    if name == "oracle":
        raise InputError(
            f"Expected a policy that needs no ground truth, got {text!r}; use msm, or oracle with "
            "`python -m dynamask evaluate --boxes gt`."
        )


def _make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Expected a folder to write into, got {folder}, which cannot be made "
            f"({error.strerror or error}); choose another."
        ) from error
    return folder


def _write_bytes(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"Expected to write {path}, which failed ({error.strerror or error}); choose another "
            "place or make room."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
