"""Unprivileged user that runs PostgreSQL when this process is root, which PostgreSQL refuses to run as."""

import os
import pwd
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from imgvec_pg.errors import ServerError

# Where root's server lives when root's home is closed to the server's user.
ROOT_DIRECTORY = Path("/var/lib/imgvec/server")


@dataclass(frozen=True)
class ServerUser:
    """An unprivileged user; the server gets its user and group, and no other groups."""

    name: str
    uid: int
    gid: int


def choose_user(owned: Path) -> ServerUser | None:
    """Return the user that runs the server, or None when we are not root and run it as ourselves.

    Args:
        owned: The data directory; where it exists already, its owner runs the server.
    """
    if os.geteuid() != 0:
        return None
    if owned.is_dir() and (uid := owned.stat().st_uid) != 0:
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            return ServerUser(f"uid {uid}", uid, owned.stat().st_gid)
        return ServerUser(entry.pw_name, uid, entry.pw_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return ServerUser(name, entry.pw_uid, entry.pw_gid)
    raise ServerError(
        "PostgreSQL does not run as root, and this machine has neither a user postgres nor nobody to run it: "
        "start the server as an unprivileged user"
    )


def closed_folder(path: Path, user: ServerUser) -> Path | None:
    """Return the first folder above `path` that `user` may not enter; a missing one counts as open."""
    for folder in reversed(path.resolve().parents):
        try:
            status = folder.stat()
        except OSError:
            return None  # whoever creates it will meet the error
        if stat.S_ISDIR(status.st_mode) and not _allows(status, user, 0o1):
            return folder
    return None


def may_read(path: Path, user: ServerUser) -> bool:
    """Tell whether `user` can reach and read the existing file `path`, and run it when its owner can."""
    status = path.stat()
    needed = 0o5 if status.st_mode & stat.S_IXUSR else 0o4
    return closed_folder(path, user) is None and _allows(status, user, needed)


def may_enter(folder: Path, user: ServerUser) -> bool:
    """Tell whether the mode bits of `folder` itself let `user` through."""
    return _allows(folder.stat(), user, 0o1)


def _allows(status: os.stat_result, user: ServerUser, needed: int) -> bool:
    if status.st_uid == user.uid:
        bits = status.st_mode >> 6
    elif status.st_gid == user.gid:
        bits = status.st_mode >> 3
    else:
        bits = status.st_mode
    return bits & needed == needed


def require_reachable(directory: Path, user: ServerUser | None) -> None:
    """Raise ServerError when the server's user cannot reach `directory`; no parent's mode is ever changed."""
    if user is None:
        return
    closed = closed_folder(directory, user)
    if closed is not None:
        raise ServerError(
            f"{closed} (mode {stat.S_IMODE(closed.stat().st_mode):04o}) cannot be entered by the user "
            f"{user.name}, who runs PostgreSQL because it refuses root: choose another directory than "
            f"{directory}, such as {ROOT_DIRECTORY}"
        )


def make_temporary_directory(prefix: str = "imgvec-") -> Path:
    """Make a temporary directory where a server can live: in TMPDIR, else where its user can get to.

    The caller removes it.
    """
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):  # noqa: S108 - mkdtemp makes a fresh folder of our own
        user = choose_user(Path(parent, "none"))
        if user is None or closed_folder(Path(parent, "x"), user) is None:
            made = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            made.chmod(0o700 if user is None else 0o711)
            return made
    raise ServerError(
        "no temporary folder can be entered by the user that runs PostgreSQL: "
        "set TMPDIR to a folder open to every user"
    )
