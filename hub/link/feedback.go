package link

import "math"

// HubNats is the most that the hub tells a sensor about a controller.
const HubNats = 3.0

// Told is what a sensor is told about one controller for one of its lines.
type Told struct {
	Lines, Review int // of the controller, without the line itself
	Nats          float64
}

// Tell gives, for each of lines, what the other lines of a controller say of it.
// all is how many lines use the controller; review are those of them at review or
// above by what was seen there alone, for it must never be what the hub itself has
// raised. Lines that may be of the line's own subscriber count as its own.
// Declared lines are used, but are suspect of nothing.
func Tell(lines []Line, all int, review []Line) []Told {
	suspect := make([]Line, 0, len(review))
	for i := range review {
		if !review[i].Declared && review[i].Verdict >= Review {
			suspect = append(suspect, review[i])
		}
	}
	apart := Apart(suspect)
	out := make([]Told, len(lines))
	for i := range lines {
		out[i] = tell(&lines[i], all, suspect, apart)
	}
	return out
}

func tell(line *Line, all int, suspect []Line, apart [][]int) Told {
	t := Told{Lines: max(all-1, 0), Review: len(apart)}
	for _, group := range apart {
		mine := false
		for _, i := range group {
			s := &suspect[i]
			mine = mine || s.ID == line.ID || s.Access == line.Access ||
				s.Sensor == line.Sensor && s.Subscriber == line.Subscriber && s.Subscriber != ""
		}
		if mine {
			t.Review--
			return t.weigh()
		}
	}
	// One of them may be the line at another time, unless a feed says otherwise.
	if line.Subscriber == "" {
		for _, group := range apart {
			s := &suspect[group[0]]
			if s.Sensor == line.Sensor && s.Subscriber == "" {
				t.Review--
				break
			}
		}
	}
	return t.weigh()
}

func (t Told) weigh() Told {
	t.Review = min(max(t.Review, 0), t.Lines)
	if t.Lines > 0 && t.Review > 0 {
		t.Nats = math.Round(clamp(Share(t.Lines, t.Review), 0, HubNats)*1e3) / 1e3
	}
	return t
}
