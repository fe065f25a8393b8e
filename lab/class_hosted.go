package lab

// hostedScenarios are offices on a hosted exchange.
func hostedScenarios() []Scenario {
	return nil
}
