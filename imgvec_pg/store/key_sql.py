"""SQL fragments of a key: columns, types, comparisons, jsonb in and out."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from imgvec_pg.database.sql_templates import escape_percent
from imgvec_pg.store.guarded_columns import bare_name, guarded, is_built_in, printed, settings_clause

OF_THE_SOURCE = frozenset({"s", "n", "o"})
"""Aliases of source rows, whose columns are guarded: as they are now, as triggers see them, and as they were."""


@dataclass(frozen=True)
class KeySql:
    """The SQL that a key of one or more columns needs. `row` arguments are table aliases.

    Attributes:
        kinds: Of each type, as guarded() takes it; "b" where it is not known.
        source_types: What keys are read from JSON as: as wide as the source's columns are now.
    """

    names: Sequence[str]
    type_names: Sequence[str]
    equality_schemas: Sequence[str]
    kinds: Sequence[str] = ()
    source_types: Sequence[str] = ()

    def kind(self, position: int) -> str:
        """Return the kind of one column's type; positions count from 0."""
        return self.kinds[position] if position < len(self.kinds) else "b"

    def value(self, row: str | tuple[str, ...], position: int) -> sql.Composable:
        """`row.a`, guarded where it is the source's."""
        prefix = row if isinstance(row, tuple) else (row,)
        column = sql.Identifier(*prefix, self.names[position])
        if row not in OF_THE_SOURCE:
            return column
        return guarded(column, self.type_names[position], self.kind(position))

    def columns(self, row: str) -> sql.Composed:
        """`row."tenant", row."id"`."""
        return sql.SQL(", ").join(sql.Identifier(row, name) for name in self.names)

    @property
    def types(self) -> sql.Composed:
        """`integer, uuid`; the text comes from format_type(), which quotes."""
        return sql.SQL(", ").join(sql.SQL(name) for name in self.type_names)

    @property
    def definitions(self) -> sql.Composed:
        """`"tenant" integer, "id" uuid`."""
        return sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_name))
            for name, type_name in zip(self.names, self.source_types or self.type_names, strict=True)
        )

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
        return sql.SQL(" AND ").join(
            sql.SQL("{} OPERATOR({}.=) {}").format(
                self.value(left, position), sql.Identifier(schema), self.value(right, position)
            )
            for position, schema in enumerate(self.equality_schemas)
        )

    def behind(self, row: str) -> sql.Composed:
        """`row` lies behind the key in %(after)s, jsonb, in the order of ORDER BY; for a statement with bound values."""
        last = sql.SQL("(SELECT {} FROM pg_catalog.jsonb_to_record(%(after)s::pg_catalog.jsonb) AS a({}))")
        definitions = escape_percent(self.definitions)
        values = [last.format(escape_percent(sql.Identifier("a", name)), definitions) for name in self.names]
        return self.ordered(row, ">", values, is_bound=True)

    def ordered(
        self,
        row: str,
        operator: str,
        values: Sequence[sql.Composable],
        places: Sequence[int] | None = None,
        *,
        is_bound: bool = False,
    ) -> sql.Composed:
        """`ROW(row.a, row.b) > ROW(…)` as ORDER BY has it: operators found by name would be text's for citext off the path.

        Args:
            operator: `>`, `>=`, `<` or `<=`.
            values: Of each of these columns.
            places: The columns' places in the key; all where it is None.
            is_bound: For a statement with bound values, where percent signs of names are doubled.
        """
        columns: list[sql.Composable] = []
        schemas: list[sql.Composable] = []
        for place in range(len(self.names)) if places is None else places:
            column = sql.Identifier(row, self.names[place])
            schema = sql.Identifier(self.equality_schemas[place])
            columns.append(escape_percent(column) if is_bound else column)
            schemas.append(escape_percent(schema) if is_bound else schema)
        if len({schema.as_string(None) for schema in schemas}) == 1:
            # One comparison of rows, which an index scan begins at.
            return sql.SQL("ROW({}) OPERATOR({}.{}) ROW({})").format(
                sql.SQL(", ").join(columns), schemas[0], sql.SQL(operator), sql.SQL(", ").join(values)
            )

        def compared(sign: str, position: int) -> sql.Composed:
            return sql.SQL("{} OPERATOR({}.{}) {}").format(
                columns[position], schemas[position], sql.SQL(sign), values[position]
            )

        strict = operator.removesuffix("=")
        condition = compared(operator, len(columns) - 1)
        for position in reversed(range(len(columns) - 1)):
            parts = (compared(strict, position), compared("=", position), condition)
            condition = sql.SQL("({} OR {} AND {})").format(*parts)
        return sql.SQL("{} AND {}").format(compared(f"{strict}=", 0), condition)

    def visible(self, row: str, embedding_table: tuple[str, str]) -> sql.Composed:
        """The same for a policy: it asks a source whose types it holds fast, as whoever searches."""
        return sql.SQL(" AND ").join(
            sql.SQL("{} OPERATOR({}.=) {}").format(
                sql.Identifier(row, name), sql.Identifier(schema), sql.Identifier(*embedding_table, name)
            )
            for name, schema in zip(self.names, self.equality_schemas, strict=True)
        )

    def unchanged(self, left: str, right: str) -> sql.Composed:
        """The same between two rows of a source; types that are not PostgreSQL's own are compared as they are printed."""
        return sql.SQL(" AND ").join(
            sql.SQL("{} OPERATOR({}.=) {}").format(
                self.value(left, position), sql.Identifier(schema), self.value(right, position)
            )
            if is_built_in(type_name)
            else sql.SQL('{} OPERATOR(pg_catalog.=) {} COLLATE "C"').format(
                printed(self.value(left, position)), printed(self.value(right, position))
            )
            for position, (type_name, schema) in enumerate(
                zip(self.type_names, self.equality_schemas, strict=True)
            )
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

    def equals_value(self, row: str, parameter: int) -> sql.Composed:
        """`row.a = $4`, or `row.a = ($4).a AND row.b = ($4).b`."""
        value = sql.SQL(f"${parameter}")
        return sql.SQL(" AND ").join(
            sql.SQL("{} OPERATOR({}.=) {}").format(
                sql.Identifier(row, name),
                sql.Identifier(schema),
                value if len(self.names) == 1 else sql.SQL("({}).{}").format(value, sql.Identifier(name)),
            )
            for name, schema in zip(self.names, self.equality_schemas, strict=True)
        )

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
            "found_at_c": sql.SQL(", ").join(
                sql.SQL("{}[c.number]").format(variable) for variable in variables
            ),
        }

    def beside(self, name: str) -> sql.Identifier:
        """A name for a column beside the key's in a result: with `_` behind it where a key column has it."""
        while name in self.names:
            name += "_"
        return sql.Identifier(name)

    def json(self, row: str) -> sql.Composed:
        """`pg_catalog.jsonb_build_object('tenant', row."tenant", …)`.

        A numeric goes as text, since JSON readers round it, and so does what is not PostgreSQL's own: a cast to json would be
        its owner's.
        """
        pairs = sql.SQL(", ").join(
            sql.SQL("{}, {}").format(sql.Literal(name), self._json_value(row, position))
            for position, name in enumerate(self.names)
        )
        return sql.SQL("pg_catalog.jsonb_build_object({})").format(pairs)

    def _json_value(self, row: str, position: int) -> sql.Composable:
        value, type_name = self.value(row, position), self.type_names[position]
        if not is_built_in(type_name):
            return printed(value)
        if bare_name(type_name) in ("numeric", "decimal"):
            return sql.SQL("{}::pg_catalog.text").format(value)
        return value

    def parts(self) -> dict[str, sql.Composable]:
        """Every `{part}` that depends on the key alone."""
        return {
            "keys": sql.SQL(", ").join(sql.Identifier(name) for name in self.names),
            "key_definitions": self.definitions,
            "key_types": self.types,
            "key_parameters": self.parameters,
            "e_keys": self.columns("e"),
            "s_keys": self.columns("s"),
            "n_keys": self.columns("n"),
            "w_keys": self.columns("w"),
            **{f"{row}_keys": self.columns(row) for row in ("d", "f", "r", "v")},
            "s_key": self.json("s"),
            "e_key": self.json("e"),
            "n_key": self.json("n"),
            "o_key": self.json("o"),
            "p_keys_descending": sql.SQL(", ").join(
                sql.SQL("{} DESC").format(sql.Identifier("p", name)) for name in self.names
            ),
            "keys_descending": sql.SQL(", ").join(
                sql.SQL("{} DESC").format(sql.Identifier(name)) for name in self.names
            ),
            "s_keys_descending": sql.SQL(", ").join(
                sql.SQL("{} DESC").format(sql.Identifier("s", name)) for name in self.names
            ),
            "e_keys_descending": sql.SQL(", ").join(
                sql.SQL("{} DESC").format(sql.Identifier("e", name)) for name in self.names
            ),
            "o_is_missing": sql.SQL("({} IS NULL)").format(sql.Identifier("o", self.names[0])),
            "n_equals_o": self.unchanged("n", "o"),
            "key_settings": settings_clause(list(self.type_names)),
            "n_equals_s": self.equal("n", "s"),
            "n_equals_u": self.equal("n", "u"),
            "e_equals_o": self.equal("e", "o"),
            "e_equals_c": self.equal("e", "c"),
            "c_equals_d": self.equal("c", "d"),
            "v_equals_d": self.equal("v", "d"),
            "e_equals_d": self.equal("e", "d"),
            "e_equals_p": self.equal("e", "p"),
            "e_equals_s": self.equal("e", "s"),
            "k_equals_s": self.equal("k", "s"),
            "e_equals_r": self.equal("e", "r"),
            "p_equals_s": self.equal("p", "s"),
            "r_equals_s": self.equal("r", "s"),
            "w_equals_s": self.equal("w", "s"),
            "w_equals_e": self.equal("w", "e"),
            "e_keys_equal_parameters": self.equal_parameters("e"),
            "o_keys_equal_parameters": self.equal_parameters("o"),
            "n_keys_equal_parameters": self.equal_parameters("n"),
        }
