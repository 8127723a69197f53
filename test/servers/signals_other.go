//go:build !linux

package servers

import (
	"errors"
	"syscall"
)

func withUs() *syscall.SysProcAttr { return nil }

// Pause is for Linux.
func (*Process) Pause() error { return errors.ErrUnsupported }

// Resume is for Linux.
func (*Process) Resume() error { return errors.ErrUnsupported }
