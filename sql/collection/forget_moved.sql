EXECUTE $statement$
    DELETE FROM imgvec.{embedding_table} AS e USING old_rows AS o
    WHERE {e_equals_o} AND NOT EXISTS (SELECT FROM new_rows AS n WHERE {n_equals_o})
$statement$;
