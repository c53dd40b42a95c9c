//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/machine"
)

// patience is how long Start waits for each thing. It is long, because the machine may be busy.
const patience = 3 * time.Minute

// A Cluster is a running Kubernetes cluster of one node, whose name is node1.
type Cluster struct {
	bin     string // the programs of Kubernetes
	dir     string
	state   string // the part of dir that Stop removes
	daemons []*daemon
	stop    func() (ended, failed error) // undo, which runs once

	life context.Context // ends when a daemon ends, with that as its cause, or with errStopped
	end  context.CancelCauseFunc
}

var errStopped = errors.New("the cluster has been stopped")

// Start starts a cluster, with programs from bin, the folder that Build returns. It blocks until
// the node is ready and kube-proxy has set up the services, or ctx ends, or something is not
// ready within three minutes. If a daemon fails, the error ends with the last lines of its log.
// If there is an error, Start has undone everything but the logs.
//
// All files are in dir: logs, one for each daemon, and those of pods, in dir/log, and what the
// cluster itself needs in dir/state. Dir may not be in /run, /var/lib or /var/log, where the
// mount namespace sees folders of dir from now on.
//
// The namespaces of the process have to be new, as the package documentation says. They are used
// up then: a second cluster needs new ones.
func Start(ctx context.Context, bin, dir string) (*Cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("starting a cluster: %w", err)
	}
	if err := checkNamespaces(); err != nil {
		return nil, fmt.Errorf("starting a cluster: %w", err)
	}
	c := &Cluster{bin: bin, dir: dir, state: filepath.Join(dir, "state")}
	c.life, c.end = context.WithCancelCause(context.Background())
	c.stop = sync.OnceValues(c.undo)
	ctx, cancel := c.whileAlive(ctx)
	defer cancel()
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"making folders", c.makeFolders},
		{"making control groups", func(context.Context) error { return makeCgroups() }},
		{"hiding kernel parameters", c.hideKernelParameters},
		{"setting up the network", c.setUpNetwork},
		{"starting etcd", c.startEtcd},
		{"starting the API server", c.startAPIServer},
		{"starting the controller manager", c.startControllerManager},
		{"starting the scheduler", c.startScheduler},
		{"starting containerd", c.startContainerd},
		{"starting the kubelet", c.startKubelet},
		{"starting kube-proxy", c.startProxy},
	} {
		if err := step.do(ctx); err != nil {
			_, failed := c.stop() // what has ended is part of err
			return nil, errors.Join(fmt.Errorf("starting a cluster: %s: %w", step.what, err), failed)
		}
	}
	return c, nil
}

// makeFolders makes the folders, and shows those of dir in /var/lib and /var/log, where
// containerd, the network plugins and the kubelet have their files. Most of them can be told to
// have them elsewhere, but not all.
func (c *Cluster) makeFolders(context.Context) error {
	logs, varLib := filepath.Join(c.dir, "log"), filepath.Join(c.state, "lib")
	for _, folder := range []string{logs, varLib, c.path("tmp"), c.path("home")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	for _, hidden := range hiddenFolders {
		if strings.HasPrefix(c.dir+"/", hidden+"/") {
			return fmt.Errorf("%s is in %s, which the cluster hides", c.dir, hidden)
		}
	}
	return errors.Join(bind(varLib, "/var/lib"), bind(logs, "/var/log"))
}

// path returns the path of a file of the cluster's state.
func (c *Cluster) path(name string) string { return filepath.Join(c.state, name) }

// whileAlive returns a context that ends with ctx or when the cluster does.
func (c *Cluster) whileAlive(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.life, func() { cancel(context.Cause(c.life)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// Stop kills all daemons and containers, and undoes what the cluster has changed outside of its
// namespaces: it removes the control groups and all files but the logs. It does not drain
// anything; delete what has to end gracefully before. It blocks for some seconds at most. The
// error also says if a daemon had ended before, and how. A second Stop waits for the first and
// returns the same.
func (c *Cluster) Stop() error {
	ended, failed := c.stop()
	return errors.Join(ended, failed)
}

// undo also returns how a daemon had ended, if one had.
func (c *Cluster) undo() (ended, failed error) {
	if c.life.Err() != nil {
		ended = context.Cause(c.life)
	}
	c.end(errStopped)
	var errs []error
	for _, d := range slices.Backward(c.daemons) { // so that nothing restarts a container that has been killed
		errs = append(errs, d.kill())
	}
	errs = append(errs, killShims(), machine.RemoveCgroups(), unmount())
	if failed = errors.Join(errs...); failed == nil { // never remove files through a mount that is left
		failed = os.RemoveAll(c.state)
	}
	if failed != nil {
		failed = fmt.Errorf("stopping the cluster: %w", failed)
	}
	return ended, failed
}
