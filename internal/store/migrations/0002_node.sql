-- Nodes: the open handles of this database. expires_at is in wall time (on PostgreSQL the
-- server's), whatever clock transactions read.
CREATE TABLE node (
    id         TEXT PRIMARY KEY,
    number     BIGINT NOT NULL UNIQUE, -- 0 to 1023, a part of the keys it makes
    expires_at BIGINT NOT NULL
);

-- How far the keys of each number may reach: its next owner goes on behind that.
CREATE TABLE node_number (
    number BIGINT PRIMARY KEY,
    upto   BIGINT NOT NULL -- milliseconds since 2020-01-01, as keys hold them
);
