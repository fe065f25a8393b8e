package lab

// controlScenarios are gateways that show a control protocol.
func controlScenarios() []Scenario {
	return nil
}
