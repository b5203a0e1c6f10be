-- How many computes a fleet has, so that a guarded UPDATE decides.
CREATE TABLE compute_quota (
    fleet BIGINT PRIMARY KEY, -- fleet.key
    used  BIGINT NOT NULL
);

-- Registered computes. The last four are counts of its processes, changed with them under
-- this row's lock.
CREATE TABLE compute (
    key              BIGINT PRIMARY KEY,
    fleet            BIGINT NOT NULL, -- fleet.key
    fleet_id         TEXT NOT NULL,
    name             TEXT NOT NULL,
    location         TEXT NOT NULL,
    ip_address       TEXT NOT NULL,
    dns_name         TEXT,
    certificate_path TEXT,
    agent            BIGINT NOT NULL, -- 1: an agent manages it
    created_at       BIGINT NOT NULL,
    ready            BIGINT NOT NULL, -- READY
    free             BIGINT NOT NULL, -- those of them that are placeable
    hosting          BIGINT NOT NULL, -- HOSTING
    activating       BIGINT NOT NULL, -- those of them whose game session is not active yet
    UNIQUE (fleet, name)
);
CREATE INDEX compute_order ON compute (fleet, key);
CREATE INDEX compute_free ON compute (fleet, location, hosting DESC, key) WHERE free > 0;

-- Auth tokens. An expired one is kept for a while: it still lets a live process back in.
CREATE TABLE compute_token (
    token      TEXT PRIMARY KEY,
    compute    BIGINT NOT NULL, -- compute.key
    expires_at BIGINT NOT NULL
);
CREATE INDEX compute_token_newest ON compute_token (compute, expires_at);
CREATE INDEX compute_token_age ON compute_token (expires_at);

-- Server processes. Rows of ended ones stay for a while, so that they are not let in again.
CREATE TABLE process (
    key            BIGINT PRIMARY KEY,
    compute        BIGINT NOT NULL, -- compute.key; what follows is the compute's and never changes
    fleet          BIGINT NOT NULL,
    fleet_id       TEXT NOT NULL,
    compute_name   TEXT NOT NULL,
    location       TEXT NOT NULL,
    ip_address     TEXT NOT NULL,
    dns_name       TEXT,
    agent          BIGINT NOT NULL, -- as compute.agent at its last dial
    process_id     TEXT NOT NULL,   -- the host's name for it
    created_with   TEXT NOT NULL,   -- idempotency token of the dial that made it; '' when there was none
    token          TEXT NOT NULL,   -- auth token of the last dial; '' when there was none
    status         TEXT NOT NULL,
    healthy        BIGINT NOT NULL, -- 1: its last report says so
    free           BIGINT NOT NULL, -- 1: placeable
    activating     BIGINT NOT NULL, -- 1: its game session is not active yet
    hosted         BIGINT NOT NULL, -- 1: it was reserved once
    dial           BIGINT NOT NULL, -- number of its newest connection
    node           TEXT,            -- who holds that connection; NULL when nobody does
    gone_at        BIGINT,          -- since when nobody does
    dialled_at     BIGINT NOT NULL, -- when ProcessReady began to be waited for
    ready_at       BIGINT,          -- when it came
    end_by         BIGINT,          -- it was told to end until then
    ended_at       BIGINT,
    ended_why      TEXT,
    sent           BIGINT NOT NULL, -- number of the last message put into its inbox
    port           BIGINT NOT NULL,
    log_paths      TEXT NOT NULL,   -- JSON list
    sdk_version    TEXT NOT NULL,
    sdk_language   TEXT NOT NULL,
    tool_name      TEXT NOT NULL,
    tool_version   TEXT NOT NULL,
    UNIQUE (compute, process_id)
);
CREATE INDEX process_free ON process (compute, ready_at, key) WHERE free = 1;
CREATE INDEX process_node ON process (node, compute) WHERE node IS NOT NULL;
CREATE INDEX process_gone ON process (gone_at, key) WHERE gone_at IS NOT NULL;
CREATE INDEX process_unready ON process (dialled_at, key) WHERE status = 'CONNECTED';
CREATE INDEX process_end_by ON process (end_by, key) WHERE end_by IS NOT NULL;
CREATE INDEX process_ended ON process (ended_at, key) WHERE ended_at IS NOT NULL;

-- Messages waiting to be sent to processes.
CREATE TABLE process_inbox (
    process BIGINT NOT NULL, -- process.key
    number  BIGINT NOT NULL, -- order of sending
    text    TEXT NOT NULL,   -- wire JSON
    PRIMARY KEY (process, number)
);
