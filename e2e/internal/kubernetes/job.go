//go:build linux

package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/cluster"
	"github.com/gracefulgo/shutdown/e2e/internal/parts"
	"github.com/gracefulgo/shutdown/e2e/internal/report"
)

const jobImage = "job:latest"

const jobManifest = `
apiVersion: batch/v1
kind: Job
metadata: {name: import}
spec:
  backoffLimit: 3
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 30
      containers:
      - name: orders
        image: ` + jobImage + `
        imagePullPolicy: Never
        env: [{name: SHUTDOWN_GRACE_PERIOD, value: "30"}]
`

// measureJob deletes the pod of a Job half way. Its exit code must not be 0, because then
// the Job would be complete.
func measureJob(ctx context.Context, c *cluster.Cluster, env *parts.Env) (row report.Row, err error) {
	row = report.Row{Scenario: "a Job, delete its pod half way", Service: "m.Job", Requirements: []string{"R28"}}
	ctx, cancel := limited(ctx)
	defer cancel()
	env.Progress.Show("kubernetes: " + row.Scenario)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", row.Scenario, err)
		}
	}()
	d := &deployment{Cluster: c, namespace: "row-job"}
	if _, err := c.Kubectl(ctx, "", "create", "namespace", d.namespace); err != nil {
		return row, err
	}
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	d.unwatch, d.pods = unwatch, watchPods(watching, d.stream)
	defer func() { err = errors.Join(err, d.remove(context.WithoutCancel(ctx))) }()
	if _, err := d.Kubectl(ctx, jobManifest, "--namespace", d.namespace, "apply", "--filename", "-"); err != nil {
		return row, err
	}
	if err := d.pods.awaitReady(ctx, 1); err != nil {
		return row, err
	}
	r := &round{deployment: d, before: d.pods.ready(), rules: new(rules)} // no Service sends to it
	if err := pause(ctx, time.Second); err != nil {
		return row, err
	}
	going, err := deletePod(ctx, r)
	if err != nil {
		return row, err
	}
	if err := d.pods.awaitGone(ctx, going); err != nil {
		return row, err
	}
	if err := d.pods.awaitReady(ctx, 1); err != nil {
		return row, fmt.Errorf("the Job's next pod: %w", err)
	}
	r.collect(&row)
	row.ExitsOnly("1")
	if !strings.Contains(r.message(), "rows") {
		row.Problem("the message does not say how far it was: %q", r.message())
	}
	return row, nil
}
