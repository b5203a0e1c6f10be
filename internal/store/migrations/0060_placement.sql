-- How many queues there are, so that a guarded UPDATE decides.
CREATE TABLE placement_quota (
    name TEXT PRIMARY KEY,
    used BIGINT NOT NULL
);
INSERT INTO placement_quota (name, used) VALUES ('queue', 0);

-- Queues. A deleted one stays until the last of its pending placements has failed, since
-- their events need it; its name is free at once.
CREATE TABLE game_session_queue (
    key        BIGINT PRIMARY KEY,
    name       TEXT NOT NULL,
    timeout    BIGINT NOT NULL, -- seconds
    custom     TEXT NOT NULL,   -- CustomEventData; '' for none
    target     TEXT NOT NULL,   -- NotificationTarget; '' for none
    detail     TEXT NOT NULL,   -- JSON: destinations, latency policies, priorities, filter
    deleted_at BIGINT
);
CREATE UNIQUE INDEX game_session_queue_name ON game_session_queue (name) WHERE deleted_at IS NULL;
CREATE INDEX game_session_queue_deleted ON game_session_queue (deleted_at) WHERE deleted_at IS NOT NULL;

-- Placements: the small part of them, which changes. A PENDING one (status 1) waits while
-- game is NULL; otherwise a game session is being started for it.
CREATE TABLE placement (
    key        BIGINT PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    queue      BIGINT NOT NULL, -- game_session_queue.key; the queue may be gone
    queue_name TEXT NOT NULL,
    status     BIGINT NOT NULL, -- 1 PENDING, 2 FULFILLED, 3 CANCELLED, 4 TIMED_OUT, 5 FAILED
    maximum    BIGINT NOT NULL,
    players    BIGINT NOT NULL, -- how many desired player sessions
    started_at BIGINT NOT NULL,
    deadline   BIGINT,          -- of a PENDING one
    latent     BIGINT NOT NULL, -- 1: players sent latencies
    step_at    BIGINT,          -- of a waiting one: when its latency policy relaxes
    ended_at   BIGINT,
    game       BIGINT,          -- game_session.key; this and what follows tell of the attempt under way or fulfilled
    game_arn   TEXT,
    location   TEXT,
    ip         TEXT,
    dns        TEXT,
    port       BIGINT
);
-- Without the NULLs of those who wait, which no search is to go through.
CREATE INDEX placement_game ON placement (game) WHERE status = 1 AND game IS NOT NULL;
CREATE INDEX placement_deadline ON placement (deadline, key) WHERE deadline IS NOT NULL;
CREATE INDEX placement_step ON placement (step_at, key) WHERE step_at IS NOT NULL;
CREATE INDEX placement_ended ON placement (ended_at, key) WHERE ended_at IS NOT NULL;

CREATE TABLE placement_text (
    placement BIGINT PRIMARY KEY REFERENCES placement (key),
    request   TEXT NOT NULL, -- JSON: what was asked for
    trace     TEXT NOT NULL, -- JSON: why it went as it did
    placed    TEXT           -- JSON: player sessions
);

-- Where waiting placements could go: a row for each location that latencies or an override
-- leave to a placement, or one of location '' when they leave all. A process that becomes
-- free finds by it those that can use it, oldest first.
CREATE TABLE placement_wait (
    queue     BIGINT NOT NULL,
    location  TEXT NOT NULL,
    placement BIGINT NOT NULL,
    PRIMARY KEY (queue, location, placement)
);
CREATE INDEX placement_wait_placement ON placement_wait (placement);
