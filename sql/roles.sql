-- Two roles to grant from: imgvec_reader searches, imgvec_worker fills. Roles belong to the cluster and may
-- exist already; an owner who may not create roles goes on without them, and `imgvec doctor` says so.
DO $roles$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['imgvec_reader', 'imgvec_worker'] LOOP
        -- Looked for first: an error that is caught ends a session all the same where exit_on_error is on.
        CONTINUE WHEN to_regrole(role_name) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role % was not created: %', role_name, SQLERRM
                    USING HINT = 'Ask a role with CREATEROLE to create it, then run imgvec migrate again.';
        END;
    END LOOP;
END
$roles$;
