package redisgate

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/revocation"
)

const (
	// page is how many records one call reads at most: two megabytes of the longest.
	page = 256
	// pages is how many of them one Read reads at most: at a tenth of a second each, fewer
	// than the two seconds for which a follower waits.
	pages = 16
	// batch is how many one script appends, so that it holds Redis up for a millisecond.
	batch = 64
	// trimmed is how many records that have ended one script takes out: more than it adds.
	trimmed = 2 * batch
	// margin is how long after its end a record is read: the clock of a process, or that of a
	// server, may be ahead. It is also how long a reader may pause at the end of the stream and
	// still find its place.
	margin = time.Minute
	// pause is how much later it is taken out, and so how long a reader may pause that has not
	// come to the end.
	pause = 15 * time.Second
	// spared is the part of Config.MaxRecords that is for heartbeats alone: with the default,
	// those of some three thousand processes.
	spared = 16
)

// Log is what lists of revoked tokens share: a revocation.Log. It is one stream, which is
// snapshot and feed at once, and beside it the ends of its records, on one server of a
// Cluster.
//
//   - What bounds it: Config.MaxRecords of [MaxRecordBytes]. Records that have ended for 75 s are
//     taken out as others are appended, at most 128 each time.
//   - Who can fill it: whoever may revoke.
//   - Who can steer it: nobody else. Records that nobody of the fleet has written are left out.
//   - What the caller sees when it is full: ErrUnavailable, ReasonOverloaded. Heartbeats, by
//     which a process knows that it hears the others, have a sixteenth of the room for
//     themselves: else all tokens would be answered 503 because one may not be revoked.
type Log struct{ stores *Stores }

// appendScript first makes room, also in a Redis that is full, where it would otherwise not
// be let.
//
// What has ended, by the clock that is behind, goes; but nothing at or behind the youngest
// record that is a minute old: whoever has read during that minute finds the record again at
// which it stopped. That one is looked for only where something has ended, so that there is
// one: where there is none, Redis looks at every record of the stream.
//
// Only this script writes, so that the ends are those of the stream. The ID of a record grows
// also where the clock of a new master is behind: Redis sees to it.
const appendScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ended = math.min(now, tonumber(ARGV[1])) - tonumber(ARGV[2]) - tonumber(ARGV[5])
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', ended), 'LIMIT', 0, ARGV[3])
if #gone > 0 then
  local pivot = redis.call('XREVRANGE', KEYS[1], string.format('%.0f', now - tonumber(ARGV[2])), '-', 'COUNT', 1)[1]
  for _, id in ipairs(gone) do
    if pivot and id ~= pivot[1] then
      redis.call('XDEL', KEYS[1], id)
      redis.call('ZREM', KEYS[2], id)
    end -- a reader may stand there
  end -- of what has ended
end
if redis.call('XLEN', KEYS[1]) + (#ARGV - 5) / 2 > tonumber(ARGV[4]) then
  return 0
end
for i = 6, #ARGV, 2 do
  local id = redis.call('XADD', KEYS[1], '*', 'd', ARGV[i])
  local stop = math.max(tonumber(ARGV[i + 1]), now)
  redis.call('ZADD', KEYS[2], string.format('%.0f', stop), id)
end
return 1
`

// Append adds records at the end, in this order, in atomic steps of 64. It returns nil when
// Redis, and Config.Replicas replicas, have them all. After an error some of them
// may be there; to append them again does no harm. A call that the client repeats may
// append a record twice.
func (l *Log) Append(ctx context.Context, records ...revocation.Record) error {
	for i, r := range records {
		if len(r.Data) > MaxRecordBytes {
			return misconfigured(fmt.Errorf("redisgate: append: the record with index %d has %d bytes: at most %d", i, len(r.Data), MaxRecordBytes))
		}
	}
	for some := range slices.Chunk(records, batch) {
		if err := l.append(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) append(ctx context.Context, records []revocation.Record) error {
	s, keys := l.stores, l.stores.logKeys()
	now, room := time.Now(), s.records
	for _, r := range records {
		if left := r.Until.Sub(now); left < 0 || left > margin { // no heartbeat
			room = s.records - s.records/spared
		}
	}
	args := []any{now.UnixMilli(), margin.Milliseconds(), trimmed, room, pause.Milliseconds()}
	for _, r := range records {
		args = append(args, s.secrets[0].seal(r.Data, r.Until), ending(r.Until))
	}
	_, err := call(ctx, s, OperationAppend, keys[0], func(ctx context.Context) (any, error) {
		c, err := eval(ctx, s, true, appendScript, keys, args...)
		if err == nil && c.Val() != int64(1) {
			return nil, overloaded(OperationAppend, fmt.Sprintf("there are %d records", room))
		}
		return nil, err
	})
	return err
}

// ending is the score of a record: a number that Redis holds without loss.
func ending(until time.Time) int64 { return min(max(until.UnixMilli(), 0), 1<<53-1) }

// Read returns the data of at most limit records, and at most 256, after a place, and the
// place behind the last one; no data says that this is the end. Records that have ended are
// left out, and so are those that nobody of the fleet has written, which Hooks.Skipped is
// told of. A Read looks at no more than 16 pages: one that has found nothing else by then
// returns a single record, which has ended, or is empty if there was not even that.
//
// Any error means: start over, at "". Redis may have lost what it had acknowledged, with a
// master that died, and have given the same place, or one before it, to something else since.
// Read notices that, since the record that it stopped at is not there any more, and says so
// ([bearergate.ErrUnavailable], [bearergate.ReasonStoreUnavailable]). It says so too to a
// reader that pauses for more than 15 s, or for more than a minute at the end, if that record
// has ended.
func (l *Log) Read(ctx context.Context, after string, limit int) (data [][]byte, next string, err error) {
	if limit < 1 {
		return nil, "", misconfigured(fmt.Errorf("redisgate: read: a limit of %d", limit))
	}
	limit = min(limit, page)
	var ended []byte
	for looked, begin := 1, after; ; looked++ {
		entries, err := l.page(ctx, after, limit)
		switch gone := errors.Is(err, errPlace); {
		case gone && after != begin && looked < pages: // it had ended, and was taken out meanwhile
			after = begin
			continue
		case gone:
			own := *errPlace
			return nil, "", &own
		case err != nil:
			return nil, "", err
		}
		var last redis.XMessage
		data, last, ended = l.open(ctx, entries, ended)
		if n := len(entries); n > 0 {
			after = placeOf(entries[n-1])
		}
		switch {
		case len(data) > 0 && len(entries) == limit:
			return data, placeOf(last), nil // what has ended behind it may be taken out at any moment
		case len(entries) < limit:
			return data, after, nil
		case looked == pages: // a page of nothing but what is left out is not the end
			return [][]byte{ended}, after, nil
		}
	}
}

// errPlace says that a record is gone.
var errPlace = &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable,
	Detail: "redisgate: read: the record behind which to go on is not there any more: read from the start"}

// page returns the entries after a place.
func (l *Log) page(ctx context.Context, after string, limit int) ([]redis.XMessage, error) {
	s, key := l.stores, l.stores.logKeys()[0]
	start, count := "-", limit
	if after != "" {
		id, _, _ := strings.Cut(after, placeMark)
		if !places.MatchString(after) {
			return nil, misconfigured(errors.New("redisgate: read: a place of another log: read from the start"))
		}
		start, count = id, limit+1 // and the record itself: is it still there?
	}
	entries, err := call(ctx, s, OperationRead, key, func(ctx context.Context) ([]redis.XMessage, error) {
		c, err := send(ctx, s, false, key, func(ctx context.Context, c redis.Cmdable) *redis.XMessageSliceCmd {
			return c.XRangeN(ctx, key, start, "+", int64(count))
		})
		return c.Val(), err
	})
	if err != nil || after == "" {
		return entries, err
	}
	if len(entries) == 0 || placeOf(entries[0]) != after {
		return nil, errPlace
	}
	return entries[1:], nil
}

// open returns the data of entries that are of the fleet and have not ended, the last of these
// entries, and the data of the last one that has ended.
func (l *Log) open(ctx context.Context, entries []redis.XMessage, before []byte) (data [][]byte, last redis.XMessage, ended []byte) {
	ended = before
	skipped, now := 0, time.Now()
	for _, e := range entries {
		d, until, ok := l.stores.open(valueOf(e))
		switch {
		case !ok:
			skipped++
		case now.Before(until.Add(margin)):
			data, last = append(data, d), e
		default:
			ended = d
		}
	}
	if skipped > 0 {
		tell(ctx, l.stores.hooks.Skipped, SkipEvent{Records: skipped})
	}
	return data, last, ended
}

func valueOf(e redis.XMessage) string {
	value, _ := e.Values["d"].(string)
	return value
}

// A place is the ID of an entry and a hash of it: after a failover, another one may have its
// ID.
var places = regexp.MustCompile(`^[0-9]{1,20}-[0-9]{1,20}~[A-Za-z0-9_-]{12}$`)

const placeMark = "~"

func placeOf(e redis.XMessage) string {
	sum := sha256.Sum256([]byte(valueOf(e)))
	return e.ID + placeMark + base64.RawURLEncoding.EncodeToString(sum[:9])
}
