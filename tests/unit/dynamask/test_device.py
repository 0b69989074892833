"""Devices are chosen when asked, and only those that are really there."""

from __future__ import annotations

import pytest
import torch

from dynamask.device import describe_device, pick_device
from dynamask.errors import InputError


def has(monkeypatch: pytest.MonkeyPatch, *, cuda: int = 0, mps: bool = False) -> None:
    """Pretend that the machine has so many CUDA cards, and MPS or not."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(0, False, "cpu"), (2, False, "cuda"), (0, True, "mps"), (1, True, "cuda")],
)
def test_auto_takes_the_fastest(
    monkeypatch: pytest.MonkeyPatch, cuda: int, mps: bool, expected: str
) -> None:
    has(monkeypatch, cuda=cuda, mps=mps)
    assert pick_device("auto") == pick_device() == torch.device(expected)


def test_named_devices_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, cuda=2, mps=True)
    for name in ("cpu", "cuda", "cuda:0", "cuda:1", "mps"):
        assert pick_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "meta"])
def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    has(monkeypatch)
    with pytest.raises(InputError, match=f"Expected a device of this machine, got '{name}'"):
        pick_device(name)


def test_a_card_beyond_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, cuda=2)
    with pytest.raises(InputError, match="cuda:2"):
        pick_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cuda:-1", "CPU "])
def test_names_that_are_no_device(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    has(monkeypatch, cuda=1)
    with pytest.raises(InputError, match="Expected a device"):
        pick_device(name)


def test_description_names_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device.index}")
    assert describe_device(torch.device("cuda:1")) == "cuda:1 (Card 1)"
    assert describe_device(torch.device("cpu")) == f"cpu ({torch.get_num_threads()} threads)"
    assert describe_device(torch.device("mps")) == "mps"
