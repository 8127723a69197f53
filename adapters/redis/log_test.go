package redisgate_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/bearergate/bearergate"
	redisgate "github.com/bearergate/bearergate/adapters/redis"
	"github.com/bearergate/bearergate/revocation"
	"github.com/bearergate/bearergate/test/kit"
)

const (
	stream = "bearergate:{orders}:log"
	ends   = "bearergate:{orders}:ends"
)

func TestLogIsReadInOrder(t *testing.T) {
	s, _ := single(t, config())
	log := s.Log()
	data, next, err := log.Read(t.Context(), "", 10)
	require.NoError(t, err)
	require.Empty(t, data)
	require.Empty(t, next, "the start of an empty log")

	var want []string
	var records []revocation.Record
	for i := range 300 { // several scripts
		want = append(want, strconv.Itoa(i))
		records = append(records, record(want[i]))
	}
	require.NoError(t, log.Append(t.Context()))
	require.NoError(t, log.Append(t.Context(), records...))
	for _, limit := range []int{1, 7, 256, 300, 1 << 30} {
		got, end := readAll(t, log, "", limit)
		require.Equal(t, want, got)
		require.NoError(t, log.Append(t.Context(), record("more")))
		data, next, err := log.Read(t.Context(), end, limit)
		require.NoError(t, err)
		require.Equal(t, [][]byte{[]byte("more")}, data)
		require.NotEqual(t, end, next)
		want = append(want, "more")
	}
	data, _, err = log.Read(t.Context(), "", 1<<30)
	require.NoError(t, err)
	require.Len(t, data, 256, "a page")
}

func TestLogRefusesWhatItCannotHold(t *testing.T) {
	s, server := single(t, config())
	log := s.Log()
	require.NoError(t, log.Append(t.Context(), revocation.Record{Data: make([]byte, redisgate.MaxRecordBytes), Until: time.Now().Add(time.Hour)}))
	err := log.Append(t.Context(), record("fits"), revocation.Record{Data: make([]byte, redisgate.MaxRecordBytes+1), Until: time.Now().Add(time.Hour)})
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	got, _ := readAll(t, log, "", 10)
	require.Equal(t, []string{string(make([]byte, redisgate.MaxRecordBytes))}, got)

	_, _, err = log.Read(t.Context(), "", 0)
	kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	for _, place := range []string{"1-1", "-", "1-1~short", "+", "1-1~AAAAAAAAAAAA\r\n"} {
		_, _, err = log.Read(t.Context(), place, 1)
		kit.RequireError(t, err, bearergate.ErrMisconfigured, bearergate.ReasonConfig)
	}
	server.Del(stream)
	_, err = server.Lpush(stream, "of somebody else")
	require.NoError(t, err)
	kit.RequireError(t, log.Append(t.Context(), record("r")), bearergate.ErrMisconfigured, bearergate.ReasonConfig)
}

func TestAFullLogForgetsNothing(t *testing.T) {
	c := config()
	c.MaxRecords = 3
	s, server := single(t, c)
	log := s.Log()
	begin := time.Now()
	server.SetTime(begin)
	short := revocation.Record{Data: []byte("short"), Until: begin.Add(-time.Hour)}
	require.NoError(t, log.Append(t.Context(), short, record("b"), record("c")))
	for _, more := range [][]revocation.Record{{record("d")}, {record("d"), record("e")}} {
		kit.RequireError(t, log.Append(t.Context(), more...), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	}
	got, _ := readAll(t, log, "", 10)
	require.Equal(t, []string{"b", "c"}, got, "the first one has ended")
}

// A Log that whoever revokes has filled still takes heartbeats, up to MaxRecords.
func TestRoomForHeartbeats(t *testing.T) {
	c := config()
	c.MaxRecords = 33
	s, _ := single(t, c)
	log := s.Log()
	beat := func(until time.Duration) revocation.Record {
		return revocation.Record{Data: []byte("beat"), Until: time.Now().Add(until)}
	}
	require.NoError(t, log.Append(t.Context(), slices.Repeat([]revocation.Record{record("r")}, 29)...))
	require.NoError(t, log.Append(t.Context(), beat(20*time.Second), record("the last")))
	refused := func(records ...revocation.Record) {
		t.Helper()
		kit.RequireError(t, log.Append(t.Context(), records...), bearergate.ErrUnavailable, bearergate.ReasonOverloaded)
	}
	refused(record("r"))
	refused(beat(2 * time.Minute))
	refused(beat(-time.Hour))
	refused(record("r"), beat(20*time.Second))
	require.NoError(t, log.Append(t.Context(), beat(20*time.Second), beat(20*time.Second)))
	refused(beat(20 * time.Second))
}

// W2-203, W2-204.
func TestRecordsOfOthersAreSkipped(t *testing.T) {
	told := &events{}
	c := with(1)
	c.Hooks = told.hooks()
	s, server := single(t, c)
	client := connect(t, server.Addr())
	log := s.Log()
	add := func(value string) {
		_, err := server.XAdd(stream, "*", []string{"d", value})
		require.NoError(t, err)
	}
	require.NoError(t, log.Append(t.Context(), record("good")))
	entries, err := server.Stream(stream)
	require.NoError(t, err)
	sealed := entries[0].Values[1]

	rows := []struct {
		name string
		do   func()
	}{
		{"garbage", func() { add("garbage") }},
		{"nothing", func() { add("") }},
		{"another field", func() { _, _ = server.XAdd(stream, "*", []string{"x", sealed}) }},
		{"long", func() { add(sealed[:1] + strings.Repeat("x", 1<<20)) }},
		{"cut", func() { add(sealed[:len(sealed)-1]) }},
		{"longer", func() { add(sealed + "x") }},
		{"a bit of the nonce", func() { add(flip(sealed, 1)) }},
		{"a bit of the end", func() { add(flip(sealed, 13)) }},
		{"a bit of the tag", func() { add(flip(sealed, len(sealed)-1)) }},
		{"a later version", func() { add(flip(sealed, 0)) }},
		{"a later version, under the same secret", func() { add(s.SealAs(2, make([]byte, 100))) }},
		{"longer than a record may be", func() { add(s.SealAs(1, make([]byte, 8+redisgate.MaxRecordBytes+1))) }},
		{"too short for its end", func() { add(s.SealAs(1, make([]byte, 7))) }},
		{"another secret", func() { require.NoError(t, stores(t, client, with(2)).Log().Append(t.Context(), record("forged"))) }},
		{"another fleet", func() {
			foreign, elsewhere := single(t, func() redisgate.Config { c := with(1); c.Namespace = "payments"; return c }())
			require.NoError(t, foreign.Log().Append(t.Context(), record("forged")))
			entries, err := elsewhere.Stream("bearergate:{payments}:log")
			require.NoError(t, err)
			add(entries[0].Values[1])
		}},
	}
	for i, row := range rows {
		row.do()
		got, _ := readAll(t, log, "", 1) // a page of nothing else is not the end
		require.Equal(t, []string{"good"}, got, row.name)
		require.Equal(t, (i+1)*(i+2)/2, told.skips(), row.name)
	}
	require.NoError(t, log.Append(t.Context(), record("behind them")))
	for _, limit := range []int{1, 5, 100} {
		got, _ := readAll(t, log, "", limit)
		require.Equal(t, []string{"good", "behind them"}, got)
	}
}

// One Read ends in time, however much of the log is of no use: a list that starts, or reads
// the whole log again, must come to its end.
func TestAReadIsBounded(t *testing.T) {
	ended := revocation.Record{Data: []byte("ended"), Until: time.Now().Add(-2 * time.Minute)}
	for _, row := range []struct {
		name   string
		writer redisgate.Config
		stands string // for what was left out
	}{
		{"ended", with(1), "ended"},
		{"under a secret that is gone", with(2), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			told := &events{}
			c := with(1)
			c.Hooks = told.hooks()
			s, server := single(t, c)
			writer := stores(t, connect(t, server.Addr()), row.writer)
			for range 40 {
				require.NoError(t, writer.Log().Append(t.Context(), ended))
			}
			require.NoError(t, s.Log().Append(t.Context(), record("good")))
			var got []string
			after := ""
			for {
				before := len(told.outcomes())
				data, next, err := s.Log().Read(t.Context(), after, 1)
				require.NoError(t, err)
				require.LessOrEqual(t, len(told.outcomes())-before, 16)
				if after = next; len(data) == 0 {
					break
				}
				for _, d := range data {
					got = append(got, string(d))
				}
			}
			require.Equal(t, []string{row.stands, row.stands, "good"}, got)
		})
	}
}

func flip(s string, i int) string {
	b := []byte(s)
	b[i] ^= 4
	return string(b)
}

func TestRecordsAreReadWhileASecretChanges(t *testing.T) {
	server := miniredis.RunT(t)
	client := connect(t, server.Addr())
	var want []string
	for i, c := range []redisgate.Config{with(1), with(1, 2), with(2, 1), with(2, 1, 3)} {
		want = append(want, strconv.Itoa(i))
		require.NoError(t, stores(t, client, c).Log().Append(t.Context(), record(want[i])))
	}
	for _, c := range []redisgate.Config{with(1, 2), with(2, 1), with(3, 2, 1)} {
		got, _ := readAll(t, stores(t, client, c).Log(), "", 10)
		require.Equal(t, want, got)
	}
	got, _ := readAll(t, stores(t, client, with(1)).Log(), "", 10)
	require.Equal(t, want[:2], got)
}

// W2-201, W2-202.
func TestALogThatHasLostRecordsIsReadAnew(t *testing.T) {
	rows := []struct {
		name string
		lose func(t *testing.T, server *miniredis.Miniredis, log *redisgate.Log)
	}{
		{"everything", func(_ *testing.T, server *miniredis.Miniredis, _ *redisgate.Log) { server.FlushAll() }},
		{"the last ones", func(t *testing.T, server *miniredis.Miniredis, _ *redisgate.Log) { lose(t, server) }},
		{"the last ones, and others have come", func(t *testing.T, server *miniredis.Miniredis, log *redisgate.Log) {
			lose(t, server)
			require.NoError(t, log.Append(t.Context(), record("new")))
		}},
		{"the last ones, and the clock of the new master is behind", func(t *testing.T, server *miniredis.Miniredis, log *redisgate.Log) {
			lose(t, server)
			server.SetTime(time.Now().Add(-time.Hour))
			require.NoError(t, log.Append(t.Context(), record("new"), record("newer")))
		}},
		{"the last one, and another has its ID", func(t *testing.T, server *miniredis.Miniredis, log *redisgate.Log) {
			id := lose(t, server)
			require.NoError(t, log.Append(t.Context(), record("new")))
			entries, err := server.Stream(stream)
			require.NoError(t, err)
			value := entries[len(entries)-1].Values
			lose(t, server)
			_, err = server.XAdd(stream, id, value)
			require.NoError(t, err)
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, server := single(t, config())
			log := s.Log()
			require.NoError(t, log.Append(t.Context(), record("a"), record("b")))
			_, end := readAll(t, log, "", 10)
			row.lose(t, server, log)
			data, next, err := log.Read(t.Context(), end, 10)
			kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)
			require.Nil(t, data)
			require.Empty(t, next)
			_, _, err = log.Read(t.Context(), "", 10)
			require.NoError(t, err)
		})
	}
}

// lose makes a server forget the last record, as one does that did not get it, and returns
// its ID.
func lose(t *testing.T, server *miniredis.Miniredis) string {
	t.Helper()
	entries, err := server.Stream(stream)
	require.NoError(t, err)
	server.Del(stream)
	for _, e := range entries[:len(entries)-1] {
		_, err := server.XAdd(stream, e.ID, e.Values)
		require.NoError(t, err)
	}
	return entries[len(entries)-1].ID
}

func TestRecordsAreTrimmedByTheirEnds(t *testing.T) {
	s, server := single(t, config())
	log := s.Log()
	begin := time.Now()
	server.SetTime(begin)
	appendAt := func(clock time.Time, text string, until time.Time) {
		server.SetTime(clock)
		require.NoError(t, log.Append(t.Context(), revocation.Record{Data: []byte(text), Until: until}))
	}
	kept := func() (texts []string) {
		entries, err := server.Stream(stream)
		require.NoError(t, err)
		members, err := server.ZMembers(ends)
		if len(entries) > 0 {
			require.NoError(t, err)
		}
		require.Len(t, members, len(entries), "one end for each")
		for _, e := range entries {
			require.Contains(t, members, e.ID)
			texts = append(texts, e.ID)
		}
		return texts
	}
	// The clock of this process stands for that which is behind, the server's is moved:
	// nothing that has not ended by both is trimmed.
	old := time.Now().Add(-10 * time.Minute)
	appendAt(old, "long", time.Now().Add(time.Hour))
	appendAt(old.Add(time.Second), "ended", old.Add(2*time.Second))
	appendAt(old.Add(2*time.Second), "ended too", old.Add(3*time.Second))
	require.Len(t, kept(), 3)
	_, place := readAll(t, log, "", 10)
	appendAt(old.Add(76*time.Second), "young", old.Add(80*time.Second))
	require.Len(t, kept(), 4, "ended for less than 75 s")
	appendAt(old.Add(85*time.Second), "more", time.Now().Add(time.Hour))
	require.Len(t, kept(), 4, "ended is gone; ended too is where a reader of the last minute may stand")
	_, _, err := log.Read(t.Context(), place, 10)
	require.NoError(t, err, "such a reader")
	appendAt(begin, "and more", time.Now().Add(time.Hour))
	require.Len(t, kept(), 3)
	got, _ := readAll(t, log, "", 10)
	require.Equal(t, []string{"long", "more", "and more"}, got)
	_, _, err = log.Read(t.Context(), place, 10)
	kit.RequireError(t, err, bearergate.ErrUnavailable, bearergate.ReasonStoreUnavailable)

	// A server whose clock is ahead by an hour trims nothing.
	before := kept()
	appendAt(begin.Add(3*time.Hour), "last", time.Now().Add(time.Hour))
	require.Len(t, kept(), len(before)+1)
}

// A Read that finds nothing but what has ended goes on, also where that is taken out meanwhile:
// Redis has lost nothing.
func TestReadWhileMuchIsTakenOut(t *testing.T) {
	s, server := single(t, config())
	writer := s.Log()
	client := connect(t, server.Addr())
	reads := 0
	client.AddHook(interceptor(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		err := next(ctx, cmd)
		if cmd.Name() == "xrange" {
			if reads++; reads == 1 { // three processes append a heartbeat before the next page
				for range 3 {
					require.NoError(t, writer.Append(t.Context(), revocation.Record{Data: []byte("beat"), Until: time.Now().Add(20 * time.Second)}))
				}
			}
		}
		return err
	}))
	reader := stores(t, client, config()).Log()
	server.SetTime(time.Now().Add(-10 * time.Minute))
	ended := make([]revocation.Record, 2000)
	for i := range ended {
		ended[i] = revocation.Record{Data: []byte("ended"), Until: time.Now().Add(-5 * time.Minute)}
	}
	require.NoError(t, writer.Append(t.Context(), ended...))
	require.NoError(t, writer.Append(t.Context(), record("good")))
	server.SetTime(time.Now().Add(-2 * time.Minute))
	require.NoError(t, writer.Append(t.Context(), record("good too")))
	server.SetTime(time.Now())
	data, _, err := reader.Read(t.Context(), "", 500)
	require.NoError(t, err)
	require.NotEmpty(t, data)
	require.Greater(t, reads, 2)
}

// A reader that has not come to the end finds its place again after a pause, also where that
// was about to be taken out.
func TestReaderInTheMiddle(t *testing.T) {
	s, server := single(t, config())
	log := s.Log()
	began := time.Now()
	server.SetTime(began.Add(-80 * time.Second))
	var records []revocation.Record
	for i := range 254 {
		records = append(records, record(fmt.Sprint("entry", i)))
	}
	records = append(records,
		revocation.Record{Data: []byte("as good as ended"), Until: began.Add(-50 * time.Second)},
		revocation.Record{Data: []byte("as good as gone"), Until: began.Add(-76 * time.Second)})
	require.NoError(t, log.Append(t.Context(), records...))
	server.SetTime(began.Add(-70 * time.Second))
	for range 20 {
		require.NoError(t, log.Append(t.Context(), record("later")))
	}
	data, place, err := log.Read(t.Context(), "", 500)
	require.NoError(t, err)
	require.Len(t, data, 255)
	server.SetTime(began)
	require.NoError(t, log.Append(t.Context(), record("new")))
	entries, err := server.Stream(stream)
	require.NoError(t, err)
	require.Len(t, entries, 276, "one is gone")
	data, _, err = log.Read(t.Context(), place, 500)
	require.NoError(t, err)
	require.Len(t, data, 21)
}

func TestTrimmingIsBounded(t *testing.T) {
	s, server := single(t, config())
	old := time.Now().Add(-time.Hour)
	server.SetTime(old)
	var records []revocation.Record
	for i := range 500 {
		records = append(records, revocation.Record{Data: []byte(strconv.Itoa(i)), Until: old})
	}
	require.NoError(t, s.Log().Append(t.Context(), records...))
	var lengths []int
	for i := range 5 {
		server.SetTime(time.Now())
		require.NoError(t, s.Log().Append(t.Context(), record(fmt.Sprint(i))))
		entries, err := server.Stream(stream)
		require.NoError(t, err)
		lengths = append(lengths, len(entries))
	}
	require.Equal(t, []int{373, 246, 119, 5, 6}, lengths[:5])
	require.True(t, slices.IsSorted(lengths[3:]))
}

func FuzzRecordsThatNobodyWrote(f *testing.F) {
	server := miniredis.RunT(f)
	s := stores(f, connect(f, server.Addr()), with(1, 2))
	until := time.UnixMilli(1_900_000_000_000)
	f.Add(s.Seal([]byte("data"), until), []byte("data"))
	f.Add([]byte{}, []byte{})
	f.Add([]byte("\x01garbage that is as long as a record, or longer than that"), make([]byte, 4096))
	f.Fuzz(func(t *testing.T, value, data []byte) {
		got, at, ok := s.Open(string(value))
		if ok && (string(got) != "data" || !at.Equal(until)) { // another process of the fuzzer has another nonce
			t.Fatal("only what was sealed is opened")
		}
		if !ok && (got != nil || !at.IsZero()) {
			t.Fatal("a value beside a failure")
		}
		if len(data) > redisgate.MaxRecordBytes {
			return
		}
		own := s.Seal(data, until)
		got, at, ok = s.Open(string(own))
		if !ok || string(got) != string(data) || !at.Equal(until) {
			t.Fatal("what was sealed is not what was opened")
		}
		if len(value) > 0 {
			own[int(value[0])%len(own)] ^= 1 << (value[len(value)-1] % 8)
			if _, _, ok = s.Open(string(own)); ok {
				t.Fatal("a changed record was opened")
			}
		}
	})
}
