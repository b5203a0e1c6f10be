-- How many instances a location of a managed fleet had and what ran on them: every 10
-- seconds of the last hour, every minute of the week before.
CREATE TABLE capacity_history (
    fleet     BIGINT NOT NULL, -- fleet.key
    at        BIGINT NOT NULL,
    location  TEXT NOT NULL,
    desired   BIGINT NOT NULL,
    minimum   BIGINT NOT NULL,
    maximum   BIGINT NOT NULL,
    pending   BIGINT NOT NULL, -- instances; idle ones are among the active
    active    BIGINT NOT NULL,
    idle      BIGINT NOT NULL,
    free      BIGINT NOT NULL, -- processes that could host a game session
    sessions  BIGINT NOT NULL, -- game sessions, those being activated too
    players   BIGINT NOT NULL,
    waiting   BIGINT NOT NULL, -- placements that could go there
    PRIMARY KEY (fleet, at, location)
);
CREATE INDEX capacity_history_at ON capacity_history (at);

-- The last 10 seconds that were recorded.
INSERT INTO scaling_clock (id, minute) VALUES (2, 0);
