"""Query shapes that cannot use the index, recognised by their plan; docs/howto/fast-queries.md has each with its fix."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from imgvec_pg.database.explain import nodes
from imgvec_pg.doctor.finding import Finding

Node = Mapping[str, Any]

INNER_SEARCH = "read search_*(query, k) in an inner select, "
"""Of near_* with ORDER BY distance LIMIT k an index gives hnsw.ef_search rows at most, 40; of search_* k, up to 10,000."""

FIXES = {
    "similarity": (
        "it orders by 1 - distance DESC, which no index has",
        "ORDER BY distance LIMIT k, and 1 - distance in an outer select",
    ),
    "farthest": ("it orders by distance DESC, the farthest first, which no index has", "ORDER BY distance"),
    "cte": (
        "a CTE with near_* is materialized (used twice, or AS MATERIALIZED), so all rows are compared",
        "ORDER BY distance LIMIT k inside the CTE, or AS NOT MATERIALIZED",
    ),
    "joined": (
        "the query vector comes from a join or a materialized CTE, so all rows are compared",
        "near_*_row(key), or CROSS JOIN LATERAL (SELECT … FROM near_*(v.embedding) ORDER BY distance LIMIT k)",
    ),
    "argument": (
        "near_* is not inlined: its argument is a sub-select or calls a VOLATILE function, so all rows are compared",
        "near_*_row(key) or near_*_text(words), or bind the vector as a value",
    ),
    "outer join": (
        "near_* stands on the nullable side of an outer join, so all rows are compared",
        "JOIN instead of LEFT JOIN, or FROM near_* LEFT JOIN the source",
    ),
    "union": (
        "UNION compares whole rows before the LIMIT",
        "UNION ALL of selects in brackets, each with its own ORDER BY distance LIMIT k",
    ),
    "window": (
        "a window function, such as count(*) OVER (), reads all rows before the LIMIT",
        INNER_SEARCH + "count outside",
    ),
    "distinct": (
        "DISTINCT or DISTINCT ON reads all rows before the LIMIT",
        INNER_SEARCH + "with k some times larger, DISTINCT ON outside",
    ),
    "group": ("GROUP BY or an aggregate reads all rows before the LIMIT", INNER_SEARCH + "group outside"),
    "annotation": (
        "the distance is a correlated sub-select, computed row by row (an ORM's annotation)",
        "JOIN near_* USING (key) ORDER BY distance LIMIT k",
    ),
    "threshold": (
        "a threshold without ORDER BY distance LIMIT k compares all rows",
        "FROM search_*(query, k) WHERE distance < d, or duplicates_of_*(key, d)",
    ),
    "no limit": (
        "there is no LIMIT, so all rows are compared and sorted",
        "ORDER BY distance LIMIT k; to read all, ORDER BY distance + 0, through a cursor too; page by page, page_*",
    ),
}
"""Finding and fix, by name of the query shape."""

OWN_SEARCHES = ("search_", "recommend_", "duplicates_of_")
"""How the functions are named that route a search inside, where no plan shows it."""

DISTANCE = "<=>"
COLUMN_VECTOR = re.compile(r"<=> \(?\"?[a-z_]\w*\"?\.")
SIMILARITY = re.compile(r"- \(?[^()]*<=>")


def judge(plan: Node, *, iterative_scan: str, method: str = "HNSW") -> list[Finding]:
    """Name the shapes in a plan that cannot use the index, EXPLAIN (VERBOSE, FORMAT JSON)'s; else say how it searches."""
    everything = list(nodes(plan))
    if not any(_reads_embeddings(node) or _is_near(node) for node in everything):
        for node in everything:
            name = _function(node)
            if name.startswith(OWN_SEARCHES) and node.get("Schema") == "imgvec":
                met = f"{name} chooses its own way; afterwards imgvec.last_search_strategy() names it"
                return [Finding("ok", "query", met)]
        return [
            Finding(
                "info",
                "query",
                "reads no collection: near_* and search_* do",
                "SELECT … FROM imgvec.near_NAME(…)",
            )
        ]
    found = list(dict.fromkeys(_slow_shapes(everything)))
    findings = [Finding("warning", "query", *FIXES[name]) for name in found]
    ordered = [node for node in everything if "Order By" in node]
    if ordered and not found:
        findings.append(Finding("ok", "query", f"reads the {method} index in order of distance"))
    elif not found:
        findings.append(
            Finding(
                "ok", "query", "compares all rows that match, which is exact and for few rows the fastest"
            )
        )
    if ordered and method == "HNSW" and iterative_scan == "off" and _is_filtered(plan, ordered):
        findings.append(
            Finding(
                "warning",
                "query",
                "hnsw.iterative_scan is off: with its conditions it may give fewer rows than asked for",
                "imgvec migrate --database-defaults, or SET hnsw.iterative_scan = strict_order; search_* never gives fewer",
            )
        )
    return findings


def _slow_shapes(everything: list[Node]) -> Iterator[str]:
    """Give the names of the query shapes, the most telling first."""
    if any(_is_near(node) for node in everything):
        yield "argument"
        return
    # What a scan without a LIMIT gives is told by query_reach.
    if any("Order By" in node for node in everything):
        return
    names = list(_structural(everything))
    yield from names
    if names:
        return
    keys = [key for node in everything for key in node.get("Sort Key", ())]
    if any(SIMILARITY.search(key) and key.endswith("DESC") for key in keys):
        yield "similarity"
    elif any(DISTANCE in key and key.endswith("DESC") for key in keys):
        yield "farthest"
    elif any(COLUMN_VECTOR.search(text) for node in everything for text in _expressions(node)):
        yield "joined"
    elif any(_nullable_embeddings(node) for node in everything):
        yield "outer join"
    elif not any(node["Node Type"] == "Limit" for node in everything):
        yield (
            "threshold" if any(DISTANCE in str(node.get("Filter", "")) for node in everything) else "no limit"
        )


def _structural(everything: list[Node]) -> Iterator[str]:
    """Give the shapes that are a node between the scan and the LIMIT."""
    for node in everything:
        if not _computes_distance(node):
            continue
        kind, name = node["Node Type"], str(node.get("Subplan Name", ""))
        if name.startswith("CTE "):
            yield "cte"
        elif name.startswith("SubPlan"):
            yield "annotation"
        if kind == "WindowAgg":
            yield "window"
        elif kind in ("Unique", "Aggregate", "HashAggregate", "Group", "SetOp"):
            under = node.get("Plans", [{}])[0]
            if under.get("Node Type") in ("Append", "Merge Append") and not _is_partitioned(under):
                yield "union"
            elif kind == "Unique":
                yield "distinct"
            else:
                yield "group"


def _expressions(node: Node) -> list[str]:
    """Return what a node computes and compares, as text."""
    return [*node.get("Output", ()), *node.get("Sort Key", ()), str(node.get("Filter", ""))]


def _computes_distance(node: Node) -> bool:
    """Whether a distance is computed at a node or below it."""
    return any(DISTANCE in text for below in nodes(node) for text in _expressions(below))


def _reads_embeddings(node: Node) -> bool:
    return node.get("Schema") == "imgvec" and "_embedding" in str(node.get("Relation Name", ""))


def _is_near(node: Node) -> bool:
    return _function(node).startswith("near_")


def _function(node: Node) -> str:
    """Return the function that a node scans, or nothing."""
    return str(node.get("Function Name", "")) if node["Node Type"] == "Function Scan" else ""


def _is_partitioned(append: Node) -> bool:
    """Whether an Append reads the partitions of one table, which are alike but for a number."""
    tables = {
        re.sub(r"_\d+$", "", str(below.get("Relation Name")))
        for below in nodes(append)
        if _reads_embeddings(below)
    }
    names = [below.get("Relation Name") for below in nodes(append) if _reads_embeddings(below)]
    return len(tables) == 1 and len(set(names)) == len(names)


def _nullable_embeddings(node: Node) -> bool:
    """Whether a join may put NULL where the embeddings are."""
    nullable = {"Left": ("Inner",), "Right": ("Outer",), "Full": ("Inner", "Outer")}.get(
        str(node.get("Join Type")), ()
    )
    return any(
        child.get("Parent Relationship") in nullable and any(map(_reads_embeddings, nodes(child)))
        for child in node.get("Plans", ())
    )


def _is_filtered(plan: Node, ordered: list[Node]) -> bool:
    """Whether rows of the index scan may be left out: by a condition on it or by a join."""
    return any("Filter" in node for node in ordered) or any(
        str(node.get("Join Type", "")) in ("Inner", "Semi", "Anti") or "Loop" in node["Node Type"]
        for node in nodes(plan)
    )
