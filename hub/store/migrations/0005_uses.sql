-- What others write meanwhile would be in no count.
{{writers of bearer wait}}

-- The most lines that an hour told of a controller when its suspects were last looked at
-- for that.

ALTER TABLE controller ADD COLUMN told BIGINT NOT NULL DEFAULT 0;

-- How many findings name a controller, so that nobody has to count them: by the digest
-- of its key. A controller's row is one for each slot, which sensors have by their
-- names, so that two writers seldom want the same; what counts is their sum. One slot
-- alone may be below zero, and what was there before is in slot -1.

CREATE TABLE controller_use (
  digest BYTEA NOT NULL,
  slot SMALLINT NOT NULL,
  lines BIGINT NOT NULL,
  watch BIGINT NOT NULL,
  review BIGINT NOT NULL,
  PRIMARY KEY (digest, slot)
) {{counted}};

INSERT INTO controller_use (digest, slot, lines, watch, review)
SELECT digest, -1, count(*), sum(CASE WHEN verdict >= 2 THEN 1 ELSE 0 END), sum(CASE WHEN verdict >= 3 THEN 1 ELSE 0 END)
FROM bearer WHERE kind = 6 GROUP BY digest;
