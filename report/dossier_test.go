package report

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"simtrap/heuristics"
	"simtrap/ident"
)

func dossier() *Dossier {
	proven := box()
	proven.Signals = append(proven.Signals, heuristics.Row{ID: proofID, Family: "control", Against: home, Detail: "819 answered records over 1496 s, 8 channels or cards"})
	proven.Reached = []heuristics.Reach{{Verdict: heuristics.Watch, At: start.UnixNano(), Calls: 4}, {Verdict: heuristics.Case, At: start.Add(time.Hour).UnixNano(), Calls: 40}}
	return &Dossier{
		Case: "案 7 <b>", Made: start.Add(24 * time.Hour).UnixNano(), Findings: []heuristics.Finding{proven},
		Activity: func(ident.Line) *Activity { return activity(20) },
		Summary:  &Summary{Frames: 2017, First: start.UnixNano(), Last: start.Add(time.Hour).UnixNano(), Losses: []Loss{{"decode", "ipv4 header cut", 3}}},
		Origin: Origin{Program: "1.2", ProgramHash: strings.Repeat("ab", 32), Catalogue: strings.Repeat("cd", 32), Configuration: strings.Repeat("ef", 32),
			Inputs:       []Source{{"<i>.pcap", 12345, strings.Repeat("01", 32)}},
			CaptureClock: "that of the capture files: how true it was is not known", MakingClock: "synchronised, at most 5 ms off",
			Signer: strings.Repeat("23", 32), Number: 2, Previous: strings.Repeat("45", 32)},
	}
}

func writeDossier(t *testing.T, d *Dossier, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteDossier(&b, d, o); err != nil {
		t.Fatal(err)
	}
	checkPage(t, b.Bytes())
	return b.String()
}

func TestDossier(t *testing.T) {
	got := writeDossier(t, dossier(), options(""))
	for _, want := range []string{
		`<html lang="en">`, "default-src 'none'", "@page{size:A4", "案 7 &lt;b&gt;", "2026-11-24 10:00:02 UTC", "<h3>What</h3>", "<h3>Where</h3>", "<h3>When</h3>", "<h3>Why</h3>", "<h3>How sure</h3>",
		"Not seen, and what it would have decided", "Limits of the method", "<dt>case</dt><dd>2026-11-23 11:00:02 UTC, 40 calls</dd>", "819 answered records", "ipv4 header cut",
		"&lt;i&gt;.pcap", "12,345", strings.Repeat("01", 32), strings.Repeat("23", 32), strings.Repeat("45", 32), "synchronised, at most 5 ms off", "46000~", "Calls by channel",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the dossier lacks %q", want)
		}
	}
	for _, never := range []string{"13800138000", "460001234567890", "1001@sip.example", "490154203237518"} {
		if strings.Contains(got, never) {
			t.Errorf("without an authority it tells %q", never)
		}
	}
	if got := writeDossier(t, dossier(), options("case 2026-114")); !strings.Contains(got, "case 2026-114") || !strings.Contains(got, "460001234567890") {
		t.Error("under an authority it does not tell who, or which")
	}
	if got := writeDossier(t, &Dossier{Summary: &Summary{}}, options("")); !strings.Contains(got, "Limits of the method") {
		t.Error("an empty one")
	}
}

// Every sentence that the dossier can say stands in Chinese.
func TestDossierChinese(t *testing.T) {
	source, err := os.ReadFile("dossier.go")
	if err != nil {
		t.Fatal(err)
	}
	zh := newTranslator(Chinese)
	n := 0
	for _, m := range regexp.MustCompile(`(?m)(?:b\.(?:word|term|heads|scroll|tr)\((?:[^"\n]*"(?:h\d|p)[^"\n]*", )?|hash\(|^\t\t)"([A-Z][^"]*)"`).FindAllSubmatch(source, -1) {
		n++
		if out, ok := zh.try(string(m[1]), 4); !ok || out == string(m[1]) && m[1][0] != 'S' {
			t.Errorf("no Chinese for %q", m[1])
		}
	}
	if n < 30 {
		t.Errorf("only %d sentences were looked at", n)
	}
	for _, s := range []string{"that of the capture files: how true it was is not known", "synchronised, at most 5 ms off", "not synchronised", "not known", "given by hand"} {
		if _, ok := zh.try(s, 4); !ok {
			t.Errorf("no Chinese for %q", s)
		}
	}
	o := options("")
	o.Language = Chinese
	if got := writeDossier(t, dossier(), o); !strings.Contains(got, "方法的局限") || strings.Contains(got, "Limits of the method") {
		t.Error("it is not in Chinese")
	}
}

// What a hub makes of messages is the same report: their identities stand as they came, and
// the authority without a word that they were in clear.
func TestDossierOfMessages(t *testing.T) {
	d := dossier()
	o := options("")
	for i := range d.Findings {
		d.Messages = append(d.Messages, Message(&d.Findings[i], o))
	}
	want := writeDossier(t, d, o)
	d.Findings, d.Activity, d.Authority = nil, nil, "case 2026-114 <i>"
	for l, says := range map[Language][]string{
		English: {"<h3>Why</h3>", "<dt>Proof</dt><dd>819 answered records", "Reasons", "the SIM side of the calls", "case 2026-114 &lt;i&gt;", "sms-server"},
		Chinese: {"方法的局限", "立案（实证）", "短信服务器", "case 2026-114 &lt;i&gt;"},
	} {
		got := writeDossier(t, d, Options{Language: l})
		for _, s := range says {
			if !strings.Contains(got, s) {
				t.Errorf("%v lacks %q", l, s)
			}
		}
		for _, c := range d.Messages[0].GetCards() {
			if c.GetImsi() == "" || !strings.Contains(got, c.GetImsi()) || !strings.Contains(want, c.GetImsi()) {
				t.Errorf("%v: not the pseudonym %q of the sensor", l, c.GetImsi())
			}
		}
		if strings.Contains(got, "in clear") {
			t.Errorf("%v says that identities are in clear", l)
		}
	}
}
