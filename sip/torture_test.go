package sip

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"simtrap/ident"
)

// What RFC 4475 says of a message, by the section it stands in.
type tortureClass string

const (
	tortureValid       tortureClass = "3.1.1 valid"
	tortureInvalid     tortureClass = "3.1.2 invalid"
	tortureTransaction tortureClass = "3.2 transaction layer"
	tortureApplication tortureClass = "3.3 application layer"
	tortureBackward    tortureClass = "3.4 backward compatibility"
)

// tortureFields is what is looked at in every message.
type tortureFields struct {
	Method                    Method
	Status                    uint16
	URIUser, URIHost          string
	ViaHost                   string
	ViaPort                   uint16
	Branch                    string
	FromUser, FromHost, FTag  string
	ToUser, ToHost, ToTag     string
	CallID                    string
	CSeq                      uint32
	Contacts                  int
	ContactUser, ContactHost  string
	Expires, Length           int64
	BodyLen                   int
	AudioAddr                 string
	AudioPort                 uint16
	OriginUser, UserAgent, CT string
}

func fieldsOf(m *Message) tortureFields {
	f := tortureFields{
		Method: m.Method, Status: m.Status,
		URIUser: string(m.URIUser), URIHost: string(m.URIHost),
		ViaHost: string(m.ViaHost), ViaPort: m.ViaPort, Branch: string(m.Branch),
		FromUser: string(m.From.User), FromHost: string(m.From.Host), FTag: string(m.From.Tag),
		ToUser: string(m.To.User), ToHost: string(m.To.Host), ToTag: string(m.To.Tag),
		CallID: string(m.CallID), CSeq: m.CSeq,
		Contacts: m.Contacts, ContactUser: string(m.Contact.User), ContactHost: string(m.Contact.Host),
		Expires: m.Expires, Length: m.ContentLength, BodyLen: len(m.Body),
		OriginUser: string(m.SDP.OriginUser), UserAgent: string(m.UserAgent), CT: string(m.ContentType),
	}
	if m.SDP.N > 0 {
		f.AudioPort = m.SDP.Audio[0].Port
		if !m.SDP.Audio[0].Addr.IsZero() {
			f.AudioAddr = m.SDP.Audio[0].Addr.String()
		}
	}
	return f
}

type tortureCase struct {
	name    string
	class   tortureClass
	err     ParseError
	lenient Leniency
	want    tortureFields
}

// tortureCases says what is done with each message. The criterion: a valid
// message is read with no rule bent; an invalid one is refused, or read with a
// bit for what is wrong with it; the others are read.
func tortureCases() []tortureCase {
	sdp := func(f tortureFields, addr string) tortureFields {
		f.BodyLen, f.AudioAddr, f.AudioPort, f.OriginUser = int(f.Length), addr, 49217, "mhandley"
		f.CT = "application/sdp"
		return f
	}
	return []tortureCase{
		{"wsinv", tortureValid, 0, 0, sdp(tortureFields{
			Method: INVITE, URIUser: "vivekg", URIHost: "chair-dnrc.example.com", ViaHost: "192.0.2.2", Branch: "390skdjuw",
			FromUser: "jdrosen", FromHost: "example.com", FTag: "98asjd8", ToUser: "vivekg", ToHost: "chair-dnrc.example.com", ToTag: "1918181833n",
			CallID: "wsinv.ndaksdj@192.0.2.1", CSeq: 9, Contacts: 1, ContactUser: "jdrosen", ContactHost: "example.com", Expires: -1, Length: 150,
		}, "192.0.2.4")},
		{"intmeth", tortureValid, 0, 0, tortureFields{
			URIUser: "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/", URIHost: "example.com", ViaHost: "host1.example.com", Branch: "z9hG4bK-.!%66*_+`'~",
			FromUser: "mundane", FromHost: "example.com", FTag: "_token~1'+`*%!-.", ToUser: "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/", ToHost: "example.com",
			CallID: "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{", CSeq: 139122385, Expires: -1,
		}},
		{"esc01", tortureValid, 0, 0, sdp(tortureFields{
			Method: INVITE, URIUser: "sips%3Auser%40example.com", URIHost: "example.net", ViaHost: "host5.example.net", Branch: "z9hG4bKkdjuw",
			FromUser: "I%20have%20spaces", FromHost: "example.net", FTag: "938", ToUser: "%75se%72", ToHost: "example.com",
			CallID: "esc01.239409asdfakjkn23onasd0-3234", CSeq: 234234, Contacts: 1, ContactUser: "cal%6Cer", ContactHost: "host5.example.net", Expires: -1, Length: 150,
		}, "192.0.2.1")},
		{"escnull", tortureValid, 0, 0, tortureFields{
			Method: REGISTER, URIHost: "example.com", ViaHost: "host5.example.com", Branch: "z9hG4bKkdjuw",
			FromUser: "null-%00-null", FromHost: "example.com", FTag: "839923423", ToUser: "null-%00-null", ToHost: "example.com",
			CallID: "escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd", CSeq: 14398234, Contacts: 2, ContactUser: "%00", ContactHost: "host5.example.com", Expires: -1,
		}},
		{"esc02", tortureValid, 0, 0, tortureFields{
			URIHost: "registrar.example.com", ViaHost: "host.example.com", Branch: "z9hG4bK209%fzsnel234",
			FromUser: "resource", FromHost: "example.com", FTag: "f232jadfj23", ToUser: "resource", ToHost: "example.com",
			CallID: "esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf", CSeq: 29344, Contacts: 2, ContactUser: "alias1", ContactHost: "host1.example.com", Expires: -1,
		}},
		{"lwsdisp", tortureValid, 0, 0, tortureFields{
			Method: OPTIONS, URIUser: "user", URIHost: "example.com", ViaHost: "funky.example.com", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.com", FTag: "323", ToUser: "user", ToHost: "example.com",
			CallID: "lwsdisp.1234abcd@funky.example.com", CSeq: 60, Expires: -1,
		}},
		{"longreq", tortureValid, 0, 0, sdp(tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "sip33.example.com",
			FromUser: repeated("amazinglylongcallername", 5), FromHost: "example.net", FTag: "1" + repeated("298", 50) + "2424", ToUser: "user", ToHost: "example.com",
			CallID: "longreq.one" + repeated("really", 20) + "longcallid", CSeq: 3882340, Contacts: 1,
			ContactUser: repeated("amazinglylongcallername", 5), ContactHost: "host5.example.net", Expires: -1, Length: 150,
		}, "192.0.2.1")},
		// What follows the REGISTER in the datagram is not part of it.
		{"dblreq", tortureValid, 0, 0, tortureFields{
			Method: REGISTER, URIHost: "example.com", ViaHost: "192.0.2.125", Branch: "z9hG4bKkdjuw23492",
			FromUser: "j.user", FromHost: "example.com", FTag: "43251j3j324", ToUser: "j.user", ToHost: "example.com",
			CallID: "dblreq.0ha0isndaksdj99sdfafnl3lk233412", CSeq: 8, Contacts: 1, ContactUser: "j.user", ContactHost: "host.example.com", Expires: -1,
		}},
		// The user part is "user;par=u%40example.net"; its parameter goes.
		{"semiuri", tortureValid, 0, 0, tortureFields{
			Method: OPTIONS, URIUser: "user", URIHost: "example.com", ViaHost: "192.0.2.1", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.org", FTag: "33242", ToUser: "j_user", ToHost: "example.com",
			CallID: "semiuri.0ha0isndaksdj", CSeq: 8, Expires: -1,
		}},
		{"transports", tortureValid, 0, 0, tortureFields{
			Method: OPTIONS, URIUser: "user", URIHost: "example.com", ViaHost: "t1.example.com", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.com", FTag: "323", ToUser: "user", ToHost: "example.com",
			CallID: "transports.kijh4akdnaqjkwendsasfdj", CSeq: 60, Expires: -1,
		}},
		{"mpart01", tortureValid, 0, 0, tortureFields{
			Method: MESSAGE, URIUser: "kumiko", URIHost: "example.org", ViaHost: "127.0.0.1", ViaPort: 5070, Branch: "z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-",
			FromUser: "fluffy", FromHost: "example.com", FTag: "2fb0dcc9", ToUser: "kumiko", ToHost: "example.org",
			CallID: "3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..", CSeq: 1, Contacts: 1, ContactUser: "fluffy", ContactHost: "127.0.0.1", Expires: -1,
			Length: 553, BodyLen: 553, UserAgent: "SIPimp.org/0.2.5 (curses)", CT: "multipart/mixed;boundary=7a9cbec02ceef655",
		}},
		{"unreason", tortureValid, 0, 0, sdp(tortureFields{
			Method: INVITE, Status: 200, ViaHost: "192.0.2.198", Branch: "z9hG4bK1324923",
			FromUser: "user", FromHost: "example.com", FTag: "11141343", ToUser: "user", ToHost: "example.edu", ToTag: "2229",
			CallID: "unreason.1234ksdfak3j2erwedfsASdf", CSeq: 35, Contacts: 1, ContactUser: "user", ContactHost: "host198.example.com", Expires: -1, Length: 154,
		}, "192.0.2.198")},
		{"noreason", tortureValid, 0, 0, tortureFields{
			Method: INVITE, Status: 100, ViaHost: "192.0.2.105", Branch: "z9hG4bK2398ndaoe",
			FromUser: "user", FromHost: "example.com", FTag: "39ansfi3", ToUser: "user", ToHost: "example.edu", ToTag: "902jndnke3",
			CallID: "noreason.asndj203insdf99223ndf", CSeq: 35, Contacts: 1, ContactUser: "user", ContactHost: "host105.example.com", Expires: -1,
		}},

		{"badinv01", tortureInvalid, 0, LenientParam, sdp(tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "192.0.2.15",
			FromUser: "caller", FromHost: "example.net", FTag: "134161461246", ToUser: "j.user", ToHost: "example.com",
			CallID: "badinv01.0ha0isndaksdjasdf3234nas", CSeq: 8, Contacts: 1, ContactUser: "joe", ContactHost: "example.org", Expires: -1, Length: 152,
		}, "192.0.2.15")},
		{"clerr", tortureInvalid, 0, LenientLengthLong, tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "host5.example.com", Branch: "z9hG4bK-39234-23523",
			FromUser: "caller", FromHost: "example.net", FTag: "93942939o2", ToUser: "j.user", ToHost: "example.com",
			CallID: "clerr.0ha0isndaksdjweiafasdk3", CSeq: 8, Contacts: 1, ContactUser: "caller", ContactHost: "hungry.example.net", Expires: -1,
			Length: 9999, BodyLen: 154, AudioAddr: "192.0.2.155", AudioPort: 49217, OriginUser: "mhandley", CT: "application/sdp",
		}},
		{"ncl", tortureInvalid, 0, LenientNumber | LenientNoLength, tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "192.0.2.53", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.net", FTag: "32394234", ToUser: "j.user", ToHost: "example.com",
			CallID: "ncl.0ha0isndaksdj2193423r542w35", Contacts: 1, ContactUser: "caller", ContactHost: "example53.example.net", Expires: -1,
			Length: -1, BodyLen: 152, AudioAddr: "192.0.2.53", AudioPort: 49217, OriginUser: "mhandley", CT: "application/sdp",
		}},
		{"scalar02", tortureInvalid, 0, LenientNumber, tortureFields{
			Method: REGISTER, URIHost: "example.com", ViaHost: "host129.example.com", Branch: "z9hG4bK342sdfoi3",
			FromUser: "user", FromHost: "example.com", FTag: "239232jh3", ToUser: "user", ToHost: "example.com",
			CallID: "scalar02.23o0pd9vanlq3wnrlnewofjas9ui32", CSeq: 1<<32 - 1, Contacts: 1, ContactUser: "user", ContactHost: "host129.example.com", Expires: 1<<32 - 1,
		}},
		{"scalarlg", tortureInvalid, 0, LenientNumber, tortureFields{
			Method: OPTIONS, Status: 503, ViaHost: "host129.example.com", Branch: "z9hG4bKzzxdiwo34sw",
			FromUser: "other", FromHost: "example.net", FTag: "2easdjfejw", ToUser: "user", ToHost: "example.com",
			CallID: "scalarlg.noase0of0234hn2qofoaf0232aewf2394r", CSeq: 1<<32 - 1, Expires: -1,
		}},
		{"quotbal", tortureInvalid, 0, LenientQuote, sdp(tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "192.0.2.59", ViaPort: 5050, Branch: "z9hG4bKkdjuw39234",
			FromUser: "caller", FromHost: "example.net", FTag: "93334", ToUser: "j.user", ToHost: "example.com",
			CallID: "quotbal.aksdj", CSeq: 8, Contacts: 1, ContactUser: "caller", ContactHost: "host59.example.net", Expires: -1, Length: 152,
		}, "192.0.2.15")},
		{"ltgtruri", tortureInvalid, 0, LenientURIBrackets, sdp(tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "192.0.2.5",
			FromUser: "caller", FromHost: "example.net", FTag: "39291", ToUser: "user", ToHost: "example.com",
			CallID: "ltgtruri.1@192.0.2.5", CSeq: 1, Contacts: 1, ContactUser: "caller", ContactHost: "host5.example.net", Expires: -1, Length: 159,
		}, "192.0.2.5")},
		{"lwsruri", tortureInvalid, 0, LenientURIBlank, sdp(tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "192.0.2.1", ViaPort: 5060, Branch: "z9hG4bKkdjuw2395",
			FromUser: "caller", FromHost: "example.net", FTag: "231413434", ToUser: "user", ToHost: "example.com", ToTag: "3xfe-9921883-z9f",
			CallID: "lwsruri.asdfasdoeoi2323-asdfwrn23-asd834rk423", CSeq: 2130706432, Contacts: 1, ContactUser: "caller", ContactHost: "host1.example.net", Expires: -1, Length: 159,
		}, "192.0.2.1")},
		{"lwsstart", tortureInvalid, 0, LenientStartBlank, sdp(tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "host1.example.com", Branch: "z9hG4bKkdjuw3923",
			FromUser: "caller", FromHost: "example.net", FTag: "8814", ToUser: "user", ToHost: "example.com",
			CallID: "lwsstart.dfknq234oi243099adsdfnawe3@example.com", CSeq: 1893884, Contacts: 1, ContactUser: "caller", ContactHost: "host1.example.net", Expires: -1, Length: 150,
		}, "192.0.2.1")},
		{"trws", tortureInvalid, 0, LenientStartBlank, tortureFields{
			Method: OPTIONS, URIUser: "remote-target", URIHost: "example.com", ViaHost: "host1.examle.com", Branch: "z9hG4bK299342093",
			FromUser: "local-resource", FromHost: "example.com", FTag: "329429089", ToUser: "remote-target", ToHost: "example.com",
			CallID: "trws.oicu34958239neffasdhr2345r", CSeq: 238923, Expires: -1,
		}},
		{"escruri", tortureInvalid, 0, LenientURIHeaders, sdp(tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "host-of-the-hour.example.com", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.net", FTag: "341518", ToUser: "user", ToHost: "example.com",
			CallID: "escruri.23940-asdfhj-aje3br-234q098w-fawerh2q-h4n5", CSeq: 149209342, Contacts: 1, ContactUser: "caller", ContactHost: "host39923.example.net", Expires: -1, Length: 150,
		}, "192.0.2.1")},
		{"baddate", tortureInvalid, 0, LenientDate, sdp(tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "host.example.com", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.net", FTag: "2234923", ToUser: "user", ToHost: "example.com",
			CallID: "baddate.239423mnsadf3j23lj42--sedfnm234", CSeq: 1392934, Contacts: 1, ContactUser: "caller", ContactHost: "host5.example.net", Expires: -1, Length: 150,
		}, "192.0.2.5")},
		{"regbadct", tortureInvalid, 0, LenientURIHeaders, tortureFields{
			Method: REGISTER, URIHost: "example.com", ViaHost: "135.180.130.133", ViaPort: 5060, Branch: "z9hG4bKkdjuw",
			FromUser: "user", FromHost: "example.com", FTag: "998332", ToUser: "user", ToHost: "example.com",
			CallID: "regbadct.k345asrl3fdbv@10.0.0.1", CSeq: 1, Contacts: 1, ContactUser: "user", ContactHost: "example.com", Expires: -1,
		}},
		{"badaspec", tortureInvalid, 0, LenientURIBlank, tortureFields{
			Method: OPTIONS, URIUser: "user", URIHost: "example.org", ViaHost: "host4.example.com", ViaPort: 5060, Branch: "z9hG4bKkdju43234",
			FromUser: "a.g.bell", FromHost: "example.com", FTag: "433423", ToUser: "t.watson", ToHost: "example.org",
			CallID: "badaspec.sdf0234n2nds0a099u23h3hnnw009cdkne3", CSeq: 3923239, Expires: -1,
		}},
		{"baddn", tortureInvalid, 0, LenientDisplay, tortureFields{
			Method: OPTIONS, URIUser: "t.watson", URIHost: "example.org", ViaHost: "c.example.com", ViaPort: 5060, Branch: "z9hG4bKkdjuw",
			FromUser: "a.g.bell", FromHost: "example.com", FTag: "43", ToUser: "t.watson", ToHost: "example.org",
			CallID: "baddn.31415@c.example.com", CSeq: 3923239, Expires: -1,
		}},
		{name: "badvers", class: tortureInvalid, err: ErrVersion},
		{"mismatch01", tortureInvalid, 0, LenientCSeqMethod, tortureFields{
			Method: OPTIONS, URIUser: "user", URIHost: "example.com", ViaHost: "host.example.com", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.net", FTag: "34525", ToUser: "j.user", ToHost: "example.com",
			CallID: "mismatch01.dj0234sxdfl3", CSeq: 8, Expires: -1,
		}},
		{"mismatch02", tortureInvalid, 0, LenientCSeqMethod, sdp(tortureFields{
			URIUser: "user", URIHost: "example.com", ViaHost: "host.example.net", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.net", FTag: "34525", ToUser: "j.user", ToHost: "example.com",
			CallID: "mismatch02.dj0234sxdfl3", CSeq: 8, Contacts: 1, ContactUser: "caller", ContactHost: "host.example.net", Expires: -1, Length: 138,
		}, "192.0.2.1")},
		{name: "bigcode", class: tortureInvalid, err: ErrStatus},

		// The branch is the magic cookie and nothing behind it: for the
		// transactions to see.
		{"badbranch", tortureTransaction, 0, 0, tortureFields{
			Method: OPTIONS, URIUser: "user", URIHost: "example.com", ViaHost: "192.0.2.1", Branch: "z9hG4bK",
			FromUser: "caller", FromHost: "example.org", FTag: "33242", ToUser: "user", ToHost: "example.com",
			CallID: "badbranch.sadonfo23i420jv0as0derf3j3n", CSeq: 8, Expires: -1,
		}},

		{"insuf", tortureApplication, 0, LenientMissing | LenientNoMaxForwards, sdp(tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "192.0.2.95", Branch: "z9hG4bKkdj.insuf",
			CSeq: 193942, Expires: -1, Length: 152,
		}, "192.0.2.95")},
		{"unkscm", tortureApplication, 0, 0, tortureFields{
			Method: OPTIONS, ViaHost: "host9.example.com", Branch: "z9hG4bKkdjuw39234",
			FromUser: "caller", FromHost: "example.net", FTag: "384", ToUser: "user", ToHost: "example.com",
			CallID: "unkscm.nasdfasser0q239nwsdfasdkl34", CSeq: 3923423, Expires: -1,
		}},
		{"novelsc", tortureApplication, 0, 0, tortureFields{
			Method: OPTIONS, ViaHost: "host9.example.com", Branch: "z9hG4bKkdjuw39234",
			FromUser: "caller", FromHost: "example.net", FTag: "384", ToUser: "user", ToHost: "example.com",
			CallID: "novelsc.asdfasser0q239nwsdfasdkl34", CSeq: 3923423, Expires: -1,
		}},
		{"unksm2", tortureApplication, 0, 0, tortureFields{
			Method: REGISTER, URIHost: "example.com", ViaHost: "192.0.2.21", ViaPort: 5060, Branch: "z9hG4bKkdjuw",
			FTag: "3234233", CallID: "unksm2.daksdj@hyphenated-host.example.com", CSeq: 234902, Contacts: 1, Expires: -1,
		}},
		{"bext01", tortureApplication, 0, 0, tortureFields{
			Method: OPTIONS, URIUser: "user", URIHost: "example.com", ViaHost: "fold-and-staple.example.com", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.net", FTag: "242etr", ToUser: "j_user", ToHost: "example.com",
			CallID: "bext01.0ha0isndaksdj", CSeq: 8, Expires: -1,
		}},
		{"invut", tortureApplication, 0, 0, tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "somehost.example.com", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.net", FTag: "8392034", ToUser: "j.user", ToHost: "example.com",
			CallID: "invut.0ha0isndaksdjadsfij34n23d", CSeq: 235448, Contacts: 1, ContactUser: "caller", ContactHost: "host5.example.net", Expires: -1,
			Length: 40, BodyLen: 40, CT: "application/unknownformat",
		}},
		{"regaut01", tortureApplication, 0, 0, tortureFields{
			Method: REGISTER, URIHost: "example.com", ViaHost: "192.0.2.253", Branch: "z9hG4bKkdjuw",
			FromUser: "j.user", FromHost: "example.com", FTag: "87321hj23128", ToUser: "j.user", ToHost: "example.com",
			CallID: "regaut01.0ha0isndaksdj", CSeq: 9338, Expires: -1,
		}},
		// The first of each repeated header counts.
		{"multi01", tortureApplication, 0, LenientRepeat, sdp(tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "company.com", ViaHost: "192.0.2.25", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.com", FTag: "3413415", ToUser: "user", ToHost: "example.com",
			CallID: "multi01.98asdh@192.0.2.1", CSeq: 5, Contacts: 2, ContactUser: "caller", ContactHost: "host25.example.net", Expires: -1, Length: 154,
		}, "192.0.2.25")},
		// The first length ends within a word, so the body is all there is.
		{"mcl01", tortureApplication, 0, LenientRepeat | LenientLengthShort, tortureFields{
			Method: OPTIONS, URIUser: "user", URIHost: "example.com", ViaHost: "host5.example.net", Branch: "z9hG4bK293423",
			FromUser: "other", FromHost: "example.net", FTag: "3923942", ToUser: "user", ToHost: "example.com",
			CallID: "mcl01.fhn2323orihawfdoa3o4r52o3irsdf", CSeq: 15932, Expires: -1, Length: 13, BodyLen: 67, CT: "text/plain",
		}},
		{"bcast", tortureApplication, 0, 0, sdp(tortureFields{
			Method: INVITE, Status: 200, ViaHost: "192.0.2.198", Branch: "z9hG4bK1324923",
			FromUser: "user", FromHost: "example.com", FTag: "11141343", ToUser: "user", ToHost: "example.edu", ToTag: "2229",
			CallID: "bcast.0384840201234ksdfak3j2erwedfsASdf", CSeq: 35, Contacts: 1, ContactUser: "user", ContactHost: "host28.example.com", Expires: -1, Length: 154,
		}, "192.0.2.198")},
		{"zeromf", tortureApplication, 0, 0, tortureFields{
			Method: OPTIONS, URIUser: "user", URIHost: "example.com", ViaHost: "host1.example.com", Branch: "z9hG4bKkdjuw2349i",
			FromUser: "caller", FromHost: "example.net", FTag: "3ghsd41", ToUser: "user", ToHost: "example.com",
			CallID: "zeromf.jfasdlfnm2o2l43r5u0asdfas", CSeq: 39234321, Expires: -1,
		}},
		{"cparam01", tortureApplication, 0, 0, tortureFields{
			Method: REGISTER, URIHost: "example.com", ViaHost: "saturn.example.com", ViaPort: 5060, Branch: "z9hG4bKkdjuw",
			FromUser: "watson", FromHost: "example.com", FTag: "DkfVgjkrtMwaerKKpe", ToUser: "watson", ToHost: "example.com",
			CallID: "cparam01.70710@saturn.example.com", CSeq: 2, Contacts: 1, ContactUser: "+19725552222", ContactHost: "gw1.example.net", Expires: -1,
		}},
		{"cparam02", tortureApplication, 0, 0, tortureFields{
			Method: REGISTER, URIHost: "example.com", ViaHost: "saturn.example.com", ViaPort: 5060, Branch: "z9hG4bKkdjuw",
			FromUser: "watson", FromHost: "example.com", FTag: "838293", ToUser: "watson", ToHost: "example.com",
			CallID: "cparam02.70710@saturn.example.com", CSeq: 3, Contacts: 1, ContactUser: "+19725552222", ContactHost: "gw1.example.net", Expires: -1,
		}},
		{"regescrt", tortureApplication, 0, 0, tortureFields{
			Method: REGISTER, URIHost: "example.com", ViaHost: "host5.example.com", Branch: "z9hG4bKkdjuw",
			FromUser: "user", FromHost: "example.com", FTag: "8", ToUser: "user", ToHost: "example.com",
			CallID: "regescrt.k345asrl3fdbv@192.0.2.1", CSeq: 14398234, Contacts: 1, ContactUser: "user", ContactHost: "example.com", Expires: -1,
		}},
		{"sdp01", tortureApplication, 0, 0, sdp(tortureFields{
			Method: INVITE, URIUser: "user", URIHost: "example.com", ViaHost: "192.0.2.15", Branch: "z9hG4bKkdjuw",
			FromUser: "caller", FromHost: "example.net", FTag: "234", ToUser: "j_user", ToHost: "example.com",
			CallID: "sdp01.ndaksdj9342dasdd", CSeq: 8, Contacts: 1, ContactUser: "caller", ContactHost: "host15.example.net", Expires: -1, Length: 150,
		}, "192.0.2.5")},

		{"inv2543", tortureBackward, 0, LenientNoTag | LenientNoMaxForwards | LenientNoLength | LenientParamPlace, tortureFields{
			Method: INVITE, URIUser: "UserB", URIHost: "example.com", ViaHost: "iftgw.example.com",
			FromUser: "+13035551111", FromHost: "ift.client.example.net", ToUser: "+16505552222", ToHost: "ss1.example.net",
			CallID: "inv2543.1717@ift.client.example.com", CSeq: 56, Expires: -1,
			Length: -1, BodyLen: 105, AudioAddr: "192.0.2.5", AudioPort: 49217, OriginUser: "mhandley", CT: "application/sdp",
		}},
	}
}

func repeated(s string, n int) string { return string(bytes.Repeat([]byte(s), n)) }

func tortureBytes(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, x := range tortureTexts() {
		b, err := tortureMessage(x.text)
		if err != nil {
			t.Fatalf("%s: %v", x.name, err)
		}
		all[x.name] = b
	}
	return all
}

// TestTorture runs the 49 messages of RFC 4475.
func TestTorture(t *testing.T) {
	all, cases := tortureBytes(t), tortureCases()
	if len(all) != 49 || len(cases) != 49 {
		t.Fatalf("%d messages and %d cases, want 49", len(all), len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b, ok := all[c.name]
			if !ok {
				t.Fatal("no such message")
			}
			switch c.class {
			case tortureValid:
				if c.err != 0 || c.lenient != 0 {
					t.Error("a valid message must be read with no rule bent")
				}
			case tortureInvalid:
				if c.err == 0 && c.lenient == 0 {
					t.Error("an invalid message must be refused or flagged")
				}
			default:
				if c.err != 0 {
					t.Error("a message of well-formed text must be read")
				}
			}
			var m Message
			err := Parse(b, &m)
			if c.err != 0 {
				if err != c.err {
					t.Fatalf("error %v, want %v", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Lenient != c.lenient {
				t.Errorf("leniency %v, want %v", m.Lenient, c.lenient)
			}
			if d := cmp.Diff(c.want, fieldsOf(&m)); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			if !Looks(b) {
				t.Error("Looks refuses what Parse reads")
			}
		})
	}
}

// TestTortureReason holds what fieldsOf leaves out.
func TestTortureReason(t *testing.T) {
	all := tortureBytes(t)
	var m Message
	if err := Parse(all["unreason"], &m); err != nil {
		t.Fatal(err)
	}
	if want := "= 2**3 * 5**2 но сто девяносто девять - простое"; string(m.Reason) != want {
		t.Errorf("reason %q, want %q", m.Reason, want)
	}
	if err := Parse(all["noreason"], &m); err != nil || len(m.Reason) != 0 {
		t.Errorf("reason %q, %v, want none", m.Reason, err)
	}
	if err := Parse(all["wsinv"], &m); err != nil {
		t.Fatal(err)
	}
	want := Media{Addr: ident.AddrFrom4([]byte{192, 0, 2, 4}), Port: 49217, N: 2}
	want.Formats[0], want.Formats[1] = Format{0, 8000}, Format{12, 8000}
	if d := cmp.Diff(want, m.SDP.Audio[0], cmpopts.EquateComparable(ident.Addr{})); d != "" || m.SDP.N != 1 {
		t.Errorf("%d audio lines, -want +got\n%s", m.SDP.N, d)
	}
	if want := "SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw"; string(m.Via) != want {
		t.Errorf("via %q, want %q", m.Via, want)
	}
}

// TestTortureStream sends every message through a Framer, cut at every byte:
// over TCP the two messages of dblreq are two, and a body without a usable
// length is none.
func TestTortureStream(t *testing.T) {
	all := tortureBytes(t)
	for _, c := range tortureCases() {
		b := all[c.name]
		want := 1
		switch c.name {
		case "dblreq":
			want = 2
		case "clerr": // waits for 9999 bytes
			want = 0
		case "badvers", "bigcode": // no start line
			want = 0
		}
		var f Framer
		n := 0
		for i := range b {
			f.Push(b[i:i+1], func(msg []byte) {
				n++
				var m Message
				if err := Parse(msg, &m); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				if len(m.Raw) != len(msg) {
					t.Errorf("%s: message of %d bytes, parsed %d", c.name, len(msg), len(m.Raw))
				}
			})
		}
		if n != want {
			t.Errorf("%s: %d messages on a stream, want %d", c.name, n, want)
		}
	}
}

// TestTortureAgreesWithCorpus compares the typed messages with the files that
// another implementation has of them.
func TestTortureAgreesWithCorpus(t *testing.T) {
	dir := filepath.Join(corpus(t), "resiprocate+resiprocate", "resip", "stack", "test")
	for _, x := range tortureTexts() {
		want, err := os.ReadFile(filepath.Join(dir, x.name+".dat"))
		if err != nil {
			t.Skip("the corpus lacks the RFC 4475 messages")
		}
		got, err := tortureMessage(x.text)
		if err != nil {
			t.Fatal(err)
		}
		// One file lacks the empty line that ends its message.
		if x.name == "baddn" {
			want, got = bytes.TrimRight(want, "\r\n"), bytes.TrimRight(got, "\r\n")
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from the file", x.name)
		}
	}
}

// corpus gives the folder of public captures, or skips the test.
func corpus(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SIMTRAP_CORPUS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "corpus")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no corpus: set SIMTRAP_CORPUS to its folder")
	}
	return dir
}
