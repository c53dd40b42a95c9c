package process

import (
	"io"
	"os"
	"os/exec"
	"time"
)

// copies does for a cmd whose Stdin, Stdout or Stderr is no file what exec.Cmd
// would do: a pipe, and a goroutine that copies. exec.Cmd reports the outcome
// only from the Wait that reaps the process, and here the process has been reaped
// by then, whether somebody waits or not.
type copies struct {
	child   []*os.File // our copies of the child's ends, until it has been started
	ours    []*os.File // our ends
	inputs  []func(done chan<- error)
	outputs []func() error
	errs    chan error // one for each output
	input   chan error // at most one
}

// pipe puts pipes in cmd in place of what is no file. restore puts the originals
// back.
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
			done <- err // before the child can end because of it
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
		r.Close() // who still writes is told so
		return err
	})
	return w, nil
}

// run begins to copy; the child has its ends.
func (c *copies) run() {
	closeAll(c.child)
	c.errs, c.input = make(chan error, len(c.outputs)), make(chan error, len(c.inputs))
	for _, copy := range c.inputs {
		// Nobody waits for it: it is in the hands of the caller's Reader.
		go copy(c.input)
	}
	for _, copy := range c.outputs {
		go func() { c.errs <- copy() }()
	}
}

// cancel is for a child that was not started.
func (c *copies) cancel() {
	closeAll(c.child)
	closeAll(c.ours)
}

// wait returns when everything has been copied: the child's tree has ended, so
// that nobody has the other ends. If that is not known, or after delay where it
// is not zero, it cuts the copies short.
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
		if first == nil && !isPipeGone(err) { // nobody has to read all of it
			first = err
		}
	default:
		closeAll(c.ours) // what is still being read has nobody to go to
	}
	return first
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// same is a == b for what may not be comparable.
func same(a, b io.Writer) bool {
	defer func() { _ = recover() }()
	return a != nil && a == b
}
