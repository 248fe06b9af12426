"""The SQL functions of a collection, from their files with the parts that several of them share; relations of its duplicates."""

from collections.abc import Mapping

from psycopg import sql

from imgvec_pg.database import scan_costs
from imgvec_pg.database.index_methods import ivfflat
from imgvec_pg.database.index_methods.hnsw import MAX_CANDIDATES, MAX_EF_SEARCH
from imgvec_pg.database.index_methods.methods import BUILT_HERE
from imgvec_pg.database.sql_templates import render

AMONG = {"search": 3, "search_bit": 3, "page": 5, "classify": 2, "recommend": 4}
"""Files of functions that take `among`, and which of their parameters it is."""

LEFT_OUT = 2_147_483_646
"""First subscript of the default of `among`: the largest that PostgreSQL allows an array of one, which none has by accident."""

PAGE_ROUNDING = 1e-4
"""How far the distance that a page begins after may lie from its row's own to be taken for that, rounded."""


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
        "all_rows": sql.Literal(f"[{LEFT_OUT}:{LEFT_OUT}]={{NULL}}"),
    }
    return render(f"collection/{file}.sql", **{**scan_parts(), **parts, **checks})


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
    }


def _method_parts() -> dict[str, sql.Composable]:
    """Return the `{parts}` that depend on the method of the index, each from its file in sql/index_methods."""
    limits = {
        "max_ef_search": sql.Literal(MAX_EF_SEARCH),
        "max_candidates": sql.Literal(MAX_CANDIDATES),
        "max_lists": sql.SQL(str(ivfflat.MAX_LISTS)),
        "rows_per_candidate": sql.Literal(ivfflat.ROWS_PER_CANDIDATE),
    }
    names = [name for method in BUILT_HERE.values() for name in method.unknown_settings]
    scans = [render(f"index_methods/{method}_scan.sql", **limits) for method in BUILT_HERE]
    return {
        "scan_setting_names": sql.Literal([*names, "enable_sort", "plan_cache_mode"]),
        "scan_settings": sql.SQL(", ").join(scans),
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
}
"""`{parts}` of SQL files, and the names in the schema imgvec that they stand for."""


def relation_parts(collection_name: str) -> dict[str, sql.Composable]:
    """Return the `{parts}` that name a collection's relations of duplicates."""
    return {part: sql.Identifier(pattern.format(collection_name)) for part, pattern in RELATIONS.items()}


def dropping_duplicates(collection_name: str) -> sql.Composed:
    """Return the statement that drops a collection's pairs and groups, where there are any; a run makes them again."""
    return render("collection/drop_duplicates.sql", **relation_parts(collection_name))


def renaming_duplicates(collection_name: str, new_name: str) -> sql.Composed:
    """Return the statement that renames them with their collection."""
    old = {f"old_{part}": name for part, name in relation_parts(collection_name).items()}
    return render("collection/rename_duplicates.sql", **old, **relation_parts(new_name))
