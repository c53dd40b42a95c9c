//go:build linux

package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASecondRunFailsWhileTheFirstHasNotEnded(t *testing.T) {
	name := fmt.Sprint("shutdown-e2e-test-", os.Getpid())
	first, err := lock(name)
	require.NoError(t, err)
	_, err = lock(name)
	require.ErrorContains(t, err, "another go run ./e2e has not ended")
	require.NoError(t, first.Close())
	again, err := lock(name)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}
