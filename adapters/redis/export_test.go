package redisgate

import "time"

// SlotOf is the slot of a key.
var SlotOf = slotOf

// Seal and Open are what the Log does to records.
func (s *Stores) Seal(data []byte, until time.Time) []byte { return s.secrets[0].seal(data, until) }

func (s *Stores) Open(value string) ([]byte, time.Time, bool) { return s.open(value) }
