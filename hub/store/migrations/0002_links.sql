-- What joins tenancies (findings) to boxes, and boxes to rings.

CREATE TABLE queue (
  finding BYTEA PRIMARY KEY,
  stamp BIGINT NOT NULL,
  touched BIGINT NOT NULL,
  owner TEXT NOT NULL,
  until BIGINT NOT NULL
) {{rowless}};
CREATE INDEX queue_oldest ON queue (touched);

CREATE TABLE member (
  finding BYTEA PRIMARY KEY,
  box BYTEA,
  version BIGINT NOT NULL
) {{rowless}};
CREATE INDEX member_box ON member (box, finding);

CREATE TABLE edge (
  a BYTEA NOT NULL,
  b BYTEA NOT NULL,
  kind SMALLINT NOT NULL,
  scope SMALLINT NOT NULL,
  nats DOUBLE PRECISION NOT NULL,
  reason TEXT NOT NULL,
  since BIGINT NOT NULL,
  PRIMARY KEY (a, b, kind, scope)
) {{rowless}};
CREATE INDEX edge_back ON edge (b, a);

CREATE TABLE box (
  id BYTEA PRIMARY KEY,
  ring BYTEA,
  since BIGINT NOT NULL,
  verdict SMALLINT NOT NULL,
  first_seen BIGINT NOT NULL,
  last_seen BIGINT NOT NULL,
  vendor TEXT NOT NULL,
  device BYTEA NOT NULL,
  cards BIGINT NOT NULL,
  members BIGINT NOT NULL,
  left_out BIGINT NOT NULL
);
CREATE INDEX box_ring ON box (ring);
CREATE INDEX box_list ON box (since, id);

CREATE TABLE ring (
  id BYTEA PRIMARY KEY,
  since BIGINT NOT NULL,
  verdict SMALLINT NOT NULL,
  first_seen BIGINT NOT NULL,
  last_seen BIGINT NOT NULL,
  lines BIGINT NOT NULL,
  margin DOUBLE PRECISION,
  nearest TEXT NOT NULL,
  sensors TEXT NOT NULL,
  controllers TEXT NOT NULL,
  left_out BIGINT NOT NULL
);
CREATE INDEX ring_list ON ring (since, id);

CREATE TABLE controller_verdict (
  sensor TEXT NOT NULL,
  line TEXT NOT NULL,
  addr BYTEA NOT NULL,
  lines BIGINT NOT NULL,
  review BIGINT NOT NULL,
  nats DOUBLE PRECISION NOT NULL,
  ring BYTEA,
  expires BIGINT NOT NULL,
  PRIMARY KEY (sensor, line, addr)
) {{rowless}};
CREATE INDEX controller_verdict_addr ON controller_verdict (addr);
