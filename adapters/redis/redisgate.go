// Package redisgate lets the processes of a fleet share in Redis what each of them would
// otherwise remember alone: which proofs and tokens were used, what an authorization
// server answered, and what is revoked.
//
//	client := redis.NewClient(redisgate.Options(&redis.Options{Addr: "redis.example.com:6379", TLSConfig: &tls.Config{}}))
//	shared, err := redisgate.New(client, redisgate.Config{Namespace: "orders", Secrets: [][]byte{secret}, Replicas: 1})
//	err = shared.Check(ctx)
//
//	dpop.Config{…, Replay: shared.Replay()}
//	middleware.Once(shared.Replay())
//	introspect.Config{…, Store: introspect.StoreConfig{Answers: shared.Answers(), …}}
//	revocation.Config{…, Log: shared.Log()}
//
// The engine is Redis as it is, version 7.0 or later, or Valkey: one server, one with
// replicas and Sentinel, or a Cluster. The client is yours, made with [Options],
// [FailoverOptions] or [ClusterOptions]: what go-redis does by default costs seconds
// where Redis hangs. A [redis.Ring] is refused, since one that loses a server looks for
// its keys elsewhere, where a used proof is fresh.
//
// # What Redis learns
//
// Nothing in Redis names a user, a token or a proof. Keys are HMAC-SHA256 under a key
// derived from Config.Secrets. What the Log holds is encrypted and authenticated
// (AES-256-GCM), and package introspect encrypts its answers itself. Twelve bits of an
// unkeyed hash of what a proof is known by are in its key, in braces: they keep the names
// that it has under several Secrets on one server of a Cluster.
//
// Whoever can write to Redis can stop the service, by filling, deleting or locking it. They
// cannot add a revocation, or an answer. By deleting keys they make used proofs fresh, by
// deleting records they hide revocations from processes that start later, and a record that
// has not ended they can put back at the end. Demand TLS and a password, and let nobody else
// in.
//
// # When Redis fails
//
// Every call ends after Config.Timeout and some 20 ms, whatever Redis and the client do,
// with an error that is [bearergate.ErrUnavailable]; it says nothing of a key, of data or of
// an address. It is [bearergate.ErrMisconfigured] only where the error of Redis proves a
// mistake in the set-up: a wrong password, a right that the user does not have, a key that is
// somebody else's, a command that the server does not know or reads otherwise. What Redis is
// not known to say, as a proxy does that has lost its servers, and what it says to one client
// too many, is an outage and counts as no answer.
//
// After [FailuresToOpen] calls in a row without an answer, every call fails at
// once, for a quarter of a second at first and for at most [MaxPause]; then one call at a
// time tries again. Only Redis steers that: a caller that goes away, with a short deadline
// of its own too, leaves its question behind, and what comes of that is what counts. In a
// Cluster, each of 64 ranges of slots has a state of its own, so that the loss of one
// master does not refuse what the others hold.
//
// # What is lost with a master
//
// Redis replicates after it has answered. What a master has acknowledged in its last moments
// may be unknown to the replica that is promoted: without Config.Replicas, as much as was
// written during the lag of the replicas, usually milliseconds, and all that was written to a
// master that had lost touch with them and did not know it yet. A proof that was used then
// can be used once more. With Replicas, a use and a record count only when so many replicas
// have said that they hold it too (WAIT); the caller is refused otherwise. That closes both
// windows if whatever is promoted is one of those that said so: with one replica and Replicas
// 1, or with as many Replicas as there are replicas. With fewer, Sentinel and Cluster prefer
// the replica that is furthest ahead, so that a master that dies takes nothing along unless
// another one fails at the same time. It costs the time of one way to a replica and back, and while too few replicas are there,
// nothing is let in: have one more than Replicas.
//
// A network that is cut in two is another matter. In a Cluster, a master without most of the
// others stops after cluster-node-timeout. Sentinels stop nobody: a master goes on for the
// processes on its side for as long as it has Replicas replicas there, and without Replicas
// always, while the Sentinels make a second one on theirs. Each side then lets in what was
// used on the other, and hears nothing of what is revoked there; its heartbeats come back.
// With as many Replicas as there are replicas the old master refuses. With fewer, put the
// master and its replicas in places of their own, with one Sentinel each.
//
// A master that hangs, and goes on while another one takes its place, is such a side too, until
// Sentinel has moved its replicas: with fewer Replicas than there are, one that was not moved
// yet acknowledges what the new master never learns.
//
// Redis forgets everything with its process unless it persists: with appendonly yes and
// appendfsync everysec, a server that comes back before another one is promoted has lost a
// second. Without persistence, it must not restart by itself while it is a master.
//
// Make Sentinel and Cluster notice in time: down-after-milliseconds 2000 and
// failover-timeout 10000, cluster-node-timeout 2000. Their defaults are 30 s and 15 s, in
// which nothing is answered. A second or two after another master is there, all processes
// are served by it. In a Cluster, set cluster-require-full-coverage no, or the loss of one
// master stops all of them, and have two replicas for each master with Replicas 1: who takes
// over has one less.
//
// # How large it becomes
//
// A used proof takes some 200 bytes until it would not be accepted any more, an answer and a
// record 200 more than their size. Redis frees what has ended of the Log in nodes of 4 KiB:
// where there are forty heartbeats for each record, a record takes that much. Redis must not make room by itself: maxmemory-policy has
// to be noeviction, which [Stores.Check] looks at. A Redis that is full refuses
// ([bearergate.ReasonOverloaded]), and never forgets early. Who can fill it: of uses, clients
// with bound tokens and good proofs; of answers, strangers, as fast as the authorization
// server answers; of records, whoever may revoke, up to Config.MaxRecords. Give what must not
// be refused, uses and the Log, a Redis that introspection does not fill, if strangers reach
// the latter.
//
// # To change a secret
//
// Each step in all processes before the next begins:
//
//  1. Secrets: {old, new}. All can now read what the new one writes.
//  2. Secrets: {new, old}. The new one writes. A proof that was used under the old one is
//     still found, in the same atomic step.
//  3. Secrets: {new}, when what was written under the old one has ended: after a minute and
//     a half for proofs, the longest life of a token for Once, and MaxTokenLife for the Log.
//
// # Managed services
//
// What is asked of the server: HELLO, AUTH, SELECT, SET, GET, MGET, DEL, EVAL, TIME, XADD,
// XRANGE, XREVRANGE, XLEN, XDEL, ZADD, ZRANGEBYSCORE, ZREM; WAIT with Replicas; INFO for
// Check, which does without if it may not; COMMAND, ASKING and CLUSTER SLOTS in a Cluster.
// All keys begin with "bearergate:".
//
//	ACL SETUSER api on >… ~bearergate:* -@all +hello +auth +select +set +get +mget +del +eval +time +xadd +xrange +xrevrange +xlen +xdel +zadd +zrangebyscore +zrem +wait +info +command +asking +cluster|slots
//
// ACLs are not replicated: a replica needs the user before it is a master. CONFIG is not needed. Serverless services that sit between client and Redis must keep the
// order of a connection and WAIT; Check says whether they do.
//
// Everything here is safe for concurrent use. Goroutines are made for each call and end with
// it.
package redisgate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bearergate/bearergate"
)

// The defaults of [Config], and its limits.
const (
	DefaultTimeout    = 100 * time.Millisecond
	DefaultMaxCalls   = 1024
	DefaultMaxRecords = 1 << 20

	// MinSecretBytes is how long a secret must be.
	MinSecretBytes = 32
	// MaxSecrets is how many there may be: each costs one more name to look at.
	MaxSecrets = 8

	maxTimeout  = 10 * time.Second
	maxReplicas = 16
	limitCalls  = 1 << 16
	limitRecord = 1 << 26
)

// Config says what is shared, and with whom.
type Config struct {
	// Namespace keeps apart what several services share one Redis for: 1 to 64 letters,
	// digits, ".", "_" and "-". Required. All processes of a fleet have the same. Two APIs
	// in one namespace use up each other's proofs, unless their own ReplayNamespace differs.
	Namespace string
	// Secrets are what keys are derived from: at least [MinSecretBytes] random bytes each,
	// the same in all processes. The first one writes, all are read. Required; at most
	// [MaxSecrets]. The package comment says how to change one.
	//
	// Danger: whoever knows one and can write to Redis can add revocations.
	Secrets [][]byte
	// Timeout is how long a call may take, with whatever the client does meanwhile: waiting
	// for a connection, following a Cluster, one attempt more. Default: [DefaultTimeout]; 1
	// ms to
	// 10 s. Keep it below what the caller allows, such as dpop.Config.StoreTimeout, for
	// errors that say more. A longer one needs a longer ReadTimeout of the client too, which
	// otherwise ends each attempt.
	Timeout time.Duration
	// Replicas is how many replicas must hold a use or a record before it counts. The
	// default, 0, waits for none: what is lost with a master then is described above. At most
	// 16. In a Cluster, it counts the replicas of each master. Keys of a slot that is being
	// moved to another server are refused with [bearergate.ErrUnavailable] until it has
	// arrived.
	Replicas int
	// MaxCalls is how many calls may be under way, those included that nobody waits for any
	// more. One more is refused at once, with [bearergate.ReasonOverloaded]. Default:
	// [DefaultMaxCalls]. How many connections there are, PoolSize of the client says, and with
	// Replicas PipelinePoolSize (10) beside it.
	MaxCalls int
	// MaxRecords is how many records the Log may hold. One more is refused with
	// [bearergate.ReasonOverloaded]; none is forgotten early. A sixteenth of them is for
	// heartbeats alone, records that end within a minute. For revocations: at least five times
	// revocation.Config.MaxEntries, which is what its sources may fill. Default:
	// [DefaultMaxRecords].
	MaxRecords int
	// Hooks are told what happens.
	Hooks Hooks
}

// Stores are what a fleet shares in one namespace of one Redis.
//
//   - What bounds the calls: MaxCalls at once, Timeout each. A client that ignores its context
//     keeps its goroutine and its place.
//   - Who can fill it: whoever can cause a call: clients with good proofs, strangers with new
//     tokens where Answers is used.
//   - Who can steer it: nobody. What a stranger sends is hashed before it is a key. Only which
//     server of a Cluster has a use, whoever makes proofs can choose, by trying jti.
//   - What the caller sees when it is full: ErrUnavailable, ReasonOverloaded.
type Stores struct {
	client   redis.UniversalClient
	cluster  *redis.ClusterClient // client, if it is one
	secrets  []keys               // the first writes
	prefix   string
	timeout  time.Duration
	replicas int
	records  int
	hooks    Hooks
	slots    chan struct{}
	circuits []circuit
}

var namespaces = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// New returns what is shared through client, which stays yours to close. It asks Redis for
// nothing: see [Stores.Check]. Every mistake is named, by one error that is
// [bearergate.ErrMisconfigured].
func New(client redis.UniversalClient, c Config) (*Stores, error) {
	errs := judgeClient(client)
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !namespaces.MatchString(c.Namespace) {
		wrong("Namespace: 1 to 64 letters, digits, dots, underscores and hyphens, the same in all processes")
	}
	if n := len(c.Secrets); n == 0 || n > MaxSecrets {
		wrong("Secrets: 1 to %d of them, of at least %d random bytes, the same in all processes; there are %d", MaxSecrets, MinSecretBytes, n)
	}
	for i, secret := range c.Secrets {
		if len(secret) < MinSecretBytes {
			wrong("Secrets[%d]: at least %d random bytes; it has %d", i, MinSecretBytes, len(secret))
		}
		for j := range i {
			if string(secret) == string(c.Secrets[j]) {
				wrong("Secrets[%d] is Secrets[%d] again", i, j)
			}
		}
	}
	within(wrong, "Timeout", &c.Timeout, DefaultTimeout, time.Millisecond, maxTimeout)
	within(wrong, "MaxCalls", &c.MaxCalls, DefaultMaxCalls, 1, limitCalls)
	within(wrong, "MaxRecords", &c.MaxRecords, DefaultMaxRecords, 1, limitRecord)
	within(wrong, "Replicas", &c.Replicas, 0, 0, maxReplicas)
	if len(errs) > 0 {
		return nil, misconfigured(fmt.Errorf("redisgate: %w", errors.Join(errs...)))
	}
	s := &Stores{
		client: client, prefix: "bearergate:", timeout: c.Timeout, replicas: c.Replicas, records: c.MaxRecords,
		hooks: JoinHooks(c.Hooks), slots: make(chan struct{}, c.MaxCalls), circuits: make([]circuit, 1),
	}
	for _, secret := range c.Secrets {
		k, err := newKeys(secret, c.Namespace)
		if err != nil {
			return nil, misconfigured(fmt.Errorf("redisgate: %w", err))
		}
		s.secrets = append(s.secrets, k)
	}
	s.prefix += c.Namespace
	if cluster, ok := client.(*redis.ClusterClient); ok {
		s.cluster, s.circuits = cluster, make([]circuit, parts)
	}
	return s, nil
}

// judgeClient names what is wrong with a client.
func judgeClient(client redis.UniversalClient) (errs []error) {
	if client == nil || reflect.ValueOf(client).Kind() == reflect.Pointer && reflect.ValueOf(client).IsNil() {
		return []error{errors.New("give New a client, redis.NewClient(redisgate.Options(…)) for example")}
	}
	const deaf = "the client does not keep to the deadlines of contexts: make it with redisgate.%s, or set ContextTimeoutEnabled"
	switch c := client.(type) {
	case *redis.Client:
		if !c.Options().ContextTimeoutEnabled {
			errs = append(errs, fmt.Errorf(deaf, "Options or FailoverOptions"))
		}
		if c.Options().ClientSideCacheConfig != nil || c.Options().ClientSideCache != nil {
			errs = append(errs, errors.New("the client answers from a memory of its own, which does not know everything yet: leave out ClientSideCacheConfig and ClientSideCache"))
		}
	case *redis.ClusterClient:
		if !c.Options().ContextTimeoutEnabled {
			errs = append(errs, fmt.Errorf(deaf, "ClusterOptions"))
		}
		if c.Options().ReadOnly {
			errs = append(errs, errors.New("the client reads from replicas, which do not know everything yet: leave out ReadOnly, RouteByLatency and RouteRandomly"))
		}
	default:
		// A Ring that loses a server looks elsewhere for its keys, and finds used proofs fresh.
		errs = append(errs, fmt.Errorf("a %T: give New a *redis.Client or a *redis.ClusterClient", client))
	}
	return errs
}

// within sets the default of a number and says what it must be.
func within[N int | time.Duration](wrong func(string, ...any), name string, n *N, otherwise, least, most N) {
	if *n == 0 {
		*n = otherwise
	}
	if *n < least || *n > most {
		wrong("%s is %v: choose between %v and %v, or leave it out for %v", name, *n, least, most, otherwise)
	}
}

func misconfigured(err error) error {
	return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig, Cause: err}
}

// Answers is where the clients of package introspect share what the authorization server
// answered: an introspect.Store and introspect.Claimer.
func (s *Stores) Answers() *Answers { return &Answers{s} }

// Replay remembers which proofs and tokens were used: a dpop.ReplayStore, and what
// middleware.Once takes.
func (s *Stores) Replay() *Replay { return &Replay{s} }

// Log is what lists of revoked tokens share: a revocation.Log.
func (s *Stores) Log() *Log { return &Log{s} }

// tell calls a hook, if there is one.
func tell[E any](ctx context.Context, hook func(context.Context, E), event E) {
	if hook != nil {
		hook(ctx, event)
	}
}
