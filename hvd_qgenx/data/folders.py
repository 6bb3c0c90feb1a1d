"""Lists a folder of pictures, in which a folder holds the pictures of every class."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

from hvd_qgenx.data.decoding import endings
from hvd_qgenx.data.wording import counted, enumeration
from hvd_qgenx.errors import ConfigurationError

LEFTOVERS = frozenset(
    (
        *("$recycle.bin", "@eadir", "__macosx", "desktop.ini", "ehthumbs.db", "icon\r", "lost+found", "thumbs.db"),
        "cifar10-resnet",  # where --download puts weights for scores
    )
)
"""Names, in lower case, that systems leave in folders of pictures."""


OUTSIDE = "outside of class folders"


class Listing(NamedTuple):
    """The pictures in a folder of folders."""

    classes: tuple[str, ...]
    files: list[str]
    """Their paths from the folder: sorted by class, then by their folder, then by name."""
    labels: list[int]
    """The number of every picture's class."""
    skipped: Mapping[str, int]
    """The number of other files, by their ending or place."""


def list_folder(folder: Path) -> Listing:
    """Lists a folder; hidden files and folders, and what systems leave, are ignored.

    Raises:
        OSError: a folder cannot be read.
        ConfigurationError: there are no class folders, or no pictures in one; says what to do.
    """
    classes, loose = _contents(folder)
    skipped = Counter(OUTSIDE if _is_picture(name) else _ending(name) for name in loose)
    if not classes:
        raise ConfigurationError(_without_classes(folder, skipped[OUTSIDE]))
    files: list[str] = []
    labels: list[int] = []
    empty = []
    for label, name in enumerate(classes):
        found = list(_walk(folder / name))
        pictures = [file for file in found if _is_picture(file)]
        skipped.update(_ending(file) for file in found if not _is_picture(file))
        files += (file.removeprefix(f"{folder}{os.sep}") for file in pictures)
        labels += [label] * len(pictures)
        if not pictures:
            empty.append(name)
    if empty:
        raise ConfigurationError(
            f"{folder} holds no pictures of {enumeration(empty)}: put some into the folders of these classes, "
            "or remove the folders"
        )
    return Listing(classes, files, labels, skipped)


def class_folders(folder: Path) -> tuple[str, ...]:
    """Returns the names of the folders in a folder, sorted."""
    return _contents(folder)[0]


def _contents(folder: Path) -> tuple[tuple[str, ...], list[str]]:
    """Returns the names of the folders and of the files in a folder, sorted."""
    with os.scandir(folder) as entries:
        kept = sorted((entry for entry in entries if not _is_ignored(entry.name)), key=lambda entry: entry.name)
    return tuple(entry.name for entry in kept if entry.is_dir()), [each.name for each in kept if not each.is_dir()]


def _walk(top: Path) -> Iterator[str]:
    """Yields the paths of the files in a folder and in those below; links are followed, but not upwards."""
    found = []
    for place, folders, files in os.walk(top, followlinks=True, onerror=_fail):
        folders[:] = [name for name in folders if not _is_ignored(name) and not _leads_up(place, name)]
        found.append((place, sorted(name for name in files if not _is_ignored(name))))
    for place, names in sorted(found):
        yield from (os.path.join(place, name) for name in names)


def _fail(error: OSError) -> NoReturn:
    raise error


def _leads_up(place: str, name: str) -> bool:
    """Tells whether a name in a folder is a link to this folder, or to one above it."""
    path = os.path.join(place, name)
    return os.path.islink(path) and Path(os.path.realpath(place)).is_relative_to(os.path.realpath(path))


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFTOVERS


def _is_picture(file: str) -> bool:
    return _ending(file) in endings()


def _ending(file: str) -> str:
    return os.path.splitext(file)[1].lower() or "no ending"


def _without_classes(folder: Path, pictures: int) -> str:
    if pictures:
        return (
            f"{folder} holds {counted(pictures, 'picture')} but no class folders: move them into folders of their "
            f"classes, or all of them into one such as {folder / 'all'}"
        )
    return (
        f"{folder} holds no class folders; name with --data-dir a folder that holds a folder of images for every class"
    )
