"""From a visitor's files to the work of a run: sources, zips with odd names, reports as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dataset_page import NASTY, data_set

from analysis.coco_io import read_dataset
from analysis.config import RunConfig
from analysis.schema import SCHEMA_VERSION
from app import dataset_make as making
from app.dataset_job import Look
from app.dataset_runs import Shelf
from app.session import Session
from dynamask.errors import InputError


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    coco, zipped = data_set(3)
    (tmp_path / "a.json").write_bytes(coco["buffer"])
    (tmp_path / "p.zip").write_bytes(zipped["buffer"])
    return tmp_path / "a.json", tmp_path / "p.zip"


def source(files: tuple[Path, Path]) -> making.Source:
    return making.Source(files[0], "instances.json", True, files[1], True)


def test_a_zip_is_unpacked_beside_the_run(files: tuple[Path, Path], tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "runs")
    *steps, config = making.prepare(shelf, source(files), "mine", "")
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
        list(making.prepare(shelf, source(files), "mine", ""))
    assert not shelf.home("mine").exists()


def test_a_damaged_photo_is_told_by_its_name(files: tuple[Path, Path], tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(files[1], "w") as archive:
        archive.writestr("photo-1.jpg", b"\xff\xd8\xff no photo")
    with pytest.raises(InputError, match=r"photo-1\.jpg"):
        list(making.prepare(Shelf(tmp_path / "runs"), source(files), "", ""))


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
    said = making.report_html(read_dataset(files[0]))
    assert "9999" in said and NASTY not in said


def test_progress_in_words() -> None:
    assert "failed" in making.progress_html(Look("r", "failed", problem="Expected <b>"))
    assert "<b>" not in making.progress_html(Look("r", "failed", problem="Expected <b>"))
    said = making.progress_html(Look("r", "running", 5, 10, 0.5))
    assert 'value="5"' in said and "10 s" in said


def test_a_strangers_run_in_a_relative_folder_can_be_resumed(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shelf, owner = Shelf("runs", public=True), "m" * 32
    *_, config = making.prepare(shelf, source(files), "mine", owner)
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
        list(making.prepare(Shelf(tmp_path / "runs"), source(files), "mine", ""))


def test_a_resumed_run_begins_where_it_stopped() -> None:
    said = making.progress_html(Look("r", "running", 5, 10))
    assert "5 of 10 photos" in said
