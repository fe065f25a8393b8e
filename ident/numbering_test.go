package ident

import (
	"bytes"
	"fmt"
	"testing"
)

func TestClassifyChina(t *testing.T) {
	p, err := ParsePlan("cn")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		user   string
		number string
		class  NumberClass
	}{
		// One subscriber, many ways to dial.
		{"13812345678", "13812345678", NumberMobile},
		{"+8613812345678", "13812345678", NumberMobile},
		{"+86-138-1234-5678", "13812345678", NumberMobile},
		{"tel:+86-138-1234-5678;phone-context=+86", "13812345678", NumberMobile},
		{"TEL:13812345678", "13812345678", NumberMobile},
		{"sip:13812345678@192.0.2.1", "13812345678", NumberMobile},
		{"008613812345678", "13812345678", NumberMobile},
		{"8613812345678", "13812345678", NumberMobile},
		{"013812345678", "13812345678", NumberMobile},
		{"13812345678;npdi;rn=+8613", "13812345678", NumberMobile},
		{"13812345678:secret", "13812345678", NumberMobile},
		{"99913812345678", "13812345678", NumberMobile},
		{"9998613812345678", "13812345678", NumberMobile},
		{"8#13812345678", "13812345678", NumberMobile},
		{"8%2313812345678", "13812345678", NumberMobile},
		{"777*013812345678", "13812345678", NumberMobile},
		{"13812345678#", "13812345678", NumberMobile},
		{"+8613812345678#", "13812345678", NumberMobile},
		{"%2B8613812345678", "13812345678", NumberMobile},
		{"555+8613812345678", "13812345678", NumberMobile},
		{"913812345678", "13812345678", NumberMobile}, // 9 for an outside line
		{"0013800138000", "13800138000", NumberMobile},
		{"00113812345678", "13812345678", NumberMobile},
		{"0099913812345678", "13812345678", NumberMobile},
		{"+13912345678", "13912345678", NumberMobile}, // 39x is no North American area code

		{"14512345678", "14512345678", NumberMobile},
		{"16612345678", "16612345678", NumberMobile},
		{"19912345678", "19912345678", NumberMobile},
		{"1064812345678", "1064812345678", NumberMobile},

		{"01062345678", "01062345678", NumberLandline},
		{"+861062345678", "01062345678", NumberLandline},
		{"00861062345678", "01062345678", NumberLandline},
		{"861062345678", "01062345678", NumberLandline},
		{"+86 010 6234 5678", "01062345678", NumberLandline},
		{"02162345678", "02162345678", NumberLandline},
		{"075526345678", "075526345678", NumberLandline},
		{"+8675526345678", "075526345678", NumberLandline},
		{"03912345678", "03912345678", NumberLandline},
		{"6234567", "6234567", NumberLandline},
		{"62345678", "62345678", NumberLandline},

		{"10086", "10086", NumberShort},
		{"10010", "10010", NumberShort},
		{"95588", "95588", NumberShort},
		{"955880", "955880", NumberShort},
		{"96110", "96110", NumberShort},
		{"12345", "12345", NumberShort},
		{"01012345", "01012345", NumberShort},
		{"075595588", "075595588", NumberShort},
		{"4001234567", "4001234567", NumberShort},
		{"+864001234567", "4001234567", NumberShort},
		{"8008101234", "8008101234", NumberShort},
		{"106550101234", "106550101234", NumberShort},

		{"110", "110", NumberEmergency},
		{"112", "112", NumberEmergency},
		{"119", "119", NumberEmergency},
		{"120", "120", NumberEmergency},
		{"122", "122", NumberEmergency},
		{"911", "911", NumberEmergency},
		{"999", "999", NumberEmergency},

		{"+442071234567", "+442071234567", NumberForeign},
		{"00442071234567", "+442071234567", NumberForeign},
		{"+85223456789", "+85223456789", NumberForeign},
		{"+13053456789", "+13053456789", NumberForeign},
		{"0013053456789", "+13053456789", NumberForeign},
		{"+919876543210", "+919876543210", NumberForeign},
		{"00919876543210", "+919876543210", NumberForeign},
		{"+4915112345678", "+4915112345678", NumberForeign},
		{"+79161234567", "+79161234567", NumberForeign},

		// What would read as well as another country's number is not made mobile.
		{"919876543210", "919876543210", NumberUnknown},
		{"819012345678", "819012345678", NumberUnknown},
		{"213512345678", "213512345678", NumberUnknown},
		{"4915112345678", "4915112345678", NumberUnknown},
		{"460113812345678", "460113812345678", NumberUnknown}, // an IMSI
		{"89860113812345678901", "89860113812345678901", NumberUnknown},
		{"+99912345678", "99912345678", NumberUnknown},
		{"12012345678", "12012345678", NumberUnknown},
		{"123456789", "123456789", NumberUnknown},
		{"5", "5", NumberUnknown},

		{"101", "101", NumberInternal},
		{"114", "114", NumberInternal},
		{"8001", "8001", NumberInternal},
		{"1001", "1001", NumberInternal},
		{"20001", "20001", NumberInternal},
		{"*97", "97", NumberInternal},
		{"8#1001", "1001", NumberInternal},
		{"alice", "alice", NumberInternal},
		{"goip01", "goip01", NumberInternal},
		{"a13812345678", "a13812345678", NumberInternal},
		{"john.doe@example.com", "john.doe", NumberInternal},

		{"", "", NumberUnknown},
		{"anonymous", "", NumberUnknown},
		{"Anonymous@anonymous.invalid", "", NumberUnknown},
		{"Restricted", "", NumberUnknown},
		{"+", "", NumberUnknown},
		{"%", "%", NumberInternal},
		{"#", "", NumberUnknown},
		{"00", "00", NumberInternal},
		{"0000000000000", "0000000000000", NumberUnknown},
		{"123456789012345678901234567890123", "123456789012345678901234567890123", NumberUnknown},
	}
	var buf [NumberBuffer]byte
	for _, tt := range tests {
		got, class := p.Classify([]byte(tt.user), buf[:])
		if string(got) != tt.number || class != tt.class {
			t.Errorf("Classify(%q) = %q, %v; want %q, %v", tt.user, got, class, tt.number, tt.class)
		}
	}
}

func TestClassifyGeneric(t *testing.T) {
	p, err := ParsePlan("generic")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		user   string
		number string
		class  NumberClass
	}{
		{"+8613812345678", "+8613812345678", NumberUnknown},
		{"008613812345678", "+8613812345678", NumberUnknown},
		{"0118613812345678", "+8613812345678", NumberUnknown},
		{"13812345678", "13812345678", NumberUnknown},
		{"0099912345678", "0099912345678", NumberUnknown},
		{"112", "112", NumberEmergency},
		{"1001", "1001", NumberInternal},
		{"bob", "bob", NumberInternal},
	}
	var buf [NumberBuffer]byte
	for _, tt := range tests {
		got, class := p.Classify([]byte(tt.user), buf[:])
		if string(got) != tt.number || class != tt.class {
			t.Errorf("Classify(%q) = %q, %v; want %q, %v", tt.user, got, class, tt.number, tt.class)
		}
	}
}

// Every three-digit start of a country code is either assigned or not; these are
// the counts of the ITU-T list by first digit, so that a slip of the pen in the
// tables shows.
func TestCountryCodes(t *testing.T) {
	for cc, want := range map[string]bool{
		"20": true, "211": true, "210": false, "214": false, "259": false, "290": true, "292": false, "298": true,
		"351": true, "384": false, "388": false, "389": true, "422": false, "423": true, "44": true, "501": true,
		"599": true, "671": false, "672": true, "684": false, "692": true, "693": false, "800": true, "801": false,
		"852": true, "854": false, "886": true, "884": false, "969": false, "968": true, "978": false, "971": true,
		"990": false, "992": true, "998": true, "999": false, "7": true,
	} {
		n := (cc + "12345678901")[:11]
		if got := foreignNumber([]byte(n)); got != want {
			t.Errorf("country code %s: assigned = %v, want %v", cc, got, want)
		}
	}
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	p, _ := ParsePlan("cn")
	users := [][]byte{[]byte("+8613812345678"), []byte("goip01"), []byte("99913812345678"), []byte("00442071234567")}
	var buf [NumberBuffer]byte
	n := testing.AllocsPerRun(100, func() {
		for _, u := range users {
			p.Classify(u, buf[:])
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestParsePlan(t *testing.T) {
	for name, want := range map[string]string{"": "cn", "cn": "cn", "generic": "generic"} {
		p, err := ParsePlan(name)
		if err != nil || p.Name() != want {
			t.Errorf("ParsePlan(%q) = %v, %v", name, p, err)
		}
	}
	if _, err := ParsePlan("atlantis"); err == nil {
		t.Error("ParsePlan(atlantis): no error")
	}
}

// FuzzClassify checks that a user part never crashes the reader, that classes
// stand for what they say, and that the result is stable: what came out reads
// the same when it is read again.
func FuzzClassify(f *testing.F) {
	for _, s := range []string{"+8613812345678", "8#138", "tel:+1-2", "%2B86%", "anonymous", "0000", "008610", "*", "a;b@c"} {
		f.Add([]byte(s))
	}
	cn, _ := ParsePlan("cn")
	generic, _ := ParsePlan("generic")
	f.Fuzz(func(t *testing.T, user []byte) {
		was := append([]byte(nil), user...)
		var buf, again [NumberBuffer]byte
		for _, p := range []*Plan{cn, generic} {
			got, class := p.Classify(user, buf[:])
			if !bytes.Equal(user, was) {
				t.Fatal("the input was changed")
			}
			if class == NumberMobile && len(got) != 11 && len(got) != 13 {
				t.Fatalf("mobile number of %d digits", len(got))
			}
			if p == generic && class != NumberUnknown && class != NumberInternal && class != NumberEmergency {
				t.Fatalf("generic plan says %v", class)
			}
			if class == NumberInternal || class == NumberUnknown {
				continue // names keep what a second reading would take off
			}
			got2, class2 := p.Classify(got, again[:])
			if !bytes.Equal(got, got2) || class != class2 {
				t.Fatalf("%q %v, read again: %q %v", got, class, got2, class2)
			}
		}
	})
}

func ExamplePlan_Classify() {
	plan, _ := ParsePlan("cn")
	var buf [NumberBuffer]byte
	for _, user := range []string{"+86-138-0013-8000", "99913800138000", "1001"} {
		number, class := plan.Classify([]byte(user), buf[:])
		fmt.Println(string(number), class)
	}
	// Output:
	// 13800138000 mobile
	// 13800138000 mobile
	// 1001 internal
}

func BenchmarkClassify(b *testing.B) {
	p, _ := ParsePlan("cn")
	var buf [NumberBuffer]byte
	user := []byte("99913812345678")
	b.ReportAllocs()
	for b.Loop() {
		p.Classify(user, buf[:])
	}
}
