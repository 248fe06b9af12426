-- How far the slowest connected standby is behind in replaying, in seconds: null where none is connected, 0 where all have
-- replayed everything. can_see is false where the role is shown no details of other sessions.
SELECT max(CASE WHEN r.replay_lsn >= pg_catalog.pg_current_wal_lsn() THEN 0
                ELSE coalesce(extract(epoch FROM r.replay_lag), 0) END)::double precision AS lag_seconds,
       pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS can_see
FROM pg_catalog.pg_stat_replication AS r
WHERE r.state IN ('streaming', 'catchup');
