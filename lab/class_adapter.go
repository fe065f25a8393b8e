package lab

// adapterScenarios are analogue (FXS) adapters.
func adapterScenarios() []Scenario {
	return nil
}
