package lab

// messagesScenarios are boxes for short messages.
func messagesScenarios() []Scenario {
	return nil
}
