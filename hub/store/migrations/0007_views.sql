-- Lists that people look at again and again, as the query of their address.

CREATE TABLE saved_view (
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  query TEXT NOT NULL,
  made BIGINT NOT NULL,
  PRIMARY KEY (account, name)
) {{rowless}};
