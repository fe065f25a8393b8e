package ident

// NumberClass is what kind of subscriber a called number belongs to, as far as
// its digits tell.
type NumberClass uint8

const (
	NumberUnknown   NumberClass = iota
	NumberMobile                // national mobile
	NumberLandline              // national geographic
	NumberShort                 // service codes and short numbers, toll-free, premium
	NumberEmergency             // emergency services
	NumberForeign               // another country's number
	NumberInternal              // an extension: two to five digits, or a name
)

func (c NumberClass) String() string {
	return [...]string{"unknown", "mobile", "landline", "short", "emergency", "foreign", "internal"}[min(c, NumberInternal)]
}
