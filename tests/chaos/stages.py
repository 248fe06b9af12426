"""The places where the elements of a storm happen: servers, a pool, a standby; and the mutants that each must see."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import mutants
from elements import Element, Migrates, OddSettings, Partitions, Pooled, WiderKey
from own import own_server
from pgbouncer import pooled
from promotion import Promotion
from shared_pictures import SharedPictures
from standby import connect_soon, run_primary_and_standby

from imgvec_pg.database.local_server.server import LocalServer

POOL_SESSIONS = 3


@dataclass(frozen=True)
class Stage:
    """An element and the empty, migrated database that it happens to; the server, where that may be crashed."""

    element: Element
    database: str
    server: LocalServer | None = None


@contextmanager
def on_server(element: Callable[..., Element], patience_seconds: float, given: str | None) -> Iterator[Stage]:
    """An element that needs nothing but a database: the given one, or that of a server of its own."""
    if given is not None:
        yield Stage(element(patience_seconds), given)
        return
    with own_server() as own:
        yield Stage(element(patience_seconds), own.dsn, own.server)


@contextmanager
def behind_pooler(patience_seconds: float) -> Iterator[Stage]:
    """Workers behind pgbouncer, with fewer sessions than they have connections."""
    with own_server() as own, pooled(own, POOL_SESSIONS) as pool:
        yield Stage(Pooled(pool, POOL_SESSIONS, patience_seconds), own.dsn, own.server)


@contextmanager
def before_standby(patience_seconds: float) -> Iterator[Stage]:
    """A primary with a streaming standby; it cannot be started again once that is promoted."""
    with ExitStack() as stack:
        primary, standby_dsn = stack.enter_context(run_primary_and_standby())
        connect_soon(standby_dsn).close()
        yield Stage(Promotion(primary, standby_dsn, patience_seconds), primary.dsn())


@contextmanager
def stage(name: str, patience_seconds: float = 120.0, database: str | None = None) -> Iterator[Stage]:
    """Set the stage for an element by its name in ELEMENTS."""
    if name == "pgbouncer":
        made = behind_pooler(patience_seconds)
    elif name == "standby promoted":
        made = before_standby(patience_seconds)
    else:
        made = on_server(ELEMENTS[name], patience_seconds, database)
    with made as found:
        yield found


ELEMENTS: dict[str, Callable[..., Element]] = {
    "nothing": Element,
    "partitions": Partitions,
    "wider key": WiderKey,
    "odd settings": OddSettings,
    "migrates": Migrates,
    "shared pictures": SharedPictures,
}
OWN_SERVERS = ("pgbouncer", "standby promoted")
NAMES = (*ELEMENTS, *OWN_SERVERS)
SEEN = (
    ("partitions", mutants.PARTITIONS_NOT_COMPARED),
    ("wider key", mutants.CHANGE_UNSEEN),
    ("odd settings", mutants.KEYS_AS_PRINTED),
    ("migrates", mutants.NO_SCHEMA_LOCK),
    ("shared pictures", mutants.PICTURES_OF_ROWS_REMOVED),
    ("pgbouncer", mutants.LIMITS_OF_SESSION),
)
"""Mutants that an element sees, by its name."""
