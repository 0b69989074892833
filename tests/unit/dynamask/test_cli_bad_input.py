"""Bad input on the command line: one sentence, status 2, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli_helpers import files_of, sentence

from dynamask.cli import main

Case = Callable[[Path, str, str], list[str]]
BAD: dict[str, tuple[Case, str]] = {
    "photo missing": (
        lambda d, w, p: ["predict", f"{d}/no.jpg", "--out", f"{d}/out", "--weights", w],
        "no.jpg",
    ),
    "photo is a folder": (
        lambda d, w, p: ["predict", f"{d}/in", "--out", f"{d}/out", "--weights", w],
        "in",
    ),
    "policy unknown": (
        lambda d, w, p: [
            *("predict", p, "--out", f"{d}/out", "--weights", w),
            *("--policy", "best"),
        ],
        "got 'best'",
    ),
    "grid unknown": (
        lambda d, w, p: [
            *("predict", p, "--out", f"{d}/out", "--weights", w),
            *("--policy", "fixed:15"),
        ],
        "14, 28, 56, 112",
    ),
    "policy needs ground truth": (
        lambda d, w, p: [
            *("predict", p, "--out", f"{d}/out", "--weights", w),
            *("--policy", "oracle"),
        ],
        "ground truth",
    ),
    "weights missing": (
        lambda d, w, p: ["predict", p, "--out", f"{d}/out", "--weights", f"{d}/none"],
        "Expected a weights file",
    ),
    "weights are a pickle": (
        lambda d, w, p: ["predict", p, "--out", f"{d}/out", "--weights", f"{d}/pickle.pth"],
        "pickle",
    ),
    "weights cut short": (
        lambda d, w, p: ["predict", p, "--out", f"{d}/out", "--weights", f"{d}/cut.safetensors"],
        "cut.safetensors",
    ),
    "device unknown": (
        lambda d, w, p: [
            *("predict", p, "--out", f"{d}/out", "--weights", w),
            *("--device", "abacus"),
        ],
        "abacus",
    ),
    "threshold out of range": (
        lambda d, w, p: [
            *("predict", p, "--out", f"{d}/out", "--weights", w),
            *("--threshold", "nan"),
        ],
        "threshold",
    ),
    "score out of range": (
        lambda d, w, p: [
            *("predict", p, "--out", f"{d}/out", "--weights", w),
            *("--min-score", "2"),
        ],
        "score",
    ),
    "out is a file": (
        lambda d, w, p: ["predict", p, "--out", w, "--weights", w],
        "folder to write into",
    ),
    "out is inside a file": (
        lambda d, w, p: ["predict", p, "--out", f"{w}/deep/out", "--weights", w],
        "is a file",
    ),
    "COCO file missing": (
        lambda d, w, p: [
            *("evaluate", "--coco", f"{d}/no.json", "--images", str(d)),
            *("--out", f"{d}/out/m.json", "--weights", w),
        ],
        "no.json",
    ),
    "photo folder missing": (
        lambda d, w, p: [
            *("evaluate", "--coco", f"{d}/bad.json", "--images", f"{d}/none"),
            *("--out", f"{d}/out/m.json", "--weights", w),
        ],
        "folder of photos",
    ),
    "COCO file damaged": (
        lambda d, w, p: [
            *("evaluate", "--coco", f"{d}/bad.json", "--images", str(d)),
            *("--out", f"{d}/out/m.json", "--weights", w),
        ],
        "bad.json",
    ),
    "metrics would overwrite a folder": (
        lambda d, w, p: [
            *("evaluate", "--coco", f"{d}/bad.json", "--images", str(d)),
            *("--out", f"{d}/in", "--weights", w),
        ],
        "Expected a file to write",
    ),
    "golden values missing": (lambda d, w, p: ["parity", f"{d}/no.npz"], "no.npz"),
    "golden values damaged": (lambda d, w, p: ["parity", f"{d}/bad.json"], "bad.json"),
    "checkpoint missing": (
        lambda d, w, p: ["convert", f"{d}/no.pth", "--out", f"{d}/out/c.safetensors"],
        "no.pth",
    ),
    "training preset unknown": (
        lambda d, w, p: ["train", "--preset", "resnet9000", "--run", f"{d}/out/run"],
        "resnet9000",
    ),
    "bench photo missing": (
        lambda d, w, p: ["bench", "--image", f"{d}/no.jpg", "--weights", w],
        "no.jpg",
    ),
}


@pytest.mark.hostile
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_status_two(
    name: str, photo: Path, tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pickle.pth").write_bytes(b"\x80\x04\x95\x00.")
    (tmp_path / "cut.safetensors").write_bytes(tiny_weights.read_bytes()[:5000])
    (tmp_path / "bad.json").write_text('{"images": [')
    arguments, says = BAD[name]
    before = files_of(tmp_path)
    weights_before = tiny_weights.read_bytes()
    assert main(arguments(tmp_path, str(tiny_weights), str(photo))) == 2
    assert says in sentence(capsys)
    assert files_of(tmp_path) == before
    assert tiny_weights.read_bytes() == weights_before
