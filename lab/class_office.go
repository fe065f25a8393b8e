package lab

// officeScenarios are office telephones behind NAT.
func officeScenarios() []Scenario {
	return nil
}
