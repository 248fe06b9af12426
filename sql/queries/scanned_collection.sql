-- Of the collection %(name)s: its rows as the planner estimates them, its own ef_search, whether near_* can use its index, and
-- of which method that is. By way of jsonb: a schema that is not migrated yet has no such columns.
SELECT s.embedded_rows, s.ef_search, s.has_index, coalesce(to_jsonb(s) ->> 'index_method', 'hnsw'),
       coalesce((to_jsonb(s) ->> 'index_lists')::integer, 1)
FROM imgvec.search_state(%(name)s) AS s;
