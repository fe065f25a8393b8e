package ident

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

// kindOf is what libphonenumber says of a number in one region.
func kindOf(n *phonenumbers.PhoneNumber, region string) string {
	if !phonenumbers.IsValidNumberForRegion(n, region) {
		return "none"
	}
	switch phonenumbers.GetNumberType(n) {
	case phonenumbers.MOBILE:
		return "mobile"
	case phonenumbers.FIXED_LINE:
		return "landline"
	case phonenumbers.FIXED_LINE_OR_MOBILE:
		return "either"
	case phonenumbers.UNKNOWN:
		return "none"
	}
	return "other"
}

func kindHere(p *Plan, text string, buf []byte) (string, string) {
	number, class := p.Classify([]byte(text), buf)
	d := p.DescribeNumber(number, class)
	switch {
	case d.Either:
		return "either", string(number)
	case class == NumberMobile || class == NumberLandline:
		return class.String(), string(number)
	case class == NumberShort || class == NumberUnknown && d.Region != "":
		return "other", string(number)
	}
	return "none", string(number)
}

// regions lists what ParsePlan takes besides "generic".
func regions() (out []string) {
	eachRegion(func(r *regionRow) { out = append(out, strings.ToLower(r.region)) })
	return out
}

// TestWorldAgainstLibrary compares the table with the library whose metadata it
// was made from: examples of every region and kind, and numbers around them.
func TestWorldAgainstLibrary(t *testing.T) {
	types := []phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE, phonenumbers.TOLL_FREE, phonenumbers.PREMIUM_RATE,
		phonenumbers.SHARED_COST, phonenumbers.VOIP, phonenumbers.PERSONAL_NUMBER, phonenumbers.PAGER, phonenumbers.UAN}
	rng := rand.New(rand.NewPCG(1, 2))
	var buf [NumberBuffer]byte
	total, differ, kinds := 0, 0, make(map[string]int)
	var list []string
	for _, region := range regions() {
		upper := strings.ToUpper(region)
		p := worldPlan(region)
		if p == nil {
			t.Fatalf("%s: no plan", region)
		}
		check := func(nsn string) {
			text := "+" + p.world.code + nsn
			n, err := phonenumbers.Parse(text, "ZZ")
			if err != nil || phonenumbers.Format(n, phonenumbers.E164) != text {
				return // it was read as another number
			}
			want := kindOf(n, upper)
			got, number := kindHere(p, text, buf[:])
			total++
			kinds[want]++
			if got != want {
				differ++
				list = append(list, fmt.Sprintf("%s %s: %s, the library says %s", upper, text, got, want))
			} else if want != "none" && number != text {
				t.Errorf("%s %s came out as %s", upper, text, number)
			}
		}
		for _, typ := range types {
			n := phonenumbers.GetExampleNumberForType(upper, typ)
			if n == nil {
				continue
			}
			example := phonenumbers.GetNationalSignificantNumber(n)
			check(example)
			for range 40 {
				b := []byte(example)
				for i := rng.IntN(len(b)); i < len(b); i++ {
					b[i] = byte('0' + rng.IntN(10))
				}
				switch rng.IntN(8) {
				case 0:
					b = b[:len(b)-1]
				case 1:
					b = append(b, '5')
				}
				check(string(b))
			}
		}
		for range 40 {
			check(strconv.Itoa(1e8 + rng.IntN(9e8)))
			check(strconv.Itoa(1e9 + rng.IntN(9e9)))
		}
	}
	t.Logf("%d numbers, %d differ: %v", total, differ, kinds)
	for _, s := range list {
		t.Log(s)
	}
	if total < 50000 || kinds["mobile"] < 5000 || kinds["landline"] < 5000 || kinds["none"] < 5000 {
		t.Errorf("too few numbers to compare: %d, %v", total, kinds)
	}
	if differ*100 > total {
		t.Errorf("%d of %d differ", differ, total)
	}
}

// The national form, as the library writes it, is read as the same number.
func TestWorldNationalForm(t *testing.T) {
	var buf [NumberBuffer]byte
	total, differ := 0, 0
	for _, region := range regions() {
		if region == "cn" {
			continue
		}
		upper := strings.ToUpper(region)
		p, err := ParsePlan(region)
		if err != nil {
			t.Fatal(err)
		}
		for _, typ := range []phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE} {
			n := phonenumbers.GetExampleNumberForType(upper, typ)
			if n == nil {
				continue
			}
			text := phonenumbers.Format(n, phonenumbers.NATIONAL)
			number, _ := p.Classify([]byte(text), buf[:])
			total++
			if want := phonenumbers.Format(n, phonenumbers.E164); string(number) != want {
				differ++
				t.Logf("%s %q: %q, want %q", upper, text, number, want)
			}
		}
	}
	t.Logf("%d of %d differ", differ, total)
	if total < 400 || differ*50 > total {
		t.Errorf("%d of %d differ", differ, total)
	}
}

// Emergency numbers of the library are emergency numbers here.
func TestWorldEmergency(t *testing.T) {
	var buf [NumberBuffer]byte
	n, missing := 0, 0
	for _, region := range regions() {
		p, err := ParsePlan(region)
		if err != nil {
			t.Fatal(err)
		}
		for i := 100; i < 1000; i++ {
			s := strconv.Itoa(i)
			_, class := p.Classify([]byte(s), buf[:])
			if phonenumbers.IsEmergencyNumber(s, strings.ToUpper(region)) {
				n++
				if class != NumberEmergency {
					missing++
					t.Logf("%s %s: %v", region, s, class)
				}
			} else if class == NumberEmergency && region != "cn" && i != 112 && i != 911 {
				t.Errorf("%s %s: emergency here only", region, s)
			}
		}
	}
	if n < 300 || missing > 0 {
		t.Errorf("%d of %d emergency numbers missing", missing, n)
	}
}

func TestWorldPlans(t *testing.T) {
	for _, tt := range []struct {
		plan, user, number string
		class              NumberClass
	}{
		{"gh", "0244123456", "+233244123456", NumberMobile},
		{"GH", "244123456", "+233244123456", NumberMobile},
		{"gh", "+233244123456", "+233244123456", NumberMobile},
		{"gh", "+233 (0) 244 123456", "+233244123456", NumberMobile},
		{"gh", "00233244123456", "+233244123456", NumberMobile},
		{"gh", "233244123456", "+233244123456", NumberMobile},
		{"gh", "99#0244123456", "+233244123456", NumberMobile},
		{"gh", "0302212345", "+233302212345", NumberLandline},
		{"gh", "112", "112", NumberEmergency}, // everywhere, the library has it or not
		{"gh", "911", "911", NumberEmergency},
		{"gh", "999", "999", NumberEmergency},
		{"gh", "008613812345678", "+8613812345678", NumberForeign},
		{"gh", "8613812345678", "8613812345678", NumberUnknown}, // foreign without saying so
		{"gh", "101", "101", NumberInternal},
		{"gh", "alice", "alice", NumberInternal},
		{"gh", "anonymous", "", NumberUnknown},
		{"gh", "+233000000000", "+233000000000", NumberUnknown},
		{"us", "+8707111000", "+8707111000", NumberUnknown}, // a satellite, or Arkansas without its "+"
		{"th", "0812345678", "+66812345678", NumberMobile},
		{"th", "021234567", "+6621234567", NumberLandline},
		{"th", "001441632960001", "+441632960001", NumberForeign},
		{"th", "191", "191", NumberEmergency},
		{"fr", "0612345678", "+33612345678", NumberMobile},
		{"fr", "612345678", "+33612345678", NumberMobile},
		{"fr", "0123456789", "+33123456789", NumberLandline},
		{"fr", "+262692123456", "+262692123456", NumberForeign}, // La Réunion
		{"us", "12125551234", "+12125551234", NumberUnknown},    // fixed or mobile
		{"us", "+16045551234", "+16045551234", NumberForeign},   // Canada
		{"it", "0612345678", "+390612345678", NumberLandline},   // no trunk digit
		{"it", "3123456789", "+393123456789", NumberMobile},
		{"ru", "89123456789", "+79123456789", NumberMobile},
		{"ru", "+77012345678", "+77012345678", NumberForeign}, // Kazakhstan
		{"de", "4915112345678", "+4915112345678", NumberMobile},
		{"hu", "06201234567", "+36201234567", NumberMobile}, // a trunk prefix of two digits
	} {
		p, err := ParsePlan(tt.plan)
		if err != nil {
			t.Fatal(err)
		}
		for _, buf := range [][]byte{make([]byte, NumberBuffer), nil} {
			number, class := p.Classify([]byte(tt.user), buf)
			if string(number) != tt.number || class != tt.class {
				t.Errorf("%s %q = %q, %v; want %q, %v", tt.plan, tt.user, number, class, tt.number, tt.class)
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	var buf [NumberBuffer]byte
	for _, tt := range []struct {
		plan, user string
		want       Description
	}{
		{"cn", "13812345678", Description{Class: NumberMobile, Operator: "China Mobile", Region: "CN"}},
		{"cn", "+8613012345678", Description{Class: NumberMobile, Operator: "China Unicom", Region: "CN"}},
		{"cn", "0019912345678", Description{Class: NumberMobile, Operator: "China Telecom", Region: "CN"}},
		{"cn", "19212345678", Description{Class: NumberMobile, Operator: "China Broadnet", Region: "CN"}},
		{"cn", "17012345678", Description{Class: NumberMobile, Operator: "China Telecom", Use: "virtual", Region: "CN"}},
		{"cn", "17052345678", Description{Class: NumberMobile, Operator: "China Mobile", Use: "virtual", Region: "CN"}},
		{"cn", "16712345678", Description{Class: NumberMobile, Operator: "China Unicom", Use: "virtual", Region: "CN"}},
		{"cn", "13481234567", Description{Class: NumberMobile, Operator: "China Mobile", Region: "CN"}},
		{"cn", "13491234567", Description{Class: NumberMobile, Operator: "China Satcom", Use: "satellite", Region: "CN"}},
		{"cn", "17401234567", Description{Class: NumberMobile, Operator: "China Telecom", Use: "satellite", Region: "CN"}},
		{"cn", "1064812345678", Description{Class: NumberMobile, Operator: "China Mobile", Use: "things", Region: "CN"}},
		{"cn", "1440123456789", Description{Class: NumberMobile, Operator: "China Mobile", Use: "things", Region: "CN"}},
		{"cn", "16812345678", Description{Class: NumberMobile, Region: "CN"}}, // given to nobody yet
		{"cn", "01062345678", Description{Class: NumberLandline, Area: "Beijing", Region: "CN"}},
		{"cn", "+8675526345678", Description{Class: NumberLandline, Area: "Shenzhen, Guangdong", Region: "CN"}},
		{"cn", "03912345678", Description{Class: NumberLandline, Area: "Jiaozuo, Henan", Region: "CN"}},
		{"cn", "62345678", Description{Class: NumberLandline, Region: "CN"}},
		{"cn", "01012345", Description{Class: NumberShort, Area: "Beijing", Region: "CN"}},
		{"cn", "110", Description{Class: NumberEmergency, Region: "CN"}},
		{"cn", "+233244123456", Description{Class: NumberForeign, Region: "GH"}},
		{"cn", "+12125551234", Description{Class: NumberForeign, Region: "US"}},
		{"cn", "+16045551234", Description{Class: NumberForeign, Region: "CA"}},
		{"cn", "+85223456789", Description{Class: NumberForeign, Region: "HK"}},
		{"cn", "101", Description{Class: NumberInternal}},
		{"gh", "0244123456", Description{Class: NumberMobile, Region: "GH"}},
		{"gh", "+8613812345678", Description{Class: NumberForeign, Region: "CN"}},
		{"us", "2125551234", Description{Region: "US", Either: true}},
		{"us", "5", Description{}},
		{"generic", "+8613812345678", Description{Region: "CN"}},
	} {
		p, err := ParsePlan(tt.plan)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Describe([]byte(tt.user), buf[:]); got != tt.want {
			t.Errorf("%s %s: %+v, want %+v", tt.plan, tt.user, got, tt.want)
		}
	}
}

// Operators and areas, as far as the library has data.
func TestChinaAgainstLibrary(t *testing.T) {
	p, _ := ParsePlan("cn")
	var buf [NumberBuffer]byte
	operators, areas := 0, 0
	for n := 1300; n < 2000; n++ {
		text := fmt.Sprintf("+86%d2345678", n)[:14]
		num, err := phonenumbers.Parse(text, "CN")
		if err != nil {
			t.Fatal(err)
		}
		want, err := phonenumbers.GetCarrierForNumber(num, "en")
		if err != nil {
			t.Fatal(err)
		}
		got := p.Describe([]byte(text), buf[:])
		if want != "" && kindOf(num, "CN") == "mobile" {
			operators++
			if got.Operator != want {
				t.Errorf("%s: %q, the library says %q", text, got.Operator, want)
			}
		}
	}
	for code := 300; code < 1000; code++ {
		for n := 7; n <= 8; n++ {
			landline, text := false, ""
			var num *phonenumbers.PhoneNumber
			for first := '8'; first >= '2' && !landline; first-- {
				text = fmt.Sprintf("+86%d%c%s", code, first, "2345678"[:n-1])
				var err error
				if num, err = phonenumbers.Parse(text, "CN"); err != nil {
					t.Fatal(err)
				}
				landline = kindOf(num, "CN") == "landline"
			}
			got := p.Describe([]byte(text), buf[:])
			// Both lengths are taken where the library has one.
			if _, ok := p.areas.find(fmt.Appendf(nil, "0%d", code)); ok {
				landline = true
			}
			if landline != (got.Class == NumberLandline) {
				t.Errorf("%s: %+v, the library: landline %v", text, got, landline)
			}
			if want, _ := phonenumbers.GetGeocodingForNumber(num, "en"); landline && kindOf(num, "CN") == "landline" {
				areas++
				if got.Area != strings.TrimPrefix(want, "China") {
					t.Errorf("%s: area %q, the library says %q", text, got.Area, want)
				}
			}
		}
	}
	if operators < 250 || areas < 300 || len(p.areas.list) < 320 {
		t.Errorf("compared %d operators, %d areas", operators, areas)
	}
}

func TestCarrierPrefixes(t *testing.T) {
	p, _ := ParsePlan("cn")
	var buf [NumberBuffer]byte
	for user, want := range map[string]string{
		"17951075526345678":       "075526345678",
		"1791113812345678":        "13812345678",
		"17951013812345678":       "13812345678",
		"1795100442071234567":     "+442071234567",
		"179511795117951":         "179511795117951", // one and no more
		"17951179511795126345678": "17951179511795126345678",
	} {
		if got, class := p.Classify([]byte(user), buf[:]); string(got) != want {
			t.Errorf("%s: %s %v, want %s", user, got, class, want)
		}
	}
}

func TestDescribeDoesNotAllocate(t *testing.T) {
	for _, name := range []string{"cn", "gh", "us", "in", "generic"} {
		p, err := ParsePlan(name)
		if err != nil {
			t.Fatal(err)
		}
		users := [][]byte{[]byte("+8613812345678"), []byte("01062345678"), []byte("0244123456"), []byte("+233244123456"), []byte("12125551234"), []byte("+919876543210"), []byte("goip01")}
		var buf [NumberBuffer]byte
		if n := testing.AllocsPerRun(100, func() {
			for _, u := range users {
				p.Describe(u, buf[:])
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

func BenchmarkDescribe(b *testing.B) {
	for _, name := range []string{"cn", "gh", "in"} {
		p, err := ParsePlan(name)
		if err != nil {
			b.Fatal(err)
		}
		for _, user := range []string{"13812345678", "+8675526345678", "0244123456", "+919876543210"} {
			b.Run(name+"/"+user, func(b *testing.B) {
				var buf [NumberBuffer]byte
				u := []byte(user)
				b.ReportAllocs()
				for b.Loop() {
					p.Describe(u, buf[:])
				}
			})
		}
	}
}

// FuzzWorld checks that what came out of any plan reads the same again.
func FuzzWorld(f *testing.F) {
	for _, s := range []string{"0244123456", "+233244123456", "00233", "9#1", "810441234567", "011112", "06201234567"} {
		f.Add(s, uint8(3))
	}
	var plans []*Plan
	for _, r := range []string{"gh", "us", "ru", "hu", "it", "de", "in", "br", "ca", "au", "cn"} {
		p, err := ParsePlan(r)
		if err != nil {
			f.Fatal(err)
		}
		plans = append(plans, p)
	}
	f.Fuzz(func(t *testing.T, user string, plan uint8) {
		p := plans[int(plan)%len(plans)]
		var buf, again [NumberBuffer]byte
		was := []byte(user)
		got, class := p.Classify(was, buf[:])
		if string(was) != user {
			t.Fatal("the input was changed")
		}
		d := p.DescribeNumber(got, class)
		if class == NumberInternal || class == NumberUnknown && !d.Either {
			return
		}
		got2, class2 := p.Classify(got, again[:])
		if !bytes.Equal(got, got2) || class != class2 {
			t.Fatalf("%s: %q %v, read again: %q %v", p.Name(), got, class, got2, class2)
		}
	})
}
