-- imgvec.near_<collection>_row(key): the other rows by cosine distance to an embedded row.
-- The parameters have names because pg_dump cannot write down a reference to one without.
-- An unknown key gives no row. The sub-select is evaluated once, with literals and with generic plans.
{create} imgvec.{near_row}({key_parameters})
RETURNS TABLE ({key_definitions}, distance double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT {e_keys},
           {ranked}.embedding OPERATOR({vector}.<=>) (SELECT o.embedding FROM imgvec.{embedding_table} AS o WHERE {o_keys_equal_parameters})
    FROM {ranked_rows}
    WHERE NOT ({e_keys_equal_parameters})
      AND EXISTS (SELECT FROM imgvec.{embedding_table} AS o WHERE {o_keys_equal_parameters});
END;
