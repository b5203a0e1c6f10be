-- Agents of AWS's own kind, which run the processes of registered computes. A row stays as
-- long as its compute, so that dials are numbered on.
CREATE TABLE compute_agent (
    compute BIGINT PRIMARY KEY, -- compute.key
    dial    BIGINT NOT NULL,    -- number of its newest connection
    seen_at BIGINT              -- when a node last held that, by the wall clock; NULL: it was given up
);
CREATE INDEX compute_agent_seen ON compute_agent (seen_at) WHERE seen_at IS NOT NULL;
