package lab

// conferenceScenarios are conferencing and voice chat of games.
func conferenceScenarios() []Scenario {
	return nil
}
