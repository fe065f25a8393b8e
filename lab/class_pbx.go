package lab

// pbxScenarios are exchanges that anchor media.
func pbxScenarios() []Scenario {
	return nil
}
