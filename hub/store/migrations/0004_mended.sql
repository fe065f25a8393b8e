-- Sessions of programs apart from people's; which hours of controllers were not told
-- whole; how often what is told of a controller has changed.

ALTER TABLE session ADD COLUMN program SMALLINT NOT NULL DEFAULT 0;
-- People's hold for 12 hours.
UPDATE session SET program = 1 WHERE expires - made > 43200000000000;

CREATE TABLE controller_left (
  sensor TEXT NOT NULL,
  hour BIGINT NOT NULL,
  part BIGINT NOT NULL,
  lost BIGINT NOT NULL,
  PRIMARY KEY (sensor, hour, part)
) {{rowless}};
CREATE INDEX controller_left_aged ON controller_left (hour);

CREATE TABLE controller_told (
  addr BYTEA PRIMARY KEY,
  version BIGINT NOT NULL
) {{rowless}};
