"""A collection as a value, and the pieces of SQL that its key and source become."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.hnsw import MAX_CANDIDATES, MAX_EF_SEARCH
from imgvec_pg.errors import CollectionError

KEYS_PER_JOB = 64
"""Keys filed together. One write transaction carries at most these: a live HNSW index takes about 640 rows a
second, so none lasts longer than a moment."""

BIT_OVERFETCH = 20
"""Candidates for each row wanted, where the index holds bits; benchmarks/results/index.txt shows what it gives."""

SEARCH_FUNCTIONS = {
    "near": "near_{}",
    "near_row": "near_{}_row",
    "near_text": "near_{}_text",
    "search": "search_{}",
    "recommend": "recommend_{}",
    "classify": "classify_{}",
    "page": "page_{}",
    "duplicates_of": "duplicates_of_{}",
}
"""Files in sql/collection that make a collection's functions, and the names they make."""


@dataclass(frozen=True)
class Collection:
    """One image source embedded by one model, as the registry has it. Field names are the registry's columns.

    Attributes:
        shown_source: The source relation for people, quoted where SQL wants it; "(dropped)" when it is gone.
    """

    id: int
    name: str
    model_id: int
    model_name: str
    dimensions: int
    has_text: bool
    source_schema: str | None
    source_name: str | None
    shown_source: str
    key_columns: Sequence[str]
    key_types: Sequence[str]
    key_equality_schemas: Sequence[str]
    path_column: str | None
    content_column: str | None
    watch_columns: Sequence[str]
    root: str | None
    has_foreign_key: bool
    m: int
    ef_construction: int
    ef_search: int | None
    quantization: str | None
    prompt: str
    is_listed: bool

    @property
    def embedding_table(self) -> str:
        """Name of the embedding table in the schema imgvec."""
        return f"{self.name}_embedding"

    @property
    def index_name(self) -> str:
        """Name of the HNSW index."""
        return f"{self.name}_embedding_hnsw"

    @property
    def source(self) -> sql.Identifier:
        """The source relation, quoted with its schema.

        Raises:
            CollectionError: The source was dropped.
        """
        if self.source_schema is None or self.source_name is None:
            raise CollectionError(
                f'the source table of collection "{self.name}" no longer exists; '
                f"run: imgvec collection drop {self.name}"
            )
        return sql.Identifier(self.source_schema, self.source_name)

    def parts(self, vector: str) -> dict[str, sql.Composable]:
        """Return every `{part}` that the files in sql/collection may use.

        Args:
            vector: The schema that holds the vector extension.

        Raises:
            CollectionError: The source was dropped.
        """
        key = KeySql(self.key_columns, self.key_types, self.key_equality_schemas)
        is_composite = len(self.key_columns) > 1
        among_type = sql.Identifier("imgvec", f"{self.name}_key") if is_composite else key.types
        return {
            **self.parts_without_source(vector),
            **key.parts(),
            "among_type": among_type,
            "e_key_among": key.among("e") if is_composite else key.equal_any("e"),
            "e_key_among_2": key.among("e", 2) if is_composite else key.equal_any("e", 2),
            "e_key_among_5": key.among("e", 5) if is_composite else key.equal_any("e", 5),
            "e_key_after_4": key.after("e", 4),
            "v_key_looked_up": key.looked_up("v"),
            **key.found(),
            "source": self.source,
            "s_equals_embedding": key.equal("s", ("imgvec", self.embedding_table)),
            "n_has_image": self._has_image("n"),
            "s_has_image": self._has_image("s"),
            "watched_differ": sql.SQL(" OR ").join(map(self._differs, self.watch_columns)),
            "path": self._image_column(self.path_column, "text"),
            "content": self._image_column(self.content_column, "bytea"),
            "s_reference_hash": self._reference_hash("s"),
        }

    def parts_without_source(self, vector: str) -> dict[str, sql.Composable]:
        """Return the `{parts}` that stay known when the source is dropped."""
        name = self.name
        functions = {part: pattern.format(name) for part, pattern in SEARCH_FUNCTIONS.items()}
        trigger_functions = {
            f"on_{event}": f"{name}_on_{event}" for event in ("insert", "update", "delete", "truncate")
        }
        names = {
            **functions,
            **trigger_functions,
            "insert_trigger": f"imgvec_{name}_insert",
            "update_trigger": f"imgvec_{name}_update",
            "delete_trigger": f"imgvec_{name}_delete",
            "truncate_trigger": f"imgvec_{name}_truncate",
            "embedding_table": self.embedding_table,
            "index_name": self.index_name,
            "constraint_name": f"{name}_embedding_source_fkey",
            "key_type": f"{name}_key",
            "vector": vector,
        }
        return {
            **{part: sql.Identifier(text) for part, text in names.items()},
            "function_names": sql.Literal(list(functions.values())),
            "trigger_function_names": sql.Literal(list(trigger_functions.values())),
            "collection_id": sql.Literal(self.id),
            "collection_name": sql.Literal(self.name),
            "keys_per_job": sql.Literal(KEYS_PER_JOB),
            "dimensions": sql.Literal(self.dimensions),
            "m": sql.Literal(self.m),
            "ef_construction": sql.Literal(self.ef_construction),
            "overfetch": sql.Literal(BIT_OVERFETCH),
            "max_ef_search": sql.Literal(MAX_EF_SEARCH),
            "max_candidates": sql.Literal(MAX_CANDIDATES),
        }

    def _has_image(self, row: str) -> sql.Composed:
        columns = [column for column in (self.path_column, self.content_column) if column is not None]
        return sql.SQL("({})").format(
            sql.SQL(" OR ").join(
                sql.SQL("{} IS NOT NULL").format(sql.Identifier(row, column)) for column in columns
            )
        )

    def _differs(self, column: str) -> sql.Composed:
        """Compare bytes as bytes, all else as exact text: not every type has an =, nor every collation an exact one."""
        cast = sql.SQL("" if column == self.content_column else '::text COLLATE "C"')
        return sql.SQL("n.{column}{cast} IS DISTINCT FROM o.{column}{cast}").format(
            column=sql.Identifier(column), cast=cast
        )

    def _reference_hash(self, row: str) -> sql.Composed:
        """Hash what a row says of its picture: all watched columns, of the bytes their length, which costs no reading."""
        values = sql.SQL(", ").join(
            sql.SQL("pg_catalog.octet_length({})" if column == self.content_column else "{}::text").format(
                sql.Identifier(row, column)
            )
            for column in self.watch_columns
        )
        return sql.SQL("pg_catalog.sha256(pg_catalog.convert_to(ROW({})::text, 'UTF8'))").format(values)

    @staticmethod
    def _image_column(column: str | None, type_name: str) -> sql.Composed:
        value = sql.SQL("NULL") if column is None else sql.Identifier("s", column)
        return sql.SQL("{}::{}").format(value, sql.Identifier(type_name))


@dataclass(frozen=True)
class KeySql:
    """The SQL that a key of one or more columns needs. `row` arguments are table aliases."""

    names: Sequence[str]
    type_names: Sequence[str]
    equality_schemas: Sequence[str]

    def columns(self, row: str) -> sql.Composed:
        """`row."tenant", row."id"`."""
        return sql.SQL(", ").join(sql.Identifier(row, name) for name in self.names)

    @property
    def types(self) -> sql.Composed:
        """`integer, uuid`; the text comes from format_type(), which quotes."""
        return sql.SQL(", ").join(sql.SQL(name) for name in self.type_names)

    @property
    def parameters(self) -> sql.Composed:
        """`key_1 integer, key_2 uuid`, or `key uuid`; names that no column of the key has."""
        prefix = "key"
        while any(name.startswith(prefix) for name in self.names):
            prefix += "_"
        numbers = [""] if len(self.names) == 1 else [f"_{n + 1}" for n in range(len(self.names))]
        return sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(prefix + number), sql.SQL(type_name))
            for number, type_name in zip(numbers, self.type_names, strict=True)
        )

    def equal(self, left: str, right: str | tuple[str, ...]) -> sql.Composed:
        """`left.a = right.a AND left.b = right.b`, with qualified operators."""
        prefix = right if isinstance(right, tuple) else (right,)
        return sql.SQL(" AND ").join(
            sql.SQL("{} OPERATOR({}.=) {}").format(
                sql.Identifier(left, name), sql.Identifier(schema), sql.Identifier(*prefix, name)
            )
            for name, schema in zip(self.names, self.equality_schemas, strict=True)
        )

    def equal_parameters(self, row: str) -> sql.Composed:
        """`row.a = $1 AND row.b = $2`."""
        return sql.SQL(" AND ").join(
            sql.SQL("{} OPERATOR({}.=) {}").format(
                sql.Identifier(row, name),
                sql.Identifier(schema),
                sql.SQL(f"${position}"),
            )
            for position, (name, schema) in enumerate(zip(self.names, self.equality_schemas, strict=True), 1)
        )

    def equal_any(self, row: str, parameter: int = 3) -> sql.Composed:
        """`row.a = ANY ($3)`."""
        return sql.SQL("{} OPERATOR({}.=) ANY ({})").format(
            self.columns(row), sql.Identifier(self.equality_schemas[0]), sql.SQL(f"${parameter}")
        )

    def among(self, row: str, parameter: int = 3) -> sql.Composed:
        """`EXISTS (SELECT FROM unnest($3) AS u WHERE u.a = row.a AND u.b = row.b)`, a semi-join to PostgreSQL."""
        return sql.SQL("EXISTS (SELECT FROM unnest({}) AS u WHERE {})").format(
            sql.SQL(f"${parameter}"), self.equal("u", row)
        )

    def after(self, row: str, parameter: int) -> sql.Composed:
        """`(row.a > $4)`, or `(row.a > ($4).a OR row.a = ($4).a AND (row.b > ($4).b))`: later in the key's order."""
        condition: sql.Composed | None = None
        for name, schema in reversed(list(zip(self.names, self.equality_schemas, strict=True))):
            value = sql.SQL(f"${parameter}")
            if len(self.names) > 1:
                value = sql.SQL("({}).{}").format(value, sql.Identifier(name))  # type: ignore[assignment]
            column, operators = sql.Identifier(row, name), sql.Identifier(schema)
            later = sql.SQL("{} OPERATOR({}.>) {}").format(column, operators, value)
            if condition is not None:
                equal = sql.SQL("{} OPERATOR({}.=) {}").format(column, operators, value)
                later = sql.SQL("{} OR {} AND {}").format(later, equal, condition)
            condition = sql.SQL("({})").format(later)
        assert condition is not None  # noqa: S101 - a key has at least one column
        return condition

    def looked_up(self, row: str, parameter: int = 3) -> sql.Composed:
        """The same as a hashed look-up for each row that a scan visits, never a join that comes before the scan.

        A key of one column stands in a CASE: PostgreSQL hashes a constant array there too, and does not estimate it element
        by element first, which takes longer than the scan (7 instead of 34 ms for 50,000 keys).
        """
        if len(self.names) == 1:
            return sql.SQL("CASE WHEN {} THEN true ELSE false END").format(self.equal_any(row, parameter))
        return sql.SQL("({}) IS TRUE").format(self.among(row, parameter))

    def found(self) -> dict[str, sql.Composable]:
        """The `{parts}` by which plpgsql holds rows found: a variable a key column, and found_distances."""
        variables = [sql.Identifier(f"found_{number}") for number, _ in enumerate(self.names, 1)]
        # + 0: else PostgreSQL trusts the index's own order, which relaxed scans and rounding do not keep.
        order = sql.SQL("f.distance + 0, {}").format(self.columns("f"))
        columns = [*(sql.Identifier("f", name) for name in self.names), sql.SQL("f.distance")]
        return {
            "found_declarations": sql.SQL(" ").join(
                sql.SQL("{} {}[];").format(variable, sql.SQL(type_name))
                for variable, type_name in zip(variables, self.type_names, strict=True)
            ),
            "found_variables": sql.SQL(", ").join([*variables, sql.SQL("found_distances")]),
            "found_aggregates": sql.SQL(", ").join(
                sql.SQL("array_agg({} ORDER BY {})").format(column, order) for column in columns
            ),
        }

    def json(self, row: str) -> sql.Composed:
        """`pg_catalog.jsonb_build_object('tenant', row."tenant", …)`; a numeric goes as text, since JSON readers round it."""
        pairs = sql.SQL(", ").join(
            sql.SQL("{}, {}{}").format(
                sql.Literal(name),
                sql.Identifier(row, name),
                sql.SQL("::text" if type_name.startswith("numeric") else ""),
            )
            for name, type_name in zip(self.names, self.type_names, strict=True)
        )
        return sql.SQL("pg_catalog.jsonb_build_object({})").format(pairs)

    def parts(self) -> dict[str, sql.Composable]:
        """Every `{part}` that depends on the key alone."""
        definitions = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_name))
            for name, type_name in zip(self.names, self.type_names, strict=True)
        )
        return {
            "keys": sql.SQL(", ").join(sql.Identifier(name) for name in self.names),
            "key_definitions": definitions,
            "key_types": self.types,
            "key_parameters": self.parameters,
            "e_keys": self.columns("e"),
            "s_keys": self.columns("s"),
            "n_keys": self.columns("n"),
            "w_keys": self.columns("w"),
            "s_key": self.json("s"),
            "e_key": self.json("e"),
            "n_key": self.json("n"),
            "o_key": self.json("o"),
            "p_keys_descending": sql.SQL(", ").join(
                sql.SQL("{} DESC").format(sql.Identifier("p", name)) for name in self.names
            ),
            "o_is_missing": sql.SQL("({} IS NULL)").format(sql.Identifier("o", self.names[0])),
            "n_equals_o": self.equal("n", "o"),
            "n_equals_s": self.equal("n", "s"),
            "n_equals_u": self.equal("n", "u"),
            "e_equals_o": self.equal("e", "o"),
            "e_equals_d": self.equal("e", "d"),
            "e_equals_p": self.equal("e", "p"),
            "e_equals_s": self.equal("e", "s"),
            "k_equals_s": self.equal("k", "s"),
            "r_equals_s": self.equal("r", "s"),
            "w_equals_s": self.equal("w", "s"),
            "w_equals_e": self.equal("w", "e"),
            "e_keys_equal_parameters": self.equal_parameters("e"),
            "o_keys_equal_parameters": self.equal_parameters("o"),
            "n_keys_equal_parameters": self.equal_parameters("n"),
        }
