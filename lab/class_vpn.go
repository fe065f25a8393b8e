package lab

// vpnScenarios are offices behind a VPN.
func vpnScenarios() []Scenario {
	return nil
}
