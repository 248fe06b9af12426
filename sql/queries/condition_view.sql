-- A condition as a view of this session's own: PostgreSQL then has read it, has run nothing of it, and has noted what it calls.
CREATE TEMPORARY VIEW imgvec_condition AS SELECT FROM {source} WHERE
{condition}
