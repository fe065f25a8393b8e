-- Headers that people asked sensors for, what came, and the chain of bundles that were
-- made of it.

CREATE TABLE evidence (
  id BYTEA PRIMARY KEY,
  account TEXT NOT NULL,
  authority TEXT NOT NULL,
  casefile BYTEA,
  made BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  seen_from BIGINT NOT NULL,
  seen_until BIGINT NOT NULL
);
CREATE INDEX evidence_aged ON evidence (expires);

CREATE TABLE evidence_part (
  id BYTEA PRIMARY KEY,
  evidence BYTEA NOT NULL,
  number BIGINT NOT NULL,
  line BYTEA NOT NULL,
  sensor TEXT NOT NULL,
  name TEXT NOT NULL,
  state SMALLINT NOT NULL,
  most BIGINT NOT NULL,
  pieces BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  reason TEXT NOT NULL,
  summary BYTEA
);
CREATE INDEX evidence_part_of ON evidence_part (evidence, number);
CREATE INDEX evidence_part_open ON evidence_part (sensor, state);

CREATE TABLE evidence_piece (
  part BYTEA NOT NULL,
  number BIGINT NOT NULL,
  file_end SMALLINT NOT NULL,
  data BYTEA NOT NULL,
  PRIMARY KEY (part, number)
);

CREATE TABLE evidence_bundle (
  number BIGINT PRIMARY KEY,
  evidence BYTEA NOT NULL,
  made BIGINT NOT NULL,
  hash BYTEA NOT NULL
);
