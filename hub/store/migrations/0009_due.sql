-- When retention is to look at a finding, no later than it may go: told of again meanwhile
-- it is due later, and revisions leave this column, and its index, alone. It has another
-- name so that a hub of before, which goes on beside newer ones, deletes nothing by it
-- that was told of since: its statements fail, and sensors keep what it does not take.

ALTER TABLE finding RENAME COLUMN aged TO due;
