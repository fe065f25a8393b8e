package lab

// smallcellScenarios are small cells and VoWiFi.
func smallcellScenarios() []Scenario {
	return nil
}
