-- With how many candidates a first scan begins, beside what k and a filter need. Of rows that are hidden an IVFFlat index gives
-- those of the lists that it reads.
CASE WHEN index_lists IS NULL THEN coalesce(tuned_ef_search, current_setting('hnsw.ef_search')::integer)
     WHEN hides_rows THEN index_probes * embedded_rows / index_lists / {rows_per_candidate}
     ELSE 1 END
