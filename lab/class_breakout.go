package lab

// breakoutScenarios are licensed gateways to the telephone network.
func breakoutScenarios() []Scenario {
	return nil
}
