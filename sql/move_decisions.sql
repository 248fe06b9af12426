-- What people decided about duplicates, by the hashes of pictures that the kept vectors have too. Its grants, to roles of imgvec's, go.
ALTER TABLE imgvec.duplicate_decision SET SCHEMA imgvec_kept;
DO $strip$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('imgvec_reader', 'imgvec_worker')
    LOOP
        EXECUTE format('REVOKE ALL ON imgvec_kept.duplicate_decision FROM %I', held.rolname);
    END LOOP;
END
$strip$;
COMMENT ON TABLE imgvec_kept.duplicate_decision IS
    'What people decided about two pictures, each by the SHA-256 of its bytes: content_hash of the kept vectors';
