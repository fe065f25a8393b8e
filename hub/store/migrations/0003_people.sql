-- People, what they did, and what they work on; what was deleted.

CREATE TABLE account (
  name TEXT PRIMARY KEY,
  role TEXT NOT NULL,
  password TEXT NOT NULL,
  disabled SMALLINT NOT NULL,
  made BIGINT NOT NULL,
  changed BIGINT NOT NULL,
  version BIGINT NOT NULL
);

CREATE TABLE session (
  hash BYTEA PRIMARY KEY,
  account TEXT NOT NULL,
  made BIGINT NOT NULL,
  expires BIGINT NOT NULL
);
CREATE INDEX session_account ON session (account, made);

CREATE TABLE audit (
  sequence BIGINT PRIMARY KEY,
  made BIGINT NOT NULL,
  account TEXT NOT NULL,
  action TEXT NOT NULL,
  body BYTEA NOT NULL,
  previous BYTEA NOT NULL,
  hash BYTEA NOT NULL
);

CREATE TABLE casefile (
  id BYTEA PRIMARY KEY,
  title TEXT NOT NULL,
  state SMALLINT NOT NULL,
  owner TEXT NOT NULL,
  opened BIGINT NOT NULL,
  closed BIGINT NOT NULL,
  outcome SMALLINT NOT NULL,
  version BIGINT NOT NULL
);
CREATE INDEX casefile_list ON casefile (opened, id);

CREATE TABLE casefile_item (
  casefile BYTEA NOT NULL,
  kind SMALLINT NOT NULL,
  item BYTEA NOT NULL,
  PRIMARY KEY (casefile, kind, item)
) {{rowless}};
CREATE INDEX casefile_item_back ON casefile_item (kind, item);

CREATE TABLE casefile_comment (
  casefile BYTEA NOT NULL,
  made BIGINT NOT NULL,
  author TEXT NOT NULL,
  content TEXT NOT NULL,
  PRIMARY KEY (casefile, made, author)
);

CREATE TABLE outcome (
  finding BYTEA PRIMARY KEY,
  outcome SMALLINT NOT NULL,
  casefile BYTEA,
  made_by TEXT NOT NULL,
  made BIGINT NOT NULL,
  note TEXT NOT NULL
);

CREATE TABLE deletion (
  sequence BIGINT PRIMARY KEY,
  made BIGINT NOT NULL,
  body BYTEA NOT NULL,
  signature BYTEA NOT NULL,
  signed_by TEXT NOT NULL
);
