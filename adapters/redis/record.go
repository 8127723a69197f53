package redisgate

import (
	"encoding/binary"
	"time"
)

const (
	recordVersion = 1
	untilBytes    = 8  // in Unix milliseconds
	sealBytes     = 28 // a nonce of 12 bytes and a tag of 16
	// MaxRecordBytes is how long the data of a record may be.
	MaxRecordBytes = 4096
)

// seal encrypts a record. What it is good for, and until when, nobody without a secret can
// change: an old record that is put back ends when it would have.
func (k keys) seal(data []byte, until time.Time) []byte {
	plain := binary.BigEndian.AppendUint64(make([]byte, 0, untilBytes+len(data)), uint64(until.UnixMilli()))
	version := []byte{recordVersion}
	return k.records.Seal(version, nil, append(plain, data...), version) //nolint:gosec // the AEAD makes its own random nonces
}

// open decrypts a record that was sealed under one of the secrets.
func (s *Stores) open(value string) (data []byte, until time.Time, ok bool) {
	if len(value) < 1+sealBytes+untilBytes || len(value) > 1+sealBytes+untilBytes+MaxRecordBytes || value[0] != recordVersion {
		return nil, time.Time{}, false
	}
	for _, k := range s.secrets {
		plain, err := k.records.Open(nil, nil, []byte(value[1:]), []byte(value[:1]))
		if err == nil && len(plain) >= untilBytes {
			return plain[untilBytes:], time.UnixMilli(int64(binary.BigEndian.Uint64(plain))), true
		}
	}
	return nil, time.Time{}, false
}
