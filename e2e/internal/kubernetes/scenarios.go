//go:build linux

package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gracefulgo/shutdown/e2e/internal/report"
)

const (
	library = "library"
	naive   = "naive"
)

// rollouts is how many rolling updates a scenario has that shows that nothing is lost.
const rollouts = 5

// Three replicas are behind the Service, of examples/kubernetes/kubernetes.yaml, if not
// stated otherwise: lame duck 5 s, grace period 30 s, no preStop hook.
var scenarios = []scenario{
	{
		name: "rolling update", service: library, shows: []string{"R7", "R9", "R23"},
		rounds: rollouts, stop: rollout, short: true, head: true,
		expect: isClean,
	},
	{
		name: "rolling update", service: naive,
		pod: container("image: " + naiveImage), rounds: rollouts, stop: rollout, short: true, head: true,
		expect: mayLose,
	},
	{
		name: "rolling update, readiness 503 and DELAY=3s", service: naive,
		pod: container("image: "+naiveImage, env("DELAY", "3s")), rounds: rollouts, stop: rollout, head: true,
		expect: mayLose,
	},
	{
		name: "rolling update, SHUTDOWN_LAME_DUCK=0", service: library,
		pod: container(env("SHUTDOWN_LAME_DUCK", "0")), rounds: 2, stop: rollout,
		expect: all(exits0, saysSentTo),
	},
	{
		name: "rolling update, SHUTDOWN_LAME_DUCK=1", service: library, shows: []string{"R7", "R23"},
		pod: container(env("SHUTDOWN_LAME_DUCK", "1")), rounds: 2, stop: rollout,
		expect: all(answersAll, noneRefused(time.Second)),
	},
	{
		name: "rolling update, preStop httpGet /prestop", service: library, shows: []string{"R21", "R29"},
		pod:  container("lifecycle: {preStop: {httpGet: {path: /prestop, port: admin}}}"),
		stop: rollout, expect: all(isClean, saysAll("preStop")),
	},
	{
		name: "rolling update, preStop exec shutdown-prestop", service: library, shows: []string{"R21", "R29"},
		pod:  container("image: "+preStopImage, preStopExec("/shutdown-prestop")),
		stop: rollout, expect: isClean,
	},
	{
		name: "rolling update, preStop exec shutdown-prestop --signal INT --wait 10s", service: library, shows: []string{"R21", "R29"},
		pod:  container("image: "+preStopImage, preStopExec("/shutdown-prestop", "--signal", "INT", "--wait", "10s")),
		stop: rollout, expect: all(isClean, saysAll("SIGINT")),
	},
	{
		name: "rolling update, preStop exec shutdown-prestop --url", service: library, shows: []string{"R21", "R29"},
		pod:  container("image: "+preStopImage, preStopExec("/shutdown-prestop", "--url", "http://127.0.0.1:9091/prestop")),
		stop: rollout, expect: all(isClean, saysAll("preStop")),
	},
	{
		name: "rolling update, preStop sleep 5, SHUTDOWN_PRESTOP=5", service: library, shows: []string{"R22"},
		pod:  container(preStopSleep, env("SHUTDOWN_PRESTOP", "5")),
		stop: rollout, expect: all(isClean, saysAll("grace period 25s", "lame duck 0s")),
	},
	{
		name: "rolling update, preStop sleep 5, not told", service: library, shows: []string{"R22"},
		pod:  container(preStopSleep),
		stop: rollout, expect: all(isClean, saysAll("grace period 30s", "lame duck 5s")),
	},
	{
		name: "scale down to 1", service: library, shows: []string{"R7", "R23"},
		stop: scaleDown, expect: isClean,
	},
	{
		name: "scale down to 1", service: naive,
		pod: container("image: " + naiveImage), stop: scaleDown, expect: mayLose,
	},
	{
		name: "delete a pod", service: library, shows: []string{"R7", "R23"},
		rounds: 3, stop: deletePod, expect: isClean,
	},
	{
		name: "delete a pod", service: naive,
		pod: container("image: " + naiveImage), rounds: 3, stop: deletePod, expect: mayLose,
	},
	{
		name: "a request hangs, delete its pod", service: library, shows: []string{"R25", "R26"},
		stop: deleteHung, short: true, head: true, expect: cutsOff(5 * time.Second),
	},
	{
		name: "a request hangs, delete its pod", service: naive,
		pod: container("image: " + naiveImage), stop: deleteHung, head: true, expect: mayLose,
	},
	{
		name: "a request hangs, delete its pod; SHUTDOWN_GRACE_PERIOD not set", service: library, shows: []string{"R25"},
		pod:  container("env: [{name: SHUTDOWN_GRACE_PERIOD, $patch: delete}]"),
		stop: deleteHung, expect: cutsOff(5 * time.Second),
	},
	{
		name: "a request hangs, delete its pod; terminationGracePeriodSeconds 10, SHUTDOWN_GRACE_PERIOD=10, SHUTDOWN_LAME_DUCK not set", service: library, shows: []string{"R10", "R25"},
		pod:  graceOf(10, `env: [{name: SHUTDOWN_GRACE_PERIOD, value: "10"}, {name: SHUTDOWN_LAME_DUCK, $patch: delete}]`),
		stop: deleteHung, expect: cutsOff(2 * time.Second),
	},
	{
		name: "a request hangs, delete its pod; terminationGracePeriodSeconds 8, SHUTDOWN_GRACE_PERIOD=30", service: library, shows: []string{"R6", "R25"},
		pod: graceOf(8), stop: deleteHung,
		expect: isKilled("in drain", "POST /orders"),
	},
	{
		name: "the liveness probe fails", service: library, shows: []string{"R7"},
		pod:  container("livenessProbe: {httpGet: {path: /missing}, initialDelaySeconds: 8, periodSeconds: 1}"),
		stop: awaitRestarts, expect: answersAll,
	},
	{
		name: "the liveness probe fails, a request hangs, its terminationGracePeriodSeconds 8", service: library, shows: []string{"R6"},
		replicas: 1,
		pod:      container("livenessProbe: {httpGet: {path: /missing}, initialDelaySeconds: 8, periodSeconds: 1, terminationGracePeriodSeconds: 8}"),
		stop:     hangAndAwaitRestarts, expect: isKilled("in drain", "POST /orders", "the last run was killed"),
	},
	{
		name: "out of memory, limit 40 MiB", service: library, shows: []string{"R6"},
		pod:  container("resources: {requests: {memory: 40Mi}, limits: {memory: 40Mi}}"),
		stop: fill, head: true, expect: isKilled("OOMKilled", "the last run was killed while running"),
	},
	{
		name: "1 replica, rolling update", service: library, shows: []string{"R7", "R23"},
		replicas: 1, rounds: 2, stop: rollout, expect: isClean,
	},
	{
		name: "1 replica, delete it", service: library, shows: []string{"R7"},
		replicas: 1, rounds: 2, stop: deletePod, expect: answersAll,
	},
	{
		// kube-proxy sends to a pod that is leaving, if there is no other and it is ready.
		name: "1 replica, delete it, the readiness probe fails after 3 times 2 s", service: library, shows: []string{"R7"},
		replicas: 1, rounds: 2, pod: container("readinessProbe: {failureThreshold: 3}"), stop: deletePod, expect: isClean,
	},
	{
		name: "1 replica, delete it", service: naive,
		replicas: 1, pod: container("image: " + naiveImage), rounds: 2, stop: deletePod, expect: mayLose,
	},
	{
		name: "delete a pod, native sidecar that takes 5 s", service: library, shows: []string{"R7"},
		pod: "{initContainers: [" + sidecar + ", restartPolicy: Always}]}", stop: deletePod,
		expect: all(isClean, othersExit0("sidecar")),
	},
	{
		name: "delete a pod, second container that takes 10 s", service: library, shows: []string{"R7"},
		pod: "{containers: [{name: orders}, " + strings.Replace(sidecar, "5s", "10s", 1) + "}]}", stop: deletePod,
		expect: all(isClean, othersExit0("sidecar")),
	},
}

// container is a patch of the service's container.
func container(fields ...string) string {
	return "{containers: [{name: orders, " + strings.Join(fields, ", ") + "}]}"
}

func env(name, value string) string { return fmt.Sprintf("env: [{name: %s, value: %q}]", name, value) }

func preStopExec(command ...string) string {
	return "lifecycle: {preStop: {exec: {command: [" + strings.Join(command, ", ") + "]}}}"
}

const preStopSleep = "lifecycle: {preStop: {sleep: {seconds: 5}}}"

// graceOf is a patch with a grace period, and fields of the container.
func graceOf(seconds int, fields ...string) string {
	return fmt.Sprintf("{terminationGracePeriodSeconds: %d, %s", seconds, strings.TrimPrefix(container(fields...), "{"))
}

// sidecar is another container, without the last brace.
const sidecar = "{name: sidecar, image: " + naiveImage + ", imagePullPolicy: Never, " +
	"args: [-http, ':8081', -grpc, ':9092', -admin, ':9093'], env: [{name: DELAY, value: 5s}]"

func all(expect ...func(*report.Row, *round)) func(*report.Row, *round) {
	return func(row *report.Row, r *round) {
		for _, e := range expect {
			e(row, r)
		}
	}
}

func mayLose(*report.Row, *round) {}

// exits0 is expected where requests may be lost.
func exits0(row *report.Row, _ *round) { row.ExitsOnly("0") }

// answersAll is expected where connections may be refused, because there is no other pod.
func answersAll(row *report.Row, _ *round) {
	row.NothingLost()
	row.ExitsOnly("0")
	if !strings.HasPrefix(row.Says, "finished") {
		row.Problem("the message is %q", row.Says)
	}
}

// isClean is expected where another pod is ready and the lame duck is long enough.
func isClean(row *report.Row, r *round) {
	answersAll(row, r)
	noneRefused(5*time.Second)(row, r)
}

// noneRefused expects that no connection was refused, unless kube-proxy still sent to a pod
// when its lame duck was over.
func noneRefused(lameDuck time.Duration) func(*report.Row, *round) {
	return func(row *report.Row, r *round) {
		if row.Load.Refused == 0 {
			return
		}
		most := slices.Max(append(r.sentTo, 0))
		if most < lameDuck {
			row.Problem("%d connections were refused (not by a RST: %q), and kube-proxy sent to pods that were leaving for %v at most", row.Load.Refused, r.unanswered, most)
		}
		saysSentTo(row, r)
	}
}

// saysSentTo adds to what is said how long a lame duck would have had to be.
func saysSentTo(row *report.Row, r *round) {
	row.Says += fmt.Sprintf("; kube-proxy sent to a pod that was leaving for up to %.1f s", slices.Max(append(r.sentTo, 0)).Seconds())
}

// cutsOff expects that only the request that hangs is cut off, and named.
func cutsOff(lameDuck time.Duration) func(*report.Row, *round) {
	return func(row *report.Row, r *round) {
		row.NothingLost()
		row.ExitsOnly("1")
		noneRefused(lameDuck)(row, r)
		saysAll("timed out", "cut off: ", "POST /orders")(row, r)
	}
}

// isKilled expects SIGKILL, and that the message of the container, its reason or the next
// run says this.
func isKilled(what ...string) func(*report.Row, *round) {
	return func(row *report.Row, r *round) {
		row.ExitsOnly("137")
		text := r.says + "\n" + r.message()
		for _, e := range r.ends {
			text += "\n" + e.Reason
		}
		for _, w := range what {
			if !strings.Contains(text, w) {
				row.Problem("nothing says %q: %s", w, text)
			}
		}
	}
}

// saysAll expects this in the message.
func saysAll(what ...string) func(*report.Row, *round) {
	return func(row *report.Row, r *round) {
		for _, w := range what {
			if !strings.Contains(r.message(), w) {
				row.Problem("the message does not say %q: %q", w, r.message())
			}
		}
	}
}

// othersExit0 expects the other container to have ended, too.
func othersExit0(name string) func(*report.Row, *round) {
	return func(row *report.Row, r *round) {
		i := slices.IndexFunc(r.ends, func(e end) bool { return e.container == name })
		if i < 0 || r.ends[i].ExitCode != 0 {
			row.Problem("the container %s has not exited with 0: %v", name, r.ends)
		}
	}
}
