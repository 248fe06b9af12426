"""Names of the search functions of a collection, and the files in sql/collection that make them."""

SEARCH_FUNCTIONS = {
    "near": "near_{}",
    "near_row": "near_{}_row",
    "near_text": "near_{}_text",
    "search": "search_{}",
    "search_tenant": "search_tenant_{}",
    "recommend": "recommend_{}",
    "classify": "classify_{}",
    "page": "page_{}",
    "duplicates_of": "duplicates_of_{}",
    "within": "within_{}",
    "within_at_most": "within_at_most_{}",
    "copies": "copies_{}",
    "diverse": "diverse_{}",
    "outliers": "outliers_{}",
}
"""Files in sql/collection that make a collection's functions, and the names they make."""


def function_files(quantization: str | None, *, by_tenant: bool) -> list[str]:
    """Return the files that make a collection's functions; those that depend on the kind of its index come last."""
    ending = "" if quantization is None else f"_{quantization}"
    plain = [name for name in SEARCH_FUNCTIONS if name not in ("search", "search_tenant")]
    return [*plain, f"search{ending}", *(["search_tenant"] if by_tenant else []), f"near_comment{ending}"]


SUPERSEDED_SEARCH = "superseded_search_{}"
"""What sql/collection/supersede_search.sql calls an earlier release's function that a view needs."""
