-- What sensors are and what they report. Times are nanoseconds since 1970 UTC;
-- ids are 16 bytes; verdicts are numbered as in simtrap.report.v1.

CREATE TABLE sensor (
  name TEXT PRIMARY KEY,
  admitted BIGINT NOT NULL,
  revoked BIGINT,
  revoked_by TEXT NOT NULL DEFAULT '',
  revoked_why TEXT NOT NULL DEFAULT '',
  certificate_ends BIGINT NOT NULL DEFAULT 0,
  program TEXT NOT NULL DEFAULT '',
  catalogue BIGINT NOT NULL DEFAULT 0,
  policy BIGINT NOT NULL DEFAULT 0,
  last_report BIGINT NOT NULL DEFAULT 0,
  packet_time BIGINT NOT NULL DEFAULT 0,
  clock_ns BIGINT,
  health_at BIGINT NOT NULL DEFAULT 0,
  health BYTEA,
  missing BIGINT NOT NULL DEFAULT 0,
  gaps BIGINT NOT NULL DEFAULT 0,
  told BIGINT NOT NULL DEFAULT 0,
  n_none BIGINT NOT NULL DEFAULT 0,
  n_watch BIGINT NOT NULL DEFAULT 0,
  n_review BIGINT NOT NULL DEFAULT 0,
  n_case BIGINT NOT NULL DEFAULT 0
) {{updated}};

CREATE TABLE certificate (
  serial TEXT PRIMARY KEY,
  sensor TEXT NOT NULL,
  public_key BYTEA NOT NULL,
  given BIGINT NOT NULL,
  ends BIGINT NOT NULL,
  revoked BIGINT
);
CREATE INDEX certificate_sensor ON certificate (sensor);

CREATE TABLE token (
  hash BYTEA PRIMARY KEY,
  sensor TEXT NOT NULL,
  made_by TEXT NOT NULL,
  made BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  taken BIGINT
);

CREATE TABLE line (
  id BYTEA PRIMARY KEY,
  sensor TEXT NOT NULL,
  name TEXT NOT NULL,
  addr BYTEA NOT NULL,
  since BIGINT NOT NULL,
  verdict SMALLINT NOT NULL
);
CREATE INDEX line_list ON line (verdict, since, id);
CREATE INDEX line_addr ON line (addr);

-- The order of a list is "since", which never changes, so that pages are stable
-- and a revision touches no index. "aged" is a quarter of a day.
CREATE TABLE finding (
  id BYTEA PRIMARY KEY,
  line BYTEA NOT NULL,
  sensor TEXT NOT NULL,
  since BIGINT NOT NULL,
  verdict SMALLINT NOT NULL,
  aged INTEGER NOT NULL,
  received BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  last_seen BIGINT NOT NULL,
  flags SMALLINT NOT NULL,
  vendor TEXT NOT NULL,
  told BYTEA NOT NULL,
  keys BYTEA NOT NULL,
  body BYTEA NOT NULL
) {{updated}};
CREATE INDEX finding_list ON finding (verdict, since, id);
CREATE INDEX finding_sensor ON finding (sensor, verdict, since, id);
CREATE INDEX finding_line ON finding (line, since);
CREATE INDEX finding_aged ON finding (verdict, aged);

CREATE TABLE revision (
  finding BYTEA NOT NULL,
  revision BIGINT NOT NULL,
  received BIGINT NOT NULL,
  verdict SMALLINT NOT NULL,
  flags SMALLINT NOT NULL,
  score DOUBLE PRECISION,
  margin DOUBLE PRECISION,
  nearest TEXT NOT NULL,
  vendor TEXT NOT NULL,
  model TEXT NOT NULL,
  PRIMARY KEY (finding, revision)
) {{rowless}};

CREATE TABLE bearer (
  kind SMALLINT NOT NULL,
  digest BYTEA NOT NULL,
  finding BYTEA NOT NULL,
  verdict SMALLINT NOT NULL,
  PRIMARY KEY (kind, digest, finding)
) {{rowless}};
CREATE INDEX bearer_watch ON bearer (kind, digest, verdict, finding) WHERE verdict >= 2;

CREATE TABLE card (
  id BYTEA PRIMARY KEY,
  imsi TEXT NOT NULL,
  imei TEXT NOT NULL,
  iccid TEXT NOT NULL,
  msisdn TEXT NOT NULL,
  since BIGINT NOT NULL,
  first_seen BIGINT NOT NULL,
  last_seen BIGINT NOT NULL
);
CREATE INDEX card_list ON card (since, id);
CREATE INDEX card_iccid ON card (iccid);

CREATE TABLE controller (
  addr BYTEA NOT NULL,
  role TEXT NOT NULL,
  since BIGINT NOT NULL,
  first_seen BIGINT NOT NULL,
  last_seen BIGINT NOT NULL,
  PRIMARY KEY (addr, role)
) {{rowless}};
CREATE INDEX controller_list ON controller (since, addr, role);

CREATE TABLE controller_hour (
  addr BYTEA NOT NULL,
  role TEXT NOT NULL,
  hour BIGINT NOT NULL,
  sensor TEXT NOT NULL,
  part BIGINT NOT NULL,
  lines BIGINT NOT NULL,
  calls BIGINT NOT NULL,
  sketch BYTEA NOT NULL,
  stacks TEXT NOT NULL,
  PRIMARY KEY (addr, role, hour, sensor, part)
) {{rowless}};
CREATE INDEX controller_hour_aged ON controller_hour (hour);

CREATE TABLE call (
  finding BYTEA NOT NULL,
  id BYTEA NOT NULL,
  start BIGINT NOT NULL,
  weight BIGINT NOT NULL,
  received BIGINT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (finding, id)
) {{rowless}};
CREATE INDEX call_start ON call (start);
CREATE INDEX call_received ON call (received);

CREATE TABLE gap (
  sensor TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  first BIGINT NOT NULL,
  last BIGINT NOT NULL,
  lost BIGINT NOT NULL,
  received BIGINT NOT NULL,
  body BYTEA NOT NULL,
  PRIMARY KEY (sensor, epoch, first)
) {{rowless}};
CREATE INDEX gap_newest ON gap (sensor, received);

CREATE TABLE policy (
  version BIGINT PRIMARY KEY,
  made_by TEXT NOT NULL,
  made BIGINT NOT NULL,
  body BYTEA NOT NULL
);

CREATE TABLE pack (
  version BIGINT PRIMARY KEY,
  made_by TEXT NOT NULL,
  made BIGINT NOT NULL,
  body BYTEA NOT NULL
);
