// Package admin serves what a platform and an operator ask a process about its
// life: probes, a preStop hook, and a page that shows a shutdown under way; and a
// handler of yours, for metrics and profiles. It has a listener of its own, which
// outlives every phase: the probes answer while the service's servers are long
// closed.
//
//	_, err := admin.Start(m, ":9090", admin.Options{PreStop: true})
//
// Start returns a handle, whose Addr says which port ":0" has become. With
// Options.TLSConfig it serves TLS; then the probes need the scheme HTTPS.
//
// # Probes
//
// /livez is 200 for as long as the process runs. It asks for nothing: a liveness
// probe that fails has the platform kill what is still closing.
//
// /readyz is 503 "starting" until Manager.Wait has been called and Options.Ready
// agrees; then 200 "ready"; 503 "not ready" while Options.Ready, which had agreed
// before, does not; and 503 "leaving" from the beginning of the shutdown on. Think
// twice before Ready asks for what all instances share: if the database has a bad
// minute, all of them leave at once.
//
// # preStop
//
// /prestop, by GET or POST, begins the shutdown as a signal does: it is a
// request, and the log and the Report name it as the cause, with the address that
// it came from. The clock starts there. It answers when the lame duck is over
// and every Leave hook has returned or was left behind, which is in the first
// half of Timeout or by the end of the lame duck; so the SIGTERM that follows
// finds a service that everybody has left, and changes nothing. A further call
// waits for the same, and after that is answered at once. A caller that goes away
// changes nothing either.
//
// It is not needed: a SIGTERM alone goes through the same phases, in the same
// order and with the same lame duck. Use it where signals do not arrive, because
// a shell is PID 1 and does not pass them on; where the SIGTERM is harsher than
// you want, and you cannot change that; and for what is not Kubernetes: a deploy
// script that calls it knows, when it is answered, that the instance has left.
//
//	spec:
//	  terminationGracePeriodSeconds: 30 # preStop included
//	  containers:
//	  - name: app
//	    env:
//	    - {name: SHUTDOWN_GRACE_PERIOD, value: "30"}
//	    ports:
//	    - {name: admin, containerPort: 9090}
//	    startupProbe: # up to a minute until ready; until then the others rest
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
//	    lifecycle:
//	      preStop:
//	        httpGet: {path: /prestop, port: admin}
//
// Do not set SHUTDOWN_PRESTOP for it: that is for a preStop which the program
// does not see. And do not sleep in a preStop hook as well.
//
// Whoever can call /prestop can end the service. The kubelet calls it on the
// pod's address, so it cannot be kept on loopback. Keep others out with a
// NetworkPolicy. The node that the pod runs on is always let in, and with it the
// kubelet, but also pods of that node that have its network:
//
//	apiVersion: networking.k8s.io/v1
//	kind: NetworkPolicy
//	metadata: {name: app}
//	spec:
//	  podSelector: {matchLabels: {app: app}}
//	  policyTypes: [Ingress]
//	  ingress:
//	  - ports: [{port: 8080}] # everybody; 9090 is not listed, so nobody but the node
//
// Options.Token is a second lock, not a strong one: the manifest has it in clear,
// because httpHeaders cannot refer to a Secret.
//
//	httpGet:
//	  path: /prestop
//	  port: admin
//	  httpHeaders: [{name: Authorization, value: "Bearer 4f1c..."}]
//
// The kubelet does not look at the status of the answer. If the token is wrong the
// SIGTERM begins the shutdown; the first refusal is logged, with log/slog.
//
// Requests that a browser sends are refused, so that a web page cannot end a
// service through a port that somebody has forwarded. Where loopback has to do,
// or the image has no shell, the command shutdown-prestop calls it from inside.
//
// # How long a lame duck
//
// In Kubernetes a server serves on for 5 s after it was told to leave. That is
// enough for endpoints, kube-proxy and an ingress inside of the cluster. It is
// wrong
//
//   - behind a cloud load balancer that sends to the pods' addresses (AWS target
//     type ip, GKE NEG): it learns that a pod has left from its controller, and
//     that takes 10 to 30 s. Set SHUTDOWN_LAME_DUCK to that and a little more,
//     and terminationGracePeriodSeconds so that the rest still fits. A service
//     mesh or gateway that is itself being rolled out is of this kind too.
//   - where clients cache DNS (a headless Service, a JVM, a pool that resolves
//     once): nobody tells them. Serve on for the TTL, if they respect it; what
//     helps those that do not is that connections are asked to close, which
//     httpserver does.
//   - with a single replica (strategy Recreate, a StatefulSet of one): nobody
//     takes over while it serves on, and its successor has to wait. Set
//     SHUTDOWN_LAME_DUCK to 0.
//   - for what nobody calls: a consumer, a job. Without a Drain hook there is
//     none, whatever the platform.
//
// # Metrics and profiles
//
// Options.Handler serves every path that is not listed above or below. Its requests
// are not in flight: the shutdown does not wait for a profile that takes 30 s, and
// metrics can be read until the process ends. net/http/pprof registers its handlers
// with http.DefaultServeMux, so that can be the Handler:
//
//	_, err := admin.Start(m, "127.0.0.1:9091", admin.Options{Handler: http.DefaultServeMux})
//
// Whoever can connect can have a profile taken: see the last section.
//
// # The status page
//
// With Options.Debug, /debug/shutdown shows what a shutdown would do, is doing or
// has done: what it waits for, what is in flight and for how long, the hooks in the
// order in which they run, and the time that each may take. It fetches nothing and
// needs no script. It reloads each second while the shutdown runs and every five
// seconds before; when the process has ended, the last line of the log has the
// timeline. It shows at most the 50 oldest tasks and 300 bytes of a name; the JSON
// below has all of both.
//
// Work that was cut off has a list of its own, with tasks of the same name
// together: "10 x GET /sse (oldest 2.2 s)". It was in flight when WorkContext ended,
// by the deadline or by force, or was admitted after that. It stays in the list if
// it returns later, and a shutdown with such work never reads as finished. A hook
// made by [shutdown.BestEffort] that failed is marked "best effort" and is not an
// error. Workers, jobs and the function given to [shutdown.Run] appear, under their
// kind, if they failed.
//
// If the grace period is guessed, the page calls the time of SIGKILL a guess and
// names SHUTDOWN_GRACE_PERIOD, which should be set to what the platform grants.
//
// # The status as JSON
//
// A request whose Accept header prefers application/json to text/html gets the
// [shutdown.Report] as JSON, which its UnmarshalJSON reads. Durations are numbers of
// seconds, times are RFC 3339, errors are their text. What is empty, or false, is
// left out, except for phase, result, grace_source, the name of a task, and
// durations.
//
//	phase                 running, leave, drain, close or done
//	result                running, "in leave", "in drain" or "in close"; at the end
//	                      finished, "finished with errors", "timed out" or forced
//	cause                 why the shutdown started; absent if it was only requested
//	forced                why it was forced; absent if it was not
//	begun                 when the shutdown started
//	took_seconds          how long the shutdown took, or has taken so far
//	grace_period_seconds  from the start of the shutdown to SIGKILL
//	grace_source          where that was learnt; "guessed: ..." if it is a guess
//	timeout_seconds       the shutdown ends by then
//	lame_duck_seconds     how long the service still serves after the start
//	reserve_seconds       what is kept of the timeout for Close hooks
//	steps                 what has run or runs, in the order of its start
//	pending               hooks that have not run, in the order in which they will
//	unfinished            tasks in flight now; from Close on, when Drain ended
//	cut_off               tasks in flight when WorkContext ended, by the deadline or
//	                      by force, or admitted later; also if they returned since
//
// A step or a pending hook is an object with
//
//	phase         leave, drain or close; absent for a worker, a job or start
//	kind          worker, job or start, for one that failed
//	name          of the hook, worker or job; absent for a phase as a whole
//	at_seconds    when it started, after begun
//	took_seconds  how long it took, or has taken so far
//	error         what it returned
//	running       it has not returned yet
//	left_behind   it had not returned when its time was up
//	best_effort   its error does not count
//
// and a task has a name, and since, the time when it was admitted. A task can be in
// both unfinished and cut_off.
//
// # Access to the status page
//
// The page and the JSON show names of tasks and texts of errors to every client that
// can connect, so they are off by default. Keep them on loopback, with a Start of
// their own if the probes cannot be there, and use kubectl port-forward. The same
// holds for profiles:
//
//	_, err := admin.Start(m, "127.0.0.1:9091", admin.Options{Debug: true})
package admin
