package control

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"simtrap/ident"
	"simtrap/packet"
)

// Times, addresses and identities of the tests. 2026-11-23, documentation
// addresses (RFC 5737), identities of the test network's shape with check
// digits that fit.
const (
	second = int64(1e9)
	start  = 1795000000 * second

	secret  = "Kw-Geheim-77"
	smsText = "Ihr Code lautet 4711"

	imei1, imei2   = "356938035643809", "490154203237518"
	imsi1, imsi2   = "460001234567890", "460009876543210"
	iccid1, iccid2 = "8986001234567890120", "8986009876543210989"
)

var (
	gateway = ident.AddrFrom4([]byte{203, 0, 113, 7})
	server  = ident.AddrFrom4([]byte{198, 51, 100, 9})
)

// way is one direction of a conversation.
type way struct {
	src, dst         ident.Addr
	srcPort, dstPort uint16
	proto            uint8
}

func up(port uint16) way { return way{gateway, server, port, 44444, packet.UDP} }

func (w way) back() way { return way{w.dst, w.src, w.dstPort, w.srcPort, w.proto} }

func (w way) tcp() way { w.proto = packet.TCP; return w }

func (w way) packet(at int64, payload []byte) *packet.Packet {
	return &packet.Packet{
		Time: start + at, Src: w.src, Dst: w.dst, SrcPort: w.srcPort, DstPort: w.dstPort,
		Proto: w.proto, Payload: payload, Length: uint32(len(payload)),
	}
}

// read gives the records of one datagram.
func read(t testing.TB, payload string) []*Record {
	t.Helper()
	var out []*Record
	s := New()
	if ok := s.UDP(up(20000).packet(0, []byte(payload)), func(r *Record) { out = append(out, r) }); ok != (len(out) > 0) {
		t.Fatalf("UDP says %v and emits %d records", ok, len(out))
	}
	return out
}

// one gives the only record of a datagram, nil when there is none.
func one(t testing.TB, payload string) *Record {
	t.Helper()
	switch out := read(t, payload); len(out) {
	case 0:
		return nil
	case 1:
		return out[0]
	default:
		t.Fatalf("%d records", len(out))
		return nil
	}
}

func keepalive(n int, id, imei, imsi, iccid string) string {
	return fmt.Sprintf("req:%d;id:%s;pass:%s;num:+8613800138000;signal:21;gsm_status:LOGIN;voip_status:LOGIN;voip_state:IDLE;remain_time:-1;imei:%s;imsi:%s;iccid:%s;pro:CMCC;idle:3;disable_status:0;SMS_LOGIN:Y;SMB_LOGIN:;CELLINFO:LAC:2B1C,CELL ID:7D01;CGATT:Y;",
		n, id, secret, imei, imsi, iccid)
}

func smb(line uint32, command, kind uint16, body ...byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, simbankMagic)
	b = binary.LittleEndian.AppendUint32(b, line)
	b = binary.LittleEndian.AppendUint16(b, command)
	b = binary.LittleEndian.AppendUint16(b, kind)
	return append(b, body...)
}

// token is a number and a sum over it.
func token(n uint32, rest ...byte) []byte {
	h := md5.Sum(fmt.Appendf(nil, "%s%d%x", secret, int32(n), n))
	return append(append(binary.LittleEndian.AppendUint32(nil, n), h[:]...), rest...)
}

func dwg(serial uint32, at int64, kind uint16, body ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(b, 0xf8, 0xa0, 0x3d, 1, 2, 3, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32((start+at)/second))
	b = binary.BigEndian.AppendUint32(b, serial)
	b = binary.BigEndian.AppendUint16(b, kind)
	return append(append(b, 0, 0), body...)
}

// fill gives s in a field of n bytes.
func fill(s string, n int) []byte { return append([]byte(s), make([]byte, n-len(s))...) }

func dwgSMS() []byte {
	b := append(fill("10086", 24), 0, 3)
	b = append(b, fill("20261123211500", 15)...)
	b = append(b, 8, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(smsText)))
	return append(b, smsText...)
}

func dwgLogin() []byte { return append(fill("admin", 16), fill(secret, 16)...) }

// strings collects every string in v, in unexported fields too.
func allStrings(v reflect.Value, out *[]string, depth int) {
	if depth > 12 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		*out = append(*out, v.String())
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			allStrings(v.Elem(), out, depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			allStrings(v.Field(i), out, depth+1)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
			*out = append(*out, string(v.Bytes()))
			return
		}
		for i := range v.Len() {
			allStrings(v.Index(i), out, depth+1)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			allStrings(it.Key(), out, depth+1)
			allStrings(it.Value(), out, depth+1)
		}
	}
}

// leaks fails when anything of a password or smsText stands in what is kept, or
// anything of an identity in what is printed.
func leaks(t testing.TB, vs ...any) {
	t.Helper()
	for _, v := range vs {
		var kept []string
		allStrings(reflect.ValueOf(v), &kept, 0)
		for _, s := range kept {
			for _, bad := range []string{secret, secret[:6], smsText, smsText[:8], "geheimer", "Geheim"} {
				if strings.Contains(s, bad) {
					t.Fatalf("%T keeps %q", v, bad)
				}
			}
		}
		printed := fmt.Sprintf("%v %+v %#v", v, v, v)
		for _, bad := range []string{secret, smsText, imei1, imsi1, iccid1, "13800138000"} {
			if strings.Contains(printed, bad) {
				t.Fatalf("%T prints %q", v, bad)
			}
		}
	}
}
