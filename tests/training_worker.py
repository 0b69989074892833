"""``python -m dynamask`` that sends itself a signal: ``SELF_SIGNAL=rank:step:number`` says when.

Run by tests in processes of their own, alone or under torchrun.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from dynamask.cli import main
from dynamask.training.trainer import Trainer


def arm(plan: str) -> None:
    """Send the signal before the step is made."""
    rank, step, number = (int(part) for part in plan.split(":"))
    original = Trainer.one_step

    def one_step(self: Trainer, *args: Any) -> dict[str, float]:
        if self.team.rank == rank and self.step == step:
            os.kill(os.getpid(), number)
        return original(self, *args)

    Trainer.one_step = one_step  # type: ignore[method-assign]


if __name__ == "__main__":
    if os.environ.get("SELF_SIGNAL"):
        arm(os.environ["SELF_SIGNAL"])
    sys.exit(main())
