"""A public server's dataset runs under attack: strangers' runs, forged visitors, paths, zips, two
tabs at once, and the end of the server in the middle of a run.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from dataset_page import data_set
from public_page import Visitor
from run_compare import assert_same_run
from serving import ROOT, serving

from analysis import store
from app import settings
from app.dataset_runs import Shelf

pytestmark = [pytest.mark.hostile, pytest.mark.timeout(400)]

MINE, YOURS = "m" * 32, "y" * 32


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("server") / "my runs"
        patch.setenv("DYNAMASK_RUNS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def server(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("app"), "--public") as url:
        yield url


def no_place(said: str, *folders: Path) -> None:
    """No folder of the server is named."""
    for folder in (ROOT, *folders):
        assert str(folder) not in said, said[-2000:]
    assert "Traceback" not in said and "unexpected error" not in said


def homes(runs: Path) -> set[str]:
    page = runs / ".page"
    return {p.name for p in page.iterdir()} if page.is_dir() else set()


def test_the_page_says_what_a_visitor_may_keep(server: str) -> None:
    said = Visitor(server, MINE).components["dm-make-how"]
    assert f"You may keep {settings.VISITOR_RUNS} runs" in said and "24 hours" in said


def test_nobodys_run_is_not_made(server: str, runs: Path) -> None:
    """It would belong to no one, so no limit would ever count it."""
    visitor = Visitor(server, "")
    coco, zipped = (visitor.upload(f) for f in data_set(1))
    for token in ("", None, 3, "short", ["m" * 32], {"a": 1}, "m" * 65, "ü" * 32):
        visitor.token = token
        said = visitor.start(coco, zipped, "nobody")
        assert "Expected a visitor, got something else" in said, said[-500:]
    assert "nobody" not in homes(runs)


def test_strangers_name_no_files(server: str, runs: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_bytes(data_set(1)[0]["buffer"])
    visitor = Visitor(server, MINE)
    coco, zipped = (visitor.upload(f) for f in data_set(1))
    said = visitor.start(None, zipped, "a", coco_path=str(secret))
    said += visitor.start(coco, None, "a", folder=str(tmp_path))
    forged = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    said += visitor.start(forged, zipped, "a") + visitor.start(coco, forged, "a")
    said += visitor.start(coco, zipped, "../a") + visitor.start(coco, zipped, "a/../../b")
    said += visitor.start(coco, zipped, "a", policies=["oracle; rm", "msm"])
    said += visitor.start(coco, zipped, "a", policies="msm")
    assert "folder of the server" in said and homes(runs) == set()
    no_place(said, tmp_path, runs)


@pytest.mark.parametrize("kind", ["bomb", "upwards", "other photos", "no zip"])
def test_hostile_zips_leave_nothing(server: str, runs: Path, kind: str) -> None:
    visitor = Visitor(server, MINE)
    coco, zipped = data_set(1)
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        name = {"upwards": "../../photo-0.jpg", "bomb": "photo-0.jpg"}.get(kind, "other.jpg")
        archive.writestr(name, b"\0" * 30_000_000 if kind == "bomb" else b"\xff\xd8\xff")
    zipped = {**zipped, "buffer": b"nothing" if kind == "no zip" else made.getvalue()}
    said = visitor.start(visitor.upload(coco), visitor.upload(zipped), "zip")
    assert 'data-state=\\"failed\\"' in said and "Expected" in said
    no_place(said, runs)
    assert homes(runs) == set() and not (runs / "zip").exists()


def test_two_tabs_start_the_same_run(server: str, runs: Path) -> None:
    first, second = Visitor(server, MINE), Visitor(server, MINE)
    files = [first.upload(f) for f in data_set(3)]
    thread, said = first.beginning(*files, "twice")
    other, also = second.beginning(*files, "twice")
    thread.join(300)  # other tests run beside it
    other.join(300)
    ended = sorted('data-state=\\"done\\"' in s for s in (*said, *also))
    assert ended == [False, True], (said[0][-500:], also[0][-500:])
    refused = next(s for s in (*said, *also) if 'data-state=\\"failed\\"' in s)
    assert "Expected a free model" in refused or "Expected a new name" in refused
    assert homes(runs) == {"twice"} and store.run_info(runs / "twice").state == "done"


def test_strangers_do_nothing_with_my_run(server: str, runs: Path) -> None:
    you, key = Visitor(server, YOURS), "own/twice"
    listed = you.press("dm-runs-refresh", YOURS, None)
    assert "coco" in listed and "twice" not in listed
    said = [
        you.press("dm-runs-list", YOURS, key, event="input"),
        you.press("dm-runs-resume", YOURS, key),
        you.press("dm-runs-delete", YOURS, key),
        you.press("dm-runs-yes", YOURS, key),
        you.press("dm-runs-make", YOURS, key, "parquet"),
        you.press("dm-runs-show", YOURS, key),
        you.press("dm-compare-start", YOURS, key, "shipped/coco_mini_val", "gt", "msm"),
    ]
    for answer in said:
        # Gradio stops what it has not offered; what gets past it finds nothing
        assert "not in the list of choices" in answer or "still there" in answer, answer[-600:]
        no_place(answer, runs)
    assert (runs / "twice" / "manifest.json").is_file()


def test_a_damaged_run_names_no_place(server: str, runs: Path) -> None:
    me, key = Visitor(server, MINE), "own/twice"
    assert "twice" in me.press("dm-runs-refresh", MINE, None)
    manifest = runs / "twice" / "manifest.json"
    whole, facts = manifest.read_text(), json.loads(manifest.read_text())
    shard = next((runs / "twice").glob("part-*.parquet"))
    rows = shard.read_bytes()
    said = []
    try:
        for text in ("{", json.dumps({**facts, "schema_version": 9}), "[]", whole):
            manifest.write_text(text)
            shard.write_bytes(b"no parquet")
            said += [
                me.press("dm-runs-list", MINE, key, event="input"),
                me.press("dm-runs-resume", MINE, key),
                me.press("dm-runs-make", MINE, key, "csv"),
                me.press("dm-runs-make", MINE, key, "html"),
            ]
        manifest.write_text(json.dumps({**facts, "state": "stopped"}))
        said.append(me.press("dm-runs-resume", MINE, key))
    finally:
        manifest.write_text(whole)
        shard.write_bytes(rows)
    assert "Expected" in "".join(said)
    for answer in said:
        no_place(answer, runs)


def test_a_visitors_sixth_run_is_refused(server: str, runs: Path) -> None:
    shelf = Shelf(runs, public=True)
    names = [f"mine-{k}" for k in range(settings.VISITOR_RUNS - 1)]
    for name in names:
        _, home = shelf.new(name, "a.json")
        shelf.remember(name, MINE, home / "a.json", home / "photos")
    me = Visitor(server, MINE)
    files = [me.upload(f) for f in data_set(1)]
    said = me.start(*files, "sixth")
    assert f"at most {settings.VISITOR_RUNS} runs of yours" in said
    assert "sixth" not in homes(runs)
    for name in names:
        shelf.remove(name)


def test_the_servers_end_in_the_middle_of_a_run(server: str, runs: Path, tmp_path: Path) -> None:
    """SIGTERM; on another server the visitor resumes, and nothing differs."""
    files = data_set(8)  # more than a server does while it ends
    with serving(tmp_path, "--public") as url:
        me = Visitor(url, MINE)
        me.beginning(*(me.upload(f) for f in files), "cut")
        end = time.monotonic() + 120
        while not list((runs / "cut" / "journal").glob("[1-9].json")):
            assert time.monotonic() < end
            time.sleep(0.02)
    info = store.run_info(runs / "cut")
    assert info.state == "stopped" and 0 < len(list((runs / "cut" / "journal").iterdir())) < 8
    me = Visitor(server, MINE)
    assert "cut" in me.press("dm-runs-refresh", MINE, None)
    said = me.press("dm-runs-resume", MINE, "own/cut")
    assert 'data-state=\\"done\\"' in said, said[-800:]
    me.start(*(me.upload(f) for f in files), "whole")
    assert_same_run(runs / "whole", runs / "cut")
    # two tabs delete it
    other = Visitor(server, MINE)
    other.press("dm-runs-refresh", MINE, None)
    assert "cut is deleted" in me.press("dm-runs-yes", MINE, "own/cut")
    said = other.press("dm-runs-yes", MINE, "own/cut")
    assert "still there" in said
    no_place(said, runs)
    assert not (runs / "cut").exists() and "cut" not in homes(runs)
