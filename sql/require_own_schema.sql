-- Refuse a schema imgvec that somebody else owns: its owner could replace what is created here, and have it run with the
-- rights of whoever migrates. A superuser creates nothing in the schema of one who is none.
DO $owner$
DECLARE
    owner_name name;
BEGIN
    SELECT r.rolname INTO owner_name
    FROM pg_catalog.pg_namespace AS n JOIN pg_catalog.pg_roles AS r ON r.oid = n.nspowner
    WHERE n.nspname = 'imgvec' AND r.rolname <> current_user
      AND NOT CASE WHEN (SELECT me.rolsuper FROM pg_catalog.pg_roles AS me WHERE me.rolname = current_user) THEN r.rolsuper
                   ELSE pg_has_role(r.oid, 'USAGE') END;
    IF FOUND THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('the schema imgvec belongs to %s, this is %s', owner_name, current_user),
            HINT = format('Run imgvec migrate as %s; if that role should not own it, drop the schema first.', owner_name);
    END IF;
END
$owner$;
