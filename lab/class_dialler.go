package lab

// diallerScenarios are cheap-calls apps on telephones.
func diallerScenarios() []Scenario {
	return nil
}
