-- How many builds and scripts there are, and their bytes, so that a guarded UPDATE decides.
CREATE TABLE build_quota (
    name TEXT PRIMARY KEY,
    used BIGINT NOT NULL
);
INSERT INTO build_quota (name, used) VALUES ('build', 0), ('build bytes', 0), ('script', 0), ('script bytes', 0);

-- Builds. A deleted one stays while fleets hold its file.
CREATE TABLE build (
    key        BIGINT PRIMARY KEY,
    tail       BIGINT NOT NULL,
    name       TEXT,
    version    TEXT,
    status     TEXT NOT NULL,
    os         TEXT NOT NULL,
    sdk        TEXT NOT NULL,
    source     TEXT,            -- JSON of the caller's own storage location
    blob       TEXT,            -- the accepted file
    size       BIGINT NOT NULL, -- of blob
    etag       TEXT,            -- of the upload
    reason     TEXT,            -- why it is FAILED
    work       BIGINT NOT NULL, -- 1 while a file is to be fetched or checked
    worker     TEXT,            -- the node that does
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX build_live ON build (key) WHERE deleted_at IS NULL;
CREATE INDEX build_work ON build (key) WHERE work = 1;

-- Fleets' own right to the file of a build.
CREATE TABLE build_hold (
    build BIGINT NOT NULL REFERENCES build (key),
    fleet TEXT NOT NULL,
    PRIMARY KEY (build, fleet)
);

-- Keys for the upload of one build. The secret is sealed under the session token, of which
-- only the sum is kept.
CREATE TABLE build_credential (
    id         TEXT PRIMARY KEY,
    key        BIGINT NOT NULL, -- order of creation
    build      BIGINT NOT NULL,
    secret     TEXT NOT NULL,
    token_sum  TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX build_credential_build ON build_credential (build, key);
CREATE INDEX build_credential_expiry ON build_credential (expires_at);

-- Uploads in parts. One that is complete stays a while, for those who ask again.
CREATE TABLE build_upload (
    key        BIGINT PRIMARY KEY,
    tail       BIGINT NOT NULL,
    build      BIGINT NOT NULL,
    algorithm  TEXT NOT NULL, -- of checksums; '' when none was named
    whole      BIGINT NOT NULL, -- 1: the checksum is of the whole object, not of its parts'
    etag       TEXT,          -- once it is complete
    expires_at BIGINT NOT NULL
);
CREATE INDEX build_upload_build ON build_upload (build, key);
CREATE INDEX build_upload_expiry ON build_upload (expires_at);

CREATE TABLE build_part (
    upload   BIGINT NOT NULL REFERENCES build_upload (key),
    number   BIGINT NOT NULL,
    blob     TEXT NOT NULL,
    size     BIGINT NOT NULL,
    etag     TEXT NOT NULL,
    checksum TEXT NOT NULL, -- '' when there is none
    at       BIGINT NOT NULL,
    PRIMARY KEY (upload, number)
);
CREATE INDEX build_part_blob ON build_part (blob);

CREATE TABLE script (
    key        BIGINT PRIMARY KEY,
    tail       BIGINT NOT NULL,
    name       TEXT,
    version    TEXT,
    node_js    TEXT NOT NULL,
    source     TEXT, -- JSON of the caller's own storage location
    blob       TEXT NOT NULL,
    size       BIGINT NOT NULL, -- of blob
    created_at BIGINT NOT NULL
);

-- Files that nobody needs from an instant on, to be removed. A file that is about to be
-- written stands here until something refers to it.
CREATE TABLE build_trash (
    blob  TEXT PRIMARY KEY,
    after BIGINT NOT NULL
);
CREATE INDEX build_trash_after ON build_trash (after);

-- Secrets that all nodes share.
CREATE TABLE build_secret (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
