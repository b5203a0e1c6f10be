-- Game sessions: the small part of them, which joins read and change. What is long and
-- seldom asked for is in game_session_text, since SQLite rewrites a whole row to change one
-- number of it.
CREATE TABLE game_session (
    key        BIGINT PRIMARY KEY,
    id         TEXT NOT NULL,   -- last segment of its ARN: gsess-…, a token or a placement id
    fleet      BIGINT NOT NULL, -- the fleet's key; the fleet may be gone
    fleet_id   TEXT NOT NULL,
    location   TEXT NOT NULL,
    status     TEXT NOT NULL,
    reason     TEXT,            -- StatusReason
    policy     TEXT NOT NULL,   -- PlayerSessionCreationPolicy
    protection TEXT NOT NULL,
    players    BIGINT NOT NULL CHECK (players >= 0), -- RESERVED and ACTIVE player sessions
    maximum    BIGINT NOT NULL,
    process    BIGINT NOT NULL, -- the server process that hosts it
    compute    TEXT NOT NULL,
    ip         TEXT NOT NULL,
    dns        TEXT,
    port       BIGINT NOT NULL,
    creator    BIGINT,          -- fingerprint of CreatorId
    created_at BIGINT NOT NULL,
    deadline   BIGINT,          -- ACTIVATING: activate by; TERMINATING: be gone by, else killed
    ended_at   BIGINT,
    UNIQUE (id, fleet_id)
);
CREATE INDEX game_session_fleet ON game_session (fleet, status, key);
CREATE INDEX game_session_place ON game_session (fleet, location, status, key);
CREATE INDEX game_session_creations ON game_session (fleet, creator, created_at) WHERE creator IS NOT NULL;
CREATE INDEX game_session_deadline ON game_session (deadline) WHERE deadline IS NOT NULL;
CREATE INDEX game_session_ended ON game_session (ended_at) WHERE ended_at IS NOT NULL;
-- A process hosts one game session at a time.
CREATE UNIQUE INDEX game_session_process ON game_session (process) WHERE ended_at IS NULL;

CREATE TABLE game_session_text (
    game       BIGINT PRIMARY KEY REFERENCES game_session (key),
    name       TEXT,
    creator    TEXT,
    properties TEXT NOT NULL,   -- JSON list of {Key, Value}
    data       TEXT,
    matchmaker TEXT,
    print      TEXT NOT NULL    -- fingerprint of the parameters it was created with
);

-- When a creator last asked for a game session; its row orders the requests of one creator.
CREATE TABLE game_session_creator (
    fleet   BIGINT NOT NULL,
    creator BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (fleet, creator)
);
CREATE INDEX game_session_creator_age ON game_session_creator (last_at);

-- Player sessions. print is a fingerprint of the player's id, which is too long to index.
CREATE TABLE player_session (
    key        BIGINT PRIMARY KEY,
    tail       BIGINT NOT NULL, -- the secret part of the id
    game       BIGINT NOT NULL REFERENCES game_session (key),
    status     BIGINT NOT NULL, -- 1 RESERVED, 2 ACTIVE, 3 COMPLETED, 4 TIMEDOUT
    player     TEXT NOT NULL,
    print      BIGINT NOT NULL,
    data       TEXT,
    created_at BIGINT NOT NULL,
    deadline   BIGINT,          -- of a RESERVED one: accepted before it, or TIMEDOUT
    ended_at   BIGINT
);
CREATE INDEX player_session_game ON player_session (game, status, key);
CREATE INDEX player_session_player ON player_session (print, key);
CREATE INDEX player_session_deadline ON player_session (deadline) WHERE deadline IS NOT NULL;
