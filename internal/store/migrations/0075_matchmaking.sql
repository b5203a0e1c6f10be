-- Tickets. Status: 1 QUEUED; 2 SEARCHING again, and no pool has taken it in yet; 3 SEARCHING,
-- 4 REQUIRES_ACCEPTANCE; 5 PLACING; 6 COMPLETED; 7 FAILED; 8 CANCELLED; 9 TIMED_OUT.
CREATE TABLE matchmaking_ticket (
    key           BIGINT PRIMARY KEY,
    id            TEXT NOT NULL,
    configuration BIGINT NOT NULL, -- matchmaking_configuration.key; it may be gone once the ticket has ended
    name          TEXT NOT NULL,   -- the configuration's
    status        BIGINT NOT NULL,
    kind          BIGINT NOT NULL, -- 0 players, 1 backfill, 2 automatic backfill
    players       TEXT NOT NULL,   -- JSON, as they were sent
    started_at    BIGINT NOT NULL,
    deadline      BIGINT,          -- of one that waits (status 1 to 3): its request timeout
    ended_at      BIGINT,
    reason        TEXT,
    message       TEXT,
    match         BIGINT,          -- the match it is in, or was in last
    teams         TEXT,            -- JSON: the players' teams, in their order
    answers       TEXT,            -- a character for each player: '+' accepted, '-' rejected, '.' neither yet
    game          BIGINT,          -- of a backfill: game_session.key
    connection    TEXT             -- JSON: where a completed one's players go
);
CREATE UNIQUE INDEX matchmaking_ticket_id ON matchmaking_ticket (id);
CREATE INDEX matchmaking_ticket_live ON matchmaking_ticket (configuration, status, key) WHERE status <= 5;
CREATE INDEX matchmaking_ticket_deadline ON matchmaking_ticket (deadline, key) WHERE deadline IS NOT NULL;
CREATE INDEX matchmaking_ticket_ended ON matchmaking_ticket (ended_at, key) WHERE ended_at IS NOT NULL;
CREATE INDEX matchmaking_ticket_match ON matchmaking_ticket (match, key) WHERE status IN (4, 5);
CREATE INDEX matchmaking_ticket_game ON matchmaking_ticket (game, key) WHERE game IS NOT NULL;

-- The one ticket in which a player searches or waits to play. A newer one takes the row over.
CREATE TABLE matchmaking_player (
    player BIGINT PRIMARY KEY, -- fingerprint of the player's id
    ticket BIGINT NOT NULL     -- matchmaking_ticket.key
);

-- Matches whose tickets are REQUIRES_ACCEPTANCE or PLACING.
CREATE TABLE matchmaking_match (
    key           BIGINT PRIMARY KEY,
    configuration BIGINT NOT NULL,
    deadline      BIGINT, -- of the acceptance; NULL while it is placed
    backfill      TEXT    -- id of the automatic backfill ticket that its game session begins with
);
CREATE INDEX matchmaking_match_deadline ON matchmaking_match (deadline, key) WHERE deadline IS NOT NULL;

-- How long tickets waited for their matches, in slots of 30 seconds.
CREATE TABLE matchmaking_wait (
    configuration BIGINT NOT NULL,
    slot          BIGINT NOT NULL, -- its beginning
    tickets       BIGINT NOT NULL,
    total         BIGINT NOT NULL, -- milliseconds
    PRIMARY KEY (configuration, slot)
);
CREATE INDEX matchmaking_wait_slot ON matchmaking_wait (slot);

-- Why tickets timed out.
CREATE TABLE matchmaking_explanation (
    ticket BIGINT PRIMARY KEY, -- matchmaking_ticket.key
    text   TEXT NOT NULL       -- JSON
);
