-- What a scan of an IVFFlat index sets, within search_*: so many lists as hold the candidates. Where these hold
-- fewer it goes on; not over rows that are hidden, of which it would read all.
set_config('ivfflat.iterative_scan', CASE WHEN hides_rows THEN 'off' ELSE 'relaxed_order' END, true),
set_config('ivfflat.probes', greatest(1, least(index_lists, greatest(index_probes, ceil({rows_per_candidate} * scanned * index_lists / greatest(embedded_rows, 1)))))::integer::text, true),
set_config('ivfflat.max_probes', '{max_lists}', true)
