//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gracefulgo/shutdown/examples/grpc/chat"
)

// TestMain runs the program if it was started as a server.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-server") {
		main()
	}
	os.Exit(m.Run())
}

// bound is a limit for a slow machine; no test waits for it to pass.
const bound = 3 * time.Minute

func run(t *testing.T, silent bool) (o outcome, output string) {
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	var out bytes.Buffer
	o, err := demo(ctx, &out, silent)
	t.Logf("%s%v", &out, o)
	require.NoError(t, err)
	return o, out.String()
}

// tries is how often the demonstration is repeated because the machine was too slow. A bug
// fails each of them.
const tries = 10

func TestAChatContinuesOnAnotherServer(t *testing.T) {
	t.Parallel()
	// If the server was not scheduled for a while, all searches may have ended before it
	// logs what it waits for.
	waiting := regexp.MustCompile(`server 1 \| .*shutdown: waiting phase=drain waiting_for="[^=]*grpc /chat\.Chat/Search \((?:oldest )?[0-9.]+m?s\)`)
	for try := 1; !waiting.MatchString(chatContinues(t)); try++ {
		require.Less(t, try, tries, "no search was waited for")
	}
}

func chatContinues(t *testing.T) (output string) {
	o, output := run(t, false)

	require.Zero(t, o.brokenOff)
	require.Positive(t, o.asked)
	require.GreaterOrEqual(t, strings.Count(output, "client   | the chat ended with io.EOF"), 2, "on both servers")
	require.GreaterOrEqual(t, strings.Count(output, "client   | joined the chat"), 2, "on both servers")
	require.Positive(t, o.sent)
	require.Equal(t, o.sent, o.received, "no line is lost")
	require.Greater(t, o.searches, searchers, "searches go on after server 1 has exited")
	require.Zero(t, o.unanswered)
	require.Equal(t, []string{"SERVING", "NOT_SERVING"}, o.health)
	require.Equal(t, [2]int{0, 0}, o.exits)
	require.Regexp(t, `server 1 \| .*shutdown: finished`, output)
	require.NotContains(t, output, errClosed.Error(), "no handler uses the archive after it was closed")
	return output
}

func TestWithoutARequestToLeaveAChatDelaysTheDrainUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	// 10 s less a tenth less a fifth is 7.2 s. RPCs have four fifths of what remains after
	// the lame duck, so WorkContext ends after 5.86 s. Connections are cut off a third of a
	// second later, which may be too early on a slow machine.
	connections := regexp.MustCompile(`server 1 \| .*[0-9]+ connections? cut off`)
	o, output := run(t, true)
	for try := 1; connections.MatchString(output); try++ {
		require.Less(t, try, tries, "connections were cut off in each round")
		o, output = run(t, true)
	}

	require.Zero(t, o.asked)
	require.Equal(t, 1, o.brokenOff)
	require.Contains(t, output, "the chat broke off: rpc error: code = Unavailable desc = the server is shutting down")
	require.Equal(t, 1, strings.Count(output, "the chat ended with io.EOF"), "on server 2, where the client leaves")
	require.Greater(t, o.took, 5500*time.Millisecond)
	require.Regexp(t, `server 1 \| .*shutdown: waiting phase=drain waiting_for="grpc /chat\.Chat/Join \([0-9.]+s\)`, output)
	require.Zero(t, o.unanswered, "searches end before that")
	require.Equal(t, [2]int{1, 0}, o.exits, "the chat was cut off")
	require.Regexp(t, `server 1 \| .*ERROR shutdown: timed out .*cut off: grpc /chat\.Chat/Join \([0-9.]+s\)"`, output)
	require.NotContains(t, output, errClosed.Error())
}

func TestALineSentAfterTheRequestToLeaveIsReceived(t *testing.T) {
	t.Parallel()
	server, stream := join(t)

	go server.end()
	require.True(t, receiveEvent(t, stream).GetClosing())
	require.NoError(t, stream.Send(&chat.Line{Text: "one more thing"}))
	require.NoError(t, stream.CloseSend())

	require.Equal(t, "one more thing", receiveEvent(t, stream).GetText())
	_, err := stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	require.Zero(t, server.end())
}

func TestTheStreamOfAClientThatDoesNotLeaveEnds(t *testing.T) {
	t.Parallel()
	server, stream := join(t)

	go server.end()
	require.True(t, receiveEvent(t, stream).GetClosing())

	_, err := stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	require.Zero(t, server.end())
}

// join starts a server and returns a stream in its chat.
func join(t *testing.T) (*process, grpc.BidiStreamingClient[chat.Line, chat.Event]) {
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	var out bytes.Buffer
	server, err := startServer(ctx, &output{w: &out}, "server", false)
	require.NoError(t, err)
	t.Cleanup(func() {
		server.end()
		t.Logf("%s", &out)
	})
	conn, err := grpc.NewClient(server.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := chat.NewChatClient(conn).Join(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&chat.Line{Text: "here I am"}))
	require.Equal(t, "here I am", receiveEvent(t, stream).GetText())
	return server, stream
}

func receiveEvent(t *testing.T, stream grpc.BidiStreamingClient[chat.Line, chat.Event]) *chat.Event {
	event, err := stream.Recv()
	require.NoError(t, err)
	return event
}
