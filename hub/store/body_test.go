package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"simtrap/hub/store/storetest"
	"simtrap/report/reportpb"
)

// Linking reads all of a finding but its ledger.
func TestUnpackFacts(t *testing.T) {
	p, err := newPacker()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	l, err := storetest.NewReports(caseFolders, 1, 1, noon)
	if err != nil {
		t.Fatal(err)
	}
	full := l.Revision(0, 1).Finding
	full.Unseen = append(full.Unseen, "something")
	for name, m := range map[string]*reportpb.FindingRevision{
		"full":       {Id: findingID(1), Revision: 7, Catalogue: 3, Finding: full, Standings: []*reportpb.Standing{{Class: "home", Margin: 2}}},
		"small":      {Id: findingID(1), Finding: &reportpb.Finding{Line: "10.1.2.3"}},
		"no finding": {Id: findingID(1)},
		"empty":      {},
	} {
		b, err := p.pack(m)
		if err != nil {
			t.Fatal(err)
		}
		got := &reportpb.FindingRevision{}
		if err := p.unpackFacts(b, got); err != nil {
			t.Fatal(name, err)
		}
		want := proto.CloneOf(m)
		if want.Finding != nil {
			want.Finding.Signals, want.Finding.Unseen = nil, nil
		}
		if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if len(b) > 40 {
			if err := p.unpackFacts(b[:len(b)-9], &reportpb.FindingRevision{}); err == nil {
				t.Errorf("%s: took what was cut off", name)
			}
		}
	}
}
