// Package otelshutdown exports metrics and a trace of a graceful shutdown with
// OpenTelemetry:
//
//	func start(m *shutdown.Manager) error {
//		err := otelshutdown.Start(m, otelshutdown.Options{MeterProvider: mp, TracerProvider: tp})
//		if err != nil {
//			return err
//		}
//		... // databases, servers
//	}
//
// [Start] comes before everything that registers a Close hook. Close hooks run one after
// another, the last registered first, so the hook that Start registers is the last one. It
// records the trace, collects the metrics for the last time, and flushes and shuts down
// both providers, within Options.Limit. A collector that does not answer costs that time,
// and does not change the exit code.
//
// # Metrics
//
//	shutdown.tasks.in_flight                  {task}        shutdown.kind
//	shutdown.tasks.cut_off                    {task}        shutdown.kind
//	shutdown.requests_while_leaving           {request}     shutdown.kind
//	shutdown.connections_closed               {connection}  shutdown.kind
//	shutdown.phase.duration                   s             shutdown.phase
//	shutdown.hook.duration                    s             shutdown.phase, shutdown.hook.name, shutdown.hook.result
//	shutdown.duration                         s             shutdown.result
//	shutdown.last_run.duration                s             shutdown.result
//	shutdown.last_run.cut_off                 {task}        shutdown.kind
//	shutdown.last_run.requests_while_leaving  {request}     shutdown.kind
//	shutdown.last_run.connections_closed      {connection}  shutdown.kind
//
// Tasks in flight are always counted. What follows them appears when the shutdown begins,
// and shutdown.duration, with the result, at the export. What is about the last run appears
// at the start, if Config.Record is set and has a run. Durations of what still runs are
// those up to now. The connections that a server has closed are known when it has drained.
//
// shutdown.kind is that of the tasks, such as "http", "grpc" or "worker", and "track" for
// [shutdown.Manager.Track]. Names of tasks are never attributes. After 20 kinds, and after 100
// hooks, the others have the name "_OTHER" together; of hooks with equal attributes, the
// longest duration counts.
//
// shutdown.result is that of [shutdown.Report.Result]: "finished", "finished with errors",
// "timed out" or "forced". That of the last run is also "killed in leave", "killed in
// drain", "killed in close", or "killed running" if its shutdown had not begun.
// shutdown.hook.result is "running", "finished", "failed", "abandoned", "failed (best
// effort)" or "abandoned (best effort)".
//
// Durations are gauges and not histograms, because a process shuts down once. A histogram
// would have one observation, and a counter that appears with the value 1 has no increase.
//
// # Push and pull
//
// If the metrics are pushed, as with OTLP, the last push is at the export and says how the
// shutdown ended. A process that has exited cannot be scraped. With Prometheus the
// shutdown is seen while it runs, if it takes longer than the scrape interval, and its
// result after the restart, in shutdown.last_run.duration, if the record outlives the
// process. Serve the scrapes with admin.Options.Handler, on a port that outlives every
// phase.
//
// # The trace
//
// The trace has a span "shutdown", below it a span for each phase, and below these one for
// each hook, with the times of the [shutdown.Report]. What failed has the status Error. If
// work was cut off, an event says how much, and names up to five tasks. A worker or a job
// that failed is an event, too.
//
// The sampler of the TracerProvider decides whether the trace is kept. A sampler that keeps
// one trace in a hundred keeps one shutdown in a hundred. Give Options a TracerProvider with
// a sampler of its own to keep each.
//
// # What is missing
//
// The hook of the export cannot be in what it exports, nor can what comes after it: the
// duration is up to the beginning of the export, and so is the result. If the export itself
// fails, the log says so.
package otelshutdown
