-- File words or a picture for a worker of the model; NULL when too many wait already. Also how long to wait, in milliseconds.
SELECT imgvec.enqueue_request(%(model_id)s, %(words)s::text, %(image)s::bytea, imgvec.text_timeout_ms()), imgvec.text_timeout_ms();
