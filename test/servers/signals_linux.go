package servers

import "syscall"

// withUs has a process end with this one.
func withUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// Pause stops a process where it is: it goes on to hold its connections, and answers nobody.
func (p *Process) Pause() error { return p.process.Signal(syscall.SIGSTOP) }

// Resume has it go on.
func (p *Process) Resume() error { return p.process.Signal(syscall.SIGCONT) }
