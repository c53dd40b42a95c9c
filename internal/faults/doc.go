// Package faults is a fault-injection test suite. Each run starts a real service
// as a child process, puts it under load, breaks things around and inside it,
// stops it with signals, and then checks what must hold whatever went wrong.
//
//	go test ./internal/faults                                # a few seeds
//	go test ./internal/faults -v -seeds 2000 -timeout 60m    # seeds 1 to 2000, in ten minutes on two cores
//	go test ./internal/faults -v -seeds 100 -from 500        # seeds 500 to 599
//	go test ./internal/faults -v -seed 17                    # one, with its log and journal
//	go test ./internal/faults -v -seeds 2000 -parallel-runs 8
//
// A run is repeatable. Its seed determines a [Plan]: which faults there are, when
// the signals are sent, which hooks and requests there are and what they do. The
// same seed gives the same plan on every machine; how the kernel schedules the
// processes differs each time.
//
// A violation prints the seed, the plan, what was expected, the end of the child's
// log and the command that repeats the run. At the end there is a table of the
// faults and of the violations.
//
// # Invariants
//
//   - answered: each request that a well-behaved client sent is answered, unless
//     the drain was cut short and the server or the Report says so;
//   - hooks: each hook that was registered before the end of Close ran exactly
//     once;
//   - deadline: the process ended in time, also after SIGSTOP and SIGCONT;
//   - agreement: exit code, Report, log and post-mortem record agree with each
//     other and with what happened: with what hooks, workers, jobs and the start
//     of the program returned, with the cause of the shutdown, and with the times
//     of its phases; a hook made with BestEffort counts in none of them;
//   - truth: work that was in flight when WorkContext ended by the deadline or by
//     force, or that was admitted later, is in Report.CutOff exactly as often, and
//     work that had ended before is not; Wait's error, the exit code, the result,
//     the last log line and the record agree with that;
//   - leaks: no goroutine, descriptor, process or file is left.
//
// # What is excused
//
// A drain is cut short if the end is forced before the drain has ended, if
// SIGCONT leaves too little time for it, or if there are no descriptors. Requests
// may be lost then, provided that the server's step says that it did not drain.
// Force after the drain excuses no lost request. The answer of a handler that
// returns before the end of the drain has to arrive, even after the end of
// WorkContext, unless the server's step says that it cut connections off.
//
// On a busy machine a client may not be scheduled for longer than package
// httpserver lingers, and lose a request, as documented there. That is the only
// excuse for a lost request of a drain that was not cut short. It takes a single
// stall longer than the linger, and it covers one loss for each client, by the
// close of its connection. A hook of a forced end that the Report marks Abandoned
// may not have run, because it had only milliseconds in a process that was starved
// of CPU. The table counts such runs; the suite fails if there is more than one of
// either kind and they are more than 1 % of the runs.
//
// The journal has the end of a piece of work just before the library does. Work
// that ended within 5 ms before WorkContext did, or within the longest stall, may be
// in CutOff or not. Work that is missing in CutOff is not excused by any tolerance.
// Of the requests of the load the journal has only those that end after
// WorkContext: as many more as there are clients may be in CutOff.
//
// A stall of more than 100 ms, of the parent or the child, also switches off the
// checks of steps that have only milliseconds. If that happens in more than 15 % of
// 50 or more runs, the suite fails, because the machine is too busy for the result
// to mean anything. Run it with fewer -parallel-runs, or with nothing beside it.
//
// # How the faults are made
//
// The child is the test binary itself. A full, read-only or hanging disk is a
// seccomp filter that the child installs on its own system calls, so no
// privilege is needed; where a sandbox forbids that, the run goes on without the
// fault and the table says so. The tests of these faults are skipped then, but
// fail where CI is set. Exhausted descriptors are RLIMIT_NOFILE. The journal, to
// which the child writes what its hooks and handlers do, is a pipe to the parent: it
// works when the disk and the log do not.
//
// The suite runs on Linux. The plan and the checks are portable.
package faults
