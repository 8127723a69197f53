package mistake_test

import (
	"io"
	"testing"
	"time"

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

func TestBetween(t *testing.T) {
	for _, tt := range []struct {
		name                         string
		value, byDefault, least, max time.Duration
		want                         time.Duration
		says                         string
	}{
		{name: "left out", byDefault: 3, max: time.Minute, want: 3},
		{name: "the least", value: time.Millisecond, max: time.Minute, want: time.Millisecond},
		{name: "the most", value: time.Minute, max: time.Minute, want: time.Minute},
		{name: "a bare number", value: 3, byDefault: time.Second, max: time.Minute,
			says: "pkg: F is 3ns (a number without a unit counts nanoseconds: write 3*time.Second, for example): choose between 1ms and 1m0s, or leave it out for the default of 1s"},
		{name: "a bare number of milliseconds", value: 5000, least: 1, max: time.Minute,
			says: "pkg: F is 5µs (a number without a unit counts nanoseconds: write 5000*time.Millisecond, for example): choose between 1ms and 1m0s, or leave it out for none"},
		{name: "just too short", value: time.Millisecond - 1, max: time.Minute,
			says: "pkg: F is 999.999µs (a number without a unit counts nanoseconds: write 999999*time.Millisecond, for example): choose between 1ms and 1m0s, or leave it out for none"},
		{name: "under a bound of its own", value: time.Millisecond, byDefault: time.Minute, least: time.Second, max: time.Hour,
			says: "pkg: F is 1ms: choose between 1s and 1h0m0s, or leave it out for the default of 1m0s"},
		{name: "negative", value: -1, byDefault: time.Second, max: time.Minute,
			says: "pkg: F is -1ns: choose between 1ms and 1m0s, or leave it out for the default of 1s"},
		{name: "too long", value: time.Hour, byDefault: time.Second, max: time.Minute,
			says: "pkg: F is 1h0m0s: choose between 1ms and 1m0s, or leave it out for the default of 1s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wrong := mistake.In("pkg")
			mistake.Between(&wrong, "F", &tt.value, tt.byDefault, tt.least, tt.max)
			if tt.says != "" {
				require.EqualError(t, wrong.Err(), tt.says)
				return
			}
			require.NoError(t, wrong.Err())
			require.Equal(t, tt.want, tt.value)
		})
	}
	wrong, n := mistake.In("pkg"), -1
	mistake.Between(&wrong, "Bytes", &n, 16, 0, 64)
	require.EqualError(t, wrong.Err(), "pkg: Bytes is -1: choose between 1 and 64, or leave it out for the default of 16")
}
