package lab

// hackedScenarios are exchanges abused by strangers, and victims of scanners.
func hackedScenarios() []Scenario {
	return nil
}
