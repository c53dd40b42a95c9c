//go:build linux

package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// A container has been started with docker run --detach.
type container struct {
	*dockerd
	name   string
	record string // the directory that is its /record
	host   string // its address, "" if it has none of its own
}

// run starts a container whose current directory is /record. args are those of docker run,
// followed by the image and the command.
func (d *dockerd) run(ctx context.Context, args ...string) (*container, error) {
	record, err := os.MkdirTemp(d.logs, "record-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(record, 0o777); err != nil { // the service is not root
		return nil, err
	}
	const name = "e2e" // there is one at a time
	run := append([]string{"run", "--detach", "--name", name, "--workdir", "/record", "--volume", record + ":/record"}, args...)
	if _, err := d.docker(ctx, run...); err != nil {
		return nil, err
	}
	c := &container{dockerd: d, name: name, record: record}
	return c, c.address(ctx)
}

func (c *container) address(ctx context.Context) (err error) {
	c.host, err = c.docker(ctx, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", c.name)
	return err
}

// An end is how a container ended.
type end struct {
	code string
	err  error
}

// wait returns a channel that gets the end of the container, also if that comes before.
func (c *container) wait(ctx context.Context) <-chan end {
	ended := make(chan end, 1)
	go func() {
		code, err := c.docker(ctx, "wait", c.name)
		ended <- end{code, err}
	}()
	return ended
}

// cliLimit bounds a command of Docker's client that takes about a second.
const cliLimit = 30 * time.Second

// remove removes the container. It kills what runs.
func (c *container) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), cliLimit)
	defer cancel()
	_, err := c.docker(ctx, "rm", "--force", c.name)
	return err
}

// A line is one of the service's log, which is JSON.
type line map[string]any

// log returns the lines of the service; what is not JSON is left out.
func (c *container) log(ctx context.Context) (lines []line, err error) {
	text, err := c.command(ctx, "logs", c.name).CombinedOutput() // it keeps the two outputs apart
	if err != nil {
		return nil, fmt.Errorf("docker logs: %w: %s", err, text)
	}
	for l := range strings.Lines(string(text)) {
		var one line
		if json.Unmarshal([]byte(l), &one) == nil {
			lines = append(lines, one)
		}
	}
	return lines, nil
}

// find returns the last line whose message starts with this, nil if there is none.
func find(lines []line, message string) (last line) {
	for _, l := range lines {
		if strings.HasPrefix(fmt.Sprint(l["msg"]), message) {
			last = l
		}
	}
	return last
}
