"""among: NULL is refused by every function that takes it, in every kind of collection; left out it means all rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from photostore import X, Y, embed, make_collection

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.aliases import create_alias, get_alias, point_alias

KEYS = {1: X, 2: Y, 3: (-1.0, 0.0, 0.0)}
NO_ROWS = "(SELECT array_agg({key}) FROM shop.photo AS s WHERE s.tenant = 'nobody')"
CALLS = {
    "search": "search_{name}('[1,0,0]', 10{among})",
    "search with k left out": "search_{name}('[1,0,0]'{among})",
    "page": "page_{name}('[1,0,0]', 10{among})",
    "next page": "page_{name}('[1,0,0]', 10, 0, {first}{among})",
    "recommend": "recommend_{name}(ARRAY[{first}]{among})",
    "recommend less": "recommend_{name}(ARRAY[{first}], NULL, 5, disliked_weight => 0.5{among})",
    "classify": "classify_{name}(ARRAY['east', 'north']{among})",
}


@dataclass(frozen=True)
class Kind:
    """A kind of collection: how its functions are called, its key of a row `s`, and the key of the row at X."""

    name: str
    key: str
    first: str

    def ask(self, connection: Connection, call: str, among: str | None) -> set[int]:
        """Return the ids of the rows that a call of CALLS gives, with or without among."""
        given = "" if among is None else f", among => {among}"
        call = CALLS[call].format(name=self.name, first=self.first, among=given)
        return {row[0] for row in connection.execute(f"SELECT id FROM imgvec.{call}")}  # type: ignore[arg-type]


@pytest.fixture(params=["one column", "two columns", "partitions", "bits", "alias", "switched alias"])
def kind(scratch: Connection, request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Rows 1 to 3 of one tenant, all embedded."""
    is_composite = request.param in ("two columns", "partitions", "switched alias")
    scratch.execute("CREATE SCHEMA shop")
    primary_key = "tenant, id" if is_composite else "id"
    scratch.execute(
        f"CREATE TABLE shop.photo (id bigint, tenant text, file text, PRIMARY KEY ({primary_key}))"  # type: ignore[arg-type]
    )
    scratch.execute("INSERT INTO shop.photo SELECT i, 'ann', 'x.jpg' FROM generate_series(1, 3) AS i")
    options = {"partitions": {"partitions": 2}, "bits": {"quantization": "bit"}}.get(request.param, {})
    vectors = {("ann", key) if is_composite else key: vector for key, vector in KEYS.items()}
    collections = [
        make_collection(scratch, name=name, **options)
        for name in (["first", "photo_test"] if request.param == "switched alias" else ["photo_test"])
    ]
    for collection in collections:
        embed(scratch, collection, vectors)
    name = "photo_test"
    if "alias" in request.param:
        name = "shown"
        create_alias(scratch, name, collections[0].name)
        point_alias(scratch, get_alias(scratch, name), collections[-1])
        scratch.execute("SET LOCAL search_path TO DEFAULT; SET LOCAL lock_timeout TO DEFAULT")
    scratch.execute("UPDATE imgvec.model SET logit_scale = 2")
    for text, vector in (("east", "[1,0,0]"), ("north", "[0,1,0]")):
        scratch.execute(
            "INSERT INTO imgvec.text_embedding (model_id, text, embedding) VALUES (%s, %s, %s)",
            [collections[0].model_id, text, vector],
        )
    if is_composite:
        yield Kind(name, f"ROW(s.tenant, s.id)::imgvec.{name}_key", f"ROW('ann', 1)::imgvec.{name}_key")
    else:
        yield Kind(name, "s.id", "1::bigint")


@pytest.mark.parametrize("call", CALLS)
def test_among_over_no_rows_is_refused_and_not_taken_for_all_rows(
    scratch: Connection, kind: Kind, call: str
) -> None:
    for nothing in ("NULL", NO_ROWS.format(key=kind.key)):
        with (
            pytest.raises(psycopg.errors.NullValueNotAllowed, match="among is NULL") as refused,
            scratch.transaction(),
        ):
            kind.ask(scratch, call, nothing)
        assert "leave among out" in str(refused.value.diag.message_hint)


@pytest.mark.parametrize("call", CALLS)
def test_among_left_out_means_all_rows_and_an_empty_list_none(
    scratch: Connection, kind: Kind, call: str
) -> None:
    others = {1, 2, 3} - ({1} if "recommend" in call or "next" in call else set())
    assert kind.ask(scratch, call, None) == others
    assert (
        kind.ask(scratch, call, NO_ROWS.format(key=kind.key).replace("(SELECT array_agg(", "ARRAY(SELECT ("))
        == set()
    )
    assert kind.ask(scratch, call, "'{}'") == set()


@pytest.mark.parametrize("call", CALLS)
def test_a_null_among_the_keys_matches_no_row(scratch: Connection, kind: Kind, call: str) -> None:
    key = kind.first.replace("1", "2", 1)
    for keys, expected in ((f"ARRAY[NULL, {key}]", {2}), (f"(ARRAY[NULL, {key}])[1:1]", set())):
        assert kind.ask(scratch, call, keys) == expected
