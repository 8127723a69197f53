package mistake_test

import (
	"io"
	"testing"

	"github.com/bearergate/bearergate/internal/mistake"
	"github.com/stretchr/testify/require"
)

func TestList(t *testing.T) {
	wrong := mistake.In("pkg")
	require.NoError(t, wrong.Err())
	wrong.Addf("Field is %d: choose 1", 2)
	wrong.Addf("Other %w", io.EOF)
	require.EqualError(t, wrong.Err(), "pkg: Field is 2: choose 1\npkg: Other EOF")
	require.ErrorIs(t, wrong.Err(), io.EOF)
}
