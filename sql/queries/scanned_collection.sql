-- Of the collection %(name)s: its rows as the planner estimates them, its own ef_search, whether near_* can use its index.
SELECT s.embedded_rows, s.ef_search, s.has_index FROM imgvec.search_state(%(name)s) AS s;
