"""Which runs made a weights file, oldest first: the model card lists them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamask.checkpoint import load_weights
from dynamask.errors import WeightsError


def training_stages(metadata: Mapping[str, Any], *, depth: int = 8) -> list[dict[str, Any]]:
    """The stages in a weights file's metadata, those of the file it started from before them.

    Args:
        metadata: of the file; either it has ``stages``, or it is the account of one run, whose
            ``options`` name the weights that it started from.
        depth: how many files back to look.

    Returns:
        One account per run. A starting file that is no longer there ends the list early.
    """
    if "stages" in metadata:
        return [dict(stage) for stage in metadata["stages"]]
    if "command" not in metadata:
        return []
    start = (metadata.get("options") or {}).get("init")
    earlier: list[dict[str, Any]] = []
    if depth and start and Path(start).is_file():
        try:
            earlier = training_stages(load_weights(start).metadata, depth=depth - 1)
        except WeightsError:
            earlier = []  # weights of another library: no account in them
    return [*earlier, dict(metadata)]
