"""The app for tests/browser/test_inspect_speed.py: ``python tests/crowd_page.py PORT FOLDER``.

A hundred boxes in every large photo, and a server that can be held up: while FOLDER has a file
``hold``, decoding under ``fixed:14`` waits, and says so by a file ``held``. Four model jobs run at
a time instead of one, so that answers can overtake each other.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from app import main
from app.session import Ask, Decoded, Opened, Session
from app.tabs import inspect
from dynamask.detectors import Found

TILE = (192, 216)  # px, width and height
SIZE = (1920, 1080)
PARTS = ((20, 3, 120, 185), (60, 10, 70, 95))  # x, y, width and height of two boxes in a tile


class HundredBoxes:
    """The same two parts of every tile."""

    name = "tiles"

    def __call__(self, image: np.ndarray, file_name: str = "") -> Found:
        boxes = [
            [x + dx, y + dy, x + dx + w, y + dy + h]
            for y in range(0, SIZE[1], TILE[1])
            for x in range(0, SIZE[0], TILE[0])
            for dx, dy, w, h in PARTS
        ]
        scores = np.linspace(1, 0.4, len(boxes), dtype=np.float32)
        return Found(np.array(boxes, np.float32), ("person",) * len(boxes), scores)


class HeldSession(Session):
    """A session that waits while it is told to."""

    folder: Path

    def decode(self, opened: Opened, ask: Ask) -> Decoded:
        while ask.policy == "fixed:14" and (self.folder / "hold").exists():
            (self.folder / "held").touch()
            time.sleep(0.05)
        return super().decode(opened, ask)


if __name__ == "__main__":
    session = HeldSession(detector=HundredBoxes)
    session.folder = Path(sys.argv[2])
    session.start()
    inspect.MODEL.update(concurrency_limit=4, concurrency_id="several")
    options = main.launch_settings(port=int(sys.argv[1]), session=session)
    main.build_app(session).launch(**options, prevent_thread_lock=True)
    threading.Event().wait()
