-- Whether `imgvec words setup` was run in this database.
SELECT to_regprocedure('imgvec.relay_request(integer,text,bytea,integer)') IS NOT NULL;
