-- How many candidates a scan may take: an iterative scan of HNSW remembers each, and would go on over rows that are hidden.
CASE WHEN index_lists IS NOT NULL THEN embedded_rows WHEN hides_rows THEN {max_ef_search} ELSE {max_candidates} END
