package lab

// m2mScenarios are M2M gateways, cloud-SIM equipment and SIM test farms.
func m2mScenarios() []Scenario {
	return nil
}
