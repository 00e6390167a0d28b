-- How appliances join, how long they belong, and what is encrypted to them.

-- The key that credentials are encrypted to (age, X25519), pinned like the one that signs evidence.
ALTER TABLE appliances ADD COLUMN agent_encryption_key TEXT;

-- One-time tokens, under the SHA-256 of their secret. A used one keeps for which key (SHA-256 of the
-- SubjectPublicKeyInfo) and which certificate, so that an answer that was lost can be given again.
CREATE TABLE enrolment_tokens (
    secret_sha256 TEXT NOT NULL PRIMARY KEY,
    site_id       TEXT NOT NULL REFERENCES sites (site_id),
    appliance     TEXT,
    created_at    TEXT NOT NULL,
    expires_at    TEXT NOT NULL,
    used_at       TEXT,
    used_by       TEXT,
    key_sha256    TEXT,
    serial        TEXT
);

-- Every certificate that was made for an appliance. What is not here is not accepted.
CREATE TABLE certificates (
    serial        TEXT NOT NULL PRIMARY KEY,
    site_id       TEXT NOT NULL,
    appliance     TEXT NOT NULL,
    origin        TEXT NOT NULL CHECK (origin IN ('issued', 'enrolled', 'renewed')),
    key_sha256    TEXT NOT NULL,
    certificate   TEXT NOT NULL,
    issued_at     TEXT NOT NULL,
    renew_after   TEXT NOT NULL,
    not_after     TEXT NOT NULL,
    -- The certificate that this one takes the place of, from its first use on.
    replaces      TEXT,
    first_used_at TEXT,
    revoked_at    TEXT,
    reason        TEXT,
    FOREIGN KEY (site_id, appliance) REFERENCES appliances (site_id, appliance)
);

CREATE INDEX certificates_by_appliance ON certificates (site_id, appliance);

-- Logons for Windows servers, each encrypted to one appliance's key (age, ASCII armour). Plaintext is never here.
CREATE TABLE target_credentials (
    site_id    TEXT NOT NULL,
    hostname   TEXT NOT NULL,
    appliance  TEXT NOT NULL,
    recipient  TEXT NOT NULL,
    ciphertext TEXT NOT NULL,
    set_at     TEXT NOT NULL,
    PRIMARY KEY (site_id, hostname, appliance),
    FOREIGN KEY (site_id, appliance) REFERENCES appliances (site_id, appliance)
);
