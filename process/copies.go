package process

import (
	"io"
	"os"
	"os/exec"
	"time"
)

// copies connects a cmd whose Stdin, Stdout or Stderr is not an *os.File, as
// exec.Cmd does: with a pipe, and a goroutine that copies. exec.Cmd reports the
// result of its copying only from the Wait that reaps the process, and here the
// process may have been reaped before.
type copies struct {
	child   []*os.File // the child's ends, open here until it has been started
	ours    []*os.File // our ends
	inputs  []func(done chan<- error)
	outputs []func() error
	errs    chan error // one for each output
	input   chan error // at most one
}

// pipe replaces what is not an *os.File in cmd by pipes. restore puts the original
// values back.
func (c *copies) pipe(cmd *exec.Cmd) (restore func(), err error) {
	stdin, stdout, stderr := cmd.Stdin, cmd.Stdout, cmd.Stderr
	restore = func() { cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr }
	if _, isFile := stdin.(*os.File); !isFile && stdin != nil {
		r, w, err := os.Pipe()
		if err != nil {
			return restore, err
		}
		cmd.Stdin = r
		c.child, c.ours = append(c.child, r), append(c.ours, w)
		c.inputs = append(c.inputs, func(done chan<- error) {
			_, err := io.Copy(w, stdin)
			done <- err // before Close, which may make the child exit
			w.Close()
		})
	}
	if cmd.Stdout, err = c.output(stdout); err != nil {
		return restore, err
	}
	if same(stdout, stderr) {
		cmd.Stderr = cmd.Stdout
		return restore, nil
	}
	cmd.Stderr, err = c.output(stderr)
	return restore, err
}

func (c *copies) output(to io.Writer) (io.Writer, error) {
	if _, isFile := to.(*os.File); isFile || to == nil {
		return to, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.child, c.ours = append(c.child, w), append(c.ours, r)
	c.outputs = append(c.outputs, func() error {
		_, err := io.Copy(to, r)
		r.Close() // a process that still writes gets EPIPE
		return err
	})
	return w, nil
}

// run starts the copying, after the child has been started.
func (c *copies) run() {
	closeAll(c.child)
	c.errs, c.input = make(chan error, len(c.outputs)), make(chan error, len(c.inputs))
	for _, copy := range c.inputs {
		// Nothing waits for this goroutine: the caller's Reader may block forever.
		go copy(c.input)
	}
	for _, copy := range c.outputs {
		go func() { c.errs <- copy() }()
	}
}

// cancel closes the pipes of a child that was not started.
func (c *copies) cancel() {
	closeAll(c.child)
	closeAll(c.ours)
}

// wait returns when all output has been copied, and the first error. The tree has
// exited, so no process has the other ends of the pipes. If that is not known (cut),
// or after delay if that is not zero, it stops the copying.
func (c *copies) wait(delay time.Duration, cut bool) error {
	var expired <-chan time.Time
	if cut && delay == 0 {
		delay = time.Millisecond
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		expired = timer.C
	}
	var first error
	for range c.outputs {
		select {
		case err := <-c.errs:
			if first == nil {
				first = err
			}
		case <-expired:
			closeAll(c.ours)
			return exec.ErrWaitDelay
		}
	}
	select {
	case err := <-c.input:
		if first == nil && !isPipeGone(err) { // a child need not read all of its input
			first = err
		}
	default:
		closeAll(c.ours) // no process reads the input any more
	}
	return first
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// same is a == b for values that may not be comparable.
func same(a, b io.Writer) bool {
	defer func() { _ = recover() }()
	return a != nil && a == b
}
