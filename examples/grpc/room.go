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
	// patience is for a client that does not hang up when it has heard the
	// good-bye.
	patience = 5 * time.Second
)

// A room is where all who are connected to this server hear each other.
type room struct {
	chat.UnimplementedChatServer
	archive *archive
	goodbye chan struct{} // closed by sayGoodbye

	mu      sync.Mutex // protects members
	members map[member]bool
}

// A member is somebody's way to hear.
type member chan string

// sayGoodbye is a Drain hook. The handlers could look at AcceptContext instead,
// but that ends when the lame duck begins, and a client that comes back at once
// might then meet the same server again.
func (r *room) sayGoodbye(context.Context) error {
	close(r.goodbye)
	return nil
}

// Join is the stream that a shutdown has to end. The client is asked to hang up,
// instead of being hung up on, so that what it has said meanwhile is heard.
func (r *room) Join(stream grpc.BidiStreamingServer[chat.Line, chat.Event]) error {
	ctx := stream.Context()
	me := make(member, 1000)
	r.enter(me)
	defer r.leave(me)
	said, hungUp := receive(stream)
	goodbye := r.goodbye
	var tooLate <-chan time.Time
	for {
		select {
		case line := <-said:
			if err := r.say(line.GetText()); err != nil {
				return err
			}
		case text := <-me:
			if err := stream.Send(&chat.Event{Text: text}); err != nil {
				return err
			}
		case <-goodbye:
			if err := stream.Send(&chat.Event{Goodbye: true}); err != nil {
				return err
			}
			goodbye, tooLate = nil, time.After(patience)
		case err := <-hungUp:
			if err != nil {
				return err
			}
			return sendRest(stream, me)
		case <-tooLate:
			return nil
		case <-ctx.Done(): // the drain is about to end, or the client has gone
			return ctx.Err()
		}
	}
}

// receive passes on what the client says, and when it has hung up, which is no
// error. Nobody can wait for its goroutine: Recv returns when the stream ends,
// shortly after the handler has.
func receive(stream grpc.BidiStreamingServer[chat.Line, chat.Event]) (said <-chan *chat.Line, hungUp <-chan error) {
	lines, ended := make(chan *chat.Line), make(chan error, 1)
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
			case lines <- line:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	return lines, ended
}

// sendRest sends what was said before its client hung up.
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

// say makes everybody hear text, the speaker too.
func (r *room) say(text string) error {
	if err := r.archive.add(text); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.members {
		select {
		case m <- text:
		default: // it listens too slowly, and misses this
		}
	}
	return nil
}

// Search is an RPC that a shutdown has to wait for.
func (r *room) Search(ctx context.Context, req *chat.SearchRequest) (*chat.SearchReply, error) {
	select {
	case <-time.After(searching):
	case <-ctx.Done(): // the drain is about to end, or the client has gone
		return nil, ctx.Err()
	}
	lines, err := r.archive.count(req.GetText())
	if err != nil {
		return nil, err
	}
	return &chat.SearchReply{Lines: lines}, nil
}
