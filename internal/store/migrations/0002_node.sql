-- Nodes: the open handles of this database. number is a node's part of the keys it makes.
-- expires_at is in wall time, whatever clock transactions read.
CREATE TABLE node (
    id         TEXT PRIMARY KEY,
    number     BIGINT NOT NULL UNIQUE, -- 0 to 1023
    expires_at BIGINT NOT NULL
);
