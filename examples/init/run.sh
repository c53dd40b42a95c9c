#!/bin/sh
# Runs the four images, one after another, and prints a table. It needs Linux,
# Go, and root or the right to make user namespaces.
set -eu
cd "$(dirname "$0")"

work=$(mktemp -d)
engine=
trap '[ -z "$engine" ] || kill -KILL "$engine"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
go build -o "$work/app" .
(cd ../.. && go build -o "$work/shutdown-init" ./cmd/shutdown-init)
cat >"$work/start.sh" <<'EOF'
#!/bin/sh
# prepares something, and then
app
echo "start.sh: the app has ended"
EOF
chmod +x "$work/start.sh"
export PATH="$work:$PATH"

as_root=--
[ "$(id -u)" = 0 ] || as_root=--map-root-user

# said TEXT tells whether the image has written TEXT.
said() { if grep -q "$1" "$log"; then echo yes; else echo no; fi; }

# image NAME GRACE COMMAND... runs COMMAND as PID 1, sends it SIGTERM when the app
# is ready, and SIGKILL after GRACE seconds. Docker's grace period is 10 s; for an
# image that does not stop within it, 3 s show the same.
image() {
	name=$1
	grace=$2
	shift 2
	export SHUTDOWN_GRACE_PERIOD="$grace"
	log=$work/$name.log
	unshare --pid --fork --mount-proc --kill-child $as_root "$@" >"$log" 2>&1 </dev/null &
	engine=$!
	until grep -q 'app: ready' "$log"; do
		kill -0 $engine 2>/dev/null || { cat "$log" >&2; exit 1; }
		sleep 0.05
	done
	pid1=$(tr -d ' ' <"/proc/$engine/task/$engine/children")
	begun=$(date +%s%N)
	kill -TERM "$pid1"
	killed=
	while kill -0 "$pid1" 2>/dev/null; do
		if [ $(($(date +%s%N) - begun)) -gt $((grace * 1000000000)) ]; then
			killed=137
			kill -KILL "$pid1"
			break
		fi
		sleep 0.05
	done
	code=0
	wait $engine || code=$?
	engine=
	took=$((($(date +%s%N) - begun) / 100000000))
	printf '%-32s%-17s%-11s%-6s%d.%d s\n' "$name" "$(said 'app: signal SIGTERM')" "$(said 'app: cleaned up')" \
		"${killed:-$code}" $((took / 10)) $((took % 10))
}

printf '%-32s%-17s%-11s%-6s%s\n' IMAGE 'APP GOT SIGTERM' CLEANED-UP EXIT AFTER
# CMD ["app"]
image 'exec form' 10 app
# CMD app; echo "the app has ended"
image 'shell form, more after it' 3 sh -c 'app; echo "the app has ended"'
# CMD ["start.sh"]
image 'start script without exec' 3 start.sh
# ENTRYPOINT ["shutdown-init", "--ok", "143", "--"]
# CMD ["start.sh"]
#
# All processes get the signal, also start.sh, which exits (143). The app becomes a
# child of shutdown-init.
image 'start script, shutdown-init' 10 shutdown-init --ok 143 -- start.sh

echo
echo 'What the library said at the start:'
grep -ho 'shutdown: PID 1.*' "$work"/*.log
