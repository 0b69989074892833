"""From a visitor's COCO file and photos to the work of a run; knows nothing of Gradio.

Uploads are copied beside the runs (dataset_runs), since a run that is resumed tomorrow needs its
photos. Photos of a zip are written under the names that the COCO file gives them, after each was
decoded within the limits of an upload; a name that leads out of the folder is refused.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from analysis.coco_io import Dataset
from analysis.coco_names import Photos
from analysis.config import DEFAULT_POLICIES, RunConfig
from analysis.run import Run
from analysis.store import folder_bytes
from app import settings, text
from app import text_dataset as words
from app.archives import PhotoZip, is_zip, shown, too_large
from app.batch_job import MAX_ZIP_BYTES
from app.dataset_job import Report, Work
from app.dataset_reading import DESK
from app.dataset_runs import Shelf, Shelved, clean
from app.discretion import DISCRETION
from app.session import Session
from app.typed import typed_folder, typed_path
from app.uploads import read_upload
from dynamask.errors import DataError, InputError

MAX_PART_BYTES = 200  # of one part of a photo's name; file systems stop at 255
_FULL = (errno.ENOSPC, errno.EDQUOT)
TOO_LITTLE = 1  # photos of a zip that must be used for a run to make sense

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where a run's data comes from.

    Attributes:
        coco: the COCO file.
        coco_name: what the visitor calls it.
        coco_uploaded: whether it must be copied.
        photos: a folder, or a zip.
        zipped: whether it is a zip.
        policies: at the ground-truth boxes.
    """

    coco: Path
    coco_name: str
    coco_uploaded: bool
    photos: Path
    zipped: bool
    policies: tuple[str, ...] = DEFAULT_POLICIES

    @property
    def folder(self) -> Path | None:
        """Folder of the photos, where they lie somewhere already."""
        return None if self.zipped else self.photos


@dataclass
class Unpacked:
    """What became of a zip: photos written, and what could not be used with the reason."""

    written: int = 0
    size_bytes: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


def coco_source(upload: str | None, path: str, *, public: bool) -> tuple[Path, str, bool]:
    """(file, its name, whether it was uploaded).

    Args:
        upload: path of an upload that was checked, or None.
        path: of a file of this machine, or "".
        public: no files of this machine.

    Raises:
        InputError: none, two, or too large a file.
    """
    if path and public:
        raise InputError(words.PHOTOS_PUBLIC)
    if upload and path:
        raise InputError(words.MAKE_TWO.format(what="the COCO file"))
    if not upload and not path:
        raise InputError(words.MAKE_NO_FILE)
    if path:
        return typed_path(path), Path(path).name, False
    place = Path(upload or "")
    size = place.stat().st_size if place.is_file() else 0
    if size > settings.TRUTH_FILE_BYTES:
        most = settings.TRUTH_FILE_BYTES // 1_000_000
        raise InputError(words.MAKE_LARGE.format(most=most, size=size / 1e6))
    return place, place.name, True


def photo_source(upload: str | None, folder: str, *, public: bool) -> tuple[Path, bool]:
    """(folder or zip, whether it is a zip).

    Raises:
        InputError: none, two, no zip, or no such folder.
    """
    if folder and public:
        raise InputError(words.PHOTOS_PUBLIC)
    if upload and folder:
        raise InputError(words.MAKE_TWO.format(what="the photos"))
    if upload:
        place = Path(upload)
        if place.stat().st_size > MAX_ZIP_BYTES:
            raise too_large(place.name, place.stat().st_size, MAX_ZIP_BYTES)
        if not is_zip(place):
            raise InputError(words.MAKE_NOT_ZIP.format(name=shown(place.name)))
        return place, True
    if not folder:
        raise InputError(words.MAKE_NO_PHOTOS)
    return typed_folder(folder), False


def check_policies(value: object) -> tuple[str, ...]:
    """Policies that were ticked, in the order of the page.

    Raises:
        InputError: none, or something else.
    """
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise InputError(text.EVENT_ODD.format(what="a list of policies"))
    if not value:
        raise InputError(words.MAKE_NO_POLICY)
    if not set(value) <= set(DEFAULT_POLICIES):
        raise InputError(text.EVENT_ODD.format(what="policies of the list"))
    return tuple(p for p in DEFAULT_POLICIES if p in value)


def prepare(
    shelf: Shelf,
    source: Source,
    dataset: Dataset,
    name: str,
    owner: str,
    room: int | None = None,
) -> Iterator[Unpacked | RunConfig]:
    """Copy what was uploaded; yields after each photo of a zip, and the configuration at last.

    Args:
        shelf: where the run goes.
        source: where its data comes from.
        dataset: the COCO file, read.
        name: of the run, or "".
        owner: whose it is.
        room: bytes that all of it may take; None for any number.

    Raises:
        DataError, InputError: the data cannot be used; nothing is left behind.
    """
    path, home = shelf.new(name, source.coco_name)
    try:
        coco, images = source.coco.resolve(), source.photos.resolve()
        if source.coco_uploaded:
            coco = home / f"{clean(source.coco_name)}.json"
        if source.zipped:
            images = home / "photos"
        shelf.remember(path.name, owner, coco, images)  # from now on it counts as theirs
        if source.coco_uploaded:
            room = _left(room, source.coco.stat().st_size)
            shutil.copyfile(source.coco, coco)
        if source.zipped:
            done = Unpacked()
            yield done
            for done in unpack(source.photos, dataset, images):
                _left(room, done.size_bytes)
                yield done
            if done.written < TOO_LITTLE:
                raise nothing_in_zip(dataset, done)
        yield RunConfig(
            coco=coco, images=images, out=path, name=path.name, policies=source.policies
        )
    except BaseException as error:  # also where the page was closed meanwhile
        if not path.exists():
            shutil.rmtree(home, ignore_errors=True)
        if isinstance(error, OSError):
            raise _not_copied(error) from error
        raise


def _not_copied(error: OSError) -> InputError:
    """Why the files could not be put beside the run; paths stay in the log."""
    if error.errno in _FULL:
        return InputError(words.MAKE_DISK)
    logger.error("the files of a new run could not be copied", exc_info=error)
    return InputError(words.MAKE_COPY.format(why=error.strerror or type(error).__name__))


def _left(room: int | None, size: int) -> int | None:
    if room is None:
        return None
    if size > room:
        raise InputError(words.KEEP_PHOTOS.format(most=room / 1e6))
    return room - size


def nothing_in_zip(dataset: Dataset, done: Unpacked) -> InputError:
    """Why no photo of a zip could be used."""
    if done.problems:
        return InputError(done.problems[0][1])
    names = [*(i.file_name for i in dataset.coco.images[:1]), *dataset.unsized.values()]
    example = shown(names[0]) if names else "?"
    return InputError(words.MAKE_NOT_IN_ZIP.format(file=dataset.coco.path.name, example=example))


def unpack(zipped: Path, dataset: Dataset, folder: Path) -> Iterator[Unpacked]:
    """Write the photos that a COCO file names; yields the same object after each.

    Raises:
        InputError: the zip as a whole is refused.
    """
    archive = PhotoZip(zipped, zipped.name)
    members = {"/".join(_parts(m.filename)): m for m in archive.members}
    # photos without a size are measured in the folder, so that they have to be there
    files = {i.id: i.file_name for i in dataset.coco.images} | dict(dataset.unsized)
    names = {number: "/".join(_parts(file)) for number, file in files.items()}
    # the zip may hold the photos with or without the folder that the file names
    photos = Photos.among(members)
    elsewhere = photos.find(names)
    folder.mkdir(parents=True, exist_ok=True)
    done = Unpacked()
    for number, alike in photos.doubtful.items():
        said = words.MAKE_PHOTO_UNSURE.format(name=_path(files[number]), other=_path(alike[0]))
        done.problems.append((shown(files[number]), said))
    if done.problems:
        yield done
    for number, file in files.items():
        member = members.get(elsewhere.get(number, names[number]))
        place = photo_place(folder, file)
        if member is None or place is None or place.exists():
            continue
        waiting = folder / f".{uuid.uuid4().hex}"
        try:
            done.size_bytes += waiting.write_bytes(archive.read(member))
            read_upload(waiting)  # decodes within the limits of an upload, or says why not
            _move(waiting, place)
            done.written += 1
        except InputError as error:
            said = DISCRETION.told(error).replace(waiting.name, shown(file))
            done.problems.append((shown(file), said))
        finally:
            waiting.unlink(missing_ok=True)
        yield done


def _move(waiting: Path, place: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        waiting.rename(place)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        # one photo is called a.jpg, another a.jpg/b.jpg
        raise InputError(words.MAKE_PHOTO_PLACE.format(name=shown(place.name))) from error


def photo_place(folder: Path, name: str) -> Path | None:
    """Where a photo of this name goes; None where it would not be a plain file in the folder."""
    parts = PurePosixPath(name).parts
    bad = not parts or name.startswith("/") or "\0" in name
    if bad or any(p in ("..", "/") or len(p.encode()) > MAX_PART_BYTES for p in parts):
        return None
    if any(p.startswith(".") for p in parts) or len(parts) > 8:
        return None
    return folder.joinpath(*parts)


def _path(name: str) -> str:
    """The end of a path, fit for a sentence."""
    return "/".join(shown(part) for part in _parts(name)[-3:])


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def make_work(
    session: Session,
    config: RunConfig,
    *,
    resume: bool = False,
    dataset: Dataset | None = None,
    shelf: Shelf | None = None,
    room: int | None = None,
) -> Work:
    """The work of a run, for dataset_job.Board.

    Args:
        session: the model.
        config: of the run.
        resume: go on with it.
        dataset: its data where that was read with its photos in place, so that it is read once.
        shelf: gives the name back where the run fails before there is anything to resume.
        room: bytes by which the run's folder may grow; None for any number. A run that needs more
            fails with what is done kept, to be resumed when there is room again.
    """
    out = Path(config.out)

    def work(report: Report, cancel: threading.Event) -> bool:
        try:
            predictor = session.predictor()
            data = dataset or DESK.read(Path(config.coco), Path(config.images))
            run = Run(config, resume=resume, predictor=predictor, dataset=data)
            done = total = 0
            before = folder_bytes(out)
            with closing(run.steps(cancel)) as steps:
                for step in steps:
                    done, total = step.done, step.total
                    report(done, total)
                    full = room is not None and folder_bytes(out) - before > room
                    if full and done < total:
                        raise InputError(words.KEEP_TABLES.format(most=(room or 0) / 1e6))
        except BaseException:
            if shelf is not None:
                shelf.abandon(out.name)
            raise
        return done == total

    return work


def reusable(source: Source, dataset: Dataset) -> Dataset | None:
    """The data for :func:`make_work`; None where photos of a zip say more about it."""
    return None if source.zipped and dataset.unsized else dataset


def resume_work(session: Session, shelf: Shelf, info: Shelved, room: int | None = None) -> Work:
    """The work of going on with a run.

    Raises:
        InputError: its photos are not where they were, or are none of a visitor's business.
        DataError: the run's folder does not say how it was made.
    """
    config = RunConfig.of_run(info.path)
    if shelf.public and not Path(config.images).is_relative_to(shelf.home(info.name).absolute()):
        raise InputError(words.RUN_OF_OTHERS)
    if not os.path.isfile(config.coco) or not os.path.isdir(config.images):
        raise DataError(words.RESUME_MOVED.format(name=info.name))
    return make_work(session, config, resume=True, room=room)
