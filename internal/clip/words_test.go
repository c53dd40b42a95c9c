package clip_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gracefulgo/shutdown/internal/clip"
)

// A nilError panics when it is asked for its text.
type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

func TestErrorTextSurvivesAnErrorThatPanics(t *testing.T) {
	require.Empty(t, clip.ErrorText(nil))
	require.Equal(t, "boom", clip.ErrorText(errors.New("boom")))
	require.Equal(t, "<nil>", clip.ErrorText((*nilError)(nil)))
}

func TestALineHasAtMostSoManyLetters(t *testing.T) {
	for s, want := range map[string]string{
		"":            "",
		"orders":      "orders",
		"GET /orders": "GET /or...",
		"\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc":       "\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc", // letters, and not bytes
		"\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc": "\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc...",
		"a\nb\x1b[2J": "a\ufffdb\ufffd[2J",
		"\xff\xfe":    "\ufffd\ufffd",
	} {
		require.Equal(t, want, clip.Line(s, 10))
		require.LessOrEqual(t, utf8.RuneCountInString(clip.Line(s, 10)), 10)
	}
}

func TestFirstLineIsThatOfAnError(t *testing.T) {
	require.Empty(t, clip.FirstLine(nil, 20))
	require.Equal(t, "panic: boom", clip.FirstLine(errors.New("panic: boom\n\ngoroutine 17"), 20))
	require.Equal(t, "panic: a very lon...", clip.FirstLine(errors.New("panic: a very long text\nx"), 20))
	require.Empty(t, clip.FirstLine(errors.New("\nx"), 20))
	require.Equal(t, "e \ufffd[31m", clip.FirstLine(errors.New("e \x1b[31m\nmore"), 20))
	require.Equal(t, "<nil>", clip.FirstLine((*nilError)(nil), 20))
}

func TestGraphicReplacesWhatCannotBeSeen(t *testing.T) {
	for s, want := range map[string]string{
		"x y \u00fc \u4e16": "x y \u00fc \u4e16",
		"\r\n\t\x00\x07":    "\ufffd\ufffd\ufffd\ufffd\ufffd",
		"a\u202eb\u200b":    "a\ufffdb\ufffd", // the direction of the text, and a space of no width
		"\xff":              "\ufffd",
	} {
		require.Equal(t, want, clip.Graphic(s))
	}
}

func TestBytesCutsBetweenLettersAndSaysSoOnALineOfItsOwn(t *testing.T) {
	require.Equal(t, strings.Repeat("x", 100), clip.Bytes(strings.Repeat("x", 100), 100))
	require.Equal(t, strings.Repeat("x", 90)+"\n... (cut)", clip.Bytes(strings.Repeat("x", 101), 100))
	for shift := range 4 {
		s := clip.Bytes(strings.Repeat("x", shift)+strings.Repeat("\u20ac", 100), 100)
		require.LessOrEqual(t, len(s), 100)
		require.Greater(t, len(s), 100-utf8.UTFMax)
		require.True(t, utf8.ValidString(s))
		require.True(t, strings.HasSuffix(s, "\u20ac\n... (cut)"))
	}
}

func TestCountAgreesWithItsNoun(t *testing.T) {
	for n, want := range map[int]string{0: "0 tasks", 1: "1 task", 2: "2 tasks", 1000: "1000 tasks"} {
		require.Equal(t, want, clip.Count(n, "task"))
	}
}

func TestAtMostSaysHowManyMoreThereAre(t *testing.T) {
	list := []string{"a", "b", "c", "d"}
	for n, want := range map[int]string{2: "a, b and 2 more", 3: "a, b, c and 1 more", 4: "a, b, c, d", 9: "a, b, c, d"} {
		require.Equal(t, want, clip.AtMost(n, list))
	}
	require.Empty(t, clip.AtMost(2, nil))
}

func TestRoundLeavesAboutThreeDigits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 999 * time.Nanosecond: "1µs", 12345 * time.Nanosecond: "12µs", 123456 * time.Nanosecond: "123µs",
		1234567 * time.Nanosecond: "1.2ms", 123456 * time.Microsecond: "123.5ms", 999960 * time.Microsecond: "1s",
		1234 * time.Millisecond: "1.23s", 9996 * time.Millisecond: "10s", 12345 * time.Millisecond: "12.3s", 123456 * time.Millisecond: "2m3.5s",
	} {
		require.Equal(t, want, clip.Round(d).String())
	}
}
