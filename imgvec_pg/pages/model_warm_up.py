"""The collection's model, loaded in the background while somebody looks at the first page: words need not wait for it."""

import logging
from threading import Lock, Thread
from typing import Literal

import psycopg

from imgvec_pg.database.connect import connect
from imgvec_pg.errors import ImgvecError
from imgvec_pg.pages.error_pages import say
from imgvec_pg.pages.page_context import APPLICATION_NAME
from imgvec_pg.search.query_client import load_ahead
from imgvec_pg.store.registry import get_collection

log = logging.getLogger(__name__)

State = Literal["idle", "loading", "ready", "failed"]


class ModelWarmUp:
    """Loads a model once, in a thread of its own. Threads share it.

    Attributes:
        state: "ready" where a running worker embeds, too.
        problem: Why it could not be loaded, as one line; "" in other states.
    """

    def __init__(self, dsn: str, name: str) -> None:
        self.state: State = "idle"
        self.problem = ""
        self._dsn, self._name = dsn, name
        self._lock = Lock()

    def begin(self) -> None:
        """Begin with it, unless somebody did; returns at once."""
        with self._lock:
            if self.state != "idle":
                return
            self.state = "loading"
        # A daemon: ctrl-C need not wait for it.
        Thread(target=self._load, name="imgvec model", daemon=True).start()

    def _load(self) -> None:
        try:
            with connect(self._dsn, application_name=APPLICATION_NAME) as connection:
                load_ahead(connection, get_collection(connection, self._name))
        except (ImgvecError, psycopg.Error) as error:
            self.problem, self.state = say(error), "failed"
        except Exception as error:
            # A library's own error: a search meets it too, and tells it.
            log.exception("the model could not be loaded")
            self.problem, self.state = f"{type(error).__name__}: {error}", "failed"
        else:
            self.state = "ready"
