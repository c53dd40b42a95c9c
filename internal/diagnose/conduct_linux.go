package diagnose

import (
	"path"
	"slices"
	"strings"
)

// A conduct is what a program between PID 1 and this one does with SIGTERM. Each program
// below was tried in a PID namespace.
type conduct int

const (
	unknown  conduct = iota // not reported
	passesOn                // passes it on to its child, and waits for the child
	waits                   // does not pass it on, unless it has a handler
	shell                   // like waits
	dies                    // ends at once, although it has a handler, that of Go's runtime
)

// conducts has the programs that are recognized by their name alone. npm, pnpm and yarn run
// their command in a shell: dash does not pass the signal on, while bash and busybox replace
// themselves with the last command. yarn 2 and later does not pass it on, but looks like
// yarn 1. su and runuser pass it on, and kill after 2 s.
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

// conductOf uses the command line and not comm, which for a script has the name of the script
// and not of its shell.
func conductOf(args []string) conduct {
	if len(args) == 0 {
		return unknown
	}
	title := strings.Fields(args[0]) // npm sets it to "npm start"
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

// runsCommand reports whether a shell runs a script or the command of -c. Otherwise it reads
// commands from a person or a CI runner.
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
