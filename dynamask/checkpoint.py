"""Weights on disk: safetensors only, float16, with the configuration inside.

A pickle can run code when it is opened, so none is ever opened here. What is read is checked
before a model is built: header, preset, key names and shapes.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dynamask.config import PRESETS, DynaMaskConfig
from dynamask.errors import InputError, WeightsError
from dynamask.model.detector import DynaMask

FORMAT = "dynamask-1"
MAX_BYTES = 2_000_000_000  # more than any preset needs
SHOWN_KEYS = 10

BUNDLED = Path(__file__).resolve().parent.parent / "assets" / "weights"
BUNDLED_WEIGHTS = BUNDLED / "effnet_lite2_fpn.safetensors"


@dataclass(frozen=True)
class LoadedWeights:
    """A model in evaluation mode and what its file says about it."""

    model: DynaMask
    categories: tuple[str, ...]
    metadata: dict[str, Any]
    sha256: str


def save_weights(
    model: DynaMask,
    path: str | Path,
    *,
    categories: tuple[str, ...],
    metadata: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float16,
    state: dict[str, Tensor] | None = None,
) -> None:
    """Write a model and its config; the file appears whole or not at all.

    Args:
        model: what to write.
        path: ``*.safetensors``.
        categories: class names by index.
        metadata: JSON-able facts for the model card (command, seed, step).
        dtype: floating tensors are stored in this type.
        state: tensors to write instead of the model's own (an average of weights).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (t.detach().to("cpu", dtype) if t.is_floating_point() else t.detach().cpu())
        for name, t in (state or model.state_dict()).items()
    }
    header = {
        "format": FORMAT,
        "config": model.config.to_json(),
        "categories": json.dumps(list(categories)),
        "metadata": json.dumps(metadata or {}),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    save_file({k: t.contiguous() for k, t in tensors.items()}, temporary, metadata=header)
    os.replace(temporary, path)


def load_weights(path: str | Path, *, preset: str | None = None) -> LoadedWeights:
    """Read a weights file made by :func:`save_weights`.

    Args:
        path: a safetensors file.
        preset: the preset that is wanted; another one in the file is an error.

    Raises:
        WeightsError: the file is missing, no safetensors, damaged, or of another model.
    """
    path = Path(path)
    header, tensors = _read(path)
    if header.get("format") != FORMAT or "config" not in header:
        raise WeightsError(
            f"Expected weights written by dynamask, got the safetensors file {path.name} without "
            "its configuration; make one with `python -m dynamask convert` or `train`."
        )
    try:
        config = DynaMaskConfig.from_json(header["config"])
        categories = tuple(str(c) for c in json.loads(header["categories"]))
        metadata = json.loads(header.get("metadata", "{}"))
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"Expected a readable configuration inside {path.name}, got a damaged one; "
            "fetch the file again."
        ) from error
    if preset is not None and config.preset != preset:
        raise WeightsError(
            f"Expected weights of preset {preset!r}, got {path.name} of preset "
            f"{config.preset!r}; give the matching file or preset."
        )
    if config.preset not in PRESETS:
        raise WeightsError(
            f"Expected weights of a known preset ({', '.join(PRESETS)}), got {config.preset!r}; "
            "update dynamask."
        )
    try:
        model = DynaMask(config)
    except (InputError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise WeightsError(
            f"Expected a configuration that builds a model inside {path.name}, got one that does "
            "not; fetch the file again."
        ) from error
    load_checked(model, tensors, source=path.name)
    return LoadedWeights(model.eval(), categories, metadata, file_sha256(path))


def load_checked(model: nn.Module, tensors: dict[str, Tensor], *, source: str) -> None:
    """Load tensors into a model; every name and shape must match.

    Raises:
        WeightsError: names the first keys that are missing, unexpected or of another shape.
    """
    own = model.state_dict()
    problems = [f"missing {k}" for k in own if k not in tensors]
    problems += [f"unexpected {k}" for k in tensors if k not in own]
    problems += [
        f"{k} is {tuple(tensors[k].shape)} instead of {tuple(t.shape)}"
        for k, t in own.items()
        if k in tensors and tensors[k].shape != t.shape
    ]
    if problems:
        more = f" and {len(problems) - SHOWN_KEYS} more" if len(problems) > SHOWN_KEYS else ""
        raise WeightsError(
            f"Expected the tensors of this model in {source}, got other ones "
            f"({'; '.join(problems[:SHOWN_KEYS])}{more}); give weights of the same preset."
        )
    bad = [k for k, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if bad:
        raise WeightsError(
            f"Expected finite numbers in {source}, got NaN or infinity in {bad[0]}; "
            "fetch the file again or train again."
        )
    model.load_state_dict(tensors)


def file_sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not os.path.isfile(path):
        raise WeightsError(
            f"Expected a weights file, found none at {path}; give its path with --weights or "
            "make one with `python -m dynamask train`."
        )
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise WeightsError(
            f"Expected weights of at most {MAX_BYTES // 10**9} GB, got {size / 1e9:.1f} GB in "
            f"{path.name}; give a dynamask weights file."
        )
    with open(path, "rb") as file:
        start = file.read(9)
    # pickle protocol 2+, torch's zip of pickles; a safetensors header's length may begin with the
    # same bytes, but its ninth byte opens a JSON object
    if (start[:1] == b"\x80" or start[:2] == b"PK") and start[8:9] != b"{":
        raise WeightsError(
            f"Expected safetensors, got a pickle in {path.name}, which could run code and was not "
            "opened; convert a checkpoint that you trust with `python -m dynamask convert`."
        )
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"Expected a whole safetensors file, got {path.name} of {size} bytes that is damaged, "
            "cut short or of another kind; fetch it again."
        ) from error
    return header, {k: t.float() if t.is_floating_point() else t for k, t in tensors.items()}
