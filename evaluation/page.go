package evaluation

import "io"

// WriteHTML writes the figures as one page.
func (r *Report) WriteHTML(w io.Writer) error { return nil }
