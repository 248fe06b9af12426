-- Who is alive and what it does. activity is 'starting' while it loads its model, and then answers nobody yet. images_per_second is the mean over the last heartbeat's interval.
CREATE TABLE imgvec.worker (
    id uuid PRIMARY KEY,
    collection_id integer NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    device text NOT NULL,
    activity text NOT NULL,
    images_done bigint NOT NULL DEFAULT 0,
    images_per_second real NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (
    -- A few rows, each written again every few seconds: within its page, and vacuumed by count.
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100,
    vacuum_truncate = false
);
