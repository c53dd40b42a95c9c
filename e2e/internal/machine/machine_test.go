//go:build linux

package machine

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheDifferenceNamesWhatIsNewAndWhatIsGone(t *testing.T) {
	before := State{"routes": {"a", "b"}, "rules": {"x"}}
	require.Empty(t, before.Difference(State{"routes": {"a", "b"}, "rules": {"x"}}))
	require.Equal(t, []string{"routes: gone: b", "routes: new: c", "rules: gone: x"},
		before.Difference(State{"routes": {"a", "c"}, "rules": nil}))
}

func TestTheMachineIsAsItIs(t *testing.T) {
	before, err := Now(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, before["sysctls"])
	require.NotEmpty(t, before["mounts"])
}

func TestAProcessThatIsLeftIsFoundByItsEnvironment(t *testing.T) {
	value := t.Name()
	require.Empty(t, Left(value))
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	cmd.Env = append(os.Environ(), Mark+"="+value)
	require.NoError(t, cmd.Start())
	left := Left(value)
	require.NoError(t, stdin.Close())
	require.NoError(t, cmd.Wait())
	require.Len(t, left, 1)
	require.Contains(t, left[0], "cat")
	require.Empty(t, Left(value))
}
