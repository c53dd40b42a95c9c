package clip

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestAShortTextIsNotChanged(t *testing.T) {
	for _, s := range []string{"", "connection refused", strings.Repeat("x", Max), "two\n\tlines"} {
		require.Equal(t, s, Text(s))
	}
}

func TestALongTextIsCutBetweenRunesAndMarked(t *testing.T) {
	for shift := range 4 {
		s := Text(strings.Repeat("x", shift) + strings.Repeat("€", Max))
		require.LessOrEqual(t, len(s), Max)
		require.Greater(t, len(s), Max-len(mark)-utf8.UTFMax)
		require.True(t, utf8.ValidString(s))
		require.True(t, strings.HasSuffix(s, "€... (cut)"))
	}
	require.LessOrEqual(t, len(Text(strings.Repeat("\x80", 10*Max))), Max, "invalid UTF-8")
}

func TestControlCharactersAreReplacedAndTheQuotedLengthIsBounded(t *testing.T) {
	require.Equal(t, "a\ufffdb\ufffdc\ufffd", Text("a\x00b\xffc\u202e"))
	for _, s := range []string{"\"", "\\", "\n", "\x00", "\xff", "\u3000", "ü", "\u2028"} {
		text := To(strings.Repeat(s, 10_000), 1000)
		require.LessOrEqual(t, len(strconv.Quote(text)), 1000+2, "%q", s)
		require.Contains(t, text, mark)
	}
}

func TestAnErrorIsCutAndStillWrapped(t *testing.T) {
	require.NoError(t, Error(nil))
	short := errors.New("connection refused")
	require.Equal(t, short, Error(short))
	long := Error(fmt.Errorf("%s: %w", strings.Repeat("x", 100<<10), io.ErrUnexpectedEOF))
	require.Len(t, long.Error(), Max)
	require.ErrorIs(t, long, io.ErrUnexpectedEOF)
}
