-- What each function of a collection or alias ($1) raises where none has that name.
RAISE undefined_object USING MESSAGE = coalesce('collection "' || left($1, 80) || '" does not exist', 'the collection is NULL'),
    HINT = 'SELECT name FROM imgvec.collection lists those that do.';
