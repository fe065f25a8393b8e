package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"simtrap/report/querypb"
	"simtrap/report/reportpb"
)

// Rules of STIX 2.1 (OASIS, 10 June 2021) that a bundle is held to.
var (
	stixID    = regexp.MustCompile(`^[a-z0-9-]+--[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`) // 2.9
	stixStamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)                                              // 2.16, 3.2
	stixName  = regexp.MustCompile(`^[a-z0-9_]{3,250}$`)                                                                    // 3.1
	stixKey   = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,250}$`)                                                                // 2.4

	// Required properties besides type, id, spec_version (3.2, sections 4 to 7).
	stixRequired = map[string][]string{
		"marking-definition":   {"created", "definition_type", "definition"},
		"identity":             {"created", "modified", "name"},
		"extension-definition": {"created", "modified", "name", "schema", "version", "extension_types", "created_by_ref"},
		"infrastructure":       {"created", "modified", "name"},
		"incident":             {"created", "modified", "name"},
		"observed-data":        {"created", "modified", "first_observed", "last_observed", "number_observed", "object_refs"},
		"relationship":         {"created", "modified", "relationship_type", "source_ref", "target_ref"},
		"ipv4-addr":            {"value"},
		"ipv6-addr":            {"value"},
		"user-account":         {"user_id"},
	}
	// Properties that the standard gives each type, besides those that all have.
	stixProperties = map[string]string{
		"marking-definition":   "name definition_type definition",
		"identity":             "name description roles identity_class sectors contact_information",
		"extension-definition": "name description schema version extension_types extension_properties",
		"infrastructure":       "name description infrastructure_types aliases kill_chain_phases first_seen last_seen",
		"incident":             "name description kill_chain_phases",
		"observed-data":        "first_observed last_observed number_observed object_refs",
		"relationship":         "relationship_type description source_ref target_ref start_time stop_time",
		"ipv4-addr":            "value",
		"ipv6-addr":            "value",
		"user-account":         "user_id credential account_login account_type display_name",
	}
	// Relationships that infrastructure may have to an address (4.8).
	stixRelations = map[string]bool{"consists-of": true, "communicates-with": true}
)

const stixCommon = " type spec_version id created_by_ref created modified object_marking_refs extensions "

// checkBundle holds a file to the rules of STIX 2.1 and gives its objects by id.
func checkBundle(t *testing.T, name string, file []byte) map[string]map[string]any {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s: %s", name, fmt.Sprintf(format, args...))
	}
	harmless(t, name, string(file))
	var bundle struct {
		Type, ID string
		Objects  []map[string]any
	}
	strict := json.NewDecoder(bytes.NewReader(file))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&bundle); err != nil {
		fail("%v", err)
	}
	if bundle.Type != "bundle" || !stixID.MatchString(bundle.ID) || !strings.HasPrefix(bundle.ID, "bundle--") || len(bundle.Objects) == 0 {
		fail("no bundle: %q %q", bundle.Type, bundle.ID)
	}
	objects := make(map[string]map[string]any)
	for _, o := range bundle.Objects {
		kind, _ := o["type"].(string)
		id, _ := o["id"].(string)
		if !stixID.MatchString(id) || !strings.HasPrefix(id, kind+"--") {
			fail("id %q of a %q", id, kind)
		}
		if o["spec_version"] != "2.1" {
			fail("%s has no spec_version", id)
		}
		required, known := stixRequired[kind]
		if !known {
			fail("no type %q", kind)
		}
		for _, p := range required {
			if _, is := o[p]; !is {
				fail("%s has no %s", id, p)
			}
		}
		for p, v := range o {
			if !strings.Contains(stixCommon, " "+p+" ") && !strings.Contains(" "+stixProperties[kind]+" ", " "+p+" ") {
				fail("%s has %s, which the standard does not know", id, p)
			}
			checkValue(fail, id+" "+p, v)
			text, _ := v.(string)
			switch p {
			case "created", "modified", "first_observed", "last_observed", "first_seen", "last_seen":
				if !stixStamp.MatchString(text) {
					fail("%s: %s is %v", id, p, v)
				}
			}
		}
		for _, pair := range [][2]string{{"created", "modified"}, {"first_observed", "last_observed"}, {"first_seen", "last_seen"}} {
			from, _ := o[pair[0]].(string)
			to, is := o[pair[1]].(string)
			if is && to < from {
				fail("%s: %s is before %s", id, pair[1], pair[0])
			}
		}
		if n, is := o["number_observed"].(float64); is && (n < 1 || n > 999999999 || n != math.Trunc(n)) {
			fail("%s: number_observed %v", id, n)
		}
		if kind == "ipv4-addr" || kind == "ipv6-addr" {
			a, err := parseAddress(o["value"].(string))
			if err != nil || a.Is4() != (kind == "ipv4-addr") {
				fail("%s is %v", id, o["value"])
			}
		}
		if r, is := o["relationship_type"].(string); is && !stixRelations[r] {
			fail("%s: no relationship %q", id, r)
		}
		for extension, v := range members(o["extensions"]) {
			if !strings.HasPrefix(extension, "extension-definition--") {
				fail("%s: extension %q", id, extension)
			}
			e := members(v)
			if e["extension_type"] != "property-extension" {
				fail("%s: extension of type %v", id, e["extension_type"])
			}
			for p := range e {
				if !stixName.MatchString(p) {
					fail("%s: %q is no name of a property", id, p)
				}
			}
		}
		if objects[id] == nil {
			objects[id] = o
		} else if fmt.Sprint(objects[id]) != fmt.Sprint(o) {
			fail("%s is there twice and differs", id)
		}
	}
	resolves := func(from string, ref any, kinds ...string) {
		text, _ := ref.(string)
		if objects[text] == nil {
			fail("%s refers to %v, which is not there", from, ref)
		}
		if kind, _, _ := strings.Cut(text, "--"); len(kinds) > 0 && !strings.Contains(" "+strings.Join(kinds, " ")+" ", " "+kind+" ") {
			fail("%s refers to %v, want one of %v", from, ref, kinds)
		}
	}
	for id, o := range objects {
		if ref, is := o["created_by_ref"]; is {
			resolves(id, ref, "identity")
		}
		for _, ref := range list(o["object_marking_refs"]) {
			resolves(id, ref, "marking-definition")
		}
		for _, ref := range list(o["object_refs"]) {
			resolves(id, ref, "ipv4-addr", "ipv6-addr")
		}
		if o["type"] == "relationship" {
			resolves(id, o["source_ref"], "infrastructure")
			resolves(id, o["target_ref"], "ipv4-addr", "ipv6-addr")
		}
		for extension := range members(o["extensions"]) {
			resolves(id, extension, "extension-definition")
		}
	}
	return objects
}

func parseAddress(s string) (netip.Addr, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr(), nil
	}
	return netip.ParseAddr(s)
}

func members(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// checkValue refuses null, empty lists and empty dictionaries (2.4, 2.8, 3.1).
func checkValue(fail func(string, ...any), where string, v any) {
	switch v := v.(type) {
	case nil:
		fail("%s is null", where)
	case []any:
		if len(v) == 0 {
			fail("%s is an empty list", where)
		}
		for _, e := range v {
			checkValue(fail, where, e)
		}
	case map[string]any:
		if len(v) == 0 {
			fail("%s is an empty dictionary", where)
		}
		for k, e := range v {
			if !stixKey.MatchString(k) {
				fail("%s: key %q", where, k)
			}
			checkValue(fail, where+"."+k, e)
		}
	}
}

// TestUUID holds ids to published ones: RFC 9562 appendix A.4, and STIX 2.1
// section 2.9.
func TestUUID(t *testing.T) {
	if got, want := uuid5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com"), "2ed6657d-e927-568b-95e1-2665a8aea6a2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	b := newBundle(Options{})
	if _, got := b.address(nil, "198.51.100.3"); got != "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4" {
		t.Errorf("198.51.100.3 is %s", got)
	}
}

// TestBundle: rows that are empty, and rows that have everything, make bundles
// that keep the rules, and the same one each time.
func TestBundle(t *testing.T) {
	at := timestamppb.New(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
	late := timestamppb.New(time.Date(2026, 11, 24, 10, 0, 0, 999999999, time.UTC))
	for _, test := range []struct {
		row  proto.Message
		want map[string]int // objects by type, besides those of every bundle
	}{
		{&querypb.Finding{}, map[string]int{"infrastructure": 1}},
		{
			&querypb.Finding{Id: "01", Sensor: "north", Received: late, Finding: &reportpb.Finding{
				Line: "realm-a/203.0.113.7", FirstSeen: at, LastSeen: late, Score: proto.Float64(math.NaN()),
				Controllers: []*reportpb.Controller{{Addr: "198.51.100.9", Role: "registrar"}, {Addr: "198.51.100.9", Role: "media"}, {Addr: "nonsense"}},
				Cards:       []*reportpb.Card{{Imsi: "46000~0123456789abcdef"}}, Device: &reportpb.Device{}, Links: &reportpb.Links{},
			}},
			map[string]int{"observed-data": 1, "ipv4-addr": 2, "identity": 1},
		},
		{&querypb.Line{Id: "01", Line: "2001:db8:1::/48", FirstSeen: late, LastSeen: at}, map[string]int{"infrastructure": 1, "ipv6-addr": 1, "relationship": 1}},
		{&querypb.Line{}, map[string]int{"infrastructure": 1}},
		{&querypb.Box{Id: "02", LineIds: []string{"01"}}, map[string]int{"infrastructure": 1}},
		{&querypb.Ring{Id: "03", Controllers: []string{"198.51.100.9", "2001:db8::9"}, FirstSeen: at}, map[string]int{"infrastructure": 1, "ipv4-addr": 1, "ipv6-addr": 1, "relationship": 2}},
		{&querypb.Controller{Id: "198.51.100.9/media", Addr: "198.51.100.9"}, map[string]int{"infrastructure": 1, "ipv4-addr": 1, "relationship": 1}},
		{&querypb.Card{Id: "04"}, map[string]int{"user-account": 1}},
		{&querypb.Sensor{Id: "north"}, map[string]int{"identity": 1}},
		{&querypb.Case{Id: "05", Opened: late, Closed: at}, map[string]int{"incident": 1}},
	} {
		o := Options{Format: querypb.ExportFormat_EXPORT_FORMAT_STIX}
		file := exported(t, o, test.row)
		objects := checkBundle(t, fmt.Sprintf("%T", test.row), file)
		got := make(map[string]int)
		for _, o := range objects {
			got[o["type"].(string)]++
		}
		got["identity"]-- // the hub's own
		for kind, n := range map[string]int{"marking-definition": 1, "extension-definition": 1} {
			if got[kind] != n {
				t.Errorf("%T: %d of %s, want %d", test.row, got[kind], kind, n)
			}
			delete(got, kind)
		}
		for kind, n := range test.want {
			if got[kind] != n {
				t.Errorf("%T: %d of %s, want %d", test.row, got[kind], kind, n)
			}
			delete(got, kind)
		}
		for kind, n := range got {
			if n != 0 {
				t.Errorf("%T: %d of %s, want none", test.row, n, kind)
			}
		}
		if again := exported(t, o, test.row); !bytes.Equal(file, again) {
			t.Errorf("%T: another bundle the second time", test.row)
		}
	}
}

// TestBundleShared: what several rows name stands once.
func TestBundleShared(t *testing.T) {
	var rows []proto.Message
	for i := range 20 {
		rows = append(rows, &querypb.Finding{Id: fmt.Sprint(i), Sensor: "north", Finding: &reportpb.Finding{
			Line: fmt.Sprintf("203.0.113.%d", i), Controllers: []*reportpb.Controller{{Addr: "198.51.100.9", Role: "registrar"}},
		}})
	}
	file := exported(t, Options{Format: querypb.ExportFormat_EXPORT_FORMAT_STIX, Authority: "case 2026-114"}, rows...)
	objects := checkBundle(t, "shared", file)
	if n := bytes.Count(file, []byte(`"198.51.100.9"}`)); n < 1 || len(objects) != 20+21+2+2 {
		t.Errorf("%d objects, want %d", len(objects), 20+21+2+2)
	}
	if objects[red] == nil || objects[amber] != nil {
		t.Error("addresses in clear are not marked red")
	}
	for id, o := range objects {
		if strings.HasPrefix(id, "observed-data") {
			if e := members(members(o["extensions"])[extensionID()]); e["authority"] != "case 2026-114" {
				t.Errorf("%s has authority %v", id, e["authority"])
			}
		}
	}
}

// TestBundleEmpty: an export of nothing is still a bundle.
func TestBundleEmpty(t *testing.T) {
	var b bytes.Buffer
	w, err := New(&b, Options{Kind: querypb.ExportKind_EXPORT_KIND_RINGS, Format: querypb.ExportFormat_EXPORT_FORMAT_STIX})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	checkBundle(t, "empty", b.Bytes())
}
