"""Which pages show the run that is being made; a stranger's run stops after the last has closed.

On a public server the model is for those who are there. On any other a run goes on without a page,
as it may take hours. It is all one whether a page started the run, resumed it, or was opened or
reloaded while it was being made. Knows nothing of Gradio.
"""

from __future__ import annotations

import threading

from app.dataset_job import Board

RELOAD_SECONDS = 30.0  # a page that is reloaded closes before it is there again


class Pages:
    """Counts the pages of a run; thread-safe.

    Args:
        board: the run that is being made.
        public: whether runs need a page.
        patience: seconds between the end of the last page and that of its run.
    """

    def __init__(self, board: Board, *, public: bool, patience: float = RELOAD_SECONDS) -> None:
        self._board, self._public, self._patience = board, public, patience
        self._shown: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()

    def show(self, page: object, owner: str, name: str) -> None:
        """A page shows the run of this owner and name from now on.

        Args:
            page: the hash of its session.
            owner: whose the run is.
            name: of the run.
        """
        with self._lock:
            self._shown[str(page)] = (owner, name)

    def close(self, page: object) -> None:
        """A page was closed or reloaded."""
        with self._lock:
            run = self._shown.pop(str(page), None)
        if not self._public or run is None or not self._board.is_making(run[1]):
            return
        waiting = threading.Timer(self._patience, self._stop_unseen, run)
        waiting.daemon = True
        waiting.start()

    def _stop_unseen(self, owner: str, name: str) -> None:
        with self._lock:
            seen = (owner, name) in self._shown.values()
        if not seen and self._board.is_making(name):
            self._board.stop(owner)  # not a later run, of another page of theirs
