-- Scaling policies of managed fleets.
CREATE TABLE scaling_policy (
    fleet  BIGINT NOT NULL,
    name   TEXT NOT NULL,
    key    BIGINT NOT NULL, -- order of arrival
    detail TEXT NOT NULL,   -- JSON of the policy
    PRIMARY KEY (fleet, name)
);

-- What policies remember of a location from one minute to the next. No row is nothing.
CREATE TABLE scaling_memory (
    fleet    BIGINT NOT NULL,
    location TEXT NOT NULL,
    name     TEXT NOT NULL,
    detail   TEXT NOT NULL, -- JSON of the memory
    PRIMARY KEY (fleet, location, name)
);

-- The last minute that was looked at.
CREATE TABLE scaling_clock (
    id     BIGINT PRIMARY KEY,
    minute BIGINT NOT NULL
);
INSERT INTO scaling_clock (id, minute) VALUES (1, 0);
