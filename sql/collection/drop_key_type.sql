-- The composite key of a collection or an alias, after the functions that take it.
DROP TYPE IF EXISTS imgvec.{key_type};
