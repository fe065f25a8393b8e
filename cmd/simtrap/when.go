package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// parseWhen reads a point in time as nanoseconds since the Unix epoch; what
// names no zone is UTC, and a date alone is its first moment.
func parseWhen(s string) (int64, error) {
	if strings.TrimSpace(s) == "" {
		return 0, errors.New("an empty text is no time; leave the flag out for no limit")
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05.999999999",
		"2006-01-02T15:04", "2006-01-02T15:04:05.999999999",
	} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if y := t.UTC().Year(); y < 1970 || y > 2261 {
			return 0, fmt.Errorf("%q: captures have times of the years 1970 to 2261", s)
		}
		return t.UnixNano(), nil
	}
	return 0, fmt.Errorf("%q is no time: want 2026-11-23, \"2026-11-23 10:00\" or 2026-11-23T10:00:00Z", s)
}
