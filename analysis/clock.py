"""Seconds of the switch and of every mask stage, taken while the model runs."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynamask.predictor import Predictor


class StageClock(AbstractContextManager["StageClock"]):
    """Listens to a model's parts while it is entered; other threads' calls are not counted.

    Attributes:
        switch: seconds of the switch since the last ``reset``.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._hooks: list[Any] = []
        self._thread = 0
        self._start = self._asked = 0.0
        self._stages = [0.0] * 4
        self.switch = 0.0

    def __enter__(self) -> StageClock:
        """Start listening."""
        self._thread = threading.get_ident()
        model = self._predictor.model
        head = model.mask_head
        # stage k begins where its own logits are done: that is the exit at grid k
        for index, stage in enumerate(head.stages):
            self._hooks.append(stage.register_forward_pre_hook(self._leaver(index)))
        self._hooks.append(head.final_detail_logits.register_forward_hook(self._leaver(3)))
        self._hooks.append(model.mask_switch.register_forward_pre_hook(self._switch_begins))
        self._hooks.append(model.mask_switch.register_forward_hook(self._switch_ends))
        self.reset()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop listening."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def reset(self) -> None:
        """Forget what was measured; decoding starts now."""
        self.switch, self._stages, self._start = 0.0, [0.0] * 4, self.now()

    def to_grids(self) -> list[float]:
        """Seconds from the start of decoding to each of GRIDS, summed over chunks of objects."""
        return list(self._stages)

    def now(self) -> float:
        """Seconds of a steady clock, once the device has done what it was given."""
        if self._predictor.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._predictor.device)
        return time.perf_counter()

    def _mine(self) -> bool:
        return threading.get_ident() == self._thread

    def _leaver(self, index: int) -> Any:
        def leave(*_: Any) -> None:
            if self._mine():
                now = self.now()
                self._stages[index] += now - self._start
                if index == 3:
                    self._start = now  # the next chunk begins

        return leave

    def _switch_begins(self, *_: Any) -> None:
        if self._mine():
            self._asked = self.now()

    def _switch_ends(self, *_: Any) -> None:
        if self._mine():
            self.switch += self.now() - self._asked
