package door

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"simtrap/hub/store"
	"simtrap/report/fleetpb"
)

func TestUpdates(t *testing.T) {
	folder := t.TempDir()
	h := run(t, Options{Updates: folder})
	text := bytes.Repeat([]byte("bundle "), 30000)
	sum := sha256.Sum256(text)
	name := hex.EncodeToString(sum[:])
	if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
	one, other := h.enrolled("north-1"), h.enrolled("north-2")
	offer := &fleetpb.UpdateOffer{Version: "1", Arch: "amd64", Sequence: 7, Size: uint64(len(text)), Sha256: sum[:], Sensors: []string{"north-1"}}
	if err := h.store.AddPolicy(t.Context(), store.Policy{Version: 1, Policy: &fleetpb.Policy{Updates: []*fleetpb.UpdateOffer{offer}}, By: "root", Made: h.now()}); err != nil {
		t.Fatal(err)
	}
	get := func(c *http.Client, path, from string) (int, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if from != "" {
			r.Header.Set("Range", "bytes="+from+"-")
		}
		answer, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, b
	}
	if code, b := get(one.http, "/updates/"+name, ""); code != http.StatusOK || !bytes.Equal(b, text) {
		t.Errorf("%d, %d bytes", code, len(b))
	}
	if code, b := get(one.http, "/updates/"+name, "150000"); code != http.StatusPartialContent || !bytes.Equal(b, text[150000:]) {
		t.Errorf("the rest: %d, %d bytes", code, len(b))
	}
	for what, c := range map[string]struct {
		client *http.Client
		path   string
		want   int
	}{
		"one that is not offered it": {other.http, "/updates/" + name, http.StatusNotFound},
		"nobody known":               {h.client(nil, nil), "/updates/" + name, http.StatusForbidden},
		"another file":               {one.http, "/updates/..%2Fhub.key", http.StatusNotFound},
	} {
		if code, b := get(c.client, c.path, ""); code != c.want || bytes.Contains(b, text[:100]) {
			t.Errorf("%s: %d, want %d", what, code, c.want)
		}
	}
	// A sensor is told of its own offer, and not who else has it.
	p, _, err := fleet{h.door}.policy(t.Context(), "north-1", known{})
	if err != nil || len(p.GetUpdates()) != 1 || len(p.GetUpdates()[0].GetSensors()) != 0 {
		t.Errorf("%v, %v", p, err)
	}
	if p, _, err := (fleet{h.door}).policy(t.Context(), "north-2", known{}); err != nil || len(p.GetUpdates()) != 0 {
		t.Errorf("%v, %v", p, err)
	}
	// Not here: come again.
	if err := os.Remove(filepath.Join(folder, name)); err != nil {
		t.Fatal(err)
	}
	if code, _ := get(one.http, "/updates/"+name, ""); code != http.StatusServiceUnavailable {
		t.Errorf("a bundle that is not here: %d", code)
	}
	if err := h.store.Revoke(t.Context(), "north-1", "root", "", h.now()); err != nil {
		t.Fatal(err)
	}
	if code, _ := get(one.http, "/updates/"+name, ""); code != http.StatusForbidden {
		t.Errorf("one that was revoked: %d", code)
	}
}
