-- Always false, and left out of the plan: what enqueues is parsed where it may fail, before it is run where it must not.
(false AND EXISTS (
    SELECT FROM imgvec.job AS j
    WHERE j.collection_id IS NULL AND j.keys IS NULL AND j.version = nextval('imgvec.version_seq')))
