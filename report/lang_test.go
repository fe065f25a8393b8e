package report

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"simtrap/heuristics"
	"simtrap/packet"
)

// TestChineseKnowsEveryCase holds that every sentence of every case, and what
// the table and the page make of it, has a Chinese pattern.
func TestChineseKnowsEveryCase(t *testing.T) {
	files, _ := filepath.Glob("../cases/*/expected.json")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	zh := newTranslator(Chinese)
	told := make(map[string]bool)
	know := func(where, s string) {
		if s == "" || told[s] {
			return
		}
		told[s] = true
		if out, ok := zh.try(s, 4); !ok {
			t.Errorf("%s: no Chinese for %q (%q): add its pattern to zh.go", where, s, out)
		}
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		sc := bufio.NewScanner(f)
		sc.Buffer(nil, 1<<24)
		for sc.Scan() {
			var x struct {
				Verdict, Nearest string
				Device           struct {
					Vendor, Model string
					Channels      int
				}
				Controllers []struct{ Role string }
				Calls       struct {
					Inbound, Outbound, Answered, Verified, Streams int
					PeakConcurrent                                 int `json:"peak_concurrent"`
					DistinctCalled                                 int `json:"distinct_called"`
					TalkSeconds                                    int `json:"talk_seconds"`
				}
				Signals []struct{ Family, Against, Detail string }
				Unseen  []string
			}
			if err := json.Unmarshal(sc.Bytes(), &x); err != nil {
				t.Fatal(err)
			}
			know(name, x.Verdict)
			know(name, x.Nearest)
			know(name, device(heuristics.Device(x.Device)))
			know(name, calls(heuristics.Calls{Inbound: x.Calls.Inbound, Outbound: x.Calls.Outbound, Answered: x.Calls.Answered, Verified: x.Calls.Verified,
				Streams: x.Calls.Streams, PeakConcurrent: x.Calls.PeakConcurrent, DistinctCalled: x.Calls.DistinctCalled, TalkSeconds: x.Calls.TalkSeconds}))
			for _, c := range x.Controllers {
				know(name, c.Role)
			}
			for _, s := range x.Signals {
				know(name, s.Detail)
				know(name, s.Family)
				know(name, s.Against)
			}
			for _, u := range x.Unseen {
				know(name, u)
			}
		}
		if err := sc.Err(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if len(told) < 100 {
		t.Errorf("only %d sentences were looked at", len(told))
	}
	for v := heuristics.None; v <= heuristics.Case; v++ {
		for _, proof := range []bool{false, true} {
			know("verdict", inWords(&heuristics.Finding{Verdict: v, Proof: proof}))
			know("verdict", v.String())
		}
	}
}

// TestChineseKnowsEverySentence holds the same of the sentences of heuristics
// and of losses as they stand in the source, which cases may not reach.
func TestChineseKnowsEverySentence(t *testing.T) {
	zh := newTranslator(Chinese)
	n := 0
	know := func(where, s string) {
		n++
		if out, ok := zh.try(s, 4); !ok {
			t.Errorf("%s: no Chinese for %q (%q): add its pattern to zh.go", where, s, out)
		}
	}
	for reason := range packet.Reason(255) {
		if reason.Loss() {
			know("packet/reason.go", reason.String())
		}
	}
	source := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, m := range regexp.MustCompile(`add\("([a-z]+)", "([^"]+)"`).FindAllStringSubmatch(source("../pipeline/losses.go"), -1) {
		know("pipeline/losses.go", m[1])
		know("pipeline/losses.go", m[2])
	}
	// A sentence that is returned whole.
	files, _ := filepath.Glob("../heuristics/sig_*.go")
	for _, name := range append(files, "../heuristics/judge.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`(?:return|append\(unseen,|needCalls\() ?"([^"%]* [^"%]*[^" ])"[),\n]`).FindAllStringSubmatch(source(name), -1) {
			know(name, m[1])
		}
	}
	if n < 80 {
		t.Errorf("only %d sentences were found", n)
	}
}

// TestChineseOfSignals has one sentence of each kind that takes words apart.
func TestChineseOfSignals(t *testing.T) {
	zh := newTranslator(Chinese)
	for in, want := range map[string]string{
		"speaks as cameras do to their platform (MANSCDP) (device)":                                            "像摄像机对其平台那样通信（MANSCDP）（设备）",
		"controller 198.51.100.9 is abroad (HK), among servers for hire":                                       "控制端 198.51.100.9 在境外（HK）的租用服务器上",
		"a mark of a gateway's maker: greets as Dinstar's gateways do (control)":                               "网关厂商的特征：问候语同 Dinstar 的网关（控制）",
		"calls began 90 s after the line came into these hands":                                                "线路易手 90 秒后开始有呼叫",
		"12 of 20 new called numbers differ from one before in their last two digits only":                     "20 个新被叫号码中有 12 个与先前某个号码仅末两位不同",
		"3 calls placed: 1 from the line's own accounts, 2 from others":                                        "发起 3 个呼叫：1 个来自线路自己的账号，2 个来自其他号码",
		"beside its calls about 1 name asked for, 2 far ends, 7 KiB of web; voice is 93 % of its bytes":        "呼叫之外约查询 1 个名称、2 个远端、网页流量 7 KiB；语音占其字节的 93%",
		"beside its calls about 1 name asked for, 2 far ends, 7 KiB of web; voice is 93 % of its bytes (life)": "呼叫之外约查询 1 个名称、2 个远端、网页流量 7 KiB；语音占其字节的 93%（线路使用历史）",
		"4 of 9 pauses between calls within a third of the least, 90 s":                                        "呼叫间的 9 次停顿中有 4 次与最短者（90 秒）相差不到三分之一",
		"the far end of 3 of 4 calls signs as VOS3000 (x, y)":                                                  "4 个呼叫中有 3 个的远端署名为 VOS3000 (x, y)",
		"40 short messages: 39 handed to the line for ever-new mobiles, 1 sent by it to known ones":            "40 条短信：39 条交给线路发往不断更换的手机号，1 条由其发往已知号码",
		"none of 8 accounts stayed away alone in 3 h":                                                          "3 小时内 8 个账号没有一个单独离线",
		"only signalling towards the line: nothing that the line itself said about who calls whom":             "只见发往线路的信令：未见线路自身关于谁呼叫谁的任何内容",
		"2 sound records over 61 s, 4 channels or cards, peer not seen":                                        "61 秒内有 2 条通过校验的记录，涉及 4 个通道或卡，未见对端",
	} {
		if got, ok := zh.try(in, 4); !ok || got != want {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
}

// TestChineseOfReasons holds that a family stays behind its sentence, whatever
// that ends with.
func TestChineseOfReasons(t *testing.T) {
	for _, c := range []struct {
		r      reason
		zh, en string
	}{
		{reason{detail: "no message of a camera platform in 24 min", family: "device"},
			"24 分钟内未见摄像机平台的消息（设备）", "no message of a camera platform in 24 min (device)"},
		{reason{detail: "the far end of 3 of 4 calls signs as VOS3000", family: "topology"},
			"4 个呼叫中有 3 个的远端署名为 VOS3000（拓扑）", "the far end of 3 of 4 calls signs as VOS3000 (topology)"},
		{reason{detail: `calls itself "a; (b)"`, family: "device", others: []string{"+2.5 against call-centre", "-1.0 against home"}},
			`自称 "a; (b)"（设备）；对呼叫中心 +2.5，对家庭 -1.0`, `calls itself "a; (b)" (device); +2.5 against call-centre, -1.0 against home`},
		{reason{detail: "hub"}, "汇聚中心", "hub"},
	} {
		if got := newTranslator(Chinese).words(&c.r); got != c.zh {
			t.Errorf("%q: %q, want %q", c.r.detail, got, c.zh)
		}
		if got := newTranslator(English).words(&c.r); got != c.en {
			t.Errorf("%q: %q, want %q", c.r.detail, got, c.en)
		}
	}
}

func TestTranslate(t *testing.T) {
	zh := newTranslator(Chinese)
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{"1 account on 1 private socket", "1 个账号位于 1 个内网套接字", true},
		{"1,103 accounts on 2 private sockets", "1,103 个账号位于 2 个内网套接字", true},
		{"113 calls received: 111 for ever-new mobiles, 2 for new landlines", "收到 113 个呼叫：111 个打给不断更换的手机号，2 个打给新的固定电话", true},
		{`calls itself "a, b; up to 3 calls at once (c)"`, `自称 "a, b; up to 3 calls at once (c)"`, true},
		{"no call signalling: who calls whom is not known", "未见呼叫信令：不知道谁呼叫谁", true},
		{"2 h 10 min", "2 小时 10 分", true},
		{"198.51.100.9 (sms-server)", "198.51.100.9（短信服务器）", true},
		{"8 of 8 messages were read", "", false},
		{"8 calls receives: 1 for ever-new mobiles", "", false},
		{"no call signalling: who pays is not known", "", false},
		{"2 in, 1 out, 3 h 4 min of talk", "呼入 2，呼出 1，通话 3 小时 4 分", true},
		{"IMSI 46000~1, number cn-mobile~2", "IMSI 46000~1，号码 cn-mobile~2", true},
		{"", "", true},
	} {
		got, ok := zh.try(c.in, 4)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %q, %v; want %q, %v", c.in, got, ok, c.want, c.ok)
		}
	}
	// What nobody can translate stays as it is, whatever its length.
	for _, s := range []string{"words nobody knows", strings.Repeat("a, ", 5000), strings.Repeat("((((", 5000), "\xff\x00 %s"} {
		if got := zh.text(s); got != s {
			t.Errorf("%.40q became %.40q", s, got)
		}
	}
	if got := (*translator)(nil).text("up to 3 calls at once"); got != "up to 3 calls at once" {
		t.Errorf("English became %q", got)
	}
	// Every entry has all the holes it names, and none twice.
	seen := make(map[string]bool)
	for _, e := range chinese() {
		if seen[e[0]] {
			t.Errorf("%q stands there twice", e[0])
		}
		seen[e[0]] = true
		holes := strings.Count(e[0], "%d") + strings.Count(e[0], "%s") + strings.Count(e[0], "%q") + strings.Count(e[0], "%S") + strings.Count(e[0], "%w") + strings.Count(e[0], "%c")
		for i := 1; i <= 9; i++ {
			if n := strings.Count(e[1], "{"+string(rune('0'+i))+"}"); n != 1 && i <= holes || n != 0 && i > holes {
				t.Errorf("%q: {%d} stands %d times in %q", e[0], i, n, e[1])
			}
		}
	}
}

func TestParseLanguage(t *testing.T) {
	for in, want := range map[string]Language{"en": English, "zh": Chinese, "zh-CN": Chinese, "zh_CN.UTF-8": Chinese, "EN": English} {
		if got, err := ParseLanguage(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "fr", "zh-TW", "english"} {
		if got, err := ParseLanguage(in); err == nil {
			t.Errorf("%q: %v", in, got)
		}
	}
}
