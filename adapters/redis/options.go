package redisgate

import (
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// What [Options], [FailoverOptions] and [ClusterOptions] set.
const (
	// ReadTimeout, and WriteTimeout likewise, is how long a connection may be silent. A
	// context that ends earlier counts. go-redis has 5 s: for so long, a server that hangs
	// holds on to each connection, and in a Cluster to whatever asks where the keys are.
	ReadTimeout = DefaultTimeout
	// DialTimeout is how long connecting may take, TLS included. It goes on in the
	// background when the call that needed it has ended, for the benefit of later ones; so
	// it may be longer than those may take. go-redis has 5 s.
	DialTimeout = time.Second
	// DialerRetries is how often connecting is tried. go-redis tries 5 times, with a tenth of a
	// second in between: longer than a call lasts. The next call is the next attempt.
	DialerRetries = 1
	// PoolTimeout is how long a call waits for a connection while all are busy. go-redis waits
	// 6 s. A call that has waited for half its time is better refused.
	PoolTimeout = DefaultTimeout / 2
	// MaxRetries is how often a call is repeated, on a connection that a server or a
	// balancer has closed in the meantime above all. All that this package sends may be
	// repeated. go-redis has 3, and waits longer than a call lasts.
	MaxRetries = 1
	// MinRetryBackoff and MaxRetryBackoff are how long it waits before: a connection that was
	// closed is replaced at once, and what else is wrong does not pass in milliseconds.
	MinRetryBackoff = time.Millisecond
	MaxRetryBackoff = 8 * time.Millisecond
	// ConnMaxIdleTime closes connections that nobody used, before balancers and firewalls
	// forget them: those of the large clouds do so after 350 s and 4 min. go-redis has 30 min.
	ConnMaxIdleTime = 3 * time.Minute
	// ClusterStateReloadInterval is how old the map of a Cluster may become: a master that
	// died sends no redirection. go-redis has a minute, for which what it held is unreachable
	// after the failover. The map is read at most as often, by a process that is in use.
	ClusterStateReloadInterval = time.Second
	// FailingTimeoutSeconds is for how long a node of a Cluster that failed is avoided.
	// go-redis has 15: longer than a failover.
	FailingTimeoutSeconds = 1
)

// Options returns a copy of o for [redis.NewClient], in which what is not set is set for what
// this package needs: short waits ([ReadTimeout], [DialTimeout], [DialerRetries],
// [PoolTimeout]), few repetitions ([MaxRetries]), and no notifications of maintenance, during
// which go-redis would wait for 10 s. ContextTimeoutEnabled is always set, and
// DisableIdentity: CLIENT SETINFO is one right more that a user would need. Use the client
// for nothing that takes longer.
func Options(o *redis.Options) *redis.Options {
	c := *o
	set(&c.ReadTimeout, ReadTimeout)
	set(&c.WriteTimeout, ReadTimeout)
	set(&c.DialTimeout, DialTimeout)
	set(&c.DialerRetries, DialerRetries)
	set(&c.PoolTimeout, PoolTimeout)
	set(&c.MaxRetries, MaxRetries)
	set(&c.MinRetryBackoff, MinRetryBackoff)
	set(&c.MaxRetryBackoff, MaxRetryBackoff)
	set(&c.ConnMaxIdleTime, ConnMaxIdleTime)
	set(&c.MaintNotificationsConfig, silent())
	c.ContextTimeoutEnabled, c.DisableIdentity = true, true
	return &c
}

// FailoverOptions is [Options] for [redis.NewFailoverClient], which asks Sentinels where the
// master is. The Sentinels are asked with the same patience. ReplicaOnly is taken out: replicas
// do not know everything yet, and New could not tell.
func FailoverOptions(o *redis.FailoverOptions) *redis.FailoverOptions {
	c := *o
	set(&c.ReadTimeout, ReadTimeout)
	set(&c.WriteTimeout, ReadTimeout)
	set(&c.DialTimeout, DialTimeout)
	set(&c.DialerRetries, DialerRetries)
	set(&c.PoolTimeout, PoolTimeout)
	set(&c.MaxRetries, MaxRetries)
	set(&c.MinRetryBackoff, MinRetryBackoff)
	set(&c.MaxRetryBackoff, MaxRetryBackoff)
	set(&c.ConnMaxIdleTime, ConnMaxIdleTime)
	c.ReplicaOnly = false
	c.ContextTimeoutEnabled, c.DisableIdentity = true, true
	return &c
}

// ClusterOptions is [Options] for [redis.NewClusterClient]. It also sets
// [ClusterStateReloadInterval], which [redis.UniversalOptions] cannot, and
// [FailingTimeoutSeconds]. MaxRetries stays as it is: a client of a Cluster follows
// redirections instead, by MaxRedirects.
func ClusterOptions(o *redis.ClusterOptions) *redis.ClusterOptions {
	c := *o
	set(&c.ReadTimeout, ReadTimeout)
	set(&c.WriteTimeout, ReadTimeout)
	set(&c.DialTimeout, DialTimeout)
	set(&c.DialerRetries, DialerRetries)
	set(&c.PoolTimeout, PoolTimeout)
	set(&c.MinRetryBackoff, MinRetryBackoff)
	set(&c.MaxRetryBackoff, MaxRetryBackoff)
	set(&c.ConnMaxIdleTime, ConnMaxIdleTime)
	set(&c.FailingTimeoutSeconds, FailingTimeoutSeconds)
	set(&c.ClusterStateReloadInterval, ClusterStateReloadInterval)
	set(&c.MaintNotificationsConfig, silent())
	c.ContextTimeoutEnabled, c.DisableIdentity = true, true
	return &c
}

// silent are notifications of maintenance that are not asked for.
func silent() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// set sets what is not set.
func set[T comparable](field *T, otherwise T) {
	var zero T
	if *field == zero {
		*field = otherwise
	}
}
