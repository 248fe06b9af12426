"""A model whose numbers differ here is not used: it writes no vectors, no words into the cache, and answers no query."""

import weakref
from collections.abc import Collection as Kinds

from imgvec_pg.database.connect import Connection
from imgvec_pg.embedding.embedder import Embedder
from imgvec_pg.embedding.golden import GOLDEN_COSINE, KINDS, GoldenVectors, compute_golden
from imgvec_pg.errors import ModelError
from imgvec_pg.store.collection import Collection
from imgvec_pg.store.model_registry import compare_golden

_computed: "weakref.WeakKeyDictionary[Embedder, dict[str, GoldenVectors]]" = weakref.WeakKeyDictionary()
"""By model and kind: neither a worker that lost its connection nor the next query embeds the golden pictures again."""


def check_golden(
    connection: Connection,
    collection: Collection,
    embedder: Embedder,
    kinds: Kinds[str] = KINDS,
    *,
    store: bool = False,
) -> None:
    """Refuse a model that has the right weights and yet computes other vectors than at its first use.

    Args:
        kinds: What is going to be embedded: a query by words needs no pictures.
        store: First store the vectors that are not on record, for a worker; where none are, a query compares nothing.

    Raises:
        ModelError: It does, or its vectors have not the norm 1.
    """
    known = _computed.setdefault(embedder, {})
    for kind in kinds:
        if kind not in known:
            known[kind] = compute_golden(embedder, (kind,))
    golden = {key: vectors for kind in kinds for key, vectors in known[kind].items()}
    found = compare_golden(connection, collection.model_id, golden, embedder.precision, store=store)
    if found.lowest < GOLDEN_COSINE:
        raise ModelError(
            f'model "{embedder.name}" computes other vectors here than at its first use (cosine {found.lowest:.4f} in '
            f"{embedder.precision}, at least {GOLDEN_COSINE} expected), so it is not used: try --precision fp32, "
            f"--device cpu or the versions of torch and open_clip used then; see imgvec model verify {embedder.name}"
        )
