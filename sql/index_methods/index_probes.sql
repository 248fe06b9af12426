-- How many lists a search reads at least: the collection's own number, else the root of the lists or what the session has set.
CASE WHEN index_lists IS NOT NULL
     THEN least(index_lists, coalesce(tuned_probes, greatest(ceil(sqrt(index_lists)), coalesce(current_setting('ivfflat.probes', true), '1')::double precision)))
END
