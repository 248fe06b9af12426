-- Servers that hold parts of a collection, each with its own source, triggers, queue, workers and index; the database with these
-- rows is their coordinator. How to reach one is a foreign server, imgvec_shard_<name>, and as whom a user mapping.
-- timeout_ms: how long an answer may take.
CREATE TABLE imgvec.shard (
    name text NOT NULL,
    timeout_ms integer NOT NULL DEFAULT 5000,
    added_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT shard_pkey PRIMARY KEY (name),
    CONSTRAINT shard_name_is_plain CHECK (name ~ '^[a-z_][a-z0-9_]{{0,39}}$'),
    CONSTRAINT shard_timeout_range CHECK (timeout_ms BETWEEN 10 AND 3600000)
);
-- A collection whose rows lie on shards, as all of them describe it. passed_settings: settings of the asking session that row-level
-- security of the shards reads, such as app.tenant.
CREATE TABLE imgvec.sharded_collection (
    name text NOT NULL,
    shards text[] NOT NULL,
    key_columns text[] NOT NULL,
    key_types text[] NOT NULL,
    dimensions integer NOT NULL,
    model_name text NOT NULL,
    fingerprint text,
    passed_settings text[] NOT NULL DEFAULT '{{}}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sharded_collection_pkey PRIMARY KEY (name),
    CONSTRAINT sharded_collection_name_is_plain CHECK (name ~ '^[a-z_][a-z0-9_]{{0,39}}$'),
    CONSTRAINT sharded_collection_has_shards CHECK (cardinality(shards) > 0)
);
