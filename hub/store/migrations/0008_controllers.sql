-- Which findings name a controller, in the order of lists, so that a page of those of a
-- popular one is read without the dates of all. A finding's "since" never changes.

{{writers of bearer wait}}

CREATE TABLE controller_finding (
  digest BYTEA NOT NULL,
  since BIGINT NOT NULL,
  finding BYTEA NOT NULL,
  PRIMARY KEY (digest, since, finding)
) {{rowless}};

-- Findings are looked up by id, in the order of digests: at random in a table of their
-- own bodies that would be a place of the disk for each.
{{sort on disk}}

CREATE TABLE began (
  id BYTEA PRIMARY KEY,
  since BIGINT NOT NULL
) {{rowless}};

INSERT INTO began (id, since) SELECT id, since FROM finding ORDER BY id;

INSERT INTO controller_finding (digest, since, finding)
SELECT b.digest, f.since, b.finding FROM bearer b JOIN began f ON f.id = b.finding WHERE b.kind = 6
ORDER BY b.digest, f.since, b.finding;

DROP TABLE began;

{{sort in memory}}
