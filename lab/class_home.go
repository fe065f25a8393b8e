package lab

// homeScenarios are households.
func homeScenarios() []Scenario {
	return nil
}
