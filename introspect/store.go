package introspect

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/internal/accept"
	"github.com/bearergate/bearergate/internal/guard"
)

// Store is a second cache, shared by several processes. It holds opaque values
// under keys of letters, digits, "-" and "_". Implementations are safe for
// concurrent use, honour ctx, and need not be durable.
//
// Nobody who can read the Store learns a token or an answer, and nobody who can
// write to it can have a token accepted: values are encrypted and bound to their
// key (AES-256-GCM under a key of their own), and carry the time of the answer.
// An old value that is put back is refused once its time is over, and one from
// the future at once. Keep the clocks of the processes in step: the answers of a
// process whose clock is ahead live that much longer in the others.
type Store interface {
	// Get returns the value under key, nil if there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set stores the value for ttl, or longer.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// Claimer is what a Store may be besides: one atomic step, by which one process of a fleet
// renews an answer that is in use before its end, and the others take it from the Store.
// Without it, each looks into the Store before it asks, and a few may ask at once.
type Claimer interface {
	// Claim sets key for ttl unless it is there, and reports whether it did (SET NX PX, in
	// Redis). What it sets is read by nobody. Of many who claim one key at a time, one is
	// told true.
	Claim(ctx context.Context, key string, ttl time.Duration) (bool, error)
}

const (
	minStoreKeyBytes = 32
	maxClockSkew     = 5 * time.Second // between processes that share a Store
	storeGrace       = time.Minute     // for an answer that is on its way to a Store that hangs
	storeCalls       = 64              // at once, so that a Store that hangs cannot gather goroutines

	recordVersion = 1
	recordAnswer  = 0
	recordPurged  = 1
	headerBytes   = 1 + 1 + 1 + 8 // version, kind, signing, stored-at in ms
)

// vault is a Store with its encryption.
type vault struct {
	store   Store
	secret  bearergate.Secret
	slots   chan struct{}
	marks   chan struct{} // of purges, which strangers' tokens must not keep out
	timeout time.Duration
}

// derive makes a key for one purpose from the configured one (RFC 5869).
func derive(secret bearergate.Secret, purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, []byte(secret.Reveal()), nil, "bearergate/introspect/1 "+purpose, 32)
}

func (v *vault) cipher(name key) (cipher.AEAD, error) {
	own, err := derive(v.secret, "value "+string(name[:]))
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal encrypts an answer. What decides how long it may be believed, and for
// whom it may stand in, is inside: exp in the answer, stored-at and the form in
// front of it.
func (v *vault) seal(name key, kind byte, signing Signing, at time.Time, body []byte) ([]byte, error) {
	aead, err := v.cipher(name)
	if err != nil {
		return nil, err
	}
	record := make([]byte, 0, headerBytes+len(body))
	record = append(record, recordVersion, kind, byte(signing))
	record = binary.BigEndian.AppendUint64(record, uint64(at.UnixMilli()))
	return aead.Seal(nil, nil, append(record, body...), nil), nil //nolint:gosec // the AEAD makes its own random nonces
}

var errRecord = errors.New("introspect: a value of the Store that this key did not encrypt, or not for this entry")

func (v *vault) open(name key, signing Signing, value []byte) (kind byte, at time.Time, body []byte, err error) {
	aead, err := v.cipher(name)
	if err != nil {
		return 0, time.Time{}, nil, err
	}
	record, err := aead.Open(nil, nil, value, nil)
	if err != nil || len(record) < headerBytes || record[0] != recordVersion || record[2] != byte(signing) {
		return 0, time.Time{}, nil, errRecord
	}
	return record[1], time.UnixMilli(int64(binary.BigEndian.Uint64(record[3:headerBytes]))), record[headerBytes:], nil
}

var errStoreBusy = errors.New("introspect: too many operations of the Store are under way")

// do runs one operation of the Store, isolated and bounded in time. It fails at once where
// too many are under way: the server can be asked instead.
func (v *vault) do(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), v.timeout)
	defer cancel()
	select {
	case v.slots <- struct{}{}:
		return v.within(ctx, v.slots, f)
	default:
		return errStoreBusy
	}
}

// mark is do for a purge, which has slots of its own and waits for one.
func (v *vault) mark(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), v.timeout)
	defer cancel()
	select {
	case v.marks <- struct{}{}:
		return v.within(ctx, v.marks, f)
	case <-ctx.Done():
		return errStoreBusy
	}
}

func (v *vault) within(ctx context.Context, slots <-chan struct{}, f func(context.Context) error) error {
	failed := make(chan error, 1)
	err := guard.Isolate(ctx, 0, func() {
		defer func() { <-slots }()
		failed <- f(ctx)
	})
	if err != nil {
		return fmt.Errorf("introspect: the Store: %w", err)
	}
	if err := <-failed; err != nil {
		return fmt.Errorf("introspect: the Store failed with a %T", err) // its text may quote anything
	}
	return nil
}

func storeKey(name key) string { return base64.RawURLEncoding.EncodeToString(name[:]) }

// recallIsolated is recall for a shared call, isolated since it may call foreign
// code: the clock of the Config. After a failure, it returns nil.
func (c *Client) recallIsolated(events *news, name key) *entry {
	type result struct {
		e   *entry
		err error
	}
	found := make(chan result, 1)
	ctx, cancel := context.WithTimeout(context.Background(), c.vault.timeout)
	defer cancel()
	if err := guard.Isolate(ctx, grace, func() {
		e, err := c.recall(name)
		found <- result{e, err}
	}); err != nil {
		return nil
	}
	r := <-found
	if r.err != nil && c.hooks.StoreFailed != nil {
		events.add(func(ctx context.Context) {
			c.hooks.StoreFailed(ctx, StoreEvent{Issuer: c.issuer, Operation: "get", Err: r.err})
		})
	}
	return r.e
}

// recall returns what the Store has of a token, judged by this Client as if the
// server had given that answer; nil if there is none that may be used.
func (c *Client) recall(name key) (*entry, error) {
	values := make(chan []byte, 1)
	err := c.vault.do(func(ctx context.Context) error {
		value, err := c.vault.store.Get(ctx, storeKey(name))
		values <- value
		return err
	})
	if err != nil {
		return nil, err
	}
	value := <-values
	if len(value) == 0 || int64(len(value)) > c.maxResponseBytes+headerBytes+64 {
		return nil, nil
	}
	kind, at, body, err := c.vault.open(name, c.signing, value)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	age := now.Round(0).Sub(at)
	// The age of an answer from the future is not known: it could live too long.
	c.purging.RLock()
	purged := c.purges.since(name)
	c.purging.RUnlock()
	if kind != recordAnswer || age < 0 || at.Before(purged.Add(maxClockSkew)) {
		return nil, nil
	}
	v, f := c.decide(body, false, new(accept.Reading)) // none that quotes the token is there
	if f != nil {
		return nil, nil // not an answer to us, perhaps to another version
	}
	e, _ := c.newEntry(v, now, age)
	if e.fresh <= 0 { // an old value put back, or one that the Store kept for too long
		return nil, nil
	}
	return e, nil
}

// share offers an answer to the Store. Nobody waits for it. m is the memory that
// it was remembered in.
func (c *Client) share(hookCtx context.Context, fl *flight, m *memory, name key, r reply) {
	if c.vault == nil || r.life <= 0 {
		return
	}
	value, err := c.vault.seal(name, recordAnswer, c.signing, r.entry.added, r.body)
	if err != nil {
		c.setFailed(hookCtx, err)
		return
	}
	go func() {
		err := c.vault.do(func(ctx context.Context) error {
			err := c.vault.store.Set(ctx, storeKey(name), value, r.life)
			if c.purgedSince(name, m, fl) { // a purge, whose mark this Set may have written over, now or much too late
				// A time of its own: that of the Set may be over, or nearly.
				ctx, cancel := context.WithTimeout(context.Background(), c.vault.timeout)
				defer cancel()
				err = errors.Join(err, c.overwriteNow(ctx, name))
			}
			return err
		})
		if err != nil {
			c.setFailed(hookCtx, err)
		}
	}()
}

// claim reports whether this process shall renew an answer ahead of its end. If the Store
// cannot tell, it does: a few calls too many do less harm than none.
func (c *Client) claim(events *news, name key) bool {
	store, ok := c.vault.store.(Claimer)
	if !ok {
		return true
	}
	claimed := make(chan bool, 1)
	err := c.vault.do(func(ctx context.Context) error {
		ours, err := store.Claim(ctx, storeKey(name)+"-ahead", c.timeout+time.Second)
		claimed <- ours
		return err
	})
	if err == nil {
		return <-claimed
	}
	if c.hooks.StoreFailed != nil {
		events.add(func(ctx context.Context) {
			c.hooks.StoreFailed(ctx, StoreEvent{Issuer: c.issuer, Operation: "claim", Err: err})
		})
	}
	return true
}

// overwrite has the Store forget an answer.
func (c *Client) overwrite(name key) error {
	if c.vault == nil {
		return nil
	}
	err := c.vault.mark(func(ctx context.Context) error { return c.overwriteNow(ctx, name) })
	if err == nil {
		return nil
	}
	c.setFailed(context.Background(), err)
	return &bearergate.Error{Kind: bearergate.ErrUnavailable, Reason: bearergate.ReasonStoreUnavailable, RetryAfter: time.Second,
		Detail: "introspect: the Store has failed: the token is purged in this process, and others may find it there", Cause: err}
}

// overwriteNow is overwrite for one who is in an operation of the Store already.
func (c *Client) overwriteNow(ctx context.Context, name key) error {
	value, err := c.vault.seal(name, recordPurged, c.signing, time.Now(), nil)
	if err != nil {
		return err
	}
	return c.vault.store.Set(ctx, storeKey(name), value, c.positiveTTL+maxClockSkew)
}

// setFailed tells the hook of a failure that no call waits for.
func (c *Client) setFailed(ctx context.Context, err error) {
	if c.hooks.StoreFailed != nil {
		c.tell(ctx, func(ctx context.Context) {
			c.hooks.StoreFailed(ctx, StoreEvent{Issuer: c.issuer, Operation: "set", Err: err})
		})
	}
}
