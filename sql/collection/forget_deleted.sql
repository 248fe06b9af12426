EXECUTE $statement$
    DELETE FROM imgvec.{embedding_table} AS e USING old_rows AS o WHERE {e_equals_o}
$statement$;
