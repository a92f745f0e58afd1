-- One row: which history this is.
CREATE TABLE endpoint (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    lineage TEXT NOT NULL
) STRICT;

-- Removed hosts stay, so that their certificates are known to be revoked.
CREATE TABLE hosts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    token_labels TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    cordoned INTEGER NOT NULL DEFAULT 0,
    certificate_until INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'unseen',
    frozen TEXT,
    session INTEGER NOT NULL DEFAULT 0,
    boot_id TEXT NOT NULL DEFAULT '',
    features TEXT NOT NULL DEFAULT '[]',
    facts TEXT,
    local_milli_cpus INTEGER NOT NULL DEFAULT 0,
    local_memory_mib INTEGER NOT NULL DEFAULT 0,
    -- Where in which history the host says it is.
    reported_lineage TEXT,
    observed_generation INTEGER NOT NULL DEFAULT 0,
    applied_generation INTEGER NOT NULL DEFAULT 0,
    reported_hash TEXT NOT NULL DEFAULT '',
    -- The set of a frozen host, for an operator who wants to keep it.
    reported_set TEXT,
    -- The point of another history that a resync forgave.
    pardon TEXT
) STRICT;
CREATE UNIQUE INDEX hosts_by_name ON hosts (name) WHERE revoked_at IS NULL;

-- What each host shall run.
CREATE TABLE sets (
    host TEXT PRIMARY KEY REFERENCES hosts (id),
    generation INTEGER NOT NULL,
    hash TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- What was issued before, so that a set of a time after a restored backup is known for one.
CREATE TABLE issued (
    host TEXT NOT NULL REFERENCES hosts (id),
    generation INTEGER NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (host, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    secret_hash BLOB NOT NULL UNIQUE,
    uses_left INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    labels TEXT NOT NULL,
    replace_host TEXT
) STRICT;

-- Who redeemed what with which key: a repeated request gets the same answer.
CREATE TABLE redemptions (
    token TEXT NOT NULL REFERENCES tokens (id),
    key_hash BLOB NOT NULL,
    host TEXT NOT NULL REFERENCES hosts (id),
    PRIMARY KEY (token, key_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE workloads (
    uid TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    spec TEXT NOT NULL,
    pins TEXT NOT NULL DEFAULT '{}',
    host TEXT REFERENCES hosts (id),
    -- Why no host runs it.
    reason TEXT,
    -- Not placed until it is applied again.
    parked INTEGER NOT NULL DEFAULT 0,
    applied_at INTEGER NOT NULL
) STRICT;
CREATE INDEX workloads_by_host ON workloads (host);

-- What hosts report.
CREATE TABLE statuses (
    host TEXT NOT NULL REFERENCES hosts (id),
    uid TEXT NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (host, uid)
) STRICT, WITHOUT ROWID;

-- A removed secret keeps its row without a value, so that its versions go on rising.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    locked BLOB,
    set_at INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    host TEXT,
    workload TEXT,
    message TEXT NOT NULL
) STRICT;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    address TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status INTEGER
) STRICT;
