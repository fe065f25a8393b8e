package capture

// Loss is something that a source passed over, gave up or had to alter, and how
// often: the shape in which every stage tells of its losses. Counts only rise.
type Loss struct {
	Stage, Reason string
	Count         uint64
}
