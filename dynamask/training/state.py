"""What a training run is made of, and how it survives a kill.

A run folder holds ``checkpoint.pt`` (model, average, optimizer, step, random states; replaced
whole, never half-written), ``log.csv`` and ``run.json`` (options, so that a resume under other
options is refused).
"""

from __future__ import annotations

import copy
import csv
import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dynamask.errors import WeightsError
from dynamask.training.schedule import cosine_factor as learning_rate_factor

__all__ = [
    "CsvLog",
    "WeightAverage",
    "learning_rate_factor",
    "load_checkpoint",
    "options_hash",
    "save_checkpoint",
    "state_tensors",
]


class WeightAverage:
    """Exponential moving average of floating tensors, its decay growing from zero.

    The early average follows the weights closely (decay ``(1 + t) / (10 + t)``), so that a
    short run is not an average with the random start.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.tensors = copy.deepcopy(model.state_dict())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's present weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, tensor in model.state_dict().items():
            own = self.tensors[name]
            if own.is_floating_point():
                own.lerp_(tensor, 1 - decay)
            else:
                own.copy_(tensor)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and numbers; the old file stays until the new one is whole."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running code from it; raises WeightsError."""
    if not path.is_file():
        raise WeightsError(
            f"Expected a checkpoint at {path} to resume from, found none; "
            "start without --resume or give the --run folder of the earlier run."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"Expected a whole checkpoint in {path}, got a damaged one; start without --resume."
        ) from error


def options_hash(options: dict[str, Any]) -> str:
    """Short hash of everything that must be equal for a resume to go on as if never stopped."""
    text = json.dumps(options, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class CsvLog:
    """Append rows of numbers; on resume, rows after the checkpoint's step are dropped."""

    def __init__(self, path: Path, *, last_step: int | None = None) -> None:
        self.path = path
        self.columns: list[str] = []
        rows: list[dict[str, str]] = []
        if last_step is not None and path.is_file():
            with open(path, newline="") as file:
                rows = [r for r in csv.DictReader(file) if int(r["step"]) <= last_step]
        self._rewrite(rows)

    def write(self, row: dict[str, Any]) -> None:
        """Append one row; a new column rewrites the file with it."""
        if any(name not in self.columns for name in row):
            with open(self.path, newline="") as file:
                rows = list(csv.DictReader(file))
            self._rewrite([*rows, row])
            return
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, self.columns, restval="").writerow(row)

    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        self.columns = list(dict.fromkeys(name for row in rows for name in row))
        with open(self.path, "w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            if self.columns:
                writer.writeheader()
            writer.writerows(rows)


def state_tensors(module: nn.Module) -> dict[str, Tensor]:
    """A detached copy of a module's state on the CPU."""
    return {k: t.detach().cpu().clone() for k, t in module.state_dict().items()}
