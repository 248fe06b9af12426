"""Run `imgvec duplicates` again beside a worker, for collections where it was run before."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from imgvec_pg.cli.output.messages import say
from imgvec_pg.database.connect import connect, one_line
from imgvec_pg.duplicates.find_duplicates import search_again
from imgvec_pg.duplicates.only_run import AnotherRunError
from imgvec_pg.duplicates.relations import has_relations
from imgvec_pg.store.registry import get_collection
from imgvec_pg.text import counted

APPLICATION = "imgvec worker (duplicates)"


@contextmanager
def searching_duplicates(dsn: str, names: Sequence[str], every_seconds: float | None) -> Iterator[None]:
    """Look for what is new in a thread of its own, every so many seconds; never where that is None.

    What goes wrong is said in one line and tried again: embedding goes on. A run under way ends with the process, and what it has
    written with its transaction.
    """
    if every_seconds is None:
        yield
        return
    stopped, told = threading.Event(), set[str]()

    def work() -> None:
        while not stopped.wait(every_seconds):
            for name in names:
                _search(dsn, name, told)

    threading.Thread(target=work, name="duplicates", daemon=True).start()
    try:
        yield
    finally:
        stopped.set()


def _search(dsn: str, name: str, told: set[str]) -> None:
    try:
        with (
            connect(dsn, application_name=APPLICATION) as connection,
            connect(dsn, application_name=APPLICATION) as guard,
        ):
            collection = get_collection(connection, name)
            found = search_again(connection, guard, collection)
            lacks_run = found is None and name not in told and has_relations(connection, collection)
    except AnotherRunError:
        # Of another worker, or of a person: it sees the same rows.
        return
    except Exception as error:
        # Whatever it is: this thread is the only one that tries again.
        say(f"duplicates of {name} were not looked for: {one_line(error)}; the next run tries again")
        return
    if lacks_run:
        told.add(name)
        say(
            f"{name}: there is no run of imgvec duplicates to go on from (none came to its end, or the last was --fast); "
            "run it once without --fast"
        )
    if found is not None and (found.compared or found.gone):
        say(
            f"{collection.name}: {counted(found.compared, 'row')} compared for duplicates; "
            f"{counted(found.written.pairs, 'pair')} in {counted(found.written.groups, 'group')}",
            pairs=found.written.pairs,
            groups=found.written.groups,
        )
