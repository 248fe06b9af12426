-- The lists of an IVFFlat index among the indexes i that serve; null where an index of another method serves too, by whose
-- costs a search then goes. 100: pgvector src/ivfflat.h, IVFFLAT_DEFAULT_LISTS.
CASE WHEN bool_and(i.method = 'ivfflat') THEN max(CASE i.method WHEN 'ivfflat' THEN coalesce((i.options ->> 'lists')::double precision, 100) END) END
