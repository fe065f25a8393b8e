package main

import (
	"os"
	"path/filepath"

	"simtrap/cmd/internal/command"
	"simtrap/cmd/internal/keyfile"
)

// pseudonymKey finds the key of a run: the file named, or the user's own. Only
// when the user's own cannot be had is there a key for this run alone.
func pseudonymKey(t command.Terminal, named string) ([]byte, error) {
	if named != "" {
		key, made, err := keyfile.ReadOrMake(named)
		if made {
			t.Warn("made a new pseudonym key in " + named + "; pseudonyms compare only where this key is used")
		}
		return key, err
	}
	dir, err := os.UserConfigDir()
	if err == nil {
		var key []byte
		if key, _, err = keyfile.ReadOrMake(filepath.Join(dir, "simtrap", "key")); err == nil {
			return key, nil
		}
	}
	t.Warn(err.Error() + "; this run's pseudonyms compare with no other's, see --key")
	return keyfile.New(), nil
}
