//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package main

import (
	"errors"
	"io"
)

const frozenEnv = "BEARERGATE_FAULTS_FROZEN"

// frozenFaults are none where there is no SIGSTOP.
func frozenFaults() []row { return nil }

func frozenChild(string, io.Reader, io.Writer) error { return errors.ErrUnsupported }
