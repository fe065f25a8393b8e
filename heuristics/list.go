package heuristics

// list is a doubly linked list of profiles, oldest first, through the links
// that the profiles themselves hold.
type list struct {
	root profile
	n    int
}

func (l *list) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *list) push(p *profile) {
	p.prev, p.next = l.root.prev, &l.root
	l.root.prev.next = p
	l.root.prev = p
	l.n++
}

func (l *list) remove(p *profile) {
	p.prev.next, p.next.prev = p.next, p.prev
	p.prev, p.next = nil, nil
	l.n--
}

// renew makes p the newest.
func (l *list) renew(p *profile) {
	if p.next != &l.root {
		l.remove(p)
		l.push(p)
	}
}

func (l *list) oldest() *profile {
	if l.root.next == &l.root {
		return nil
	}
	return l.root.next
}
