"""The functions and procedures of the schema imgvec as docs/reference/sql.md heads them: signature, volatility, privileges."""

from imgvec_pg.database.connect import Connection

VOLATILITY = {"i": "IMMUTABLE", "s": "STABLE", "v": "VOLATILE"}
PARALLEL = {"s": "SAFE", "r": "RESTRICTED", "u": "UNSAFE"}
QUERY = """
SELECT p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.provolatile, p.proparallel, p.prosecdef,
       ARRAY(SELECT coalesce(r.rolname, 'PUBLIC') FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
             LEFT JOIN pg_roles AS r ON r.oid = a.grantee
             WHERE a.grantee <> p.proowner AND a.privilege_type = 'EXECUTE' ORDER BY 1)
FROM pg_proc AS p
WHERE p.pronamespace = 'imgvec'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY p.proname, 2
"""


def documented_routines(connection: Connection) -> dict[str, str]:
    """Return a line about each routine by its signature."""
    found = {}
    for name, arguments, result, volatility, parallel, is_definer, roles in connection.execute(QUERY):
        returned = "" if result is None else f" → {result}"
        kind = "procedure" if result is None else f"{VOLATILITY[volatility]}, PARALLEL {PARALLEL[parallel]}"
        rights = "SECURITY DEFINER" if is_definer else "SECURITY INVOKER"
        who = ", ".join(roles) or "the owner alone"
        found[f"imgvec.{name}({arguments}){returned}"] = f"{kind}; {rights}; may be called by {who}."
    return found
