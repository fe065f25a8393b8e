package lab

// relayScenarios are one- and two-slot relays.
func relayScenarios() []Scenario {
	return nil
}
