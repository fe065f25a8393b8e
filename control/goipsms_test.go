package control

import (
	"strings"
	"testing"

	"simtrap/ident"
)

func TestGoIPKeepalive(t *testing.T) {
	r := one(t, keepalive(27, "sz-01", imei1, imsi1, iccid1))
	if r == nil || !r.Sound || r.Kind != Keepalive || r.Sender != RoleGateway || r.Reply || r.Channel == 0 || r.Protocol != GoIPSMS {
		t.Fatalf("got %+v", r)
	}
	p := ident.NewPseudonymizer(nil, "test")
	if p.IMEI(r.IMEI) != imei1 || p.IMSI(r.IMSI) != imsi1 || p.ICCID(r.ICCID) != iccid1 || p.Number("", r.Number) != "+8613800138000" {
		t.Error("identities are not those of the message")
	}
	if r.Src != gateway || r.Dst != server || r.SrcPort != 20000 || r.DstPort != 44444 || r.Time != start || r.TCP {
		t.Errorf("addresses: %+v", r)
	}
	other := one(t, keepalive(27, "sz-02", imei1, imsi1, iccid1))
	if other.Channel == r.Channel || other.Digest == r.Digest {
		t.Error("two channels are taken for one")
	}
	if again := one(t, keepalive(28, "sz-01", imei1, imsi1, iccid1)); again.Channel != r.Channel || again.Digest == r.Digest || again.Exchange == r.Exchange {
		t.Error("two messages are taken for one, or one channel for two")
	}
	if a := one(t, "reg:27;status:0;"); a == nil || !a.Sound || !a.Reply || a.Sender != RoleServer || a.Exchange != r.Exchange || a.Digest == r.Digest {
		t.Errorf("answer: %+v", a)
	}
	leaks(t, r, other)
}

// The forms seen verbatim in independent sources, with values of our own.
func TestGoIPKeepaliveForms(t *testing.T) {
	const head = "req:19;id:g1;pass:" + secret + ";num:;signal:15;gsm_status:LOGIN;"
	const states = head + "voip_status:LOGOUT;voip_state:IDLE;remain_time:-1;"
	for name, c := range map[string]struct {
		text  string
		sound bool
	}{
		"before cells were told":     {states + "imei:" + imei1 + ";imsi:" + imsi1 + ";iccid:" + iccid1 + ";pro:dna;", true},
		"without identities":         {states + "pro:Tele2;disable_status:0;", true},
		"no card":                    {strings.Replace(states, "signal:15", "signal:", 1) + "imei:000000000000000;imsi:000000000000000;iccid:00000000000000000000;pro:CHINA UNICOM GSM;idle:1;disable_status:0;SMS_LOGIN:N;SMB_LOGIN:;CELLINFO:LAC:FFFF,CELL ID:FFFF;CGATT:Y;", true},
		"fields of newer firmware":   {states + "pro:x;idle:1;disable_status:0;SMS_LOGIN:N;SMB_LOGIN:Y;CELLINFO:;CGATT:N;LTE:Y;BAND:3;", true},
		"line end":                   {states + "pro:x;\r\n\x00", true},
		"card logged out":            {strings.Replace(states, "gsm_status:LOGIN", "gsm_status:LOGOUT", 1) + "pro:;", true},
		"twenty digits":              {states + "iccid:89860012345678901299;pro:x;", false}, // check digit 5
		"twenty digits, checked":     {states + "iccid:89860012345678901295;pro:x;", true},
		"eighteen digits":            {states + "iccid:898600123456789012;pro:x;", true},
		"only the head":              {head, false},
		"no carrier":                 {states, false},
		"order":                      {states + "imsi:" + imsi1 + ";imei:" + imei1 + ";pro:x;", false},
		"twice":                      {states + "pro:x;pro:x;", false},
		"unknown in between":         {states + "band:3;pro:x;", false},
		"IMEI check digit":           {states + "imei:356938035643808;pro:x;", false},
		"IMEI of sixteen":            {states + "imei:3569380356438095;pro:x;", false},
		"IMSI of a test network":     {states + "imsi:001010123456789;pro:x;", false},
		"IMSI of no country":         {states + "imsi:810010123456789;pro:x;", false},
		"IMSI of thirteen":           {states + "imsi:4600112345678;pro:x;", false},
		"IMSI with a letter":         {states + "imsi:46001123456789a;pro:x;", false},
		"ICCID check digit":          {states + "iccid:8986001234567890128;pro:x;", false},
		"ICCID of no card":           {states + "iccid:7986001234567890120;pro:x;", false},
		"signal of words":            {strings.Replace(states, "signal:15", "signal:good", 1) + "pro:x;", false},
		"state":                      {strings.Replace(states, "voip_status:LOGOUT", "voip_status:MAYBE", 1) + "pro:x;", false},
		"remaining time":             {strings.Replace(states, "remain_time:-1", "remain_time:long", 1) + "pro:x;", false},
		"cell":                       {states + "pro:x;CELLINFO:LAC:XYZ,CELL ID:1;", false},
		"number of words":            {strings.Replace(states, "num:;", "num:five;", 1) + "pro:x;", false},
		"something behind the end":   {states + "pro:x;and more", false},
		"longer than a name may be":  {states + "pro:x;" + strings.Repeat("n", 40) + ":1;", false},
		"longer than a value may be": {states + "pro:" + strings.Repeat("n", 200) + ";", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := one(t, c.text)
			if r == nil {
				t.Fatal("not recognised")
			}
			if r.Sound != c.sound {
				t.Errorf("sound %v, want %v", r.Sound, c.sound)
			}
			leaks(t, r)
		})
	}
	for name, text := range map[string]string{
		"id missing":        "req:1;pass:x;num:;signal:1;gsm_status:LOGIN;",
		"id empty":          "req:1;id:;pass:x;num:;signal:1;gsm_status:LOGIN;",
		"id too long":       "req:1;id:" + strings.Repeat("i", 65) + ";pass:x;num:;signal:1;gsm_status:LOGIN;",
		"id binary":         "req:1;id:a\x01;pass:x;num:;signal:1;gsm_status:LOGIN;",
		"password too long": "req:1;id:a;pass:" + strings.Repeat("i", 65) + ";num:;signal:1;gsm_status:LOGIN;",
		"number":            "req:x;id:a;pass:x;num:;signal:1;gsm_status:LOGIN;",
		"huge number":       "req:12345678901;id:a;pass:x;num:;signal:1;gsm_status:LOGIN;",
		"another order":     "req:1;id:a;pass:x;signal:1;num:;gsm_status:LOGIN;",
		"gap":               "req:1;id:a;pass:x;num:;signal:1;pro:x;",
		"answer cut":        "reg:27;status:0",
		"answer with more":  "reg:27;status:0;hello",
		"answer of words":   "reg:27;status:ok;",
	} {
		if r := one(t, text); r != nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestGoIPEvents(t *testing.T) {
	const who = ";id:g1;password:" + secret + ";"
	channel1 := one(t, keepalive(1, "g1", imei1, imsi1, iccid1)).Channel
	for _, c := range []struct {
		text, ack string
		sound     bool
	}{
		{"STATE:446" + who + "gsm_remain_state:DIALING:10086", "STATE 446 OK", true},
		{"STATE:1795000000" + who + "gsm_remain_state:IDLE", "STATE 1795000000 OK\n", true},
		{"RECORD:445" + who + "dir:2;num:10086", "RECORD 445 OK", true},
		{"HANGUP:442" + who + "num:,cause:Normal call clearing", "HANGUP 442 OK", true},
		{"REMAIN:7568" + who + "gsm_remain_time:-1", "REMAIN 7568 OK", true},
		{"EXPIRY:871" + who + "exp:0", "EXPIRY 871 OK", true},
		{"RECEIVE:441" + who + "srcnum:10086;msg:" + smsText, "RECEIVE 441 OK", true},
		{"RECEIVE:441" + who + "srcnum:CMCC;smscnum:+8613800;msg:" + smsText, "RECEIVE 441 OK", true},
		{"DELIVER:429" + who + "sms_no:32;state:0;num:+8613800138000", "DELIVER 429 OK", true},
		{"BCCH:348" + who + "bcch:689,638,783,", "BCCH 348 OK", true},
		{"CELLS:347" + who + "lists:689,638,", "CELLS 347 DISABLE", true},
		{"AT:20;count:1" + who + "receive:write:" + smsText, "", true},
		{"USSN:5" + who + "msg:" + smsText, "USSN 5 OK", true},
		{"USSN:5" + who + "text:" + smsText, "", false},
		{"CELLINFO:9" + who + "CELLINFO:LAC:2B1C,CELL ID:7D01", "CELLINFO 9 OK", false},
		{"CGATT:9" + who + "CGATT:Y", "CGATT 9 OK", false},
		{"STATE:446" + who + "gsm_remain_state:dialing", "", false},
		{"RECORD:445" + who + "dir:3;num:10086", "", false},
		{"RECORD:445" + who + "dir:1;num:<sip:a@b>", "", false},
		{"HANGUP:442" + who + "num:10086", "", false},
		{"EXPIRY:871" + who + "exp:never", "", false},
		{"RECEIVE:441" + who + "msg:" + smsText, "", false},
		{"DELIVER:429" + who + "sms_no:a;state:0;num:", "", false},
		{"BCCH:348" + who + "bcch:a,b", "", false},
	} {
		r := one(t, c.text)
		if r == nil || r.Sound != c.sound || r.Kind != Event || r.Sender != RoleGateway || r.Channel != channel1 {
			t.Errorf("%.10s: %+v", c.text, r)
			continue
		}
		leaks(t, r)
		if c.ack == "" {
			continue
		}
		a := one(t, c.ack)
		if a == nil || !a.Sound || !a.Reply || a.Sender != RoleServer || a.Exchange != r.Exchange {
			t.Errorf("%s: %+v", c.ack, a)
		}
	}
	if a := one(t, "STATE 446 ERROR not found"); a == nil || a.Sound || !a.Reply {
		t.Errorf("refusal: %+v", a)
	}
	module := "GSM:1;get_gsm_num:+8613800138000;get_exp_time:0;get_remain_time:0;get_gsm_state:IDLE;imei:" + imei1 + ";out_call_interval:0;module_down:0"
	r := one(t, module)
	if r == nil || !r.Sound || r.IMEI.IsZero() || !r.Reply {
		t.Errorf("module: %+v", r)
	}
	// An answer that does not pass is kept all the same: its echo may.
	if bad := one(t, strings.Replace(module, "imei:3", "imei:4", 1)); bad == nil || bad.Sound || bad.Digest != r.Digest {
		t.Errorf("module: %+v", bad)
	}
	if q := one(t, "GSM 1 "+secret); q == nil || q.Exchange != r.Exchange || q.Sender != RoleServer {
		t.Errorf("query: %+v", q)
	}
	for _, text := range []string{
		"STATE:x;id:g1;password:p;gsm_remain_state:IDLE", "STATE:1;password:p;id:g1;", "STATE:1;id:g1;", "STATE: ready", "STATE 5", "STATE 5 fine",
		"GSM:1;", "GSM:1;get:", "AT:20;id:g1;password:p;receive:",
	} {
		if r := one(t, text); r != nil {
			t.Errorf("%s: %+v", text, r)
		}
	}
}

func TestGoIPWords(t *testing.T) {
	for _, c := range []struct {
		text   string
		sender Role
		reply  bool
	}{
		{"MSG 77 20 " + smsText + "\n", RoleServer, false},
		{"MSG 77 20 " + smsText, RoleServer, false},
		{"PASSWORD 77\n", RoleGateway, true},
		{"PASSWORD 77 " + secret + "\n", RoleServer, false},
		{"SEND 77\n", RoleGateway, true},
		{"SEND 77 1 +8613800138000\n", RoleServer, false},
		{"OK 77 1\n", RoleGateway, true},
		{"OK 77 1 45\n", RoleGateway, true},
		{"WAIT 77 1\n", RoleGateway, true},
		{"ERROR 77 1 errorstatus:38\n", RoleGateway, true},
		{"DONE 77\n", RoleUnknown, false},
		{"get_gsm_num 5 " + secret, RoleUnknown, false},
		{"set_imei 5 " + imei1 + " " + secret, RoleUnknown, false},
		{"svr_reboot_dev 5 " + secret, RoleUnknown, false},
		{"module_ctl_i 5 1 " + secret, RoleUnknown, false},
		{"reset_remain_time 5 " + secret, RoleUnknown, false},
		{"CURCELL 5 " + secret, RoleUnknown, false},
		{"ATCMD 5 " + secret + " AT+CSQ", RoleUnknown, false},
		{"USSD 5 " + secret + " *100#", RoleUnknown, false},
		{"USSDERROR 5 geheimer Text", RoleGateway, true},
		{"USSDEXIT 5 " + secret, RoleServer, false},
		{"USSDEXIT 5", RoleGateway, true},
		{"CF 5 " + secret + " 0 1 10086 20", RoleServer, false},
		{"CFOK 5", RoleGateway, true},
		{"CWERROR 5 busy", RoleGateway, true},
	} {
		r := one(t, c.text)
		if r == nil || r.Sender != c.sender || r.Reply != c.reply {
			t.Errorf("%.12s: %+v", c.text, r)
			continue
		}
		if r.Sound {
			t.Errorf("%.12s is sound; so plain a text proves nothing", c.text)
		}
		leaks(t, r)
	}
	if one(t, "MSG 77 20 "+smsText).Exchange != one(t, "PASSWORD 77").Exchange {
		t.Error("the steps of a message do not hang together")
	}
	for _, text := range []string{
		"MSG 77 21 x", "MSG 77 0 ", "MSG 77 9999 x", "MSG x 1 a", "SEND 77 1", "SEND 77 1 home", "SEND help", "OK", "OK 5", "OK 5 5 5 5", "OK computer 3",
		"DONE 5 5", "ERROR 5", "ERROR: file not found", "WAIT 5", "PASSWORD hunter2", "get_state 5 x", "get_gsm_num 5", "set_everything 5 x", "module_load 3 x",
		"get_drop_call 5 x", "set_cells_list 5 x", "svr_gsm_num 5 x", "CELLINFO 5", "CGATT 5 fine",
		"reset 5", "USSD", "CF", "CF 1",
	} {
		if r := one(t, text); r != nil {
			t.Errorf("%q: %+v", text, r)
		}
	}
}

// Cut anywhere, a message gives no sound record unless what is left has a form
// that is sent: the keepalive ends with the carrier or a field behind it.
func TestGoIPCut(t *testing.T) {
	whole := keepalive(27, "sz-01", imei1, imsi1, iccid1)
	carrier := strings.Index(whole, "pro:CMCC;") + len("pro:CMCC;")
	head := strings.Index(whole, "voip_status")
	for n := range len(whole) {
		r := one(t, whole[:n])
		if r == nil {
			if n >= head {
				t.Errorf("cut at %d: not recognised", n)
			}
			continue
		}
		if n < head {
			t.Errorf("cut at %d: recognised", n)
		}
		if r.Sound && (n < carrier || whole[n-1] != ';') {
			t.Errorf("cut at %d: sound", n)
		}
	}
	// Cut by a snap length it is never sound, wherever that fell.
	for n := range len(whole) {
		p := up(1).packet(0, []byte(whole[:n]))
		p.Length = uint32(len(whole))
		New().UDP(p, func(r *Record) {
			if r.Sound {
				t.Errorf("cut by the capture at %d: sound", n)
			}
		})
	}
	for _, text := range []string{"STATE:446;id:g1;password:x;gsm_remain_state:DIALING:10086", "HANGUP:442;id:g1;password:x;num:,cause:Normal", "reg:27;status:0;", "RECEIVE:4;id:g;password:x;srcnum:1;msg:a"} {
		for n := range len(text) {
			one(t, text[:n])
		}
	}
}

func FuzzGoIPSMS(f *testing.F) {
	for _, s := range []string{
		keepalive(27, "sz-01", imei1, imsi1, iccid1), "reg:27;status:0;", "STATE 446 OK", "MSG 77 20 " + smsText, "OK 1 2",
		"STATE:446;id:g1;password:x;gsm_remain_state:DIALING:10086", "RECEIVE:441;id:g1;password:x;srcnum:10086;msg:hello",
		"HANGUP:442;id:g1;password:x;num:,cause:Normal call clearing", "AT:20;count:1;id:g1;password:x;receive:",
		"GSM:1;get_gsm_num:(null);get_exp_time:0;get_remain_time:0;get_gsm_state:IDLE;imei:000000000000000;out_call_interval:0;module_down:0",
		"get_gsm_num 5 pw", "USSDEXIT 5", "CFOK 5",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := string(b)
		New().UDP(up(1).packet(0, b), func(r *Record) {
			check(t, r)
			if r.Kind == Keepalive && r.Protocol == GoIPSMS && !strings.HasPrefix(before, "req:") {
				t.Error("a keepalive without its beginning")
			}
		})
		if string(b) != before {
			t.Error("the packet was written to")
		}
	})
}

// check tests what must hold for every record.
func check(t testing.TB, r *Record) {
	t.Helper()
	known := false
	for _, p := range Protocols() {
		known = known || p.Name == r.Protocol
	}
	switch {
	case !known:
		t.Errorf("protocol %q", r.Protocol)
	case r.Kind == 0:
		t.Error("no kind")
	case r.Digest == 0:
		t.Error("no digest")
	case r.Sender > RoleServer:
		t.Error("no such role")
	case r.TCP && r.Protocol == GoIPSMS:
		t.Error("text on TCP")
	}
	p := ident.NewPseudonymizer(nil, "test")
	if s := p.IMEI(r.IMEI); s != "" && !ident.Luhn([]byte(s)) {
		t.Error("an IMEI with a wrong check digit")
	}
	if s := p.IMSI(r.IMSI); s != "" && !plausible([]byte(s)) {
		t.Error("an IMSI of no network")
	}
	if s := p.ICCID(r.ICCID); len(s) > 18 && !ident.Luhn([]byte(s)) {
		t.Error("an ICCID with a wrong check digit")
	}
}

func TestGoIPOnAnyPort(t *testing.T) {
	for _, port := range []uint16{1, 5060, 44444, 65535} {
		w := up(port)
		w.dstPort = port
		if !New().UDP(w.packet(0, []byte(keepalive(1, "a", imei1, imsi1, iccid1))), func(*Record) {}) {
			t.Errorf("port %d", port)
		}
	}
}

// Every verb of the maker's document, asked and answered: the answer belongs to
// the question, neither is sound, and no password and no text is kept.
func TestGoIPManagement(t *testing.T) {
	for _, c := range []struct{ ask, answer string }{
		{"get_gsm_num 5 " + secret, "get_gsm_num 5 +8613800138000"},
		{"set_gsm_num 5 13800138000 " + secret, "set_gsm_num 5 ok"},
		{"get_exp_time 5 " + secret, "get_exp_time 5 -1"},
		{"set_exp_time 5 600 " + secret, "set_exp_time 5 ok"},
		{"get_remain_time 5 " + secret, "get_remain_time 5 -1"},
		{"reset_remain_time 5 " + secret, "reset_remain_time 5 ok"},
		{"get_gsm_state 5 " + secret, "get_gsm_state 5 IDLE"},
		{"svr_drop_call 5 " + secret, "svr_drop_call 5 ok"},
		{"svr_reboot_module 5 " + secret, "svr_reboot_module 5 ok"},
		{"svr_reboot_dev 5 " + secret, "svr_reboot_dev 5 ok"},
		{"CF 5 " + secret + " 0 3 10086 0", "CFOK 5"},
		{"CF 5 " + secret + " 0 3 10086 0", "CFERROR 5"},
		{"CW 5 " + secret + " 2", "CWOK 5 enabled"},
		{"CW 5 " + secret + " 2", "CWERROR 5"},
		{"USSD 5 " + secret + " *100#", "USSD 5 " + smsText},
		{"USSD 5 " + secret + " *100#", "USSDERROR 5 timeout"},
		{"USSDEXIT 5 " + secret, "USSDEXIT 5"},
		{"get_imei 5 " + secret, "get_imei 5 " + imei1},
		{"set_imei 5 " + imei1 + " " + secret, "set_imei 5 ok"},
		{"get_out_call_interval 5 " + secret, "get_out_call_interval 5 10"},
		{"set_out_call_interval 5 10 " + secret, "set_out_call_interval 5 ok"},
		{"module_ctl_i 5 1 " + secret, "module_ctl_i 5 ok"},
		{"module_ctl 5 10101010 " + secret, "module_ctl 5 ok"},
		{"set_base_cell 5 689 " + secret, "set_base_cell 5 ok"},
		{"get_cells_list 5 " + secret, "get_cells_list 5 ok"},
		{"CURCELL 5 " + secret, "CURCELL 5 689"},
		{"ATSTART 5 " + secret, "ATSTART 5 ok"},
		{"ATSTOP 5 " + secret, "ATSTOP 5 ok"},
		{"ATALIVE 5 " + secret, "ATALIVE 5 ok"},
		{"ATCMD 5 " + secret + " AT+CSQ", "ATCMD 5 OK"},
		{"GSM 5 " + secret, "GSM:5;get_gsm_num:;get_exp_time:0;get_remain_time:0;get_gsm_state:IDLE;imei:" + imei1 + ";out_call_interval:0;module_down:0"},
	} {
		ask, answer := one(t, c.ask), one(t, c.answer)
		if ask == nil || answer == nil {
			t.Errorf("%.20s: %v %v", c.ask, ask, answer)
			continue
		}
		if ask.Exchange != answer.Exchange || ask.Digest == answer.Digest {
			t.Errorf("%.20s: question and answer do not hang together", c.ask)
		}
		if ask.Sound || answer.Sound && !strings.HasPrefix(c.answer, "GSM:") || ask.Kind != Command {
			t.Errorf("%.20s: %+v %+v", c.ask, ask, answer)
		}
		leaks(t, ask, answer)
		for _, verb := range []string{strings.Fields(c.ask)[0]} {
			for _, text := range []string{verb, verb + " x " + secret, verb + "x 5 " + secret, " " + c.ask, strings.ToUpper(verb[:1]) + "_" + verb[1:] + " 5 x"} {
				if r := one(t, text); r != nil {
					t.Errorf("%q: %+v", text, r)
				}
			}
		}
	}
}
