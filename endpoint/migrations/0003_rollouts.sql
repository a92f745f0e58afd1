-- A name for a version.
CREATE TABLE channels (
    name TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    set_at INTEGER NOT NULL
) STRICT;

-- The last rollout of each channel.
CREATE TABLE rollouts (
    channel TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    version TEXT NOT NULL,
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    wave INTEGER NOT NULL DEFAULT 0,
    forgiven INTEGER NOT NULL DEFAULT 0,
    started_at INTEGER NOT NULL
) STRICT;

CREATE TABLE rollout_hosts (
    rollout TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    host TEXT NOT NULL REFERENCES hosts (id),
    wave INTEGER NOT NULL,
    stage TEXT NOT NULL,
    since INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    reason TEXT,
    PRIMARY KEY (rollout, host)
) STRICT, WITHOUT ROWID;

-- How many hosts of a group may reboot at once.
CREATE TABLE reboot_groups (
    name TEXT PRIMARY KEY,
    slots INTEGER NOT NULL,
    -- SHA-256 of what hosts that are not ours show; none where they may not ask.
    fleetlock_hash BLOB
) STRICT;

-- Hosts that are not ours and have leave to reboot.
CREATE TABLE reboot_locks (
    group_name TEXT NOT NULL REFERENCES reboot_groups (name) ON DELETE CASCADE,
    id TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (group_name, id)
) STRICT, WITHOUT ROWID;

-- Its host gives it up, and another one gets it once it has.
ALTER TABLE workloads ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0;
