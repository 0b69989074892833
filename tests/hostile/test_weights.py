"""Weights files that are not: a sentence each, and a pickle is never opened."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dynamask.checkpoint import load_weights
from dynamask.errors import WeightsError

pytestmark = pytest.mark.hostile

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = re.compile(r"^Expected [^\n]+\.$")


class WritesAFile:
    """What a hostile pickle does: it runs code of its maker's choice as it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.target),)


def refused(path: Path, pattern: str, **options: str) -> str:
    with pytest.raises(WeightsError, match=pattern) as caught:
        load_weights(path, **options)
    message = str(caught.value)
    assert SENTENCE.match(message), message
    assert path.name in message
    assert len(message) < 800  # ten tensor names at most
    return message


def header_of(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_pickle_is_not_run(tmp_path: Path, protocol: int, suffix: str) -> None:
    target = tmp_path / "it-ran"
    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(WritesAFile(target), protocol=protocol))
    refused(path, "got a pickle")
    assert not target.exists()
    pickle.loads(path.read_bytes())  # noqa: S301 - the trap works where a pickle is opened
    assert target.exists()


@pytest.mark.parametrize("protocol", [0, 1])
def test_old_pickle_is_not_run(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "it-ran"
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps(WritesAFile(target), protocol=protocol))
    refused(path, "Expected (a whole )?safetensors")
    assert not target.exists()


@pytest.mark.parametrize(("low", "step"), [(0x80, 0x100), (0x4B50, 0x10000)], ids=["x80", "PK"])
def test_header_length_that_looks_like_a_pickle(
    tiny_weights: Path, tmp_path: Path, low: int, step: int
) -> None:
    """A whole file is no pickle because its length happens to begin like one."""
    data = tiny_weights.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    wanted = length + (low - length) % step
    padded = struct.pack("<Q", wanted) + data[8 : 8 + length] + b" " * (wanted - length)
    path = tmp_path / "w.safetensors"
    path.write_bytes(padded + data[8 + length :])
    assert path.read_bytes()[:1] in (b"\x80", b"P")
    assert load_weights(path).categories == load_weights(tiny_weights).categories


def test_torch_checkpoint_is_not_run(tmp_path: Path) -> None:
    target = tmp_path / "it-ran"
    path = tmp_path / "model.pth"
    torch.save({"state_dict": {}, "meta": WritesAFile(target)}, path)
    assert zipfile.is_zipfile(path)
    refused(path, "got a pickle.*convert")
    assert not target.exists()


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 100, 0.3, 0.9, -1])
def test_cut_short(tiny_weights: Path, tmp_path: Path, kept: float) -> None:
    data = tiny_weights.read_bytes()
    end = int(kept * len(data)) if isinstance(kept, float) else kept
    path = tmp_path / "cut.safetensors"
    path.write_bytes(data[:end])
    refused(path, "whole safetensors file.*damaged, cut short")


def test_bytes_behind_the_end(tiny_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "more.safetensors"
    path.write_bytes(tiny_weights.read_bytes() + b"\0" * 64)
    refused(path, "damaged")


def test_other_preset(tiny_weights: Path) -> None:
    refused(tiny_weights, "preset 'effnet_lite2_fpn', got .*'effnet_lite0_fpn'",
            preset="effnet_lite2_fpn")  # fmt: skip


def test_missing_and_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "found none")
    refused(tmp_path, "found none")


CONTENTS: dict[str, bytes] = {
    "empty": b"",
    "text": b"these are no weights",
    "json": b'{"weights": [1, 2, 3]}',
    "html": b"<!DOCTYPE html><title>404</title>",
    "git-lfs-pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "random": bytes((i * 7919 + 13) % 251 for i in range(100_000)),
    "huge-header-length": struct.pack("<Q", 2**63) + b"{}" + b"\0" * 100,
    "header-longer-than-file": struct.pack("<Q", 90_000_000) + b"{}",
    "header-is-no-json": struct.pack("<Q", 8) + b"notjson!",
    "header-is-a-list": struct.pack("<Q", 8) + b"[1,2,3] ",
    "header-is-nested": struct.pack("<Q", 60_000) + b"[" * 60_000,
    "header-is-no-text": struct.pack("<Q", 8) + b"\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc",
}


@pytest.mark.parametrize("name", CONTENTS)
def test_no_weights(name: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(CONTENTS[name])
    tracemalloc.start()
    try:
        refused(path, "whole safetensors file")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def with_tensor(entry: dict[str, object], data: bytes = b"\0" * 16) -> bytes:
    """A safetensors file with one tensor of any claims."""
    header = json.dumps({"a": entry}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 10**12]},
        {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]},
        {"dtype": "F32", "shape": [4], "data_offsets": [4, 20]},
        {"dtype": "NONE", "shape": [4], "data_offsets": [0, 16]},
        {"dtype": "F32"},
    ],
    ids=["beyond-the-end", "huge-shape", "negative", "backwards", "hole", "dtype", "incomplete"],
)
def test_lying_header(entry: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(with_tensor(entry))
    refused(path, "whole safetensors file")


def test_weights_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    refused(path, "without its configuration.*convert")
    save_file({"a": torch.zeros(3)}, path, metadata={"format": "pt"})
    refused(path, "without its configuration")


def test_right_configuration_wrong_tensors(tiny_weights: Path, tmp_path: Path) -> None:
    metadata = header_of(tiny_weights)["__metadata__"]
    assert isinstance(metadata, dict)
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, path, metadata=metadata)
    message = refused(path, r"missing .*and \d+ more")
    assert message.count("missing ") <= 10


@pytest.mark.slow
def test_command_line_answers_with_one_sentence(tmp_path: Path) -> None:
    target = tmp_path / "it-ran"
    weights = tmp_path / "model.pth"
    weights.write_bytes(pickle.dumps(WritesAFile(target)))
    photo, out = ROOT / "assets" / "examples" / "coffee.jpg", tmp_path / "out"
    arguments = ["predict", str(photo), "--out", str(out), "--weights", str(weights)]
    done = subprocess.run(
        [sys.executable, "-m", "dynamask", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and "got a pickle" in lines[0]
    assert not target.exists()
    assert not out.exists() or not list(out.iterdir())
