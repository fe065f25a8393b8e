package lab

// carrierScenarios are session border controllers and relays of carriers.
func carrierScenarios() []Scenario {
	return nil
}
