"""Every error the library raises on purpose, each with the exit code a command gives it.

A message tells what was met, what was expected and what to do next, in one line.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from imgvec_pg.redaction import hide_secrets
from imgvec_pg.text import as_typed


class ImgvecError(Exception):
    """Something imgvec-pg cannot do as asked. Passwords in its message are hidden: it may quote what others wrote."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(hide_secrets(message))


class UsageError(ImgvecError):
    """An argument has a value that cannot work."""

    exit_code = 2


class ConnectionFailedError(ImgvecError):
    """The PostgreSQL server cannot be reached or refuses the login."""

    exit_code = 3


class DatabaseError(ImgvecError):
    """The database lacks something, or refused a statement."""


class NotOwnerError(DatabaseError):
    """The role may not do what takes a table's owner."""


class CollectionError(ImgvecError):
    """A collection cannot be created, found or changed."""


class CollectionNotFoundError(CollectionError):
    """No collection or alias has this name, or none has it any more."""


class CollectionReplacedError(CollectionError):
    """A name now means another collection: it was created again, or an alias was switched."""


class CollectionChangedError(CollectionError):
    """A collection is read or written otherwise now: its key became wider, its table or a column has another name, its pictures
    are rendered by another version."""


class ModelError(ImgvecError):
    """A model cannot be named, loaded or trusted."""


class ModelNotFoundError(ModelError):
    """No model has this name."""

    exit_code = 2


class WeightsMissingError(ModelError):
    """The model is known, its weights are not on this machine."""


class DeviceMemoryError(ModelError):
    """The device has no memory for even one image: no image is to blame, and another time there may be."""


class ModelAwayError(ModelError):
    """The server that embeds is away or overloaded: no image is to blame, and another time it may answer."""


class ModelAnswerError(ModelError):
    """The server that embeds answers what is no embedding of what was sent, or refuses the key: no image is to blame."""


class ServerError(ImgvecError):
    """The private PostgreSQL server cannot be started or stopped."""


class NoWorkerError(ImgvecError):
    """No running worker answered."""


class MissingExtraError(ImgvecError):
    """An optional package is needed that is not installed."""


class InstallationError(ImgvecError):
    """The installed package lacks files that belong to it."""


class DecoderError(ImgvecError):
    """No process can be started to decode pictures in: no picture is to blame."""


class ImageError(ImgvecError):
    """One image cannot be embedded; `code` is the short reason kept in imgvec.failure, docs/reference/errors.md lists them.

    Attributes:
        transient: Another try may help.
        retry_after_seconds: The earliest time for it, where that is known.
        counts_as_attempt: The try counts; not so where it was never really made, as with a host that says "later".
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        transient: bool = False,
        retry_after_seconds: float | None = None,
        counts_as_attempt: bool = True,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.transient = transient
        self.retry_after_seconds = retry_after_seconds
        self.counts_as_attempt = counts_as_attempt


class PicturesAwayError(ImageError):
    """The folder with all pictures is gone, as when it is not mounted: no row is to blame.

    Attributes:
        root: The folder.
    """

    def __init__(self, root: Path, message: str) -> None:
        super().__init__("fetch_failed", message, transient=True)
        self.root = root


@contextmanager
def advising(command: str) -> Iterator[None]:
    """Have errors advise our commands as they are typed here, such as "flask imgvec".

    Raises:
        ImgvecError: The same.
    """
    try:
        yield
    except ImgvecError as error:
        error.args = tuple(as_typed(part, command) if isinstance(part, str) else part for part in error.args)
        raise
