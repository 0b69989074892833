"""What a run writes while it trains: ``log.csv``, TensorBoard events and ``curves.html``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from dynamask.errors import InputError
from dynamask.training.curves import write_curves
from dynamask.training.state import CsvLog

logger = logging.getLogger(__name__)

EVENTS = "tensorboard"
PAGE = "curves.html"


class RunRecords:
    """The log of one run, kept by one process; see docs/training.md for the columns.

    Args:
        folder: the run folder.
        first_step: rows from this step on are dropped and written anew (a resumed run).
        resumed: False starts the log afresh.
    """

    def __init__(self, folder: Path, *, first_step: int, resumed: bool) -> None:
        self.folder = folder
        self.csv = CsvLog(folder / "log.csv", last_step=first_step - 1 if resumed else None)
        self.events = _event_writer(folder / EVENTS, first_step)

    def write(self, step: int, facts: dict[str, float]) -> None:
        """Append one step's numbers."""
        self.csv.write({"step": step, **{k: f"{v:.6g}" for k, v in facts.items()}})
        if self.events is not None:
            for name, value in facts.items():
                self.events.add_scalar(tag(name), value, step)

    def draw(self) -> None:
        """Write the page of curves; a run does not fail because its picture does."""
        if self.events is not None:
            self.events.flush()
        try:
            write_curves(self.folder, self.folder / PAGE)
        except (InputError, OSError) as error:
            logger.warning("no curves: %s", error)

    def close(self) -> None:
        """Close the event file."""
        if self.events is not None:
            self.events.close()


def tag(name: str) -> str:
    """TensorBoard's tag of a log column: ``loss_mask`` is shown under ``loss/mask``."""
    for group in ("loss", "share"):
        if name.startswith(f"{group}_"):
            return f"{group}/{name.removeprefix(f'{group}_')}"
    return "loss/total" if name == "loss" else f"run/{name}"


def _event_writer(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        logger.warning("TensorBoard is not installed: the run is logged to log.csv alone.")
        return None
    # steps after the checkpoint happened in a run that was killed; TensorBoard drops them
    return SummaryWriter(str(folder), purge_step=first_step or None)
