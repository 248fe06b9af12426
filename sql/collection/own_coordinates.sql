-- A radius index is its embedding table's owner's, whoever made it, and whoever may read that may read it.
DO $own$
DECLARE
    embeddings CONSTANT regclass := to_regclass('imgvec.{embedding_table}');
    owner regrole;
    reader text;
BEGIN
    SELECT c.relowner INTO owner FROM pg_class AS c WHERE c.oid = embeddings;
    FOR reader IN
        SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.oid = embeddings AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT SELECT ON imgvec.{coordinate_table}, imgvec.{axis_table} TO %s', reader);
    END LOOP;
    IF owner <> quote_ident(current_user)::regrole THEN
        EXECUTE format('ALTER TABLE imgvec.{coordinate_table} OWNER TO %s', owner);
        EXECUTE format('ALTER TABLE imgvec.{axis_table} OWNER TO %s', owner);
        EXECUTE format('ALTER FUNCTION imgvec.{on_coordinates}() OWNER TO %s', owner);
    END IF;
END
$own$;
