-- One row a slot; the primary key is the only lock. No other index, sequence or trigger: on
-- YugabyteDB that makes an append one quorum round.
CREATE TABLE IF NOT EXISTS journal (
    log_id    integer  NOT NULL,
    slot      bigint   NOT NULL,
    id        bytea    NOT NULL,
    prev      bytea    NOT NULL,
    writer    bigint   NOT NULL,
    epoch     bigint   NOT NULL,
    at_micros bigint   NOT NULL,
    first_rev bigint   NOT NULL,
    last_rev  bigint   NOT NULL,
    enc       smallint NOT NULL,
    payload   bytea    NOT NULL,
    PRIMARY KEY (log_id /*ASC*/, slot /*ASC*/)
);

CREATE TABLE IF NOT EXISTS log (
    log_id     integer NOT NULL,
    cluster_id bigint  NOT NULL,
    PRIMARY KEY (log_id /*ASC*/)
);

CREATE TABLE IF NOT EXISTS checkpoint (
    log_id   integer NOT NULL,
    slot     bigint  NOT NULL,
    id       bytea,
    revision bigint  NOT NULL,
    claim    bytea,
    state    bytea,
    PRIMARY KEY (log_id /*ASC*/)
);

-- The state at the checkpoint's slot, but for what a running checkpointer has overwritten. `place`
-- is the key, or the head and digest of one that is too long for an index.
CREATE TABLE IF NOT EXISTS kv (
    log_id          integer NOT NULL,
    place           bytea   NOT NULL,
    key             bytea   NOT NULL,
    create_revision bigint  NOT NULL,
    mod_revision    bigint  NOT NULL,
    version         bigint  NOT NULL,
    lease           bigint  NOT NULL,
    value           bytea   NOT NULL,
    PRIMARY KEY (log_id /*ASC*/, place /*ASC*/)
);

-- What a running checkpointer has overwritten of the state at `slot`; not present: no such key.
CREATE TABLE IF NOT EXISTS kv_before (
    log_id          integer NOT NULL,
    slot            bigint  NOT NULL,
    place           bytea   NOT NULL,
    key             bytea   NOT NULL,
    present         boolean NOT NULL,
    create_revision bigint,
    mod_revision    bigint,
    version         bigint,
    lease           bigint,
    value           bytea,
    PRIMARY KEY (log_id /*ASC*/, slot /*ASC*/, place /*ASC*/)
);

CREATE TABLE IF NOT EXISTS member (
    log_id    integer NOT NULL,
    id        bigint  NOT NULL,
    name      text    NOT NULL,
    addresses text    NOT NULL,
    formats   text    NOT NULL,
    heartbeat bigint  NOT NULL,
    PRIMARY KEY (log_id /*ASC*/, id /*ASC*/)
);
