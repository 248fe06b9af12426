"""What imgvec_reader and imgvec_worker may do, all of it: what is granted newly has to be written down here."""

from collections import defaultdict

import pytest
from photostore import make_photos, new_role

from imgvec_pg.database.connect import Connection
from imgvec_pg.store.collection import Collection

RELATION_RIGHTS = """
    SELECT r.rolname, c.relname || coalesce('.' || a.attname, '') AS object, p.privilege_type
    FROM pg_class AS c
    CROSS JOIN LATERAL (SELECT NULL::name AS attname, c.relacl AS acl
                        UNION ALL SELECT t.attname, t.attacl FROM pg_attribute AS t WHERE t.attrelid = c.oid) AS a
    CROSS JOIN LATERAL aclexplode(a.acl) AS p
    LEFT JOIN pg_roles AS r ON r.oid = p.grantee
    WHERE c.relnamespace = 'imgvec'::regnamespace AND p.grantee <> c.relowner
"""
READ, ALL = {"SELECT"}, {"SELECT", "INSERT", "UPDATE", "DELETE"}
TABLES = {
    "imgvec_reader": {
        "image": READ,
        "model": READ,
        "collection": READ,
        "alias": READ,
        "text_embedding": READ,
        "calibration": READ,
        "golden_vector": READ,
        "alembic_version": READ,
        "status": READ,
        "failures": READ,
        "noted_pictures": READ,
        "photo_test_embedding": READ,
        "shard": READ,
        "sharded_collection": READ,
        # Not who decided, nor when.
        **{
            f"duplicate_decision.{column}": READ
            for column in ("content_hash", "other_content_hash", "decision")
        },
        # To wait for an answer: nothing to write, and not other people's texts and pictures to read.
        **{
            f"embedding_request.{column}": READ
            for column in ("id", "expires_at", "answered_at", "error", "note")
        },
        # Whether one may be asked.
        **{f"worker.{column}": READ for column in ("collection_id", "activity", "seen_at")},
    },
    "imgvec_worker": {
        "image": READ,
        "model": READ,
        **{
            f"model.{column}": {"UPDATE"}
            for column in ("fingerprint", "weights_sha256", "logit_scale", "logit_bias", "images_per_second")
        },
        "collection": READ,
        **{
            f"collection.{column}": {"UPDATE"}
            for column in (
                "listing_after",
                "listed_at",
                "partitions_seen",
                "rendering",
                "rendering_since",
                "rendering_from",
                "rendering_after",
            )
        },
        "alias": READ,
        "alembic_version": READ,
        "status": READ,
        "failures": READ,
        "noted_pictures": READ,
        "duplicate_decision": ALL,
        "shard": READ,
        "sharded_collection": READ,
        "calibration": {"SELECT", "INSERT", "UPDATE"},
        "golden_vector": {"SELECT", "INSERT"},
        "unseen_change": {"SELECT", "DELETE"},
        **dict.fromkeys(
            ("job", "failure", "worker", "text_embedding", "embedding_request", "photo_test_embedding"), ALL
        ),
    },
}


@pytest.fixture
def photos(scratch: Connection) -> Collection:
    return make_photos(scratch)


@pytest.mark.usefixtures("photos")
def test_both_roles_have_these_rights_on_relations_and_nobody_else_has_any(scratch: Connection) -> None:
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for role, name, privilege in scratch.execute(RELATION_RIGHTS):
        found[role or "PUBLIC"][name].add(privilege)
    assert {role: dict(rights) for role, rights in found.items()} == TABLES


@pytest.mark.usefixtures("photos")
def test_no_type_schema_or_routine_is_public_and_no_role_is_more_than_its_grants(scratch: Connection) -> None:
    public = scratch.execute(
        "SELECT 'schema' FROM pg_namespace AS n, aclexplode(n.nspacl) AS a WHERE n.nspname = 'imgvec' AND a.grantee = 0"
        " UNION ALL SELECT proname FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a"
        " WHERE p.pronamespace = 'imgvec'::regnamespace AND a.grantee = 0"
    ).fetchall()
    assert public == []
    rights = scratch.execute(
        "SELECT DISTINCT r.rolname, a.privilege_type FROM pg_namespace AS n, aclexplode(n.nspacl) AS a"
        " JOIN pg_roles AS r ON r.oid = a.grantee WHERE n.nspname = 'imgvec' AND a.grantee <> n.nspowner ORDER BY 1"
    ).fetchall()
    assert rights == [("imgvec_reader", "USAGE"), ("imgvec_worker", "USAGE")]
    attributes = scratch.execute(
        "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolcanlogin OR rolreplication OR rolbypassrls"
        " FROM pg_roles WHERE rolname IN ('imgvec_reader', 'imgvec_worker')"
    ).fetchall()
    assert attributes == [(False,), (False,)]


@pytest.mark.usefixtures("photos")
def test_a_reader_may_not_call_what_only_workers_need(scratch: Connection) -> None:
    def callable_by(role: str) -> set[str]:
        rows = scratch.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'imgvec'::regnamespace AND prokind IN ('f', 'p')"
            " AND prorettype <> 'trigger'::regtype AND has_function_privilege(%s, oid, 'EXECUTE')",
            [role],
        )
        return {name for (name,) in rows}

    assert callable_by("imgvec_worker") - callable_by("imgvec_reader") == {
        "evict_texts",
        "content_hash_of",
        "decide_duplicate",
        "decide_duplicate_content",
        "decide_duplicate_group",
    }
    with new_role(scratch) as stranger:
        assert callable_by(stranger) == set()


@pytest.mark.usefixtures("photos")
def test_only_the_owner_may_run_code_by_a_table_of_the_library(scratch: Connection) -> None:
    """A trigger, rule or policy on a table of imgvec would run in the application's own statements."""
    rows = scratch.execute(
        "SELECT c.relname FROM pg_class AS c, pg_roles AS r"
        " WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relkind IN ('r', 'p', 'v')"
        " AND r.rolname IN ('imgvec_reader', 'imgvec_worker')"
        " AND (has_table_privilege(r.oid, c.oid, 'TRIGGER') OR has_table_privilege(r.oid, c.oid, 'TRUNCATE')"
        "      OR has_table_privilege(r.oid, c.oid, 'REFERENCES'))"
    ).fetchall()
    assert rows == []
