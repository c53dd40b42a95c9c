package diagnose

import (
	"path"
	"slices"
	"strings"
)

// A conduct is what a program in front of ours does with a SIGTERM. It was
// tried, with each program here under one of its names, in a PID namespace.
type conduct int

const (
	unknown  conduct = iota // and so not to be accused
	passesOn                // to its child, and waits for it
	waits                   // passes nothing on, unless it has a handler
	shell                   // the same
	dies                    // at once, although it has a handler: Go's runtime has
)

// conducts of programs that are known by their name alone. (That of npm, pnpm
// and yarn depends on the shell in which they run their command: a dash below
// them swallows the signal; a bash or busybox gives its place to the last
// command. yarn 2 and later swallows it by itself, but cannot be told from
// yarn 1. su and runuser pass it on and kill 2 s later.)
var conducts = map[string]conduct{
	"tini": passesOn, "tini-static": passesOn, "docker-init": passesOn, "podman-init": passesOn,
	"dumb-init": passesOn, "catatonit": passesOn,
	"npm": passesOn, "npm-cli.js": passesOn, "npx": passesOn, "npx-cli.js": passesOn,
	"pnpm": passesOn, "pnpm.cjs": passesOn, "pnpx": passesOn,
	"yarn": passesOn, "yarn.js": passesOn, "yarnpkg": passesOn,
	"make": passesOn, "sudo": passesOn, "su": passesOn, "runuser": passesOn, "timeout": passesOn,

	"flock": waits, "time": waits, "xargs": waits,
}

var shells = []string{"sh", "ash", "bash", "dash", "zsh", "ksh", "ksh93", "fish"}

// conductOf judges by the command line: comm is the name of a thread, and of
// a file behind a link.
func conductOf(args []string) conduct {
	if len(args) == 0 {
		return unknown
	}
	title := strings.Fields(args[0]) // npm writes "npm start" over it
	if len(title) == 0 {
		return unknown
	}
	name := path.Base(strings.TrimPrefix(title[0], "-")) // of a login shell
	args = args[1:]
	if len(args) > 0 && (name == "busybox" || name == "node") {
		name, args = path.Base(args[0]), args[1:]
	}
	switch {
	case slices.Contains(shells, name):
		if runsCommand(args) {
			return shell
		}
		return unknown
	case name == "go" && len(args) > 0 && args[0] == "run":
		return dies
	default:
		return conducts[name]
	}
}

// runsCommand tells a shell that runs a script or the command of -c from one
// that reads what a person, or a CI runner, types.
func runsCommand(args []string) bool {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return i+1 < len(args)
		case arg == "--rcfile", arg == "--init-file":
			i++ // their value
		case strings.HasPrefix(arg, "--"):
		case arg == "-", strings.HasPrefix(arg, "-") && strings.ContainsAny(arg, "is"):
			return false // interactive, or a script from stdin
		case strings.HasPrefix(arg, "-") && strings.Contains(arg, "c"):
			return true
		case strings.HasPrefix(arg, "-"), strings.HasPrefix(arg, "+"):
			if strings.HasSuffix(arg, "o") || strings.HasSuffix(arg, "O") {
				i++ // -euo pipefail
			}
		default:
			return true
		}
	}
	return false
}
