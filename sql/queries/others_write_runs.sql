-- Whether this role is a superuser, and somebody who is none may write what `imgvec duplicates` keeps of its last run: a member of
-- imgvec_worker, or the owner of the schema.
SELECT (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user)
   AND (EXISTS (SELECT FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member
                WHERE m.roleid = to_regrole('imgvec_worker')::oid AND NOT r.rolsuper)
        OR EXISTS (SELECT FROM pg_namespace AS n JOIN pg_roles AS r ON r.oid = n.nspowner WHERE n.nspname = 'imgvec' AND NOT r.rolsuper))
