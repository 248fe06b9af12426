-- For this transaction, which looks pictures up (find_known.sql): by the index alone, since of a table with few different pictures PostgreSQL
-- expects the first row to be a hit, and would read it all for another picture; keys as the triggers write them
-- (read_like_triggers.sql); and short waits. Milliseconds.
SELECT set_config('enable_seqscan', 'off', true), set_config('search_path', 'pg_catalog, pg_temp', true),
       set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true), set_config('intervalstyle', 'iso_8601', true),
       set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '1', true), set_config('lc_monetary', 'C', true),
       set_config('statement_timeout', %(statement_ms)s::text, true), set_config('lock_timeout', %(lock_ms)s::text, true);
