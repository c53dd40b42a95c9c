package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/gracefulgo/shutdown/examples/grpc/chat"
)

const (
	// searching is how long a search takes.
	searching = 2 * time.Second
	// patience is how long the server waits for a client that it has asked to leave.
	patience = 5 * time.Second
)

// A room sends each line to all clients of this server.
type room struct {
	chat.UnimplementedChatServer
	archive *archive
	closing chan struct{} // closed by close

	mu      sync.Mutex // protects members
	members map[member]bool
}

// A member gets the lines for one client.
type member chan string

// close is a Drain hook that asks all clients to leave. The end of AcceptContext would be
// too early: during the lame duck, a client that reconnects at once may reach the same
// server.
func (r *room) close(context.Context) error {
	close(r.closing)
	return nil
}

// Join is a stream that has to end during a shutdown. The server asks the client to
// half-close it, so that no line is lost that the client sends meanwhile.
func (r *room) Join(stream grpc.BidiStreamingServer[chat.Line, chat.Event]) error {
	ctx := stream.Context()
	me := make(member, 1000)
	r.enter(me)
	defer r.leave(me)
	lines, left := receive(stream)
	closing := r.closing
	var tooLate <-chan time.Time
	for {
		select {
		case line := <-lines:
			if err := r.say(line.GetText()); err != nil {
				return err
			}
		case text := <-me:
			if err := stream.Send(&chat.Event{Text: text}); err != nil {
				return err
			}
		case <-closing:
			if err := stream.Send(&chat.Event{Closing: true}); err != nil {
				return err
			}
			closing, tooLate = nil, time.After(patience)
		case err := <-left:
			if err != nil {
				return err
			}
			return sendRest(stream, me)
		case <-tooLate:
			return nil
		case <-ctx.Done(): // WorkContext has ended, or the client has disconnected
			return ctx.Err()
		}
	}
}

// receive returns channels for the client's lines and for the end of the stream, which is
// nil if the client has half-closed it. Its goroutine cannot be waited for: Recv returns when
// the stream ends, shortly after the handler has returned.
func receive(stream grpc.BidiStreamingServer[chat.Line, chat.Event]) (lines <-chan *chat.Line, left <-chan error) {
	received, ended := make(chan *chat.Line), make(chan error, 1)
	go func() {
		for {
			line, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				ended <- nil
				return
			} else if err != nil {
				ended <- err
				return
			}
			select {
			case received <- line:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	return received, ended
}

// sendRest sends the lines that came before the client left.
func sendRest(stream grpc.BidiStreamingServer[chat.Line, chat.Event], me member) error {
	for {
		select {
		case text := <-me:
			if err := stream.Send(&chat.Event{Text: text}); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (r *room) enter(m member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[m] = true
}

func (r *room) leave(m member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members, m)
}

// say sends text to all members, including the sender.
func (r *room) say(text string) error {
	if err := r.archive.add(text); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.members {
		select {
		case m <- text:
		default: // this member is too slow and misses the line
		}
	}
	return nil
}

// Search is an RPC that a shutdown waits for.
func (r *room) Search(ctx context.Context, req *chat.SearchRequest) (*chat.SearchReply, error) {
	select {
	case <-time.After(searching):
	case <-ctx.Done(): // WorkContext has ended, or the client has disconnected
		return nil, ctx.Err()
	}
	lines, err := r.archive.count(req.GetText())
	if err != nil {
		return nil, err
	}
	return &chat.SearchReply{Lines: lines}, nil
}
