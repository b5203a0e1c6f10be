-- Instances of managed fleets are computes too: managed is 1, kind the instance type, os the
-- operating system. cordon is 1 when a compute gets no game session any more, and 2 when it
-- is to end.
ALTER TABLE compute ADD COLUMN managed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE compute ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE compute ADD COLUMN os TEXT NOT NULL DEFAULT '';
ALTER TABLE compute ADD COLUMN cordon BIGINT NOT NULL DEFAULT 0;
ALTER TABLE process ADD COLUMN managed BIGINT NOT NULL DEFAULT 0;
DROP INDEX compute_free;
CREATE INDEX compute_free ON compute (fleet, location, hosting DESC, key) WHERE free > 0 AND cordon = 0;

-- What agents join with. Revoked ones stay, so that a host's origin can be read.
CREATE TABLE host_token (
    id         TEXT PRIMARY KEY,
    key        BIGINT NOT NULL UNIQUE, -- order of creation
    name       TEXT NOT NULL,
    sum        TEXT NOT NULL UNIQUE,   -- SHA-256 of the token, hexadecimal
    created_at BIGINT NOT NULL,
    used_at    BIGINT,                 -- when a host last joined with it
    revoked_at BIGINT
);

-- Hosts, as their agents said when they last dialled. Times of seen_at and lost_at are of
-- the wall clock.
CREATE TABLE host (
    key       BIGINT PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    token     TEXT NOT NULL,   -- host_token.id
    location  TEXT NOT NULL,
    address   TEXT NOT NULL,
    dns_name  TEXT NOT NULL,   -- '' when there is none
    os        TEXT NOT NULL,
    version   TEXT NOT NULL,
    capacity  BIGINT NOT NULL, -- instances it takes
    draining  BIGINT NOT NULL, -- 1: an operator wants it empty
    dial      BIGINT NOT NULL, -- number of its newest connection
    node      TEXT,            -- who holds that connection; NULL when nobody does
    seen_at   BIGINT NOT NULL,
    lost_at   BIGINT,          -- when its instances were given up
    failed_at BIGINT,          -- when an instance last failed to start on it
    cpu       BIGINT NOT NULL, -- thousandths
    memory    BIGINT NOT NULL, -- bytes in use
    memory_of BIGINT NOT NULL, -- bytes there are
    joined_at BIGINT NOT NULL
);
CREATE INDEX host_order ON host (location, key);
CREATE INDEX host_seen ON host (seen_at) WHERE lost_at IS NULL;

-- Instances. desired is what this server wants, actual what the host's agent last said.
CREATE TABLE instance (
    key      BIGINT PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    fleet    BIGINT NOT NULL, -- fleet.key
    fleet_id TEXT NOT NULL,
    location TEXT NOT NULL,
    host     BIGINT NOT NULL, -- host.key
    compute  BIGINT NOT NULL, -- compute.key
    ip       TEXT NOT NULL,
    dns_name TEXT,
    kind     TEXT NOT NULL,
    os       TEXT NOT NULL,
    desired  TEXT NOT NULL,   -- RUN, DRAIN (no new game sessions, ends when it hosts none), STOP, KILL
    actual   TEXT NOT NULL,   -- PENDING, PREPARING, RUNNING, DRAINING, LOST; with ended_at: GONE, FAILED
    ready    BIGINT NOT NULL, -- 1: a process of it was ready once
    rev      BIGINT NOT NULL, -- grows with all that its agent must hear of
    told     BIGINT NOT NULL, -- the rev that was sent
    at       BIGINT NOT NULL, -- when actual began
    made_at  BIGINT NOT NULL,
    renew_at BIGINT,          -- when it needs another token
    stop_by  BIGINT,          -- of STOP: killed from then on
    ended_at BIGINT
);
CREATE INDEX instance_order ON instance (fleet, location, key) WHERE ended_at IS NULL;
CREATE INDEX instance_host ON instance (host, key) WHERE ended_at IS NULL;
CREATE INDEX instance_untold ON instance (host) WHERE told < rev;
CREATE INDEX instance_compute ON instance (compute) WHERE ended_at IS NULL;
CREATE INDEX instance_renew ON instance (renew_at) WHERE renew_at IS NOT NULL;
CREATE INDEX instance_stop ON instance (stop_by) WHERE stop_by IS NOT NULL;
CREATE INDEX instance_start ON instance (at) WHERE ready = 0 AND ended_at IS NULL;
CREATE INDEX instance_ended ON instance (ended_at) WHERE ended_at IS NOT NULL;

-- What is known of a location of a fleet besides its instances.
CREATE TABLE instance_place (
    fleet     BIGINT NOT NULL,
    fleet_id  TEXT NOT NULL,
    location  TEXT NOT NULL,
    made      BIGINT NOT NULL, -- 1: it was ACTIVE once
    first     BIGINT NOT NULL, -- the instance whose steps are the fleet's; 0 when there is none
    strikes   BIGINT NOT NULL, -- processes of it that ended before one was ready
    short     BIGINT NOT NULL, -- instances there is no room for
    short_at  BIGINT,          -- since when
    failures  BIGINT NOT NULL, -- instances in a row that did not start
    retry_at  BIGINT NOT NULL, -- no new ones before
    runtime   TEXT NOT NULL,   -- fingerprint of the runtime configuration that hosts know
    PRIMARY KEY (fleet, location)
);
CREATE INDEX instance_short ON instance_place (short_at) WHERE short_at IS NOT NULL;

-- One row, whose lock orders the scheduler's decisions.
CREATE TABLE instance_pass (
    one BIGINT PRIMARY KEY,
    n   BIGINT NOT NULL
);
INSERT INTO instance_pass (one, n) VALUES (1, 0);

-- Messages for agents that are not the state of an instance.
CREATE TABLE host_message (
    host   BIGINT NOT NULL,
    number BIGINT NOT NULL, -- order of sending
    text   TEXT NOT NULL,   -- frame of hostmsg
    PRIMARY KEY (host, number)
);

-- Log archives of game sessions.
CREATE TABLE game_log (
    fleet_id  TEXT NOT NULL,
    game      TEXT NOT NULL,   -- last segment of the game session's ARN
    blob      TEXT NOT NULL,
    size      BIGINT NOT NULL,
    stored_at BIGINT NOT NULL,
    PRIMARY KEY (fleet_id, game)
);
CREATE INDEX game_log_age ON game_log (stored_at);
