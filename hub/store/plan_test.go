package store

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
)

// A page of one sensor's findings costs what it shows, however many others there are:
// SQLite, left to itself, reads the index of all sensors.
func TestSensorOfMany(t *testing.T) {
	s := openStore(t, Options{Folder: t.TempDir()})
	admit(t, s, "north")
	deliver(t, s, "north", 1, revisionOf(1, 1, none, "10.0.0.1"))
	if got := lineNames(all(t, s.Findings, Filter{Sensors: []string{"north", "south"}}, 9)); len(got) != 1 {
		t.Errorf("%v", got)
	}
	for _, table := range []string{"finding", sensorTable(sqlite)} {
		h := levels(1, "sensor = ? AND ", "north")[0]
		var plan string
		if err := each(t.Context(), s.db, func(r *sql.Rows) error {
			var id, parent, unused int
			var detail string
			err := r.Scan(&id, &parent, &unused, &detail)
			plan += fmt.Sprintln(detail)
			return err
		}, "EXPLAIN QUERY PLAN SELECT "+findingMetaColumns+" FROM "+table+" WHERE "+h.where+" AND (since, id) < (?, ?) AND since >= ?"+behind,
			append(append([]any{}, h.args...), int64(9), []byte{0}, int64(0), 51)...); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %s", table, plan)
		if table != "finding" && !strings.Contains(plan, "finding_sensor (sensor=? AND verdict=?") {
			t.Errorf("%s", plan)
		}
	}
}
