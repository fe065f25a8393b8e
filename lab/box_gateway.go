package lab

// gatewayScenarios are gateways that terminate calls.
func gatewayScenarios() []Scenario {
	return nil
}
