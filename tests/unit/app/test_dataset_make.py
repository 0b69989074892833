"""From a visitor's files to the work of a run: sources, zips with odd names, reports as text."""

from __future__ import annotations

import errno
import json
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from dataset_page import NASTY, SIDE, data_set

from analysis.coco_io import read_dataset
from analysis.config import RunConfig
from analysis.schema import SCHEMA_VERSION
from analysis.store import folder_bytes
from app import dataset_make as making
from app import dataset_make_html as says
from app.dataset_job import Board, Look
from app.dataset_keep import Keeper, Limits
from app.dataset_runs import Shelf
from app.session import Session
from app.tabs.dataset_make import MakePanel
from dynamask.errors import DataError, InputError
from dynamask.predictor import Predictor


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    coco, zipped = data_set(3)
    (tmp_path / "a.json").write_bytes(coco["buffer"])
    (tmp_path / "p.zip").write_bytes(zipped["buffer"])
    return tmp_path / "a.json", tmp_path / "p.zip"


def source(files: tuple[Path, Path]) -> making.Source:
    return making.Source(files[0], "instances.json", True, files[1], True)


def prepared(shelf: Shelf, files: tuple[Path, Path], name: str, **more: Any) -> list[Any]:
    owner = more.pop("owner", "")
    dataset = read_dataset(files[0])
    return list(making.prepare(shelf, source(files), dataset, name, owner, **more))


def test_a_zip_is_unpacked_beside_the_run(files: tuple[Path, Path], tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "runs")
    *steps, config = prepared(shelf, files, "mine")
    assert isinstance(config, RunConfig) and steps[-1].written == 3 and not steps[-1].problems
    assert Path(config.out) == tmp_path / "runs" / "mine"
    assert sorted(p.name for p in Path(config.images).iterdir()) == sorted(
        [f"{NASTY}-0.jpg", "photo-1.jpg", "photo-2.jpg"]
    )
    assert json.loads(Path(config.coco).read_text()) == json.loads(files[0].read_text())


def test_photos_of_others_leave_nothing_behind(files: tuple[Path, Path], tmp_path: Path) -> None:
    coco = json.loads(files[0].read_text())
    for k, image in enumerate(coco["images"]):
        image["file_name"] = f"other-{k}.jpg"
    files[0].write_text(json.dumps(coco))
    shelf = Shelf(tmp_path / "runs")
    with pytest.raises(InputError, match="zip with none of them"):
        prepared(shelf, files, "mine")
    assert not shelf.home("mine").exists()


def test_a_damaged_photo_is_told_by_its_name(files: tuple[Path, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(files[1], "w") as archive:
        archive.writestr("photo-1.jpg", b"\xff\xd8\xff no photo")
    with pytest.raises(InputError, match=r"photo-1\.jpg"):
        prepared(Shelf(tmp_path / "runs"), files, "")


@pytest.mark.parametrize(
    "name", ["/etc/x.jpg", "../x.jpg", "a/../../x.jpg", "", "\0", ".x", "a" * 300]
)
def test_names_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    assert making.photo_place(tmp_path, name) is None


def test_folders_inside_are_kept(tmp_path: Path) -> None:
    assert making.photo_place(tmp_path, "val/a.jpg") == tmp_path / "val" / "a.jpg"


def test_strangers_name_no_paths(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder of the server"):
        making.coco_source(None, str(files[0]), public=True)
    with pytest.raises(InputError, match="folder of the server"):
        making.photo_source(None, str(tmp_path), public=True)


def test_one_source_each(files: tuple[Path, Path], tmp_path: Path) -> None:
    for arguments in ((None, ""), (str(files[0]), str(files[0]))):
        with pytest.raises(InputError, match="COCO file"):
            making.coco_source(*arguments, public=False)
    for arguments in ((None, ""), (str(files[1]), str(tmp_path)), (None, "/nowhere")):
        with pytest.raises(InputError, match="^Expected"):
            making.photo_source(*arguments, public=False)
    with pytest.raises(InputError, match="zip of photos"):
        making.photo_source(str(files[0]), "", public=False)


def test_the_report_shows_names_as_text(files: tuple[Path, Path]) -> None:
    coco = json.loads(files[0].read_text())
    coco["images"][0]["file_name"] = f"../{NASTY}"
    files[0].write_text(json.dumps(coco))
    said = says.report_html(read_dataset(files[0]))
    assert "9999" in said and NASTY not in said


def test_progress_in_words() -> None:
    assert "failed" in says.progress_html(Look("r", "failed", problem="Expected <b>"))
    assert "<b>" not in says.progress_html(Look("r", "failed", problem="Expected <b>"))
    said = says.progress_html(Look("r", "running", 5, 10, 0.5))
    assert 'value="5"' in said and "10 s" in said
    assert "1 of 1 photo." in says.progress_html(Look("r", "done", 1, 1))
    assert "9 of 1,000 photos." in says.progress_html(Look("r", "stopped", 9, 1000))


def test_one_is_told_as_one(files: tuple[Path, Path]) -> None:
    coco = json.loads(files[0].read_text())
    bad = [a for a in coco["annotations"] if a["id"] == 9999]
    coco = {**coco, "images": coco["images"][:1], "categories": coco["categories"][:1]}
    files[0].write_text(json.dumps({**coco, "annotations": bad}))
    said = says.report_html(read_dataset(files[0]))
    assert "1 photo, 0 annotations, 1 class. 1 entry is left out" in said


def test_a_strangers_run_in_a_relative_folder_can_be_resumed(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shelf, owner = Shelf("runs", public=True), "m" * 32
    *_, config = prepared(shelf, files, "mine", owner=owner)
    asked = {"coco": str(config.coco), "images": str(config.images)}
    manifest = {"schema_version": SCHEMA_VERSION, "state": "stopped", "asked": asked}
    Path(config.out).mkdir()
    (Path(config.out) / "manifest.json").write_text(json.dumps(manifest))
    info = shelf.find("own/mine", owner)
    assert callable(making.resume_work(Session(), shelf, info))
    assert shelf.photos(info) == Path(config.images)


def test_a_place_that_cannot_be_written_is_a_sentence(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="DYNAMASK_RUNS"):
        prepared(Shelf(tmp_path / "runs"), files, "mine")


def test_a_resumed_run_begins_where_it_stopped() -> None:
    said = says.progress_html(Look("r", "running", 5, 10))
    assert "5 of 10 photos" in said


def test_photos_have_to_fit_into_what_is_left(files: tuple[Path, Path], tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "runs")
    size = files[0].stat().st_size
    with pytest.raises(InputError, match="smaller photos"):
        prepared(shelf, files, "mine", room=size - 1)
    with pytest.raises(InputError, match="smaller photos"):
        prepared(shelf, files, "mine", room=size + 100)
    assert not shelf.home("mine").exists()
    assert prepared(shelf, files, "mine", room=10**9)


def test_tables_have_to_fit_too_and_the_rest_can_be_resumed(
    files: tuple[Path, Path], tmp_path: Path, tiny_predictor: Predictor
) -> None:
    shelf = Shelf(tmp_path / "runs")
    *_, config = prepared(shelf, files, "mine")
    session = Session(load=lambda: tiny_predictor)
    session.start()
    work = making.make_work(session, config, shelf=shelf, room=100)  # not even a manifest's
    for done in (0, 1):
        with pytest.raises(InputError, match=r"the 0\.0 MB left .* resume this one"):
            work(lambda done, total: None, threading.Event())
        info = shelf.find("own/mine")
        assert (info.facts.state, info.facts.photos_done) == ("stopped", done)
        work = making.resume_work(session, shelf, info, 500)  # less than a photo's rows
    work = making.resume_work(session, shelf, info, 10**9)
    assert work(lambda done, total: None, threading.Event())
    assert shelf.find("own/mine").facts.state == "done"


def test_a_run_may_take_what_its_photos_leave(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, board, owner = Shelf(tmp_path / "runs", public=True), Board(), "m" * 32
    keeper = Keeper(shelf, board, Limits(visitor_bytes=10**8, all_bytes=10**9))
    panel = MakePanel(None, shelf, board, keeper)  # type: ignore[arg-type]
    panel.report = panel.progress = "said"  # type: ignore[assignment]
    rooms = []
    monkeypatch.setattr(making, "make_work", lambda *_, room, **__: (rooms.append(room), idle)[1])
    list(panel._beginning(source(files), "mine", owner, keeper.room(owner)))
    board.wait(10)
    assert rooms == [10**8 - folder_bytes(shelf.home("mine"))] and rooms[0] > 0


def idle(report: Any, cancel: threading.Event) -> bool:
    return True


def test_policies_that_were_ticked() -> None:
    assert making.check_policies(["oracle", "msm"]) == ("msm", "oracle")
    with pytest.raises(InputError, match="at least one"):
        making.check_policies([])
    for odd in (None, "msm", ["budget:0.1"], ["msm", 3], {"msm": 1}, ["msm; rm"]):
        with pytest.raises(InputError, match="^Expected"):
            making.check_policies(odd)


def test_a_zip_without_an_exports_prefixes(tmp_path: Path, files: tuple[Path, Path]) -> None:
    """Photos under their own names; the file has upload's prefixes, percent signs and folders."""
    coco = json.loads(files[0].read_text())
    names = ["photo-1.jpg", "Straße 2.jpg", "photo-3.jpg"]
    written = ["upload/1/0a1b2c3d-photo-1.jpg", "/data/upload/1/Stra%C3%9Fe%202.jpg"]
    written.append("images\\photo-3.jpg")
    photos = zipfile.ZipFile(files[1])
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive, photos:
        for name, member in zip(names, photos.namelist(), strict=True):
            archive.writestr(f"my photos/{name}", photos.read(member))
    for image, name in zip(coco["images"], written, strict=True):
        image["file_name"] = name
    files[0].write_text(json.dumps(coco))
    *_, config = prepared(Shelf(tmp_path / "runs"), (files[0], tmp_path / "own.zip"), "mine")
    found = read_dataset(config.coco, config.images).coco.images
    assert all((Path(config.images) / i.file_name).is_file() for i in found) and len(found) == 3


@pytest.mark.parametrize("side", [None, 0])
def test_a_photo_of_a_zip_without_a_size_is_measured(
    tmp_path: Path, files: tuple[Path, Path], side: int | None
) -> None:
    coco = json.loads(files[0].read_text())
    coco["images"][1] |= {"width": side, "height": side}
    files[0].write_text(json.dumps(coco))
    before = read_dataset(files[0])
    *_, config = prepared(Shelf(tmp_path / "runs"), files, "mine")
    assert len(before.coco.images) == 2 and making.reusable(source(files), before) is None
    images = read_dataset(config.coco, config.images).coco.images
    assert {(i.width, i.height) for i in images} == {(SIDE, SIDE)} and len(images) == 3


def test_a_file_without_any_size_reads_them_from_the_zip(
    tmp_path: Path, files: tuple[Path, Path], tiny_predictor: Predictor
) -> None:
    coco = json.loads(files[0].read_text())
    for image in coco["images"]:
        del image["width"], image["height"]
    files[0].write_text(json.dumps(coco))
    before = read_dataset(files[0])
    assert "0 photos" in says.report_html(before)
    assert making.reusable(source(files), before) is None
    *_, config = prepared(Shelf(tmp_path / "runs"), files, "mine")
    session = Session(load=lambda: tiny_predictor)
    session.start()
    assert making.make_work(session, config)(lambda done, total: None, threading.Event())
    for image in coco["images"]:
        image["file_name"] = f"other/{image['id']}.jpg"
    files[0].write_text(json.dumps(coco))
    with pytest.raises(InputError, match=r"the folder that holds \d+\.jpg"):
        prepared(Shelf(tmp_path / "runs"), files, "none")


def test_one_photo_of_a_zip_never_becomes_two(tmp_path: Path, files: tuple[Path, Path]) -> None:
    coco = json.loads(files[0].read_text())
    for k, image in enumerate(coco["images"]):
        image["file_name"] = f"{k}/photo-1.jpg"
    files[0].write_text(json.dumps(coco))
    with pytest.raises(InputError, match="only shares its last name"):
        prepared(Shelf(tmp_path / "runs"), files, "mine")


def test_a_photo_of_another_folder_of_a_zip_is_a_row(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    coco = json.loads(files[0].read_text())
    photos = zipfile.ZipFile(files[1])
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive, photos:
        for k, member in enumerate(photos.namelist()):
            archive.writestr(f"{('train', 'val')[k % 2]}/{k}.jpg", photos.read(member))
    for k, image in enumerate(coco["images"]):
        image["file_name"] = f"val/{k}.jpg"
    files[0].write_text(json.dumps(coco))
    *steps, config = prepared(Shelf(tmp_path / "runs"), (files[0], tmp_path / "own.zip"), "mine")
    assert [p.name for p in Path(config.images).rglob("*.jpg")] == ["1.jpg"]
    assert [said for _, said in steps[-1].problems] == [
        f"Expected the zip to hold val/{k}.jpg as the COCO file names it, got train/{k}.jpg, which "
        "only shares its last name; zip the photos in the folders that the file names."
        for k in (0, 2)
    ]


def test_a_photo_where_a_folder_must_be_is_a_row(tmp_path: Path, files: tuple[Path, Path]) -> None:
    coco = json.loads(files[0].read_text())
    names = ["a.jpg", "a.jpg/b.jpg", "c.jpg"]
    photos = zipfile.ZipFile(files[1])
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as archive, photos:
        for name, member in zip(names, photos.namelist(), strict=True):
            archive.writestr(name, photos.read(member))
    for image, name in zip(coco["images"], names, strict=True):
        image["file_name"] = name
    files[0].write_text(json.dumps(coco))
    *steps, _ = prepared(Shelf(tmp_path / "runs"), (files[0], tmp_path / "own.zip"), "mine")
    assert steps[-1].written == 2
    assert [name for name, _ in steps[-1].problems] == ["b.jpg"]
    assert not list((tmp_path / "runs" / ".page" / "mine" / "photos").glob(".*"))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "room on the server's disk"),
        (errno.EDQUOT, "room on the server's disk"),
        (errno.EACCES, r"an error of the server \(Permission denied\)"),
        (errno.EIO, r"an error of the server \(Input/output error\)"),
    ],
)
def test_what_the_disk_refuses_is_a_sentence(
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: int,
    said: str,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code), "/secret/place")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    shelf = Shelf(tmp_path / "runs")
    with pytest.raises(InputError, match=said) as error:
        prepared(shelf, files, "mine")
    assert "/secret" not in str(error.value) and not shelf.home("mine").exists()
    assert ("/secret/place" in caplog.text) == (code in (errno.EACCES, errno.EIO))


def test_a_run_that_fails_at_once_gives_its_name_back(
    files: tuple[Path, Path], tmp_path: Path, tiny_predictor: Predictor
) -> None:
    shelf = Shelf(tmp_path / "runs")
    *_, config = prepared(shelf, files, "mine")
    for photo in Path(config.images).iterdir():
        photo.unlink()
    session = Session(load=lambda: tiny_predictor)
    session.start()
    work = making.make_work(session, config, shelf=shelf)
    with pytest.raises(DataError, match="found none of 3"):
        work(lambda done, total: None, threading.Event())
    assert not shelf.home("mine").exists() and not Path(config.out).exists()
    assert shelf.new("mine", "a.json")


def test_a_file_is_read_once(
    files: tuple[Path, Path],
    tmp_path: Path,
    tiny_predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from analysis import coco_io

    reads = []
    load = coco_io.load_json
    monkeypatch.setattr(coco_io, "load_json", lambda path: (reads.append(path), load(path))[1])
    shelf, dataset = Shelf(tmp_path / "runs"), read_dataset(files[0])
    where = making.Source(*source(files).__dict__.values())
    *_, config = making.prepare(shelf, where, dataset, "mine", "")
    session = Session(load=lambda: tiny_predictor)
    session.start()
    again = making.reusable(where, dataset)
    work = making.make_work(session, config, dataset=again, shelf=shelf)
    assert work(lambda done, total: None, threading.Event())
    assert len(reads) == 1
    # and it is the very run that reading it again would make: it can be resumed
    info = shelf.find("own/mine")
    assert making.resume_work(session, shelf, info)(lambda done, total: None, threading.Event())
    assert len(reads) == 2
