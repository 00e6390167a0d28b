-- Who may use the people's pages. `password` is an argon2id hash in PHC form; without one, only a one-time link lets
-- its owner in.
CREATE TABLE people (
    name            TEXT NOT NULL PRIMARY KEY,
    password        TEXT,
    password_set_at TEXT,
    created_at      TEXT NOT NULL,
    disabled_at     TEXT
);

-- Sessions and links are known by the SHA-256 of their secret: whoever reads this table cannot use it.
CREATE TABLE sessions (
    token_hash TEXT NOT NULL PRIMARY KEY,
    person     TEXT NOT NULL REFERENCES people (name),
    began_at   TEXT NOT NULL,
    seen_at    TEXT NOT NULL,
    came_by    TEXT NOT NULL CHECK (came_by IN ('password', 'link')),
    address    TEXT NOT NULL
);

CREATE TABLE login_links (
    token_hash TEXT NOT NULL PRIMARY KEY,
    person     TEXT NOT NULL REFERENCES people (name),
    made_at    TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at    TEXT
);

-- Who did what, when, from where and why. Rows are added and never changed.
CREATE TABLE audit (
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at      TEXT NOT NULL,
    who     TEXT NOT NULL,
    address TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'refused')),
    reason  TEXT NOT NULL
);

CREATE INDEX audit_by_who ON audit (who, action, outcome, address);

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;

CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;

-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;

-- Where people find the pages, as the last server said: links are made for it.
CREATE TABLE people_door (
    id    BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    url   TEXT NOT NULL,
    since TEXT NOT NULL
);

-- What a bundle is about, to find it by; the envelope is the proof, this is only an index.
CREATE TABLE evidence_subjects (
    site_id     TEXT NOT NULL,
    appliance   TEXT NOT NULL,
    chain       TEXT NOT NULL,
    sequence    BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    check_type  TEXT NOT NULL,
    host_id     TEXT NOT NULL,
    host_name   TEXT NOT NULL,
    incident_id TEXT,
    PRIMARY KEY (site_id, appliance, chain, sequence),
    FOREIGN KEY (site_id, appliance, chain, sequence) REFERENCES evidence (site_id, appliance, chain, sequence)
);

CREATE INDEX evidence_by_incident ON evidence_subjects (site_id, appliance, incident_id);
