package sensor

import (
	"io"
	"os"
	"path/filepath"

	"simtrap/report"
)

// machineFolder, in the state folder, has a file for each thing that is amiss with the
// machine itself, named like its alarm and saying why. The appliance writes them
// (firmware/appliance); elsewhere there are none.
const machineFolder = "machine"

// machineAlarms are those that there are, with what to do.
var machineAlarms = []struct{ id, text, remedy string }{
	{"data-lost", "the disk's data partition is not used, and memory stands in for it until the next start: ",
		"restart; if it stays, a factory reset makes the partition anew, and what was kept on it is gone; else another disk"},
	{"capture-fallback", "", "6 on the console tries everything again; a newer system"},
}

// amiss gives those alarms that stand, for a state folder.
func amiss(state string) []Alarm {
	var out []Alarm
	for _, a := range machineAlarms {
		f, err := os.Open(filepath.Join(state, machineFolder, a.id))
		if err != nil {
			continue // it does not stand
		}
		why, err := io.ReadAll(io.LimitReader(f, maxWhy))
		info, failed := f.Stat()
		f.Close()
		if err == nil && failed == nil {
			out = append(out, Alarm{ID: a.id, Text: a.text + report.Plain(string(why)), Remedy: a.remedy, Since: info.ModTime().UnixNano(), Value: 1})
		}
	}
	return out
}
