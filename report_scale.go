package shutdown

import (
	"strings"
	"time"
)

// A scale places times on a line of barWidth characters.
type scale struct {
	whole time.Duration
	marks []mark
}

type mark struct {
	at    time.Duration
	label byte
}

func newScale(r Report) scale {
	whole := max(r.GracePeriod, r.Timeout, r.Took, 1)
	return scale{whole, []mark{{r.Timeout - r.Reserve, 'r'}, {r.Timeout, 'T'}, {r.GracePeriod, 'K'}}}
}

func (s scale) column(at time.Duration) int {
	return min(max(int(float64(at)/float64(s.whole)*barWidth), 0), barWidth-1)
}

func (s scale) axis() string {
	line := []byte("0" + strings.Repeat("-", barWidth-1))
	for _, m := range s.marks {
		line[s.column(m.at)] = m.label
	}
	return string(line)
}

func (s scale) bar(step Step) string {
	line := []byte(strings.Repeat(" ", barWidth))
	for _, m := range s.marks {
		line[s.column(m.at)] = ':'
	}
	fill := byte('#')
	if step.Name == "" {
		fill = '='
	}
	for i := s.column(step.At); i <= s.column(step.At+step.Took); i++ {
		line[i] = fill
	}
	return string(line)
}
