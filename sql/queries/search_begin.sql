-- imgvec.search_state of a collection or alias.
SELECT * FROM imgvec.search_state(%(name)s);
