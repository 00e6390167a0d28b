-- One row an order. `envelope` is the exact bytes that were signed, `content` the payload as JSON; what the
-- appliance reported when it was over stands in `completion`, and the first word stands.
CREATE TABLE orders (
    order_id        TEXT NOT NULL PRIMARY KEY,
    site_id         TEXT NOT NULL,
    appliance       TEXT NOT NULL,
    class           TEXT NOT NULL,
    sequence        BIGINT NOT NULL CHECK (sequence >= 1),
    issued_at       TEXT NOT NULL,
    expires         TEXT NOT NULL,
    execute_by      TEXT NOT NULL,
    issued_by       TEXT NOT NULL,
    reason          TEXT NOT NULL,
    envelope        BLOB NOT NULL,
    content         TEXT NOT NULL,
    state           TEXT NOT NULL DEFAULT 'pending'
                    CHECK (state IN ('pending', 'acknowledged', 'completed', 'refused', 'expired', 'revoked')),
    acknowledged_at TEXT,
    completed_at    TEXT,
    completion      TEXT,
    revoked_at      TEXT,
    UNIQUE (site_id, appliance, sequence),
    FOREIGN KEY (site_id, appliance) REFERENCES appliances (site_id, appliance)
);

CREATE INDEX orders_by_state ON orders (state, expires);
CREATE INDEX orders_by_time ON orders (issued_at);

-- Every change of a kill switch is a row, and the latest one holds. No appliance: the whole site.
CREATE TABLE kill_switch (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    site_id    TEXT NOT NULL REFERENCES sites (site_id),
    appliance  TEXT,
    engaged    BOOLEAN NOT NULL,
    reason     TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    FOREIGN KEY (site_id, appliance) REFERENCES appliances (site_id, appliance)
);

CREATE INDEX kill_switch_by_site ON kill_switch (site_id, appliance, id);

-- The one appliance that looks after a server; none: the site's appliance whose first contact is the earliest.
ALTER TABLE windows_targets ADD COLUMN appliance TEXT;
ALTER TABLE appliances ADD COLUMN first_contact TEXT;
UPDATE appliances SET first_contact = COALESCE(key_pinned_at, last_contact);
