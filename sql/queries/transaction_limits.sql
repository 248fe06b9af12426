-- For this transaction: the limits of a worker's session, which a pooler's session has not (null leaves what is: within a
-- transaction of the caller's);
-- and a wait for locks that ends well before the server looks for deadlocks, whatever its deadlock_timeout: of two that wait
-- for each other the worker steps back, and the server never chooses the application. Milliseconds.
-- A worker's commit does not wait for the disk, which the application's commits share: what a crash takes back is taken
-- back whole, a claim, or vectors together with the removal of their job, and is done again.
SELECT set_config('statement_timeout',
           coalesce(%(statement_ms)s::text, current_setting('statement_timeout')), true),
       set_config('idle_in_transaction_session_timeout',
           coalesce(%(idle_in_transaction_ms)s::text, current_setting('idle_in_transaction_session_timeout')), true),
       set_config('lock_timeout', greatest(1, least(
           %(lock_ms)s, floor(extract(epoch FROM current_setting('deadlock_timeout')::interval) * 250)))::integer::text, true),
       set_config('synchronous_commit',
           CASE WHEN %(is_outermost)s THEN 'off' ELSE current_setting('synchronous_commit') END, true);
