-- The id of a job in a collection's queue, leased or delayed though it be; null when there is none. The one that was seen
-- before, if it is still there: to find any, the entries of jobs done may have to be walked through (see claim_jobs.sql).
-- Else the newest, which is likely to stay longest.
SELECT coalesce(
    (SELECT j.id FROM imgvec.job AS j WHERE j.id = %(seen)s AND j.collection_id = %(collection_id)s),
    (SELECT j.id FROM imgvec.job AS j WHERE j.collection_id = %(collection_id)s AND (j.version = 0) IS TRUE
     ORDER BY j.id DESC LIMIT 1),
    (SELECT j.id FROM imgvec.job AS j WHERE j.collection_id = %(collection_id)s AND (j.version = 0) IS FALSE
     ORDER BY j.id DESC LIMIT 1));
