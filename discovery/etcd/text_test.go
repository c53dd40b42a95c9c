package etcd

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestALongErrorIsCutForTheLog(t *testing.T) {
	require.Equal(t, "etcdserver: no leader", text(errors.New("etcdserver: no leader")))
	s := text(errors.New("rpc error: " + strings.Repeat("\u20ac", 100<<10)))
	require.LessOrEqual(t, len(s), maxText)
	require.True(t, utf8.ValidString(s))
	require.True(t, strings.HasSuffix(s, "\u20ac... (cut)"))
}
