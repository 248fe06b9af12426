-- Write a record that this transaction's commit waits for: it makes durable all commits before, of whichever session.
-- What the database's owner chose (a standby that is waited for) stays; `off` becomes the local disk.
SELECT set_config('synchronous_commit',
           CASE current_setting('synchronous_commit') WHEN 'off' THEN 'local' ELSE current_setting('synchronous_commit') END, true),
       pg_catalog.pg_logical_emit_message(true, 'imgvec', '');
