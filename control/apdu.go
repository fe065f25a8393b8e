package control

// SIM commands and answers as ETSI TS 51.011 and 102 221, 3GPP TS 31.102 and
// ISO/IEC 7816-3 define them. Only structure is checked; nothing is kept.

const (
	insReadBinary = 0xb0
	insSelect     = 0xa4
	insAuth       = 0x88
)

// apduKind says which instructions a card of a mobile network knows and whether
// they carry data, ask for data, or may do either.
func apduKind(ins byte) (known, in, out bool) {
	switch ins {
	case insSelect, 0xa2, insAuth, 0x32: // SELECT, SEARCH, AUTHENTICATE, INCREASE
		return true, true, false
	case 0xd6, 0xdc, 0x20, 0x24, 0x26, 0x28, 0x2c, 0x10, 0xc2, 0x14: // UPDATE, PIN, toolkit
		return true, true, false
	case insReadBinary, 0xb2, 0xc0, 0x12: // READ, GET RESPONSE, FETCH
		return true, false, true
	case 0xf2, 0x04, 0x44, 0x70, 0xfa: // STATUS, INVALIDATE, REHABILITATE, MANAGE CHANNEL, SLEEP
		return true, true, true
	}
	return false, false, false
}

// apduCommand says whether b is a whole command with a known class and
// instruction, and lengths that agree.
func apduCommand(b []byte) bool {
	if len(b) < 5 || b[0] != 0xa0 && b[0] != 0x00 && b[0] != 0x80 {
		return false
	}
	known, in, out := apduKind(b[1])
	p3, data := int(b[4]), b[5:]
	switch {
	case !known:
		return false
	case len(data) == 0:
		// Asks for p3 bytes, or carries none.
		return out || p3 == 0 && b[1] != insSelect && b[1] != insAuth
	case !in || len(data) != p3 && len(data) != p3+1:
		return false
	}
	data = data[:p3]
	switch {
	case b[1] == insSelect && b[0] == 0xa0:
		return p3 == 2 && fileID(data)
	case b[1] == insSelect && b[2] == 4: // by application identifier, or as gateways misuse it, by path
		return p3 >= 5 && p3 <= 16 || p3%2 == 0 && p3 >= 2 && fileID(data)
	case b[1] == insSelect:
		return p3 >= 2 && p3 <= 8 && p3%2 == 0 && fileID(data)
	case b[1] == insAuth && b[0] == 0xa0: // RUN GSM ALGORITHM: RAND
		return p3 == 16
	case b[1] == insAuth: // RAND, or RAND and AUTN, each behind its length
		return p3 == 17 && data[0] == 16 || p3 == 34 && data[0] == 16 && data[17] == 16
	}
	return true
}

// fileID checks the first byte of a file identifier (TS 51.011 section 6.2; 7F
// FF is the application in use, TS 102 221).
func fileID(b []byte) bool {
	switch b[0] {
	case 0x3f, 0x7f, 0x5f, 0x2f, 0x6f, 0x4f:
		return true
	}
	return false
}

// apduAnswer says whether b is an instruction byte, data, and a status word.
func apduAnswer(b []byte) bool {
	if len(b) < 3 || len(b) > 1+256+2 {
		return false
	}
	if known, _, _ := apduKind(b[0]); !known {
		return false
	}
	return apduStatus(b[len(b)-2], b[len(b)-1])
}

// atr says whether b is an answer to reset: TS, T0, interface bytes as
// announced, historical bytes, check byte if a protocol other than T=0 is
// offered (ISO/IEC 7816-3 section 8.2).
func atr(b []byte) bool {
	if len(b) < 2 || len(b) > 33 || b[0] != 0x3b && b[0] != 0x3f {
		return false
	}
	history, y, at, check := int(b[1]&15), b[1]>>4, 2, false
	for y != 0 {
		for bit := byte(1); bit < 8; bit <<= 1 {
			if y&bit != 0 {
				at++
			}
		}
		if y&8 == 0 {
			break
		}
		if at >= len(b) {
			return false
		}
		check = check || b[at]&15 != 0
		y = b[at] >> 4
		at++
	}
	want := at + history
	if check {
		want++
	}
	if len(b) != want {
		return false
	}
	if check {
		var x byte
		for _, c := range b[1:] {
			x ^= c
		}
		return x == 0
	}
	return true
}

// apduResponse says whether b is what a card answers to a reader: data, and a
// status word behind it (ISO/IEC 7816-4 section 5.1).
func apduResponse(b []byte) bool {
	return len(b) >= 2 && len(b) <= 256+2 && apduStatus(b[len(b)-2], b[len(b)-1])
}

// apduStatus knows the status words of cards (TS 51.011 section 9.4, TS 102 221
// section 10.2).
func apduStatus(sw1, sw2 byte) bool {
	switch sw1 {
	case 0x90:
		return sw2 == 0
	case 0x61, 0x62, 0x63, 0x64, 0x65, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x91, 0x92, 0x94, 0x98, 0x9e, 0x9f:
		return true
	}
	return false
}
