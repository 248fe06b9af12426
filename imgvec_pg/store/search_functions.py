"""The SQL functions of a collection, from their files with the parts that several of them share; names of its relations."""

from collections.abc import Mapping, Sequence

from psycopg import sql

from imgvec_pg.database import scan_costs
from imgvec_pg.database.index_methods import ivfflat
from imgvec_pg.database.index_methods.hnsw import MAX_CANDIDATES, MAX_EF_SEARCH
from imgvec_pg.database.index_methods.methods import BUILT_HERE
from imgvec_pg.database.partitioning import searched_parts
from imgvec_pg.database.sql_templates import render

AMONG = {
    "search": 3,
    "search_bit": 3,
    "search_tenant": 3,
    "page": 5,
    "classify": 2,
    "recommend": 4,
    "diverse": 3,
    "outliers": 2,
}
"""Files of functions that take `among`, and which of their parameters it is."""

DISTINCT_CANDIDATES = {
    "search": "distinct_rows",
    "search_bit": "distinct_rows_bit",
    "search_tenant": "distinct_rows",
}
"""Files of functions that take `distinct_pictures`, and those of the rows among which they look for pictures."""

WITHIN = ("within", "within_at_most")
"""Files of functions that give every row within a distance, by a radius index where there is one."""

LEFT_OUT = 2_147_483_646
"""First subscript of the default of `among`: the largest that PostgreSQL allows an array of one, which none has by accident."""

BURST_ROWS = 20
"""Nearest rows at least that are looked at for being all of one burst of near copies."""

BURST_DISTANCE = 0.01
"""Cosine distance within which pictures count as one burst: twice that at which frames of one scene and recompressed copies lie
(cosine 0.995)."""

BURST_SHARE = 0.75
"""Share of the nearest rows from which on a burst fills their list."""

PAGE_ROUNDING = 1e-4
"""How far the distance that a page begins after may lie from its row's own to be taken for that, rounded."""


def all_rows(among_type: sql.Composable) -> sql.Composed:
    """Return the default of `among`, which stands for having left it out: an array that begins at LEFT_OUT.

    By a function and not as text, in which NULL is a word like others where array_nulls is off; of text and then cast, since a
    key may be an array, and there is no array of arrays.
    """
    filled = "pg_catalog.array_fill(NULL::pg_catalog.text, '{{1}}'::pg_catalog.int4[], {}::pg_catalog.int4[])"
    return sql.SQL(f"({filled})::{{}}[]").format(sql.Literal(f"{{{LEFT_OUT}}}"), among_type)


def render_function(file: str, parts: Mapping[str, sql.Composable]) -> sql.Composed:
    """Return the statement in `sql/collection/<file>.sql` that makes a function, with argument checks and the costs of scans.

    Args:
        parts: The collection's own, or an alias's.
    """
    checks = {
        "check_query": render("collection/check_query.sql", **parts),
        "check_among": render(
            "collection/check_among.sql",
            among=sql.SQL(f"${AMONG.get(file, 0)}"),
            left_out=sql.Literal(LEFT_OUT),
        ),
        "page_rounding": sql.Literal(PAGE_ROUNDING),
        "all_rows": all_rows(parts["among_type"]),
    }
    if file in WITHIN:
        by_index = parts["has_radius_index"] == sql.Literal(True)
        form = "within_by_coordinates" if by_index else "within_all_rows"
        checks["within_rows"] = render(f"collection/{form}.sql", **parts)
    if file in DISTINCT_CANDIDATES:
        parts = {**parts, **searched_parts(parts, of_tenant=file == "search_tenant")}
        by_picture = parts["indexed_table"] == parts["picture_table"]
        checks |= distinct_parts(file, {**parts, **checks}, by_picture=by_picture)
    path = "collection/search.sql" if file == "search_tenant" else f"collection/{file}.sql"
    return render(path, **{**scan_parts(), **parts, **checks})


def grants(parts: Mapping[str, sql.Composable]) -> sql.Composed:
    """Return the statements that let imgvec's two roles use a collection's tables and functions."""
    statements = [grant_functions(parts["function_names"]), render("collection/grants.sql", **parts)]
    return sql.SQL("\n").join(statements)


def grant_functions(names: sql.Composable) -> sql.Composed:
    """Return the statement that lets imgvec's two roles call functions, by an array of their names, and nobody else."""
    return render("collection/grant_functions.sql", function_names=names)


def distinct_parts(
    file: str, parts: Mapping[str, sql.Composable], *, by_picture: bool
) -> dict[str, sql.Composable]:
    """Return the `{parts}` by which search_* gives different pictures, and takes the place of an earlier release's."""
    told = {**parts, "picture_of": render("collection/picture_of.sql", **parts)}
    candidates = "distinct_pictures" if by_picture else DISTINCT_CANDIDATES[file]
    told["distinct_candidates"] = render(f"collection/{candidates}.sql", **told)
    is_new = parts["search"] == parts.get("search_tenant")
    names = (
        "check_distinct",
        "distinct_found",
        "distinct_exact",
        "supersede_search",
        "wrap_superseded_search",
    )
    rendered: dict[str, sql.Composable] = {name: render(f"collection/{name}.sql", **told) for name in names}
    if is_new:  # No earlier release had it.
        rendered |= {"supersede_search": sql.SQL(""), "wrap_superseded_search": sql.SQL("")}
    share = render("collection/share_in_burst.sql", **told, burst_distance=sql.Literal(BURST_DISTANCE))
    if by_picture:
        # Rows of one picture fill no list of an index over pictures.
        share = sql.SQL("CASE WHEN count(DISTINCT f.imgvec_apart) >= {} THEN {} END").format(
            sql.Literal(BURST_ROWS // 2), share
        )
    return {**rendered, "share_in_burst": share}


def scan_parts() -> dict[str, sql.Composable]:
    """Return the `{parts}` by which search_* choose between an index scan and an exact scan, as search/strategy.py does."""
    list_start = render(
        "index_methods/ivfflat_start.sql", visit_row=sql.Literal(ivfflat.VISIT_ROW_MICROSECONDS)
    )
    list_candidate = sql.SQL("CASE WHEN index_lists IS NOT NULL THEN {} END").format(
        sql.Literal(ivfflat.CANDIDATE_MICROSECONDS)
    )
    by_size = [
        render(
            "collection/affordable_candidates.sql",
            max_table_bytes=sql.Literal(costs.max_table_bytes),
            max_scan_share=sql.Literal(scan_costs.MAX_SCAN_SHARE),
            compare_key=sql.Literal(costs.compare_key),
            start_scan=sql.Literal(costs.start_scan),
            visit_candidate=sql.Literal(costs.visit_candidate),
            list_start=list_start,
            list_candidate=list_candidate,
        )
        for costs in scan_costs.SCAN_COSTS_MICROSECONDS
    ]
    return {
        **_method_parts(),
        "affordable_candidates": sql.SQL("CASE {} END").format(sql.SQL(" ").join(by_size)),
        "max_first_scan_share": sql.Literal(scan_costs.MAX_FIRST_SCAN_SHARE),
        "candidates_per_expected": sql.Literal(scan_costs.CANDIDATES_PER_EXPECTED),
        "few_rows_per_result": sql.Literal(scan_costs.FEW_ROWS_PER_RESULT),
        "few_rows_min_k": sql.Literal(scan_costs.FEW_ROWS_MIN_K),
        "max_ef_search": sql.Literal(MAX_EF_SEARCH),
        "burst_rows": sql.Literal(BURST_ROWS),
        "burst_distance": sql.Literal(BURST_DISTANCE),
        "burst_share": sql.Literal(BURST_SHARE),
    }


def _method_parts() -> dict[str, sql.Composable]:
    """Return the `{parts}` that depend on the method of the index, each from its file in sql/index_methods."""
    limits = {
        "max_ef_search": sql.Literal(MAX_EF_SEARCH),
        "max_candidates": sql.Literal(MAX_CANDIDATES),
        "max_lists": sql.SQL(str(ivfflat.MAX_LISTS)),
        "rows_per_candidate": sql.Literal(ivfflat.ROWS_PER_CANDIDATE),
    }
    scan = {method: render(f"index_methods/{method}_scan.sql", **limits) for method in BUILT_HERE}
    return {
        "scan_setting_names": sql.Literal(
            [*BUILT_HERE["hnsw"].unknown_settings, "enable_sort", "plan_cache_mode"]
        ),
        "scan_settings": scan["hnsw"],
        "list_setting_names": sql.Literal([*BUILT_HERE["ivfflat"].unknown_settings]),
        "list_settings": scan["ivfflat"],
        **{
            part: render(f"index_methods/{part}.sql", **limits)
            for part in ("least_candidates", "most_candidates")
        },
    }


RELATIONS = {
    "duplicate_view": "duplicate_{}",
    "duplicate_group_view": "duplicate_group_{}",
    "duplicate_pair_table": "{}_duplicate_pair",
    "duplicate_member_table": "{}_duplicate_member",
    "duplicate_seen_table": "{}_duplicate_seen",
    "duplicate_block_table": "{}_duplicate_block",
    "duplicate_run_table": "{}_duplicate_run",
}
"""`{parts}` of SQL files, and the names in the schema imgvec that they stand for."""


def relation_parts(collection_name: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` that name a collection's relations of duplicates."""
    return {part: sql.Identifier(pattern.format(collection_name)) for part, pattern in RELATIONS.items()}


def dropping_duplicates(collection_name: str) -> sql.Composed:
    """Return the statement that drops a collection's pairs and groups, where there are any; a run makes them again."""
    statements = [
        _dropping_against([collection_name]),
        render("collection/drop_duplicates.sql", **relation_parts(collection_name)),
    ]
    return sql.SQL("\n").join(statements)


def renaming_duplicates(collection_name: str, new_name: str) -> sql.Composed:
    """Return the statement that renames them with their collection."""
    old = {f"old_{part}": name for part, name in relation_parts(collection_name).items()}
    statements = [
        _dropping_against([collection_name, new_name]),
        render("collection/rename_duplicates.sql", **old, **relation_parts(new_name)),
    ]
    return sql.SQL("\n").join(statements)


def _dropping_against(collection_names: Sequence[str]) -> sql.Composed:
    names = [f"{name}_embedding" for name in collection_names]
    return render("collection/drop_against.sql", embedding_names=sql.Literal(names))


MAP_RELATIONS = {
    "map_view": "map_{}",
    "map_point_table": "{}_map_point",
    "map_cluster_table": "{}_map_cluster",
    "map_run_table": "{}_map_run",
}
"""`{parts}` of SQL files, and the names in the schema imgvec that they stand for."""


def map_relation_parts(collection_name: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` that name a collection's map."""
    return {part: sql.Identifier(pattern.format(collection_name)) for part, pattern in MAP_RELATIONS.items()}


def dropping_map(collection_name: str) -> sql.Composed:
    """Return the statement that drops a collection's map, where there is one."""
    return render("collection/drop_map.sql", **map_relation_parts(collection_name))


def renaming_map(collection_name: str, new_name: str) -> sql.Composed:
    """Return the statement that renames it with its collection."""
    old = {f"old_{part}": name for part, name in map_relation_parts(collection_name).items()}
    return render("collection/rename_map.sql", **old, **map_relation_parts(new_name))


def ranking_parts(
    embedding_table: str, picture_table: str, key_columns: Sequence[str], vector: str, *, by_picture: bool
) -> dict[str, sql.Composable]:
    """Return the `{parts}` that name the table with the HNSW index, its vectors, and rows in the order of their distances.

    Args:
        vector: The schema that holds the vector extension.
        by_picture: Whether the index is over different pictures.
    """
    rows = sql.SQL("imgvec.{}").format(sql.Identifier(embedding_table))
    if not by_picture:
        return {
            "indexed_table": sql.Identifier(embedding_table),
            "ranked": sql.SQL("e"),
            "ranked_rows": sql.SQL("{} AS e").format(rows),
            "near_keys": sql.SQL(", ").join(map(sql.Identifier, key_columns)),
            "near_embedding": sql.SQL("embedding"),
            "near_rows": rows,
        }
    # The vectors as a function's arguments: as operands of = PostgreSQL would count on next to no rows. A role under
    # row-level security gets the index on a column by an operator that leaks nothing, not one on an expression.
    joined = sql.SQL(
        "imgvec.{pictures} AS p JOIN {rows} AS e ON e.content_hash OPERATOR(pg_catalog.=) p.content_hash "
        "AND NOT {vector}.halfvec_ne(e.embedding, p.embedding)"
    ).format(pictures=sql.Identifier(picture_table), rows=rows, vector=sql.Identifier(vector))
    return {
        "indexed_table": sql.Identifier(picture_table),
        "ranked": sql.SQL("p"),
        "ranked_rows": joined,
        "near_keys": sql.SQL(", ").join(sql.Identifier("e", name) for name in key_columns),
        "near_embedding": sql.SQL("p.embedding"),
        "near_rows": joined,
    }


def trigger_function_names(name: str) -> dict[str, str]:
    """Return the names of the functions behind the triggers on its source."""
    return {f"on_{event}": f"{name}_on_{event}" for event in ("insert", "update", "delete", "truncate")}


def object_names(name: str) -> dict[str, str]:
    """Return the names of all else but its search functions and its HNSW index."""
    return {
        "insert_trigger": f"imgvec_{name}_insert",
        "update_trigger": f"imgvec_{name}_update",
        "delete_trigger": f"imgvec_{name}_delete",
        "truncate_trigger": f"imgvec_{name}_truncate",
        "embedding_table": f"{name}_embedding",
        "content_index": f"{name}_embedding_content_hash",
        "picture_table": f"{name}_picture",
        "picture_key": f"{name}_picture_key",
        "on_picture": f"{name}_on_picture",
        "on_unknown_picture": f"{name}_on_unknown_picture",
        "coordinate_table": f"{name}_coordinates",
        "axis_table": f"{name}_axis",
        "on_coordinates": f"{name}_on_coordinates",
        "constraint_name": f"{name}_embedding_source_fkey",
        "key_type": f"{name}_key",
    }
