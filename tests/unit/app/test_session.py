"""The session: photos kept by their pixels and within bounds, and one model for everyone."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import settings
from app.session import Ask, ByteLRU, Session
from dynamask.errors import InputError, PolicyError, WeightsError
from dynamask.predictor import Predictor


def save(path: Path, seed: int, **options: object) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def session(tiny_predictor: Predictor) -> Session:
    return Session(load=lambda: tiny_predictor)


@pytest.fixture
def count_encodes(tiny_predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    real = type(tiny_predictor).encode

    def counted(self: Predictor, *args: object) -> object:
        calls.append(1)
        return real(self, *args)

    monkeypatch.setattr(type(tiny_predictor), "encode", counted)
    return calls


def test_lru_drops_what_was_used_longest_ago() -> None:
    cache: ByteLRU[bytes] = ByteLRU(10, len)
    for name in "abc":
        cache.put(name, b"123")
    assert cache.get("a") == b"123"  # now b is the oldest
    cache.put("d", b"1234")
    assert [name for name in "abcd" if name in cache] == ["a", "c", "d"]
    assert cache.nbytes == 10


def test_lru_counts_a_replaced_value_once_and_refuses_giants() -> None:
    cache: ByteLRU[bytes] = ByteLRU(10, len)
    for _ in range(5):
        cache.put("a", b"12345")
    assert (len(cache), cache.nbytes) == (1, 5)
    cache.put("a", b"x" * 11)
    assert (len(cache), cache.nbytes) == (0, 0)
    assert cache.get("a") is None


def test_same_pixels_are_encoded_once_whatever_the_file(
    session: Session, count_encodes: list[int], tmp_path: Path
) -> None:
    first = session.open(save(tmp_path / "a.png", 0))
    again = session.open(save(tmp_path / "b.bmp", 0))
    assert again is first
    assert len(count_encodes) == 1
    other = session.open(save(tmp_path / "c.png", 1))
    assert other.scene.key != first.scene.key
    assert len(count_encodes) == 2


def test_decoding_again_never_encodes(
    session: Session, count_encodes: list[int], tmp_path: Path
) -> None:
    opened = session.open(save(tmp_path / "a.png", 0))
    low, high = session.predictor().budget_range()
    asks = [
        Ask(min_score=0.0),
        Ask("fixed:14", min_score=0.0),
        Ask(f"budget:{(low + high) / 2:.4f}", min_score=0.0),
        Ask("size", threshold=0.3, min_score=0.0, drawn=((10.0, 10.0, 90.0, 80.0),)),
    ]
    results = [session.decode(opened, ask) for ask in asks]
    assert len(count_encodes) == 1
    assert len({r.instances.selection.policy for r in results}) == 4
    assert session.decode(opened, asks[0]) is results[0]


def test_scene_cache_stays_within_its_bytes(tiny_predictor: Predictor, tmp_path: Path) -> None:
    one = Session(load=lambda: tiny_predictor).open(save(tmp_path / "0.png", 0)).nbytes
    session = Session(load=lambda: tiny_predictor, scene_bytes=2 * one + one // 2)
    keys = [session.open(save(tmp_path / f"{i}.png", i)).scene.key for i in range(4)]
    assert session.scenes.nbytes <= 2.5 * one
    assert [key in session.scenes for key in keys] == [False, False, True, True]


def test_a_photo_that_left_the_memory_comes_back_from_its_file(
    session: Session, tmp_path: Path
) -> None:
    path = save(tmp_path / "a.png", 0)
    key = session.open(path).scene.key
    session.scenes.max_bytes = 1
    session.open(save(tmp_path / "b.png", 1))
    session.scenes.put(key, session.open(path))  # too large now: dropped
    assert key not in session.scenes
    assert session.reopen(key, path).scene.key == key
    with pytest.raises(InputError, match="choose the photo again"):
        session.reopen(key, None)
    with pytest.raises(InputError, match="choose the photo again"):
        session.reopen("f" * 64, path)  # the file holds another photo
    with pytest.raises(InputError, match="choose the photo again"):
        session.reopen(["not", "a", "key"])


def test_ids_survive_the_score_slider(session: Session, tmp_path: Path) -> None:
    opened = session.open(save(tmp_path / "a.png", 0))
    assert len(opened.scene) > 2
    everything = session.decode(opened, Ask(min_score=0.0))
    middle = float(opened.scene.scores.median())
    some = session.decode(opened, Ask(min_score=middle))
    assert 0 < len(some.ids) < len(everything.ids)
    assert len(some.ids) == len(some.instances)
    for row, object_id in enumerate(some.ids):
        box = everything.instances.boxes_xyxy_px[everything.row(int(object_id))]
        assert box.tolist() == some.instances.boxes_xyxy_px[row].tolist()


def test_drawn_boxes_come_last_and_are_no_ones_but_the_askers(
    session: Session, tmp_path: Path
) -> None:
    opened = session.open(save(tmp_path / "a.png", 0))
    before = len(opened.scene)
    decoded = session.decode(opened, Ask(min_score=0.9, drawn=((5.0, 5.0, 60.0, 50.0),)))
    assert decoded.first_drawn == before + 1
    assert decoded.row(before + 1) == len(decoded.ids) - 1
    assert decoded.instances.boxes_xyxy_px[-1].tolist() == [5.0, 5.0, 60.0, 50.0]
    assert len(session.open(tmp_path / "a.png").scene) == before


def test_unknown_policy_is_a_sentence(session: Session, tmp_path: Path) -> None:
    opened = session.open(save(tmp_path / "a.png", 0))
    with pytest.raises(PolicyError):
        session.decode(opened, Ask("magic"))


def test_model_loads_once_and_in_the_background(tiny_predictor: Predictor) -> None:
    go, calls = threading.Event(), []

    def load() -> Predictor:
        calls.append(threading.current_thread().name)
        go.wait(20)
        return tiny_predictor

    session = Session(load=load)
    session.start()
    session.start()
    assert session.state == "loading"
    with pytest.raises(WeightsError, match="still being loaded"):
        session.predictor(wait=0.01)
    go.set()
    assert session.predictor(wait=20) is tiny_predictor
    assert session.state == "ready"
    assert calls == ["load-model"]


def test_missing_weights_are_said_in_a_sentence(tmp_path: Path) -> None:
    session = Session(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError) as error:
        session.predictor()
    assert session.state == "failed"
    assert session.problem == str(error.value)
    assert "none.safetensors" in str(error.value)


def test_an_unexpected_error_while_loading_shows_no_trace(tmp_path: Path) -> None:
    def load() -> Predictor:
        raise RuntimeError("secret /path")

    session = Session(load=load)
    with pytest.raises(WeightsError) as error:
        session.predictor()
    assert "secret" not in str(error.value)


def test_the_problem_names_no_folder_of_the_server() -> None:
    def load() -> Predictor:
        raise WeightsError(f"Expected a weights file, found none at {settings.ROOT / 'a' / 'b'}.")

    session = Session(load=load)
    with pytest.raises(WeightsError, match=r"none at a.b\.$"):
        session.predictor()
    assert str(settings.ROOT) not in (session.problem or "")
