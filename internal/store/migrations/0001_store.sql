-- Leases: one row a named duty; whoever holds an unexpired row does the duty.
CREATE TABLE lease (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
