//go:build linux

package cluster

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Version is the version of Kubernetes.
const Version = "1.35.4"

// kubernetes are the programs that Build compiles, beside pause.
var kubernetes = []string{
	"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
}

//go:embed pause/main.go
var pauseSource []byte

// Build compiles Kubernetes and returns the folder of its programs, which is in the user's cache
// directory. If they are there already, it returns at once. Otherwise it needs the go command
// and the Go module proxy, takes five minutes or more, and writes what the go command says to
// log. It blocks until the build is complete or ctx ends; a second Build waits for the first
// one. The folder is complete or absent, however a Build ends.
func Build(ctx context.Context, log io.Writer) (bin string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("building Kubernetes: %w", err)
	}
	cache = filepath.Join(cache, "shutdown-e2e")
	bin = filepath.Join(cache, "kubernetes-"+Version)
	if isBuilt(bin) {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("building Kubernetes: %w", err)
	}
	unlock, err := lock(ctx, bin+".lock")
	if err != nil {
		return "", fmt.Errorf("building Kubernetes: %w", err)
	}
	defer unlock()
	if isBuilt(bin) {
		return bin, nil
	}
	// The rest of a build that was killed is in the way, as is a folder that lacks programs.
	source, partial := bin+".source", bin+".partial"
	if err := errors.Join(os.RemoveAll(source), os.RemoveAll(partial), os.RemoveAll(bin)); err != nil {
		return "", fmt.Errorf("building Kubernetes: %w", err)
	}
	fmt.Fprintf(log, "building Kubernetes %s, which takes five minutes or more\n", Version)
	err = compile(ctx, source, partial, log)
	if err == nil {
		err = os.Rename(partial, bin)
	}
	if err = errors.Join(err, os.RemoveAll(source), os.RemoveAll(partial)); err != nil {
		return "", fmt.Errorf("building Kubernetes: %w", err)
	}
	return bin, nil
}

func isBuilt(bin string) bool {
	for _, name := range append([]string{"pause"}, kubernetes...) {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return false
		}
	}
	return true
}

// lock waits until no other process has the lock at path.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for another build, which has locked %s: %w", path, context.Cause(ctx))
		case <-time.After(time.Second):
		}
	}
}

// compile makes a module in the new folder source, and puts the programs into the new folder bin.
func compile(ctx context.Context, source, bin string, log io.Writer) error {
	if err := os.Mkdir(source, 0o755); err != nil {
		return err
	}
	goMod, err := kubernetesGoMod(ctx, source)
	if err != nil {
		return err
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(source, "go.mod"), []byte(goMod), 0o644),
		os.Mkdir(filepath.Join(source, "pause"), 0o755),
		os.WriteFile(filepath.Join(source, "pause", "main.go"), pauseSource, 0o644),
		os.Mkdir(bin, 0o755),
	); err != nil {
		return err
	}
	// Without these, the programs would take themselves for v0.0.0-master, and some of them
	// derive from it what they support.
	ldflags := "-s -w"
	for _, variable := range []string{
		"component-base/version.gitVersion=v" + Version,
		"component-base/version.gitMajor=1",
		"component-base/version.gitMinor=" + strings.Split(Version, ".")[1],
		"component-base/version.gitTreeState=clean",
		"component-base/version.gitCommit=module",
		"client-go/pkg/version.gitVersion=v" + Version,
	} {
		ldflags += " -X k8s.io/" + variable
	}
	args := []string{"build", "-mod=mod", "-trimpath", "-ldflags", ldflags, "-o", bin + "/", "./pause"}
	for _, name := range kubernetes {
		args = append(args, "k8s.io/kubernetes/cmd/"+name)
	}
	cmd := goCommand(ctx, source, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 10 * time.Second // compilers, which have the same stderr, may live longer
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", errors.Join(context.Cause(ctx), err))
	}
	return nil
}

// kubernetesGoMod returns a go.mod that requires k8s.io/kubernetes. That module replaces
// some of its requirements by folders of its repository. They are published as modules too,
// with version 0 instead of 1, but a replacement has no effect in a module that requires the
// one that has it, so it has to be repeated.
func kubernetesGoMod(ctx context.Context, dir string) (string, error) {
	var module struct{ GoMod string }
	out, err := run(ctx, goCommand(ctx, dir, "mod", "download", "-json", "k8s.io/kubernetes@v"+Version), "")
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal([]byte(out), &module); err != nil {
		return "", fmt.Errorf("go mod download: %w", err)
	}
	if out, err = run(ctx, goCommand(ctx, dir, "mod", "edit", "-json", module.GoMod), ""); err != nil {
		return "", err
	}
	var theirs struct {
		Go      string
		Godebug []struct{ Key, Value string }
		Replace []struct {
			Old struct{ Path string }
			New struct{ Path string }
		}
	}
	if err := json.Unmarshal([]byte(out), &theirs); err != nil {
		return "", fmt.Errorf("go mod edit: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "module throwaway.test/kubernetes\n\ngo %s\n\n", theirs.Go)
	for _, g := range theirs.Godebug {
		fmt.Fprintf(&b, "godebug %s=%s\n", g.Key, g.Value)
	}
	fmt.Fprintf(&b, "\nrequire k8s.io/kubernetes v%s\n\n", Version)
	for _, r := range theirs.Replace {
		if strings.HasPrefix(r.New.Path, "./staging/") {
			fmt.Fprintf(&b, "replace %s => %[1]s v0%s\n", r.Old.Path, strings.TrimPrefix(Version, "1"))
		}
	}
	return b.String(), nil
}

func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends its compilers, and removes its files
	return cmd
}
