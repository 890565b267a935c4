-- Tables with large columns keep their row ids. WITHOUT ROWID would save a page in each commit, but
-- SQLite reads a key's whole row, payload and all, whenever it compares keys in such a table.
-- Columns that head queries need come before the payload, which then stays unread.
CREATE TABLE journal (
    log_id    INTEGER NOT NULL,
    slot      INTEGER NOT NULL,
    id        BLOB    NOT NULL,
    prev      BLOB    NOT NULL,
    writer    INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    at_micros INTEGER NOT NULL,
    first_rev INTEGER NOT NULL,
    last_rev  INTEGER NOT NULL,
    enc       INTEGER NOT NULL,
    payload   BLOB    NOT NULL,
    PRIMARY KEY (log_id, slot)
) STRICT;

CREATE TABLE log (
    log_id     INTEGER NOT NULL PRIMARY KEY,
    cluster_id INTEGER NOT NULL
) STRICT;

CREATE TABLE checkpoint (
    log_id   INTEGER NOT NULL PRIMARY KEY,
    slot     INTEGER NOT NULL,
    id       BLOB,
    revision INTEGER NOT NULL,
    claim    BLOB,
    state    BLOB
) STRICT;

-- The state at the checkpoint's slot, but for what a running checkpointer has overwritten.
CREATE TABLE kv (
    log_id          INTEGER NOT NULL,
    key             BLOB    NOT NULL,
    create_revision INTEGER NOT NULL,
    mod_revision    INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    lease           INTEGER NOT NULL,
    value           BLOB    NOT NULL,
    PRIMARY KEY (log_id, key)
) STRICT;

-- What a running checkpointer has overwritten of the state at `slot`; present = 0: no such key.
CREATE TABLE kv_before (
    log_id          INTEGER NOT NULL,
    slot            INTEGER NOT NULL,
    key             BLOB    NOT NULL,
    present         INTEGER NOT NULL,
    create_revision INTEGER,
    mod_revision    INTEGER,
    version         INTEGER,
    lease           INTEGER,
    value           BLOB,
    PRIMARY KEY (log_id, slot, key)
) STRICT;

CREATE TABLE member (
    log_id    INTEGER NOT NULL,
    id        INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    addresses TEXT    NOT NULL,
    formats   TEXT    NOT NULL,
    heartbeat INTEGER NOT NULL,
    PRIMARY KEY (log_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE database_identity (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id  BLOB    NOT NULL
) STRICT;
