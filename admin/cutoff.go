package admin

import (
	"fmt"

	"github.com/gracefulgo/shutdown"
)

// A cutGroup is a group of tasks with the same name that were cut off.
type cutGroup struct {
	Count     int
	Name, Age string // Age is that of the oldest task
}

// cutOff fills in the tasks that were cut off, grouped by name, the oldest first. Ages
// are those at the time at which the tasks were cut off.
func (p *page) cutOff(r shutdown.Report) {
	index := make(map[string]int) // name to index in p.CutOff
	for _, t := range r.CutOff {
		i, ok := index[t.Name]
		switch {
		case ok:
			p.CutOff[i].Count++
		case len(p.CutOff) == maxTasks:
			p.MoreCutOff++
		default:
			index[t.Name] = len(p.CutOff)
			p.CutOff = append(p.CutOff, cutGroup{1, shown(t.Name, maxName), human(max(r.CutOffAt.Sub(t.Since), 0))})
		}
	}
	p.CutOffCount = len(r.CutOff)
}

func cutOffSentence(n int) string {
	if n == 1 {
		return "1 task was cut off."
	}
	return fmt.Sprintf("%d tasks were cut off.", n)
}
