// Package admin serves the HTTP endpoints that a platform and an operator need for
// graceful shutdown: liveness and readiness probes, a preStop hook, a status page, and a
// handler of your own for metrics and profiles.
//
//	_, err := admin.Start(m, ":9090", admin.Options{})
//
// It listens on a port of its own and serves until the process exits, so the probes
// are answered during the whole shutdown, when the service's own ports are closed.
//
//	/livez           the process runs
//	/readyz          the service is ready, and the shutdown has not started
//	/prestop         starts the shutdown; with Options.PreStop
//	/debug/shutdown  the status page, as HTML or JSON; with Options.Debug
//	anything else    Options.Handler
//
// # Probes
//
// /livez is always 200. It checks nothing else, because a failing liveness probe makes
// the platform kill the process, even in the middle of its shutdown.
//
// /readyz is
//
//	503 starting   until Manager.Wait has been called, which Run does when start has
//	               returned, and Options.Ready has returned nil
//	200 ready      from then on
//	503 not ready  while Options.Ready returns an error after it has returned nil before
//	503 leaving    from the start of the shutdown on
//
// Be careful with an Options.Ready that checks what all instances share: if the database
// is slow for a minute, all of them become unready at once.
//
// # Kubernetes
//
//	spec:
//	  terminationGracePeriodSeconds: 30 # preStop included
//	  containers:
//	  - name: app
//	    env:
//	    - {name: SHUTDOWN_GRACE_PERIOD, value: "30"}
//	    ports:
//	    - {name: admin, containerPort: 9090}
//	    startupProbe: # waits up to a minute, then the pod is restarted; the others start after it
//	      httpGet: {path: /readyz, port: admin}
//	      periodSeconds: 1
//	      failureThreshold: 60
//	    readinessProbe:
//	      httpGet: {path: /readyz, port: admin}
//	      periodSeconds: 2
//	      failureThreshold: 1
//	    livenessProbe:
//	      httpGet: {path: /livez, port: admin}
//	      periodSeconds: 10
//	      failureThreshold: 3
//	    lifecycle: # optional, see below
//	      preStop:
//	        httpGet: {path: /prestop, port: admin}
//
// With Options.TLSConfig the server speaks TLS, and the probes and the hook need
// "scheme: HTTPS".
//
// # The preStop hook
//
// /prestop, by GET or POST, starts the shutdown as a signal does. It responds when Drain
// starts: when the lame duck is over and every Leave hook has returned or was abandoned.
// That takes as long as the lame duck, or longer if a Leave hook does, up to half of the
// time until the end of Drain. The SIGTERM that follows has no effect. The log and the
// Report name the address of the client as the cause, and the time of the request as the
// start of the shutdown.
// Further requests wait for the same event, or are answered at once after it. The
// shutdown goes on if the client disconnects.
//
// Most programs do not need it: SIGTERM alone runs the same phases in the same order
// with the same lame duck. Use it
//
//   - where signals do not reach the program, because a shell is PID 1 and does not
//     forward them;
//   - where SIGTERM stops the program at once and you cannot change that;
//   - outside Kubernetes: a deploy script knows from the response that the instance
//     takes no new requests.
//
// Do not set SHUTDOWN_PRESTOP for it: that variable is for a preStop hook that the
// program does not see, such as a sleep. Do not add such a sleep either.
//
// Every client that can reach /prestop can stop the service. The kubelet connects to the
// address of the pod, so the port cannot be limited to loopback. Block other clients
// with a NetworkPolicy. Traffic from the pod's node is always allowed, which includes
// the kubelet, but also pods on that node that use the host's network:
//
//	apiVersion: networking.k8s.io/v1
//	kind: NetworkPolicy
//	metadata: {name: app}
//	spec:
//	  podSelector: {matchLabels: {app: app}}
//	  policyTypes: [Ingress]
//	  ingress:
//	  - ports: [{port: 8080}] # 9090 is not listed: only the node can connect to it
//
// Prometheus cannot connect to it either. Serve metrics with a second [Start], on a port
// that is listed and without PreStop.
//
// Options.Token adds a weak second protection: the token stands in the manifest in clear
// text, because httpHeaders cannot refer to a Secret.
//
//	httpGet:
//	  path: /prestop
//	  port: admin
//	  httpHeaders: [{name: Authorization, value: "Bearer 4f1c..."}]
//
// The kubelet ignores the status of the response. With a wrong token, SIGTERM starts the
// shutdown, and the first refusal is logged with log/slog.
//
// Requests from browsers are refused, so that a web page cannot stop the service through
// a port that an operator has forwarded. If the port has to be on loopback, or the image
// has no shell, use the command shutdown-prestop, which calls /prestop from inside the
// container.
//
// # The length of the lame duck
//
// In Kubernetes a server keeps serving for 5 s after the shutdown has started. That is
// enough for endpoints, kube-proxy and an ingress inside the cluster. Change it with
// SHUTDOWN_LAME_DUCK
//
//   - behind a cloud load balancer that connects to pod addresses (AWS target type ip,
//     GKE NEG), or a service mesh or gateway that is being rolled out itself: it takes
//     10 to 30 s until the load balancer knows that a pod leaves. Set a little more, and
//     raise terminationGracePeriodSeconds by as much.
//   - where clients cache DNS (a headless Service, a JVM, a pool that resolves once):
//     set the TTL, for clients that respect it. Others are helped only by connections
//     that close, which httpserver sees to.
//   - with a single replica (strategy Recreate, a StatefulSet of one): set 0, because no
//     other replica takes over, and its successor waits.
//
// docs/load-balancers.md in the repository has a table of load balancers. A program without
// Drain hooks, such as a consumer, has no lame duck.
//
// # Metrics and profiles
//
// Options.Handler serves all other paths. Its requests do not count as in flight: the
// shutdown does not wait for a profile that takes 30 s, and metrics are served until the
// process exits. net/http/pprof registers its handlers with http.DefaultServeMux, so
// that can be the Handler:
//
//	_, err := admin.Start(m, "127.0.0.1:9091", admin.Options{Handler: http.DefaultServeMux})
//
// # The status page
//
// With Options.Debug, /debug/shutdown shows what a shutdown would do, is doing or has
// done: what it waits for, the tasks in flight with their ages, and the hooks in the
// order in which they run, with the time that each may take. It loads nothing else and
// needs no JavaScript. It reloads every second during the shutdown, and every five
// seconds before it. It shows up to 50 of the oldest tasks, and 300 bytes of a name.
// After the process has exited, the last line of its log has the timeline.
//
// Work that was cut off has a separate list, with tasks of the same name together:
// "10 x GET /sse (oldest 2.2 s)". These tasks were in flight when WorkContext ended, by
// the deadline or by force, or were admitted after that. They stay in the list if they
// return later. Hooks made by [shutdown.BestEffort] that failed are marked "best effort"
// and do not count as errors. Workers, jobs and the function given to [shutdown.Run] are
// shown if they failed.
//
// The page and the JSON show names of tasks and texts of errors to every client that
// can connect, as profiles do. Serve them on loopback, on a port of their own if the
// probes need another, and use kubectl port-forward:
//
//	_, err := admin.Start(m, "127.0.0.1:9091", admin.Options{Debug: true})
//
// # The status as JSON
//
// A request whose Accept header contains application/json gets the [shutdown.Report] as
// JSON, which its UnmarshalJSON reads; all others, such as those of browsers, get the
// page:
//
//	curl -H 'Accept: application/json' http://127.0.0.1:9091/debug/shutdown
//
// Durations are numbers of seconds, times are RFC 3339, errors are their text. Fields
// that are empty or false are left out, except phase, result, grace_source, the name of
// a task, and the durations other than ends_seconds.
//
//	phase                 running, leave, drain, close or done
//	result                running, "in leave", "in drain" or "in close"; at the end
//	                      finished, "finished with errors", "timed out" or forced
//	cause                 why the shutdown started: a signal, an error, a preStop request; may be absent
//	forced                why it was forced; absent if it was not
//	begun                 when the shutdown started
//	took_seconds          how long the shutdown took, or has taken so far
//	grace_period_seconds  from the start of the shutdown to SIGKILL
//	grace_source          where the grace period is from; "guessed: ..." if it is a guess
//	timeout_seconds       the shutdown ends by then
//	lame_duck_seconds     how long the service keeps serving after the start
//	reserve_seconds       the part of the timeout that is kept for Close hooks
//	steps                 the phases and hooks that run or have run, in the order of their
//	                      start, and the workers and jobs that failed
//	pending               hooks that have not run, in the order in which they will
//	unfinished            tasks in flight now; from Close on, when Drain ended
//	cut_off               tasks in flight when WorkContext ended, by the deadline or by
//	                      force, or admitted later; also if they have returned since
//	cut_off_at            when WorkContext ended, by the deadline or by force
//
// Each of steps and pending is an object with
//
//	phase         leave, drain or close; absent for a worker, a job or start
//	kind          worker, job or start, for one that failed
//	name          of the hook, worker or job; absent for a phase as a whole
//	at_seconds    when it started, after begun; of a pending hook, when it is expected to
//	took_seconds  how long it took, or has taken so far
//	ends_seconds  when it is abandoned at the latest, after begun, if it is pending or
//	              running; absent after Manager.Force
//	error         what it returned
//	running       it has not returned yet
//	abandoned   it was abandoned: it had not returned when its time was up
//	best_effort   its error does not count
//
// and each task has a name, and since, the time at which it was admitted. A task can be
// in both unfinished and cut_off.
package admin
