-- imgvec.search_state of a collection or alias: the fields of Before (imgvec_pg/search/strategy.py), then what describes it.
SELECT embedded_rows, embedded_bytes, has_index, hides_rows, ef_search, session_ef_search,
       dimensions, key_columns, source_schema, source_name, id, name
FROM imgvec.search_state(%(name)s);
