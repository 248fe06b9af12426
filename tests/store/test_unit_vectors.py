import psycopg
import pytest
from photostore import embed, make_photos

from imgvec_pg.database.connect import Connection


@pytest.mark.parametrize(
    ("norm", "is_taken"), [(0.0, False), (0.998, False), (0.9995, True), (1.0005, True), (1.002, False)]
)
def test_the_embedding_table_takes_vectors_of_norm_one_alone(
    scratch: Connection, norm: float, is_taken: bool
) -> None:
    collection = make_photos(scratch, 1)
    if is_taken:
        embed(scratch, collection, {1: (norm, 0.0, 0.0)})
        return
    with pytest.raises(psycopg.errors.CheckViolation, match="embedding_is_unit"), scratch.transaction():
        embed(scratch, collection, {1: (norm, 0.0, 0.0)})
