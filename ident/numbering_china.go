package ident

import (
	_ "embed"
	"strings"
)

// areasChina has the area codes of mainland China, written by planmake.
//
//go:embed areas_cn.txt
var areasChina string

func chinaAreas() (areas areaTable) {
	for line := range strings.Lines(areasChina) {
		if line[0] == '#' {
			continue
		}
		code, place, _ := strings.Cut(strings.TrimSpace(line), " ")
		if place == "-" {
			place = "" // the data have no name
		}
		areas.add([]byte(code), place)
	}
	return areas
}

// chinaBlocks says who was given the blocks of mobile numbers: for people, from
// libphonenumber's data of carriers; resellers, machines and satellites, which
// it does not tell, from the ministry's announcements as the press reported
// them. No verdict may need a single block.
func chinaBlocks() (by [10][]mobileBlock) {
	const (
		cm   = "China Mobile"
		cu   = "China Unicom"
		ct   = "China Telecom"
		cbn  = "China Broadnet"
		sat  = "China Satcom"
		mvno = "virtual"
		iot  = "things"
	)
	add := func(operator, use string, prefixes ...string) {
		for _, p := range prefixes {
			by[p[1]-'0'] = append(by[p[1]-'0'], mobileBlock{p, operator, use})
		}
	}
	add(cm, "", "134", "135", "136", "137", "138", "139", "147", "150", "151", "152", "157", "158", "159", "172", "178",
		"182", "183", "184", "187", "188", "195", "197", "198")
	add(cu, "", "130", "131", "132", "145", "155", "156", "166", "175", "176", "185", "186", "196")
	add(ct, "", "133", "153", "173", "177", "180", "181", "189", "190", "191", "193", "199")
	add(cbn, "", "192")
	add(cm, mvno, "165", "1703", "1705", "1706")
	add(cu, mvno, "167", "1704", "1707", "1708", "1709", "171")
	add(ct, mvno, "162", "1700", "1701", "1702")
	add(sat, "satellite", "1349")
	add(ct, "satellite", "1740")
	add(cm, iot, "144", "148", "10647", "10648")
	add(cu, iot, "140", "146", "10646")
	add(ct, iot, "141", "149", "10649")
	return by
}

// chinaPlan is the numbering plan of mainland China: Telecommunications
// Numbering Plan, 2017 edition, of the Ministry of Industry and Information
// Technology, as known from secondary sources; spot checks against the public
// metadata of libphonenumber for region CN agreed.
func chinaPlan() *Plan {
	return &Plan{
		name:          "cn",
		country:       "86",
		trunk:         '0',
		international: []string{"00"},
		region:        "CN",
		codes:         countryCodes(),
		areas:         chinaAreas(),
		blocks:        chinaBlocks(),
		carriers:      []string{"17951", "17950", "17911", "17910", "17909", "17908", "17900", "17969", "12593", "10193", "11808"},
		mobile:        11,
		rules: byDigit([]numberRule{
			{"110", 3, 3, NumberEmergency}, // police
			{"112", 3, 3, NumberEmergency}, // from mobile sets
			{"119", 3, 3, NumberEmergency}, // fire
			{"120", 3, 3, NumberEmergency}, // ambulance
			{"122", 3, 3, NumberEmergency}, // traffic police
			{"911", 3, 3, NumberEmergency}, // redirected by mobile networks
			{"999", 3, 3, NumberEmergency}, // Red Cross ambulance; Hong Kong, Macao

			// Mobile. 14x and part of 16x serve data cards and things as well as
			// people (145, 147, 149, 162, 165, 167 are sold as ordinary numbers),
			// and a box takes either kind of card.
			{"13", 11, 11, NumberMobile},
			{"14", 11, 11, NumberMobile},
			{"15", 11, 11, NumberMobile},
			{"16", 11, 11, NumberMobile},
			{"17", 11, 11, NumberMobile},
			{"18", 11, 11, NumberMobile},
			{"19", 11, 11, NumberMobile},
			// Things only: thirteen digits.
			{"1064", 13, 13, NumberMobile},
			{"140", 13, 13, NumberMobile},
			{"141", 13, 13, NumberMobile},
			{"144", 13, 13, NumberMobile},
			{"146", 13, 13, NumberMobile},
			{"148", 13, 13, NumberMobile},

			// Services. The operators' own codes are listed one by one: the rest of
			// 100xx reads like extensions.
			{"10000", 5, 5, NumberShort},
			{"10010", 5, 5, NumberShort},
			{"10011", 5, 5, NumberShort},
			{"10050", 5, 5, NumberShort},
			{"10086", 5, 5, NumberShort},
			{"10099", 5, 5, NumberShort},
			{"12", 5, 5, NumberShort},     // public services: 12306, 12315, 12345
			{"95", 5, 6, NumberShort},     // nationwide customer services
			{"96", 5, 6, NumberShort},     // provincial customer services
			{"116114", 6, 6, NumberShort}, // directory services of the operators
			{"118114", 6, 6, NumberShort},
			{"400", 10, 10, NumberShort},
			{"800", 10, 10, NumberShort},
			{"106", 11, 20, NumberShort}, // message ports; ten digits are Beijing without its 0

			// Landlines with the trunk digit: 10 and 2x with eight digits, three
			// digits of area code with seven or eight.
			{"010", 11, 11, NumberLandline},
			{"02", 11, 11, NumberLandline},
			{"03", 11, 12, NumberLandline},
			{"04", 11, 12, NumberLandline},
			{"05", 11, 12, NumberLandline},
			{"06", 11, 12, NumberLandline},
			{"07", 11, 12, NumberLandline},
			{"08", 11, 12, NumberLandline},
			{"09", 11, 12, NumberLandline},
			// Local numbers begin with 2 to 8.
			{"2", 7, 8, NumberLandline},
			{"3", 7, 8, NumberLandline},
			{"4", 7, 8, NumberLandline},
			{"5", 7, 8, NumberLandline},
			{"6", 7, 8, NumberLandline},
			{"7", 7, 8, NumberLandline},
			{"8", 7, 8, NumberLandline},
		}),
		area: []numberRule{
			{prefix: "010", min: 3, max: 3},
			{prefix: "02", min: 3, max: 3},
			{prefix: "03", min: 4, max: 4},
			{prefix: "04", min: 4, max: 4},
			{prefix: "05", min: 4, max: 4},
			{prefix: "06", min: 4, max: 4},
			{prefix: "07", min: 4, max: 4},
			{prefix: "08", min: 4, max: 4},
			{prefix: "09", min: 4, max: 4},
		},
		// The numbers of the world (written without + or 00) whose last eleven
		// digits read 1[3-9]: mobiles of India, Japan, Algeria, Libya and Germany.
		// Then what is no telephone number: an IMSI and an ICCID.
		foreign: []numberRule{
			{prefix: "916", min: 12, max: 12}, {prefix: "917", min: 12, max: 12},
			{prefix: "918", min: 12, max: 12}, {prefix: "919", min: 12, max: 12},
			{prefix: "8170", min: 12, max: 12}, {prefix: "8180", min: 12, max: 12}, {prefix: "8190", min: 12, max: 12},
			{prefix: "2135", min: 12, max: 12}, {prefix: "2136", min: 12, max: 12}, {prefix: "2137", min: 12, max: 12},
			{prefix: "2189", min: 12, max: 12},
			{prefix: "4915", min: 13, max: 13}, {prefix: "4916", min: 13, max: 13}, {prefix: "4917", min: 13, max: 13},
			{prefix: "460", min: 15, max: 15},
			{prefix: "8986", min: 18, max: 20},
		},
	}
}

// foreignNumber says whether d can be an international number without its "+":
// an assigned country code (ITU-T E.164, list of assigned country codes) and
// seven to fifteen digits in all. Numbers of the North American plan have a
// form of their own, ten digits of which the first and the fourth are 2 to 9
// and the second is not 9; that tells most of them from a Chinese mobile number
// behind "00".
func foreignNumber(d []byte) bool {
	if len(d) < 7 || len(d) > 15 || d[0] == '0' {
		return false
	}
	switch d[0] {
	case '1':
		return len(d) == 11 && d[1] >= '2' && d[2] != '9' && d[4] >= '2'
	case '7':
		return len(d) == 11
	}
	two := int(d[0]-'0')*10 + int(d[1]-'0')
	switch two {
	case 20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58,
		60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98:
		return true
	}
	third := uint16(1) << (d[2] - '0')
	return assignedThird(two)&third != 0
}

// assignedThird gives the third digits, as bits, with which two makes an
// assigned three-digit country code.
func assignedThird(two int) uint16 {
	const all = 1<<10 - 1
	except := func(ds ...uint) uint16 {
		m := uint16(all)
		for _, d := range ds {
			m &^= 1 << d
		}
		return m
	}
	switch two {
	case 21:
		return 1<<1 | 1<<2 | 1<<3 | 1<<6 | 1<<8
	case 22, 23, 24, 26, 35, 50, 59:
		return all
	case 25:
		return except(9)
	case 29:
		return 1<<0 | 1<<1 | 1<<7 | 1<<8 | 1<<9
	case 37:
		return all
	case 38:
		return except(4, 8)
	case 42:
		return 1<<0 | 1<<1 | 1<<3
	case 67:
		return except(1)
	case 68:
		return except(4)
	case 69:
		return 1<<0 | 1<<1 | 1<<2
	case 80:
		return 1<<0 | 1<<8
	case 85:
		return 1<<0 | 1<<2 | 1<<3 | 1<<5 | 1<<6
	case 87:
		return 1<<0 | 1<<8
	case 88:
		return 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<6 | 1<<8
	case 96:
		return except(9)
	case 97:
		return except(8)
	case 99:
		return except(0, 1, 7, 9)
	}
	return 0
}
