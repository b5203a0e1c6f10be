-- Managed fleets: the ids of what they run, and since when they are in their state.
ALTER TABLE fleet ADD COLUMN build TEXT;
ALTER TABLE fleet ADD COLUMN script TEXT;
ALTER TABLE fleet ADD COLUMN since BIGINT;
CREATE INDEX fleet_build ON fleet (build, key) WHERE build IS NOT NULL;
CREATE INDEX fleet_script ON fleet (script, key) WHERE script IS NOT NULL;
CREATE INDEX fleet_error ON fleet (since, key) WHERE status = 'ERROR';

-- What a step of a creation said, for those who ask why.
ALTER TABLE fleet_event ADD COLUMN log TEXT NOT NULL DEFAULT '';

-- The settings of a managed fleet's locations, beside fleet_location, which has the state.
CREATE TABLE fleet_place (
    fleet      BIGINT NOT NULL REFERENCES fleet (key),
    location   TEXT NOT NULL,
    desired    BIGINT NOT NULL,
    minimum    BIGINT NOT NULL,
    maximum    BIGINT NOT NULL,
    stopped    BIGINT NOT NULL, -- 1: scaling is stopped
    zero       TEXT NOT NULL,   -- ZeroCapacityStrategy, '' when it was never set
    inactivity BIGINT NOT NULL, -- minutes without a game session before scaling to zero, 0 when not set
    wanted_at  BIGINT NOT NULL, -- when somebody last wanted a game session here, to the second
    quiet_at   BIGINT,          -- when to look whether the place is unused
    since      BIGINT NOT NULL, -- when it entered its state
    step_at    BIGINT,          -- when the first of its waiting steps may be taken
    PRIMARY KEY (fleet, location)
);
CREATE INDEX fleet_place_quiet ON fleet_place (quiet_at) WHERE quiet_at IS NOT NULL;
CREATE INDEX fleet_place_step ON fleet_place (step_at) WHERE step_at IS NOT NULL;

-- What hosts told of a location and is not shown yet, because the state before it is to
-- last for a while: a state, or else an event.
CREATE TABLE fleet_step (
    key      BIGINT PRIMARY KEY,
    fleet    BIGINT NOT NULL REFERENCES fleet (key),
    location TEXT NOT NULL,
    status   TEXT NOT NULL,
    code     TEXT NOT NULL,
    message  TEXT NOT NULL,
    log      TEXT NOT NULL
);
CREATE INDEX fleet_step_place ON fleet_step (fleet, location, key);
