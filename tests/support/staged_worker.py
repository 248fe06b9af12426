"""`imgvec` for tests that need it to stop at a point, or to run with changed SQL; takes imgvec's own arguments.

IMGVEC_TEST_HOLD names a file: while it exists, the process takes it away and stops itself (SIGSTOP) before it
writes what it has embedded. IMGVEC_TEST_SQL names a folder to take instead of sql/.
"""

import os
import signal
import sys
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

from imgvec_pg import cli
from imgvec_pg.database import sql_templates
from imgvec_pg.store.embeddings import EmbeddingStore, Outcome, Written

write = EmbeddingStore.write_leased
shipped_directory = sql_templates.shipped_directory


def stop_and_write(
    store: EmbeddingStore, leased: Sequence[tuple[uuid.UUID, Outcome]], *more: object
) -> Written:
    hold = Path(os.environ.get("IMGVEC_TEST_HOLD", "/nonexistent"))
    if hold.exists():
        hold.unlink()
        # To this thread: sent to the process, another may take it, and this one would write until that has had its turn.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    return write(store, leased, *more)  # type: ignore[arg-type]


def changed_directory(name: str) -> Path:
    changed = os.environ.get("IMGVEC_TEST_SQL")
    return Path(changed) if changed and name == "sql" else shipped_directory(name)


if __name__ == "__main__":
    EmbeddingStore.write_leased = stop_and_write  # type: ignore[method-assign,assignment]
    sql_templates.shipped_directory = changed_directory
    sys.argv[0] = "imgvec"
    cli.main()
