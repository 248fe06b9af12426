-- Heartbeat of one worker.
INSERT INTO imgvec.worker AS w (id, collection_id, host, pid, device, activity, images_done, images_per_second)
VALUES (%(id)s, %(collection_id)s, %(host)s, %(pid)s, %(device)s, %(activity)s, %(images_done)s, %(images_per_second)s)
ON CONFLICT (id) DO UPDATE
    SET collection_id = excluded.collection_id, activity = excluded.activity, images_done = excluded.images_done,
        images_per_second = excluded.images_per_second, seen_at = now();
