-- The composite key of one row, for the `among` argument of search_*: ROW(tenant, id)::imgvec.<collection>_key.
CREATE TYPE imgvec.{key_type} AS ({key_definitions});
