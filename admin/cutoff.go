package admin

import (
	"fmt"

	"github.com/gracefulgo/shutdown"
)

// A cutGroup is the cut-off work of one name: a hundred streams that were cut
// off are one line.
type cutGroup struct {
	Count     int
	Name, Age string // Age is that of the oldest
}

// cutOff fills in what was cut off, grouped by name, the oldest first. Ages are
// as of the moment in which it was cut off.
func (p *page) cutOff(r shutdown.Report) {
	asOf := r.CutOffAt
	index := make(map[string]int) // of the group of a name
	for _, t := range r.CutOff {
		i, ok := index[t.Name]
		switch {
		case ok:
			p.CutOff[i].Count++
		case len(p.CutOff) == maxTasks:
			p.MoreCutOff++
		default:
			index[t.Name] = len(p.CutOff)
			p.CutOff = append(p.CutOff, cutGroup{1, shown(t.Name, maxName), human(max(asOf.Sub(t.Since), 0))})
		}
	}
	p.CutOffCount = len(r.CutOff)
}

// cutOffSentence says how much was cut off.
func cutOffSentence(n int) string {
	if n == 1 {
		return "1 task was cut off."
	}
	return fmt.Sprintf("%d tasks were cut off.", n)
}
