package lab

// cameraScenarios are camera platforms.
func cameraScenarios() []Scenario {
	return nil
}
