-- Events on their way: one row an event and sink, until the sink has it. A row is the
-- event's whole text, so that whoever delivers reads one table.
CREATE TABLE event (
    sink       TEXT NOT NULL,
    key        BIGINT NOT NULL, -- the event's, the same for all sinks
    ord        BIGINT NOT NULL, -- hash of order_key; a collision only makes one event wait for another
    seq        BIGINT NOT NULL, -- place among those of its order that are still on their way
    id         TEXT NOT NULL,   -- the event's public id
    type       TEXT NOT NULL,   -- detail-type
    order_key  TEXT NOT NULL,
    target     TEXT NOT NULL,   -- topic that the resource names; '' for none
    body       TEXT NOT NULL,
    created_at BIGINT NOT NULL, -- when it was appended, or replayed
    due_at     BIGINT NOT NULL, -- when it may be sent, or received, next
    tries      BIGINT NOT NULL, -- how often it was sent or received
    tried_at   BIGINT,          -- when for the first time
    receipt    BIGINT,          -- of a queue's message: of its last receipt
    error      TEXT,            -- why the last try failed
    PRIMARY KEY (sink, key)
);
CREATE INDEX event_due ON event (sink, due_at, key);
CREATE INDEX event_order ON event (sink, ord, seq, key);

-- Events given up, until they are replayed or removed.
CREATE TABLE event_dead (
    sink       TEXT NOT NULL,
    key        BIGINT NOT NULL,
    ord        BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    id         TEXT NOT NULL,
    type       TEXT NOT NULL,
    order_key  TEXT NOT NULL,
    target     TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    tries      BIGINT NOT NULL,
    tried_at   BIGINT,
    error      TEXT NOT NULL,
    dead_at    BIGINT NOT NULL,
    PRIMARY KEY (sink, key)
);
CREATE INDEX event_dead_age ON event_dead (dead_at);

-- Which node has which sinks in its configuration, so that what no living node would
-- deliver can be told.
CREATE TABLE event_sink (
    sink TEXT NOT NULL,
    node TEXT NOT NULL, -- node.id
    PRIMARY KEY (sink, node)
);

-- Whether a sink's owner wants its notifications: only then are they sent.
CREATE TABLE event_subscription (
    sink         TEXT PRIMARY KEY,
    url          TEXT NOT NULL, -- whose owner was asked
    token        TEXT NOT NULL UNIQUE,
    asked        BIGINT NOT NULL, -- how often
    due_at       BIGINT NOT NULL, -- when to ask next
    confirmed_at BIGINT
);
