-- Access keys. Revoked ones stay, so that an id never comes back and an old log can be read.
CREATE TABLE access_key (
    id           TEXT PRIMARY KEY,
    key          BIGINT NOT NULL UNIQUE, -- order of creation
    name         TEXT NOT NULL,
    policy       TEXT NOT NULL, -- JSON list of terms
    secret       TEXT NOT NULL, -- sealed or plain, as its prefix says
    token_sum    TEXT,          -- SHA-256 of a temporary key's session token, hexadecimal
    root         BIGINT NOT NULL, -- 1 for the key of the first start or of the environment
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT         -- within an hour
);
CREATE UNIQUE INDEX access_key_root ON access_key (root) WHERE root = 1 AND revoked_at IS NULL;
CREATE INDEX access_key_expiry ON access_key (expires_at) WHERE expires_at IS NOT NULL;
