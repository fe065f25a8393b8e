package heuristics

import "fmt"

// Categories of accounts.
const (
	accNone = iota
	accOne
	accFewOneSocket
	accManyOneSocket
	accFewSockets
	accManySockets
)

const (
	// accountsAfter is the exposure from the first registration on after which
	// the accounts are read.
	accountsAfter = 10 * minute
	// noAccountsAfter must exceed the usual hour between refreshes, or an
	// adapter that registered before one looked would read as a trunk.
	noAccountsAfter = 65 * minute
	manyAccounts    = 5
)

// accountsSignal reads how many accounts live on how many private sockets.
func accountsSignal() signal {
	return signal{
		id: "accounts",
		static: func(p *profile, now int64) int {
			if len(p.accounts) == 0 {
				if p.sipUp > 0 && p.counted >= 5 && now-p.firstUp >= noAccountsAfter {
					return accNone
				}
				return none
			}
			first := int64(0)
			for _, a := range p.accounts {
				if first == 0 || a.first < first {
					first = a.first
				}
			}
			if now-first < accountsAfter {
				return none
			}
			n, sockets := p.sockets()
			switch {
			case n == 1:
				return accOne
			case sockets == 1 || sockets*4 <= n:
				if n < manyAccounts {
					return accFewOneSocket
				}
				return accManyOneSocket
			case n < manyAccounts:
				return accFewSockets
			}
			return accManySockets
		},
		detail: func(p *profile, _ []uint32) string {
			n, sockets := p.sockets()
			if n == 0 {
				return "no account registered in over an hour of calls"
			}
			return fmt.Sprintf("%s on %s", plural(uint32(n), "account"), plural(uint32(sockets), "private socket"))
		},
		unseen: func(p *profile) string {
			if len(p.accounts) == 0 {
				return "no registration seen: one device with many accounts cannot be told from telephones (65 min would settle it)"
			}
			return "registrations seen for under 10 min: the accounts are not counted yet"
		},
	}
}

// sockets counts the line's accounts and the private sockets they live on.
func (p *profile) sockets() (accounts, sockets int) {
	var seen keySet
	for _, a := range p.accounts {
		if seen.add(a.socket, maxAccounts) {
			sockets++
		}
	}
	return len(p.accounts), sockets
}
