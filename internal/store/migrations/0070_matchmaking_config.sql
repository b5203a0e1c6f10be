-- How many rule sets and configurations there are, so that a guarded UPDATE decides.
CREATE TABLE matchmaking_quota (
    name TEXT PRIMARY KEY,
    used BIGINT NOT NULL
);
INSERT INTO matchmaking_quota (name, used) VALUES ('rule set', 0), ('configuration', 0);

-- Rule sets never change. One that a configuration uses cannot be deleted.
CREATE TABLE matchmaking_ruleset (
    key        BIGINT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    body       TEXT NOT NULL, -- byte for byte as it was sent
    created_at BIGINT NOT NULL
);

CREATE TABLE matchmaking_configuration (
    key        BIGINT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    ruleset    BIGINT NOT NULL REFERENCES matchmaking_ruleset (key),
    version    BIGINT NOT NULL, -- grows with each update
    detail     TEXT NOT NULL,   -- JSON: everything else
    created_at BIGINT NOT NULL
);
CREATE INDEX matchmaking_configuration_ruleset ON matchmaking_configuration (ruleset, key);
