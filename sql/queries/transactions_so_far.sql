-- Transactions of all sessions of the server since its statistics were reset, and how many workers have work now: the sessions of those that
-- have none make a few a second.
SELECT (SELECT coalesce(sum(s.xact_commit + s.xact_rollback), 0)::bigint FROM pg_catalog.pg_stat_database AS s),
       (SELECT count(*) FROM imgvec.worker AS w WHERE w.activity = 'working' AND w.seen_at > now() - interval '30 s');
