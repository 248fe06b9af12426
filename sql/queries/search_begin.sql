-- imgvec.search_state of a collection or alias: the fields of CollectionStats (imgvec_pg/search/strategy.py), whether the index is over the
-- different pictures, then what describes it. By way of jsonb: a schema that is not migrated yet has no such columns, and is searched
-- all the same.
SELECT s.embedded_rows, s.embedded_bytes, s.has_index, s.hides_rows, s.ef_search, s.session_ef_search,
       to_jsonb(s) ->> 'index_method', (to_jsonb(s) ->> 'index_lists')::integer, (to_jsonb(s) ->> 'index_probes')::integer,
       (SELECT coalesce((to_jsonb(c) ->> 'by_picture')::boolean, false) FROM imgvec.collection AS c WHERE c.id = s.id) AS by_picture,
       s.dimensions, s.key_columns, s.source_schema, s.source_name, s.id, s.name
FROM imgvec.search_state(%(name)s) AS s;
