-- Times are RFC 3339 in UTC. JSON is text. A sequence is an integer here and a string on the wire.

-- What must outlive a restart and is one value: highest sequences seen, the inventory, the server's clock.
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- The last status of each check of each machine; a change of it leaves evidence.
CREATE TABLE statuses (
  host_id TEXT NOT NULL,
  check_type TEXT NOT NULL,
  subject TEXT NOT NULL,
  status TEXT NOT NULL,
  since TEXT NOT NULL,
  compliant INTEGER NOT NULL,
  first_compliant TEXT,
  last_compliant TEXT,
  PRIMARY KEY (host_id, check_type, subject)
) STRICT;

CREATE TABLE incidents (
  incident_id TEXT PRIMARY KEY,
  host_id TEXT NOT NULL,
  host_name TEXT NOT NULL,
  platform TEXT NOT NULL,
  check_type TEXT NOT NULL,
  subject TEXT NOT NULL,
  severity TEXT NOT NULL,
  finding TEXT NOT NULL,
  created_at TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'escalated', 'resolved')),
  refusal TEXT,
  resolved_at TEXT,
  resolution TEXT
) STRICT;
-- One trouble, one incident.
CREATE UNIQUE INDEX one_open_incident ON incidents (host_id, check_type, subject) WHERE state <> 'resolved';
CREATE INDEX incidents_of_part ON incidents (host_id, check_type, subject);

-- A row without completed_at is an open intent: it was stored before anything was done.
CREATE TABLE executions (
  execution_id TEXT PRIMARY KEY,
  incident_id TEXT NOT NULL REFERENCES incidents (incident_id),
  host_id TEXT NOT NULL,
  plan TEXT NOT NULL,
  level TEXT NOT NULL,
  rule_id TEXT,
  runbook_id TEXT,
  started_at TEXT NOT NULL,
  may_run_until TEXT NOT NULL,
  completed_at TEXT,
  detail TEXT,
  error TEXT,
  evidence_id TEXT
) STRICT;
CREATE INDEX executions_of_incident ON executions (incident_id);
CREATE INDEX open_intents ON executions (host_id) WHERE completed_at IS NULL;
-- Heals alone, for the guard: refusals and escalations are executions with the plan 'null'.
CREATE INDEX heals_by_start ON executions (started_at) WHERE plan <> 'null';
CREATE INDEX heals_of_host ON executions (host_id) WHERE plan <> 'null';

CREATE TABLE cooldowns (key TEXT PRIMARY KEY, until TEXT NOT NULL) STRICT;

-- The chain. envelope is the exact bytes that were signed, hashed and sent.
CREATE TABLE evidence (
  sequence INTEGER PRIMARY KEY,
  bundle_id TEXT NOT NULL UNIQUE,
  completed_at TEXT NOT NULL,
  envelope BLOB NOT NULL
) STRICT;
CREATE TABLE chain_head (only INTEGER PRIMARY KEY CHECK (only = 1), envelope BLOB NOT NULL) STRICT;
CREATE TABLE receipts (sequence INTEGER PRIMARY KEY, envelope BLOB NOT NULL) STRICT;

-- What is owed to Central Command. Removed only when acknowledged; rejected rows stay visible.
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  path TEXT NOT NULL,
  body BLOB NOT NULL,
  created_at TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  rejected INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  UNIQUE (kind, key)
) STRICT;
CREATE INDEX outbox_pending ON outbox (kind, id) WHERE rejected = 0;

-- Orders of Central Command, by the hash of their envelope: the same bytes are dealt with once.
CREATE TABLE orders (
  hash TEXT PRIMARY KEY,
  order_id TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('accepted', 'begun', 'done', 'failed', 'refused', 'revoked', 'late')),
  class TEXT,
  host_id TEXT,
  check_type TEXT,
  subject TEXT NOT NULL,
  -- The machines that an order to look has to wait for: a JSON list of host ids.
  looks TEXT NOT NULL,
  -- The signed payload; null for a refused order.
  content TEXT,
  received_at TEXT NOT NULL,
  execute_by TEXT,
  finished_at TEXT,
  reason TEXT
) STRICT;
-- What was refused may bear the id of another.
CREATE UNIQUE INDEX one_order ON orders (order_id) WHERE state <> 'refused';
CREATE INDEX waiting_orders ON orders (class) WHERE state = 'accepted';
