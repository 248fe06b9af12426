-- imgvec.last_search_strategy(): how the last search_* of this session found its rows. 'index': the HNSW index gave them
-- all; 'exact': all that match were compared; 'index, wider': its first
-- list was filled by one burst of near copies, a wider one was not; 'index, then exact': the index gave fewer than k, or one burst, so
-- all were compared. NULL
-- before the first search. Behind a pooler ask in the same transaction.
CREATE FUNCTION imgvec.last_search_strategy() RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT nullif(current_setting('imgvec.last_search_strategy', true), '');
END;
REVOKE ALL ON FUNCTION imgvec.last_search_strategy() FROM PUBLIC;
