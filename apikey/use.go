package apikey

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// use is what is counted of one key.
type use struct {
	id                  string
	who                 atomic.Pointer[Record] // the last that was read, for its owner may have been corrected; NotAfter is when it is refused
	right, over         atomic.Uint64
	lastRight, lastOver atomic.Int64 // unix nanoseconds; 0: never
}

func (u *use) accepted(at time.Time) { u.right.Add(1); last(&u.lastRight, at) }
func (u *use) refused(at time.Time)  { u.over.Add(1); last(&u.lastOver, at) }

// last keeps the later time: requests that run at once may come in any order.
func last(into *atomic.Int64, at time.Time) {
	for now := at.UnixNano(); ; {
		before := into.Load()
		if before >= now || into.CompareAndSwap(before, now) {
			return
		}
	}
}

func newUses(since time.Time, most int) *uses {
	return &uses{since: since, max: most, byID: map[string]*use{}}
}

// of returns what counts a key that exists. What bounds it: Records, or MaxKeys. Only
// whoever writes Records can fill it. When it is full, later keys are counted together.
func (us *uses) of(r Record, until time.Time) *use {
	us.mu.Lock()
	defer us.mu.Unlock()
	u, ok := us.byID[r.ID]
	if !ok {
		if len(us.byID) >= us.max {
			return &us.beyond
		}
		u = &use{id: r.ID}
		us.byID[r.ID] = u
	}
	u.who.Store(&Record{Owner: r.Owner, Tenant: r.Tenant, NotAfter: until.UTC()})
	return u
}

// accepted reports whether a key with this ID was accepted before.
func (us *uses) accepted(id string) bool {
	us.mu.RLock()
	defer us.mu.RUnlock()
	u, ok := us.byID[id]
	return ok && u.right.Load() > 0
}

// knows reports whether there is, or was, a key with this ID, among those that are counted by
// themselves.
func (us *uses) knows(id string) bool {
	us.mu.RLock()
	defer us.mu.RUnlock()
	_, ok := us.byID[id]
	return ok
}

// Use says how one key was used since the process began.
type Use struct {
	ID     string `json:"id"`
	Owner  string `json:"owner"`
	Tenant string `json:"tenant,omitempty"`
	// Until is from when on the key is refused: its NotAfter, or Config.End.
	Until time.Time `json:"until"`
	// Accepted is how often the key was accepted, Refused how often it was right and had
	// reached its end. A verification that Recheck repeats counts again.
	Accepted uint64 `json:"accepted"`
	Refused  uint64 `json:"refused"`
	// LastAccepted and LastRefused are zero where that never happened.
	LastAccepted time.Time `json:"last_accepted,omitzero"`
	LastRefused  time.Time `json:"last_refused,omitzero"`
}

// Report says who uses which key, of this process alone.
type Report struct {
	// Since is when the process began to count.
	Since time.Time `json:"since"`
	// End is Config.End.
	End time.Time `json:"end"`
	// Keys are those of Records, also where nobody uses them, or those of Lookup that
	// were looked up. The one that was used last comes first, then by owner and ID.
	Keys []Use `json:"keys"`
	// Unwatched is how often keys were right that had no place among MaxKeys.
	Unwatched uint64 `json:"unwatched"`
}

// Report says who uses which key. It is for operators: owners are your customers. It holds
// no key and no hash, and costs about as much as there are keys.
func (k *Keys) Report() Report {
	if k == nil || k.uses == nil {
		return Report{}
	}
	us := k.uses
	r := Report{Since: us.since, End: k.config.End, Unwatched: us.beyond.right.Load() + us.beyond.over.Load()}
	us.mu.RLock()
	for _, u := range us.byID {
		who := u.who.Load()
		r.Keys = append(r.Keys, Use{ID: u.id, Owner: who.Owner, Tenant: who.Tenant, Until: who.NotAfter,
			Accepted: u.right.Load(), Refused: u.over.Load(), LastAccepted: at(&u.lastRight), LastRefused: at(&u.lastOver)})
	}
	us.mu.RUnlock()
	slices.SortFunc(r.Keys, func(a, b Use) int {
		return cmp.Or(b.lastSeen().Compare(a.lastSeen()), cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.ID, b.ID))
	})
	return r
}

func (u Use) lastSeen() time.Time {
	if u.LastRefused.After(u.LastAccepted) {
		return u.LastRefused
	}
	return u.LastAccepted
}

func at(nanoseconds *atomic.Int64) time.Time {
	n := nanoseconds.Load()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
