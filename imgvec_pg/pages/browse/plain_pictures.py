"""Pictures of one colour, by which blank ones are found: near their embeddings, as no pixels are kept."""

from collections.abc import Sequence
from threading import Lock

from PIL import Image

from imgvec_pg.database.connect import Connection
from imgvec_pg.search.query_client import vector_of_image
from imgvec_pg.search.query_types import Float32Array
from imgvec_pg.store.collection import Collection

SHADES = ("white", "grey", "black")
SIDE = 256


class PlainPictures:
    """The embeddings of pictures of each of SHADES, by collection: computed once. Threads share it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], Sequence[Float32Array]] = {}
        self._lock = Lock()

    def vectors(self, connection: Connection, collection: Collection) -> Sequence[Float32Array]:
        """Return one vector for each shade: shape (dimensions,), L2 norm 1.

        Raises:
            NoWorkerError, ModelError: They cannot be embedded.
        """
        name = (collection.id, collection.model_id)
        with self._lock:
            if name not in self._kept:
                self._kept[name] = [
                    vector_of_image(connection, collection, Image.new("RGB", (SIDE, SIDE), shade))
                    for shade in SHADES
                ]
            return self._kept[name]
