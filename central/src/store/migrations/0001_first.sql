-- Times are RFC 3339 in UTC with six digits after the second, so that text order is time order.
-- `content` is the artifact as it was understood, as JSON; the columns beside it only find and order it.

CREATE TABLE sites (
    site_id      TEXT NOT NULL PRIMARY KEY,
    healing_tier TEXT NOT NULL DEFAULT 'standard' CHECK (healing_tier IN ('standard', 'full_coverage')),
    created_at   TEXT NOT NULL
);

CREATE TABLE appliances (
    site_id           TEXT NOT NULL REFERENCES sites (site_id),
    appliance         TEXT NOT NULL,
    issued_at         TEXT NOT NULL,
    agent_public_key  TEXT,
    key_pinned_at     TEXT,
    last_contact      TEXT,
    checkin           TEXT,
    PRIMARY KEY (site_id, appliance)
);

-- The highest sequence handed out, for each kind of signed artifact.
CREATE TABLE stamps (
    site_id   TEXT NOT NULL,
    appliance TEXT NOT NULL,
    kind      TEXT NOT NULL,
    sequence  BIGINT NOT NULL,
    PRIMARY KEY (site_id, appliance, kind),
    FOREIGN KEY (site_id, appliance) REFERENCES appliances (site_id, appliance)
);

CREATE TABLE windows_targets (
    site_id    TEXT NOT NULL REFERENCES sites (site_id),
    position   BIGINT NOT NULL,
    ip_address TEXT NOT NULL,
    content    TEXT NOT NULL,
    PRIMARY KEY (site_id, position),
    UNIQUE (site_id, ip_address)
);

CREATE TABLE rules (
    site_id     TEXT NOT NULL REFERENCES sites (site_id),
    rule_id     TEXT NOT NULL,
    tier        TEXT NOT NULL CHECK (tier IN ('standard', 'full_coverage')),
    content     TEXT NOT NULL,
    imported_at TEXT NOT NULL,
    PRIMARY KEY (site_id, rule_id)
);

CREATE TABLE incidents (
    site_id     TEXT NOT NULL,
    appliance   TEXT NOT NULL,
    incident_id TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    received_at TEXT NOT NULL,
    content     TEXT NOT NULL,
    resolved_at TEXT,
    resolution  TEXT,
    PRIMARY KEY (site_id, appliance, incident_id),
    FOREIGN KEY (site_id, appliance) REFERENCES appliances (site_id, appliance)
);

CREATE TABLE executions (
    site_id      TEXT NOT NULL,
    appliance    TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    started_at   TEXT NOT NULL,
    received_at  TEXT NOT NULL,
    content      TEXT NOT NULL,
    PRIMARY KEY (site_id, appliance, execution_id),
    FOREIGN KEY (site_id, appliance) REFERENCES appliances (site_id, appliance)
);

CREATE TABLE escalations (
    site_id     TEXT NOT NULL,
    appliance   TEXT NOT NULL,
    ticket_id   TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    received_at TEXT NOT NULL,
    content     TEXT NOT NULL,
    PRIMARY KEY (site_id, appliance, ticket_id),
    FOREIGN KEY (site_id, appliance) REFERENCES appliances (site_id, appliance)
);

-- One row a link of a chain; `envelope` is the exact bytes `hash` was taken over, `signer` the public key
-- they were verified with. An appliance has one chain for each state it began with.
CREATE TABLE evidence (
    site_id       TEXT NOT NULL,
    appliance     TEXT NOT NULL,
    chain         TEXT NOT NULL,
    sequence      BIGINT NOT NULL CHECK (sequence >= 1),
    bundle_id     TEXT NOT NULL,
    hash          TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    signer        TEXT NOT NULL,
    received_at   TEXT NOT NULL,
    envelope      BLOB NOT NULL,
    PRIMARY KEY (site_id, appliance, chain, sequence),
    UNIQUE (site_id, appliance, chain, bundle_id),
    FOREIGN KEY (site_id, appliance) REFERENCES appliances (site_id, appliance)
);

-- Correctly signed bundles that contradict the chain: kept, because they are evidence of tampering.
CREATE TABLE suspicious_evidence (
    site_id     TEXT NOT NULL,
    appliance   TEXT NOT NULL,
    hash        TEXT NOT NULL,
    chain       TEXT NOT NULL,
    sequence    BIGINT NOT NULL,
    bundle_id   TEXT NOT NULL,
    reason      TEXT NOT NULL,
    explanation TEXT NOT NULL,
    received_at TEXT NOT NULL,
    envelope    BLOB NOT NULL,
    PRIMARY KEY (site_id, appliance, hash),
    FOREIGN KEY (site_id, appliance) REFERENCES appliances (site_id, appliance)
);

-- Written and read back by GET /health.
CREATE TABLE health (
    id         BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    probes     BIGINT NOT NULL,
    checked_at TEXT NOT NULL
);

CREATE INDEX incidents_by_time ON incidents (created_at);
CREATE INDEX executions_by_time ON executions (started_at);
CREATE INDEX escalations_by_time ON escalations (created_at);
CREATE INDEX evidence_by_time ON evidence (received_at);
