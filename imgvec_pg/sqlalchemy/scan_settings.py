"""How the HNSW index is scanned, for one transaction or for all of a session's."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from imgvec_pg.errors import UsageError

if TYPE_CHECKING:  # SQLAlchemy's asyncio needs greenlet, an extra
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

IterativeScan = Literal["off", "strict_order", "relaxed_order"]
ITERATIVE_SCANS = ("off", "strict_order", "relaxed_order")


@dataclass(frozen=True)
class SearchSettings:
    """Settings of pgvector's scans; None leaves one as it is.

    Attributes:
        ef_search: Candidates of a scan, 1 to 1,000: more find more of the true neighbours and take longer.
        iterative_scan: Go on scanning while conditions leave fewer rows than the LIMIT: "strict_order" or, slightly out of
            order, "relaxed_order"; "off" is PostgreSQL's own default.
        max_scan_tuples: Where such a scan ends.

    Raises:
        UsageError: A value is out of range.
    """

    ef_search: int | None = None
    iterative_scan: IterativeScan | None = None
    max_scan_tuples: int | None = None

    def __post_init__(self) -> None:
        # pgvector 0.8 src/hnsw.h: HNSW_MIN_EF_SEARCH, HNSW_MAX_EF_SEARCH.
        if self.ef_search is not None and not 1 <= self.ef_search <= 1000:
            raise UsageError(f"ef_search is {self.ef_search}; expected 1 to 1000")
        if self.iterative_scan is not None and self.iterative_scan not in ITERATIVE_SCANS:
            raise UsageError(
                f'iterative_scan is "{self.iterative_scan}"; expected {", ".join(ITERATIVE_SCANS)}'
            )
        if self.max_scan_tuples is not None and self.max_scan_tuples < 1:
            raise UsageError(f"max_scan_tuples is {self.max_scan_tuples}; expected 1 or more")

    @property
    def statement(self) -> sa.Select[Any]:
        """A select that sets them until the transaction ends, as SET LOCAL does; `await session.execute(…)` runs it too."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        return sa.select(
            *(sa.func.set_config(f"hnsw.{name}", str(value), True) for name, value in values.items())
        )

    def apply(self, session: Session | sa.Connection) -> None:
        """Set them until the running transaction ends."""
        if any(value is not None for value in vars(self).values()):
            session.execute(self.statement)

    def apply_to_all(
        self,
        sessions: "sessionmaker[Any] | async_sessionmaker[Any] | Session | AsyncSession | type[Session]",
    ) -> None:
        """Set them at the start of every transaction of these sessions, at the price of one more round trip each.

        Cheaper for a whole database: `imgvec migrate --database-defaults`.
        """
        # An async session wraps a session; a maker of async ones is given a session class of its own to listen to.
        target: Any = getattr(sessions, "sync_session", sessions)
        if hasattr(getattr(sessions, "class_", None), "sync_session_class"):
            target = _sync_class_of(sessions)

        @event.listens_for(target, "after_begin")
        def set_settings(session: Session, transaction: object, connection: sa.Connection) -> None:
            self.apply(connection)


def _sync_class_of(sessions: Any) -> type[Session]:  # noqa: ANN401 - async_sessionmaker, which may not be there
    base = sessions.kw.get("sync_session_class") or sessions.class_.sync_session_class
    own = type(base.__name__, (base,), {})
    sessions.configure(sync_session_class=own)
    return own
