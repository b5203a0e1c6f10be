-- Who changed what. Rows are only ever added. Each has the sum of itself and of the sum
-- before it, so that a row that was changed or taken out shows.
CREATE TABLE audit (
    seq     BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL,
    entry   TEXT NOT NULL, -- JSON
    sum     TEXT NOT NULL  -- hexadecimal
);
CREATE INDEX audit_time ON audit (at, seq);

-- The end of the chain, which entries wait for in turn.
CREATE TABLE audit_head (
    id  BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL,
    sum TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, sum) VALUES (1, 0, '');
