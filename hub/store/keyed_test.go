package store

import (
	"testing"

	"simtrap/report/reportpb"
)

// TestHellosKeyed: what an opening names is keyed anew with the rest of a finding, and
// a name that came in clear does not stay so.
func TestHellosKeyed(t *testing.T) {
	s := openStore(t, Options{Folder: t.TempDir()})
	admit(t, s, "north")
	sent := []*reportpb.Hello{{Protocol: "tls", Name: "~aabbccddeeff0011", Issuer: "~99aabbccddeeff00"}, {Protocol: "tls", Name: "clear.example", Issuer: "Jane Roe"}, {Protocol: "esp"}}
	deliver(t, s, "north", 1, revisionOf(1, 1, review, "10.0.0.1", func(f *reportpb.Finding) { f.Hellos = sent }))
	l, err := s.Findings(t.Context(), Filter{}, Page{Size: 10})
	if err != nil || len(l.Rows) != 1 {
		t.Fatal(len(l.Rows), err)
	}
	got := l.Rows[0].Report.GetFinding().GetHellos()
	if len(got) != 3 || got[2].GetName() != "" || got[2].GetIssuer() != "" {
		t.Fatal(got)
	}
	for i, h := range got[:2] {
		for _, x := range [][2]string{{h.GetName(), sent[i].GetName()}, {h.GetIssuer(), sent[i].GetIssuer()}} {
			if len(x[0]) != 17 || x[0][0] != '~' || x[0] == x[1] {
				t.Errorf("%q of %q", x[0], x[1])
			}
		}
	}
}
