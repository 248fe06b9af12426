-- Transactions of all sessions of the server since its statistics were reset, and how many sessions workers have.
SELECT (SELECT coalesce(sum(s.xact_commit + s.xact_rollback), 0)::bigint FROM pg_catalog.pg_stat_database AS s),
       (SELECT count(*) FROM pg_catalog.pg_stat_activity AS a WHERE starts_with(a.application_name, 'imgvec worker'))
