package main

import (
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Of several machines behind one name, the certificate that ends first counts, and the
// clock that is furthest off.
func TestWireKeepsTheWorst(t *testing.T) {
	w := newWire(http.DefaultTransport)
	at := time.Unix(1_800_000_000, 0)
	for _, end := range []time.Time{at.Add(time.Hour), at, at.Add(time.Minute)} {
		w.noteExpiry(serverAPI, end)
	}
	for _, ahead := range []time.Duration{time.Second, -time.Minute, 2 * time.Second} {
		w.noteSkew(serverAPI, skew{ahead: ahead, within: time.Second / 2})
	}
	w.noteSkew(serverAPI, skew{ahead: -2 * time.Minute, within: 2 * time.Minute}) // a slow answer says little
	expires, skews := w.seen()
	require.Equal(t, map[server]time.Time{serverAPI: at}, expires)
	require.Equal(t, map[server]skew{serverAPI: {ahead: -time.Minute, within: time.Second / 2}}, skews)
}

// A chain ends with the first of its certificates, and of several chains the last counts:
// until then this machine trusts the server.
func TestChainEnds(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	until := func(ends ...time.Duration) (chain []*x509.Certificate) {
		for _, end := range ends {
			chain = append(chain, &x509.Certificate{NotAfter: at.Add(end)})
		}
		return chain
	}
	for _, tt := range []struct {
		name   string
		chains [][]*x509.Certificate
		want   time.Duration
		none   bool
	}{
		{name: "none", none: true},
		{name: "an empty chain", chains: [][]*x509.Certificate{{}}, none: true},
		{name: "the server's ends first", chains: [][]*x509.Certificate{until(1, 2, 3)}, want: 1},
		{name: "the intermediate ends first", chains: [][]*x509.Certificate{until(2, 1, 3)}, want: 1},
		{name: "the root ends first", chains: [][]*x509.Certificate{until(2, 3, 1)}, want: 1},
		{name: "two chains", chains: [][]*x509.Certificate{until(5, 1), until(5, 4), until(5, 3)}, want: 4},
	} {
		got, ok := chainEnds(tt.chains)
		require.Equal(t, !tt.none, ok, tt.name)
		if ok {
			require.Equal(t, at.Add(tt.want), got, tt.name)
		}
	}
}

func TestSkewOf(t *testing.T) {
	sent := time.Unix(1_800_000_000, 0)
	came := sent.Add(2 * time.Second)
	date := func(d time.Duration) string { return sent.Add(d).UTC().Format(http.TimeFormat) }
	for _, tt := range []struct {
		name   string
		header http.Header
		want   time.Duration // of ahead
		none   bool
	}{
		{name: "no Date", header: http.Header{}, none: true},
		{name: "a Date that is none", header: http.Header{"Date": {"now"}}, none: true},
		{name: "from a cache", header: http.Header{"Date": {date(0)}, "Age": {"1"}}, none: true},
		{name: "with an Age that is none", header: http.Header{"Date": {date(0)}, "Age": {"x"}}, none: true},
		{name: "just fetched by a cache", header: http.Header{"Date": {date(time.Second)}, "Age": {"0"}}, want: time.Second / 2},
		{name: "in time", header: http.Header{"Date": {date(time.Second)}}, want: time.Second / 2},
		{name: "early", header: http.Header{"Date": {date(time.Minute)}}, want: time.Minute - time.Second/2},
		{name: "late", header: http.Header{"Date": {date(-time.Minute)}}, want: -time.Minute - time.Second/2},
	} {
		got, ok := skewOf(tt.header, sent, came)
		require.Equal(t, !tt.none, ok, tt.name)
		if ok {
			require.Equal(t, skew{ahead: tt.want, within: time.Second + time.Second/2}, got, tt.name)
		}
	}
	require.Zero(t, skew{ahead: -time.Second, within: 2 * time.Second}.least())
	require.Equal(t, time.Second, skew{ahead: -3 * time.Second, within: 2 * time.Second}.least())
}

// The server whose certificate ends first is named, and so is the clock that is furthest off.
func TestWorstServerIsNamed(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := probeConfig{certificateWarn: 21, certificateFail: 7, maxSkew: 5 * time.Second}
	f := judgeCertificates(map[server]time.Time{serverMetadata: now.Add(days(10)), serverToken: now.Add(days(3)), serverAPI: now.Add(days(90))}, c, now)
	require.Equal(t, finding{Step: stepCertificate, State: stateFailed, Reason: reasonExpires, Detail: "3.0 days left, of the server of token", Advice: advice[reasonExpires]}, f)
	f = judgeClocks(map[server]skew{serverMetadata: {ahead: time.Second}, serverKeys: {ahead: -9 * time.Second, within: time.Second}, serverAPI: {ahead: 2 * time.Second}}, c)
	require.Equal(t, finding{Step: stepClock, State: stateFailed, Reason: reasonSkew, Detail: "-9.0 s ± 1.0 s, of the server of keys", Advice: advice[reasonSkew]}, f)
}

// A file that cannot be replaced stays as it was, and nothing is left beside it.
func TestWriteFileLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "x.prom")
	require.NoError(t, os.MkdirAll(filepath.Join(target, "in-the-way"), 0o700))
	require.Error(t, report{Name: "x"}.writeFile(target))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}
