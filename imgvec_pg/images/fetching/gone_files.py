"""Whether files are gone, members of archives too, and whether they were deleted or are merely not mounted."""

import os
from pathlib import Path

from imgvec_pg.images.fetching.archives.archive_paths import is_archive, split_path
from imgvec_pg.images.fetching.archives.list_members import holds_members, is_member_gone


def is_gone(path: str) -> bool:
    """Whether nothing is at a path. What cannot be looked at, as on a disk that fails, is not gone."""
    try:
        inside = split_path(path)
        if inside is not None:
            return is_member_gone(inside)
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def folder_of(path: str) -> Path:
    """Return what a picture lies or lay in: its folder, or its archive; of an archive that is gone the archive's folder."""
    try:
        inside = split_path(path)
    except OSError:
        inside = None
    if inside is None:
        return Path(path).parent
    return Path(inside.archive).parent if is_gone(inside.archive) else Path(inside.archive)


class GoneFiles:
    """Tells files that were deleted from files whose disk is not mounted; remembers the folders it has looked at.

    Nobody can tell an empty folder from a mount point without its disk, so a deleted file counts as such only where its
    folder still holds something.
    """

    def __init__(self) -> None:
        self._filled: dict[Path, bool] = {}

    def is_deleted(self, path: str) -> bool:
        """Whether a file is gone while its folder is there and holds something."""
        return is_gone(path) and self._is_filled(folder_of(path))

    def may_have_moved(self, path: str) -> bool:
        """Whether a file is gone, perhaps with its folder, and the nearest folder that is left holds something."""
        if not is_gone(path):
            return False
        return self._is_filled(next(folder for folder in Path(path).parents if not is_gone(str(folder))))

    def _is_filled(self, folder: Path) -> bool:
        if is_archive(folder.name) and folder.is_file():
            return holds_members(str(folder))
        if folder not in self._filled:
            try:
                with os.scandir(folder) as entries:
                    self._filled[folder] = next(entries, None) is not None
            except OSError:
                self._filled[folder] = False
        return self._filled[folder]
