package redisgate

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/revocation"
)

// Check asks Redis for what it will be asked for, and names what is wrong with the set-up: a
// wrong password, a right that the user does not have, a server that is too old, too few
// replicas. It is [bearergate.ErrMisconfigured] where a master makes room by itself
// (maxmemory-policy is not noeviction, and there is a maxmemory): used proofs would be
// fresh again, and revocations forgotten. Call it at the start; a fleet that
// starts in an outage of Redis gets [bearergate.ErrUnavailable], and may go on.
//
// What a master says of itself, Hooks.Checked is told. One that does not say how it makes
// room, as the user may not ask for INFO, is not at fault: look at its configuration. Without
// a maxmemory it makes none, whatever the policy.
//
// It asks masters. Give replicas the same configuration: one of them is the next master.
//
// It marks one name as used, for 10 s, and appends a record that has ended.
func (s *Stores) Check(ctx context.Context) error {
	if err := s.checkMasters(ctx); err != nil {
		return err
	}
	name := rand.Text() // twice: what was marked must be found again
	for _, want := range []bool{true, false} {
		fresh, err := s.first(ctx, OperationCheck, forChecks, name, 10*time.Second)
		if err != nil {
			return err
		}
		if fresh != want {
			return misconfigured(errors.New("redisgate: check: Redis has forgotten at once what it was told: is this a master?"))
		}
	}
	if _, _, err := s.Log().Read(ctx, "", 1); err != nil {
		return err
	}
	return s.Log().Append(ctx, revocation.Record{Until: time.Now().Add(-2 * margin)})
}

// checkMasters asks each master how it makes room.
func (s *Stores) checkMasters(ctx context.Context) error {
	events, err := call(ctx, s, OperationCheck, s.prefix, func(ctx context.Context) ([]CheckEvent, error) {
		if s.cluster == nil {
			e, err := s.askMaster(ctx, s.client)
			return []CheckEvent{e}, err
		}
		found := make(chan CheckEvent, 16384)
		err := s.cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
			e, err := s.askMaster(ctx, c)
			found <- e
			return err
		})
		close(found)
		var events []CheckEvent
		for e := range found {
			events = append(events, e)
		}
		return events, err
	})
	if err != nil {
		return err
	}
	for _, e := range events {
		tell(ctx, s.hooks.Checked, e)
	}
	for _, e := range events {
		if e.Policy != "" && e.Policy != "noeviction" && e.MaxMemory > 0 {
			return &bearergate.Error{Kind: bearergate.ErrMisconfigured, Reason: bearergate.ReasonConfig,
				Detail:   "redisgate: check: Redis forgets what was used and what is revoked when it is full: set maxmemory-policy",
				Expected: "noeviction", Found: bearergate.Quoted(e.Policy)}
		}
	}
	return nil
}

// askMaster returns what one master says of itself.
func (s *Stores) askMaster(ctx context.Context, c redis.Cmdable) (CheckEvent, error) {
	e := CheckEvent{}
	info, err := c.Info(ctx, "memory").Result()
	if reply, ok := errors.AsType[redis.Error](err); ok {
		if code := codeOf(reply); code == "NOPERM" || code == "ERR" {
			return e, nil // it may not be asked, or does not know
		}
	}
	if err != nil {
		return e, err
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "maxmemory_policy":
			e.Policy = value
		case "maxmemory":
			e.MaxMemory, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return e, nil
}
