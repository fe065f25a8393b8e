package lab

// callcentreScenarios are call centres.
func callcentreScenarios() []Scenario {
	return nil
}
