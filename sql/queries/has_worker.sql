-- Whether a worker that had a heartbeat within a minute has this model loaded. One that is starting has not.
SELECT EXISTS (SELECT FROM imgvec.worker AS w JOIN imgvec.collection AS c ON c.id = w.collection_id
               WHERE c.model_id = %(model_id)s AND w.activity <> 'starting'
                 AND w.seen_at > now() - interval '1 minute');
