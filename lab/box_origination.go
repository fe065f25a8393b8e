package lab

// originationScenarios are gateways that take calls from the mobile network out.
func originationScenarios() []Scenario {
	return nil
}
