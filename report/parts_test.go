package report

import (
	"html/template"
	"strings"
	"testing"

	"simtrap/report/reportpb"
	"simtrap/report/show"
)

func waterfall(t *testing.T, p *Parts, m *reportpb.Finding) string {
	t.Helper()
	set, err := show.Add(template.New("x"), p.Words())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := set.ExecuteTemplate(&b, "why", &show.Line{ID: "w", Ledger: p.Ledger(m)}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestParts: the waterfall of a message is that of the page, but for the margin against
// a household, which no message has.
func TestParts(t *testing.T) {
	score, margin := 6.0, 2.5
	m := &reportpb.Finding{
		Verdict: reportpb.Verdict_VERDICT_REVIEW, Margin: &margin, Nearest: "hosted-pbx",
		Signals: []*reportpb.Signal{
			{Id: "fan", Family: "fan-out", Nats: &score, Against: "hosted-pbx", Detail: "up to 7 calls at once"}, {Id: "fan", Family: "fan-out", Nats: &score, Against: "home", Detail: "up to 7 calls at once"},
			{Id: "x", Family: "media", Against: "home", Detail: `<script>"`},
		},
	}
	for l, want := range map[Language][]string{
		English: {"up to 7 calls at once (fan-out)", "against hosted-pbx</span>", "&#43;6.0", "-3.5", ">2.5<", "&lt;script&gt;&#34;"},
		Chinese: {"同时最多 7 个呼叫（号码分散）", "托管交换机"},
	} {
		got := waterfall(t, NewParts(l), m)
		for _, s := range want {
			if !strings.Contains(got, s) {
				t.Errorf("%v: no %s in\n%s", l, s, got)
			}
		}
		if strings.Contains(got, "<script") || strings.Contains(got, "NaN") {
			t.Error(got)
		}
	}
	if got := NewParts(English).Ledger(&reportpb.Finding{}); got != nil {
		t.Errorf("no reasons: %v", got)
	}
	p := NewParts(Chinese, [2]string{"a word of others", "别处的词"}, [2]string{"%d words of others", "{1} 个别处的词"})
	if p.Text("a word of others") != "别处的词" || p.Text("7 words of others") != "7 个别处的词" || !p.Known("line") || p.Known("no words of ours") {
		t.Error("words of others are not known, or unknown ones are")
	}
	for v, want := range map[reportpb.Verdict]string{0: "Nothing", 1: "Nothing", 2: "Watch", 3: "Review", 4: "Case", 9: "Nothing"} {
		if got := InWords(&reportpb.Finding{Verdict: v}); !strings.HasPrefix(got, want) {
			t.Errorf("%d: %s", v, got)
		}
	}
	if NatsText(nil) != "?" || NatsText(&margin) != "2.5" {
		t.Error(NatsText(nil), NatsText(&margin))
	}
}
