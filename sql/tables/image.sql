-- The built-in image source, for folders and uploads (`imgvec add`).
-- An image is a uri or its own bytes, exactly one of the two; width and height are pixels as stored,
-- taken_at is the EXIF time, within what every client can read, content_hash the SHA-256 of the file's bytes.
CREATE TABLE imgvec.image (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uri text,
    content bytea,
    media_type text NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    taken_at timestamptz,
    attributes jsonb NOT NULL DEFAULT '{{}}',
    content_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT image_uri_key UNIQUE (uri),
    CONSTRAINT image_has_one_source CHECK (num_nonnulls(uri, content) = 1),
    CONSTRAINT image_content_not_empty CHECK (octet_length(content) > 0),
    CONSTRAINT image_size_positive CHECK (width > 0 AND height > 0),
    -- Years before Christ, beyond 9999 and infinity make clients raise, Python's among them, for the whole answer.
    CONSTRAINT image_taken_at_is_readable
        CHECK (taken_at >= '0002-01-01 00:00:00+00'::timestamptz AND taken_at < '9999-01-01 00:00:00+00'::timestamptz),
    CONSTRAINT image_content_hash_is_sha256 CHECK (octet_length(content_hash) = 32)
);
CREATE INDEX image_content_hash ON imgvec.image (content_hash);
