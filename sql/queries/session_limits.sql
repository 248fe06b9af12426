-- For this session: how long a statement may run, wait for a lock, and leave a transaction open while its client is busy,
-- stopped or out of reach (milliseconds), and that its commits do not wait for the disk (see transaction_limits.sql).
SELECT set_config('statement_timeout', %(statement_ms)s::text, false),
       set_config('lock_timeout', %(lock_ms)s::text, false),
       set_config('idle_in_transaction_session_timeout', %(idle_in_transaction_ms)s::text, false),
       set_config('synchronous_commit', 'off', false);
