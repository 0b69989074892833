"""Every hostile photo ends in the right pixels or in one sentence; nothing else, ever."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hostile.corpus import Case, cases
from hostile.forge import KINDS, encoded, photo, png
from PIL import Image, ImageFile

from dynamask import images
from dynamask.errors import InputError
from dynamask.images import read_image

pytestmark = [
    pytest.mark.hostile,
    pytest.mark.filterwarnings("ignore:Corrupt EXIF data"),  # by Pillow, of damage made here
]

ROOT = Path(__file__).resolve().parents[2]
CASES = cases()
SENTENCE = re.compile(r"^Expected [^\n]+[;,][^\n]+\.$")
FUZZ_SECONDS = 5.0
FUZZ_ROUNDS = 10_000
FUZZ_MEGABYTES = 1200  # 40 megapixels with alpha, on white: 160 MB for each step


def assert_sentence(message: str) -> None:
    assert SENTENCE.match(message), message
    assert len(message) < 300
    assert "Traceback" not in message and "<" not in message


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(CASES) >= 60
    assert len({c.name for c in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_case(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "upload.jpg"  # the name lies; the content counts
    path.write_bytes(case.make())
    if case.error is not None:
        with pytest.raises(InputError, match=case.error) as caught:
            read_image(path)
        assert_sentence(str(caught.value))
        assert "upload.jpg" in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
        return
    result = read_image(path)
    width, height = case.size
    assert result.pixels.dtype == np.uint8
    assert result.pixels.shape == (height, width, 3)
    assert len(result.notices) == len(case.notices), result.notices
    for pattern, notice in zip(case.notices, result.notices, strict=True):
        assert re.search(pattern, notice)
    if case.corners is not None:
        seen = result.pixels[[5, 5, -5], [5, -5, 5]].astype(int)
        assert np.abs(seen - np.array(case.corners)).max() <= case.tolerance, seen
    if case.grey is not None:
        seen = (int(result.pixels.min()), int(result.pixels.max()))
        assert np.abs(np.subtract(seen, case.grey)).max() <= min(case.tolerance, 2), seen
        assert (result.pixels == result.pixels[..., :1]).all()
    if case.corners is None and case.grey is None:
        pytest.fail("a readable case must say what its pixels are")


@pytest.mark.parametrize("case", [c for c in CASES if "header" in c.tags], ids=lambda c: c.name)
def test_headers_are_refused_without_decoding(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    data = case.make()

    def never(*_: object) -> None:
        raise AssertionError("the decoder ran")

    monkeypatch.setattr(ImageFile.ImageFile, "load", never)
    for reader in set(images._READERS.values()):
        monkeypatch.setattr(reader, "load", never)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=case.error):
            read_image(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


HEADERS = """
import sys
from dynamask.errors import InputError
from dynamask.images import read_image
from hostile.forge import KINDS, photo
for kind in KINDS:  # decoders are loaded on first use
    read_image(photo(kind))
def hwm():  # ru_maxrss would count the parent from before exec
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
before = hwm()
for path in sys.argv[1:]:
    try:
        read_image(path)
    except InputError:
        continue
    raise SystemExit(f"{path} was read")
print((hwm() - before) / 1024)
"""


def test_refusing_headers_takes_no_memory_from_the_system(tmp_path: Path) -> None:
    """Decoders written in C take theirs behind Python's back, so the process is measured."""
    paths = []
    for case in [c for c in CASES if "header" in c.tags]:
        paths.append(tmp_path / case.name)
        paths[-1].write_bytes(case.make())
    done = run_child(HEADERS, *map(str, paths), timeout=60)
    assert done.returncode == 0, done.stderr[-1500:]
    assert len(paths) > 15
    assert float(done.stdout) < 20, "MB"  # 100 megapixels would take 100 to 400


def run_child(code: str, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_webp_canvas_is_refused_before_its_decoder_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    data = next(c for c in CASES if c.name == "huge-webp").make()

    def never(*_: object) -> None:
        raise AssertionError("the WebP decoder takes memory for the canvas as it opens")

    monkeypatch.setitem(images._READERS, "WEBP", never)
    with pytest.raises(InputError, match="megapixels"):
        read_image(data)


def test_limits_are_inclusive() -> None:
    exact = encoded(Image.new("L", (8000, 5000), 9), "PNG")
    assert read_image(exact).pixels.shape == (5000, 8000, 3)
    with pytest.raises(InputError, match="at most 2 megapixels"):
        read_image(png(2000, 1001), max_pixels=2_000_000)


def test_bytes_limit_and_paths(tmp_path: Path) -> None:
    data = photo("PNG")
    assert read_image(data, max_bytes=len(data)).pixels.shape == (40, 60, 3)
    with pytest.raises(InputError, match="larger file"):
        read_image(data, max_bytes=len(data) - 1)
    for wrong, state in ((tmp_path, "a folder"), (tmp_path / "none.png", "no such file")):
        with pytest.raises(InputError, match=state) as caught:
            read_image(wrong)
        assert_sentence(str(caught.value))
    with pytest.raises(InputError):
        read_image("a\0b.png")
    with pytest.raises(InputError, match="no such file"):
        read_image("/dev/zero")  # is no regular file, and would never end


def test_file_names_are_made_fit_for_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / ("line\nbreak\x1b[31m" + "x" * 150 + ".png")
    path.write_bytes(b"no photo")
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert_sentence(str(caught.value))
    assert "\x1b" not in str(caught.value)


def test_pillow_is_left_as_it_was() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, len(warnings.filters))
    for case in CASES:
        try:
            read_image(case.make())
        except InputError:
            continue
    after = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, len(warnings.filters))
    assert after == before
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_threads_do_not_mix_photos_up() -> None:
    shades = list(range(0, 240, 10))
    files = [encoded(Image.new("RGB", (64, 48), (s, 255 - s, 7)), "PNG") for s in shades]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(read_image, files * 4))
    for shade, result in zip(shades * 4, results, strict=True):
        assert (result.pixels == (shade, 255 - shade, 7)).all()


FUZZ = """
import json, resource, sys, time
import numpy as np
from dynamask.errors import InputError
from dynamask.images import read_image
from hostile.forge import encoded, photo, turned, with_good_checksums
kind, rounds = sys.argv[1], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_CPU, (300, 300))
rng = np.random.default_rng([2023, *kind.encode()])
noise = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
seeds = [photo(kind), encoded(noise, kind)]
if kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
    seeds.append(turned(kind, 6))
done, slowest = {"ok": 0, "refused": 0}, 0.0
for i in range(rounds):
    data = bytearray(seeds[i % len(seeds)])
    for _ in range(int(rng.integers(1, 9))):
        reach = len(data) if rng.random() < 0.5 else min(200, len(data))  # headers more often
        at = int(rng.integers(0, reach))
        what = rng.integers(0, 5)
        if what == 0:
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif what == 1:
            data[at] = int(rng.integers(0, 256))
        elif what == 2:
            del data[at : at + int(rng.integers(1, 40))]
        elif what == 3:
            data[at:at] = rng.bytes(int(rng.integers(1, 40)))
        else:
            data[at : at + 4] = bytes([(0, 255, 127)[int(rng.integers(0, 3))]] * 4)
        if not data:
            data = bytearray(b"x")
    if kind == "PNG" and i % 4:  # else hardly any damage gets past the checksums
        data = with_good_checksums(bytes(data))
    sys.stderr.write(f"{i}\\n")
    began = time.monotonic()
    try:
        pixels = read_image(bytes(data)).pixels
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        done["ok"] += 1
    except InputError as error:
        text = str(error)
        assert text.startswith("Expected ") and text.endswith(".") and "\\n" not in text, text
        done["refused"] += 1
    slowest = max(slowest, time.monotonic() - began)
def hwm():  # ru_maxrss would count the parent from before exec
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
peak = hwm() / 1024  # MB
print(json.dumps({**done, "slowest": slowest, "megabytes": peak}))
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", KINDS)
def test_fuzz(kind: str) -> None:
    began = time.monotonic()
    done = run_child(FUZZ, kind, str(FUZZ_ROUNDS), timeout=380)
    assert done.returncode == 0, (
        f"{kind} after {time.monotonic() - began:.0f} s: " + (done.stderr[-1500:])
    )
    result = json.loads(done.stdout)
    assert result["ok"] + result["refused"] == FUZZ_ROUNDS
    assert result["refused"] > FUZZ_ROUNDS // 20  # else the mutations change nothing
    assert result["slowest"] < FUZZ_SECONDS
    assert result["megabytes"] < FUZZ_MEGABYTES
