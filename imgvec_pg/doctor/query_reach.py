"""How many rows a query asks a scan of the index for, and how many that scan gives before it ends."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg.rows import class_row

from imgvec_pg.database.connect import Connection
from imgvec_pg.database.sql_templates import load_sql
from imgvec_pg.doctor.finding import Finding

Node = Mapping[str, Any]

BYTES_PER_VISITED_ROW = 144
"""What an iterative scan keeps of each row that it has met, in bytes: at 4 MB it ended after 29,756 rows (pgvector 0.8.6)."""

READS_ALL = ("Sort", "Aggregate", "Hash")
"""Nodes that read all that is below them, whatever LIMIT stands above."""

PARTITION = re.compile(r"_embedding(_\d+)?$")


@dataclass(frozen=True)
class ScanSettings:
    """pgvector's settings in this session, as sql/queries/scan_settings.sql has them."""

    iterative_scan: str
    ef_search: int
    max_scan_tuples: int
    scan_mem_multiplier: float
    work_mem_bytes: int
    list_scan: str
    probes: int
    max_probes: int

    @property
    def reach(self) -> int:
        """Rows after which a scan of an HNSW index ends, about; with an iterative scan, by tuples or by memory."""
        if self.iterative_scan == "off":
            return self.ef_search
        memory = self.work_mem_bytes * self.scan_mem_multiplier
        return max(self.ef_search, int(min(self.max_scan_tuples, memory / BYTES_PER_VISITED_ROW)))


class OrderedScan(NamedTuple):
    """A scan of an embedding table, what the nearest LIMIT above asks of it, and which share of its rows that is.

    Attributes:
        wanted: None where all rows are read.
        share: 0 to 1, by PostgreSQL's estimate of how many rows match.
        by_index: Whether it reads in the order of the distance.
    """

    relation: str
    wanted: int | None
    share: float
    by_index: bool

    @property
    def collection(self) -> str:
        """The name of the collection."""
        return PARTITION.sub("", self.relation)


def read_scan_settings(connection: Connection) -> ScanSettings:
    """Return this session's settings; pgvector's library is loaded."""
    with connection.cursor(row_factory=class_row(ScanSettings)) as cursor:
        found = cursor.execute(load_sql("queries/scan_settings.sql")).fetchone()
    assert found is not None  # noqa: S101 - a SELECT without FROM
    return found


def judge_reach(connection: Connection, plan: Node, settings: ScanSettings) -> Iterator[Finding]:
    """Say where a scan of the index ends before it has given what the query asks for.

    Args:
        plan: As EXPLAIN (VERBOSE, FORMAT JSON) has it.
    """
    scans = {(scan.collection, scan.wanted): scan for scan in find_scans(plan)}
    for scan in scans.values():
        row = connection.execute(
            load_sql("queries/scanned_collection.sql"), {"name": scan.collection}
        ).fetchone()
        rows, own_ef_search, has_index, method, lists = row or (0.0, None, False, "hnsw", 1)
        if method == "ivfflat":
            yield from _judge_lists(scan, settings, rows, lists)
            continue
        if method != "hnsw":
            continue
        if scan.by_index:
            finding = _judge(scan, settings, rows=rows)
        elif has_index and settings.iterative_scan == "off" and (scan.wanted or 0) > settings.ef_search:
            finding = _later(scan, settings)
        else:
            continue
        if finding is not None:
            yield finding
            if own_ef_search is not None and settings.iterative_scan == "off":
                yield Finding(
                    "info",
                    "query",
                    f"ef_search {own_ef_search} of the collection {scan.collection} holds for search_*, not for near_*",
                    f"SET hnsw.ef_search = {own_ef_search}",
                )


def _judge(scan: OrderedScan, settings: ScanSettings, *, rows: float) -> Finding | None:
    """Compare what is asked of an index scan with what it gives; None where that is enough."""
    search = f"imgvec.search_{scan.collection}"
    reach = settings.reach
    is_off = settings.iterative_scan == "off"
    of_each = "" if scan.relation.endswith("_embedding") else " of each partition"
    ends = (
        f"ends after {reach} rows{of_each} (hnsw.ef_search; hnsw.iterative_scan is off)"
        if is_off
        else f"ends after some {reach} rows (hnsw.max_scan_tuples and hnsw.scan_mem_multiplier, whichever comes first)"
    )
    if scan.wanted is None:
        return Finding(
            "warning",
            "query",
            f"all rows are asked for and the index is read, as for a cursor: that {ends}",
            "ORDER BY distance + 0, which compares all rows and gives all, by a cursor too; for the first k, "
            f"{search}(query, k)",
        )
    if is_off and scan.wanted > reach:
        return Finding(
            "warning",
            "query",
            f"asks for {scan.wanted} rows of the index, whose scan {ends}",
            f"FROM {search}(query, {scan.wanted}), which never gives fewer; or SET hnsw.iterative_scan = strict_order, "
            "for all new sessions: imgvec migrate --database-defaults",
        )
    visited = max(scan.wanted, int(scan.share * rows))
    if not is_off and visited > reach:
        return Finding(
            "warning",
            "query",
            f"to find {scan.wanted} rows that match, some {visited} of the index are visited, and its scan {ends}",
            f"FROM {search}(query, {scan.wanted}, among => ARRAY(SELECT …)), or ORDER BY distance + 0; or raise "
            "hnsw.max_scan_tuples and hnsw.scan_mem_multiplier together",
        )
    return None


def _judge_lists(scan: OrderedScan, settings: ScanSettings, rows: float, lists: int) -> Iterator[Finding]:
    """Say where a scan of an IVFFlat index has read its lists before it has given what the query asks for."""
    probes = settings.probes if settings.list_scan == "off" else max(settings.probes, settings.max_probes)
    reach = round(rows * min(1.0, probes / lists))
    wanted = rows if scan.wanted is None else max(scan.wanted, int(scan.share * rows))
    if not scan.by_index or wanted <= reach:
        return
    setting = (
        "ivfflat.probes; ivfflat.iterative_scan is off"
        if settings.list_scan == "off"
        else "ivfflat.max_probes"
    )
    yield Finding(
        "warning",
        "query",
        f"asks for {scan.wanted or 'all'} rows of the index and may have to look at {wanted:,.0f}; its scan ends after some "
        f"{reach:,}, of {min(probes, lists)} of {lists} lists ({setting})",
        f"FROM imgvec.search_{scan.collection}(query, k), which never gives fewer; or SET ivfflat.iterative_scan = relaxed_order",
    )


def _later(scan: OrderedScan, settings: ScanSettings) -> Finding:
    """Say of a query that compares all rows now what it gives once PostgreSQL prefers the index."""
    return Finding(
        "info",
        "query",
        f"asks for {scan.wanted} rows: once PostgreSQL takes the index, which it does by costs, there are "
        f"{settings.ef_search} (hnsw.ef_search; hnsw.iterative_scan is off)",
        f"FROM imgvec.search_{scan.collection}(query, {scan.wanted}), or ORDER BY distance + 0",
    )


def find_scans(plan: Node) -> Iterator[OrderedScan]:
    """Give the scans of embedding tables whose rows come in the order of the distance, by an index or a sort."""
    yield from _walk(plan, None, 1.0, is_sorted=False)


def _walk(node: Node, wanted: int | None, share: float, *, is_sorted: bool) -> Iterator[OrderedScan]:
    kind = node["Node Type"]
    relation = str(node.get("Relation Name", ""))
    is_embeddings = node.get("Schema") == "imgvec" and PARTITION.search(relation) is not None
    if is_embeddings and ("Order By" in node or is_sorted):
        yield OrderedScan(relation, wanted, share, "Order By" in node)
    if kind == "Limit":
        wanted, share = _asked(node)
    elif kind in READS_ALL and any(map(_reads_by_index, node.get("Plans", ()))):
        wanted, share = None, 1.0
    elif kind == "Sort":
        is_sorted = any("<=>" in key and "+ '0'" not in key for key in node["Sort Key"])
    for child in node.get("Plans", ()):
        # A CTE or the row that is asked with: no LIMIT of the query stands above it.
        if child.get("Parent Relationship") in ("InitPlan", "SubPlan"):
            yield from _walk(child, None, 1.0, is_sorted=False)
        else:
            yield from _walk(child, wanted, share, is_sorted=is_sorted)


def _reads_by_index(node: Node) -> bool:
    """Whether rows come from an index in order without a LIMIT in between."""
    if node["Node Type"] == "Limit":
        return False
    return "Order By" in node or any(map(_reads_by_index, node.get("Plans", ())))


def _asked(limit: Node) -> tuple[int, float]:
    """Return the rows that LIMIT and OFFSET read, and their share of those below.

    EXPLAIN tells neither number. A LIMIT's cost is that of the InitPlans it carries, what comes before the first row, and its
    share of the rest.
    """
    (below,) = (child for child in limit["Plans"] if child.get("Parent Relationship") == "Outer")
    before = below["Startup Cost"] + sum(
        child["Total Cost"] for child in limit["Plans"] if child.get("Parent Relationship") == "InitPlan"
    )
    run = below["Total Cost"] - below["Startup Cost"]
    share = min(1.0, (limit["Total Cost"] - before) / run) if run > 0 else 1.0
    return max(int(limit["Plan Rows"]), round(share * below["Plan Rows"])), max(0.0, share)
