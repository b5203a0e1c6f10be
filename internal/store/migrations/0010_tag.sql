-- Tags: one row a tagged resource. One row, and not one a tag, so that the quota of a
-- resource is checked under that row's lock.
CREATE TABLE tag (
    resource TEXT PRIMARY KEY, -- "fleet/fleet-…": the resource part of the ARN
    tags     TEXT NOT NULL     -- JSON object of values by key
);
