package recipetest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestADocumentedLineMatchesOtherNumbersAndWhatIsLeftOut(t *testing.T) {
	documented := pattern(`INFO finished … report.close="2.4ms: kafka 2.4ms" …`)
	require.True(t, documented.MatchString(`INFO finished report.took_seconds=1 report.close="40.3ms: kafka 38ms" x=1`))
	require.True(t, documented.MatchString(`INFO finished took=1 report.close="1s: kafka 950µs" `))
	require.False(t, documented.MatchString(`INFO finished took=1 report.close="1s: db 1s" `))
	require.False(t, documented.MatchString(`INFO timed out report.close="1s: kafka 1s" `))
}
