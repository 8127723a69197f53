package redisgate

import "time"

// SlotOf is the slot of a key.
var SlotOf = slotOf

// Seal and Open are what the Log does to records.
func (s *Stores) Seal(data []byte, until time.Time) []byte { return s.secrets[0].seal(data, until) }

func (s *Stores) Open(value string) ([]byte, time.Time, bool) { return s.open(value) }

// SealAs is Seal as another version, or a longer record, would be written.
func (s *Stores) SealAs(version byte, plain []byte) string {
	return string(s.secrets[0].records.Seal([]byte{version}, nil, plain, []byte{version}))
}

// Names are the keys of a use.
func (s *Stores) Names(text string) []string { return s.names(forUses, text) }
