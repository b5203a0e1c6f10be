-- How many there are of each thing that has a quota, so that a guarded UPDATE decides.
CREATE TABLE fleet_quota (
    name TEXT PRIMARY KEY,
    used BIGINT NOT NULL
);
INSERT INTO fleet_quota (name, used) VALUES ('ANYWHERE', 0), ('EC2', 0), ('alias', 0), ('location', 0);

-- Custom locations. Names are the caller's and unique; key gives them an order.
CREATE TABLE location (
    name TEXT PRIMARY KEY,
    key  BIGINT NOT NULL UNIQUE
);

-- Fleets. A deleted one stays as TERMINATED for a while, since some reads of a deleted
-- fleet answer differently from those of an unknown one.
CREATE TABLE fleet (
    key           BIGINT PRIMARY KEY,
    tail          BIGINT NOT NULL,
    compute_type  TEXT NOT NULL,
    status        TEXT NOT NULL,
    name          TEXT NOT NULL,
    detail        TEXT NOT NULL, -- JSON of the members nobody searches by
    created_at    BIGINT NOT NULL,
    terminated_at BIGINT
);
CREATE INDEX fleet_live ON fleet (key) WHERE terminated_at IS NULL;
CREATE INDEX fleet_terminated ON fleet (terminated_at) WHERE terminated_at IS NOT NULL;

-- Where fleets host, and each place's own state.
CREATE TABLE fleet_location (
    fleet    BIGINT NOT NULL REFERENCES fleet (key),
    location TEXT NOT NULL,
    key      BIGINT NOT NULL, -- order of arrival
    status   TEXT NOT NULL,
    PRIMARY KEY (fleet, location)
);
CREATE INDEX fleet_location_place ON fleet_location (location);

-- What happened to fleets. print is a fingerprint of code and message, by which repeats
-- are found.
CREATE TABLE fleet_event (
    key     BIGINT PRIMARY KEY,
    tail    BIGINT NOT NULL,
    fleet   BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    code    TEXT NOT NULL,
    message TEXT NOT NULL,
    print   BIGINT NOT NULL,
    repeats BIGINT NOT NULL -- 1 to 101; 101 is "more than 100"
);
CREATE INDEX fleet_event_time ON fleet_event (fleet, at, key);
CREATE INDEX fleet_event_print ON fleet_event (fleet, print, at);
CREATE INDEX fleet_event_age ON fleet_event (at);

CREATE TABLE alias (
    key         BIGINT PRIMARY KEY,
    tail        BIGINT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT,
    strategy    TEXT NOT NULL, -- SIMPLE or TERMINAL
    fleet       TEXT,          -- of SIMPLE
    message     TEXT,          -- of TERMINAL
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX alias_name ON alias (name, key);

-- Permits to peer, by GameLift account and VPC, and the peerings made by them.
CREATE TABLE vpc_authorization (
    account      TEXT NOT NULL,
    peer_vpc     TEXT NOT NULL,
    key          BIGINT NOT NULL,
    peer_account TEXT NOT NULL, -- who gave the permit
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    PRIMARY KEY (account, peer_vpc)
);
CREATE INDEX vpc_authorization_expiry ON vpc_authorization (expires_at);
CREATE TABLE vpc_peering (
    key      BIGINT PRIMARY KEY,
    fleet    BIGINT NOT NULL REFERENCES fleet (key),
    peer_vpc TEXT NOT NULL,
    UNIQUE (fleet, peer_vpc)
);
