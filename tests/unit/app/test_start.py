"""``python -m app``: who the page is for follows from where it listens."""

from __future__ import annotations

from typing import Any

import pytest

from app import __main__ as start


class Unloaded:
    """Stands for a session; no model is loaded."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def start(self) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "strangers"),
    [
        ([], False),
        (["--host", "localhost"], False),
        (["--host", "127.0.0.1"], False),
        (["--host", "::1"], False),
        (["--public"], True),
        (["--host", "0.0.0.0"], True),  # noqa: S104
        (["--host", "192.168.1.20"], True),
        (["--host", "::"], True),
        (["--host", "studio.example"], True),
    ],
)
def test_folders_are_closed_where_others_reach_the_page(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], strangers: bool
) -> None:
    asked: list[bool] = []

    def build(*_: Any, public: bool) -> Any:
        asked.append(public)
        raise OSError("built")

    monkeypatch.setattr(start, "Session", Unloaded)
    monkeypatch.setattr("app.main.build_app", build)
    assert start.main(arguments) == 2
    assert asked == [strangers]
