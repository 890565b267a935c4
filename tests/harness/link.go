package harness

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Direction names the bytes that a cut link withholds.
type Direction int

// The directions of a cut.
const (
	// Requests are what clients send.
	Requests Direction = 1 << iota
	// Answers are what the server sends back: what was asked happens, and nobody hears of it.
	Answers
	// Both together are a partition.
	Both = Requests | Answers
)

func (d Direction) String() string {
	switch d {
	case Requests:
		return "requests"
	case Answers:
		return "answers"
	default:
		return "both ways"
	}
}

// Link is a way to a server that can be cut: a TCP forwarder.
//
// A cut link loses nothing and closes nothing. It keeps what arrives until it
// is healed, as a network that drops packets does: TCP sends them again. So
// requests hang, and what they asked for may still happen long after. One
// difference remains: a new connection is accepted while the link is cut, and
// then hangs.
type Link struct {
	listener          net.Listener
	requests, answers gate

	mu          sync.Mutex
	target      string
	connections map[net.Conn]struct{}
	closed      bool
}

// NewLink forwards a free port of 127.0.0.1 to a target, host:port.
func NewLink(target string) (*Link, error) {
	var listener net.Listener
	for try := 0; listener == nil; try++ {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		// Another run on this machine may have been faster.
		listener, err = net.Listen("tcp", Loopback(port))
		if err != nil && try == 10 {
			return nil, fmt.Errorf("a link to %s: %w", target, err)
		}
	}
	l := &Link{listener: listener, target: target, connections: map[net.Conn]struct{}{}}
	go l.accept()
	return l, nil
}

// Address is where clients connect, host:port.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Port is the port of Address.
func (l *Link) Port() int { return l.listener.Addr().(*net.TCPAddr).Port }

// Cut withholds the bytes of a direction from now on. What was cut before and
// isn't named stays cut.
func (l *Link) Cut(d Direction) {
	if d&Requests != 0 {
		l.requests.shut()
	}
	if d&Answers != 0 {
		l.answers.shut()
	}
}

// Heal lets everything through again, and first what was withheld.
func (l *Link) Heal() {
	l.requests.open()
	l.answers.open()
}

// Reset closes all connections, as a firewall that has forgotten them does.
func (l *Link) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.connections {
		c.Close()
	}
}

// Retarget leads new connections to another server, as an address that moves
// does, and closes all that there are.
func (l *Link) Retarget(target string) {
	l.mu.Lock()
	l.target = target
	l.mu.Unlock()
	l.Reset()
}

// Close ends the link and its connections.
func (l *Link) Close() error {
	err := l.listener.Close()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.Reset()
	l.Heal() // whoever waits finds its connection closed
	return err
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		go l.forward(client)
	}
}

// track remembers a connection, unless the link is closed.
func (l *Link) track(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.connections[c] = struct{}{}
	return true
}

func (l *Link) forget(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.connections, c)
}

func (l *Link) forward(client net.Conn) {
	defer client.Close()
	l.mu.Lock()
	target := l.target
	l.mu.Unlock()
	server, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		return // the server is down: so is the connection
	}
	defer server.Close()
	if !l.track(client) || !l.track(server) {
		return
	}
	defer l.forget(client)
	defer l.forget(server)
	var ways sync.WaitGroup
	ways.Go(func() { pass(server, client, &l.requests) })
	ways.Go(func() { pass(client, server, &l.answers) })
	ways.Wait()
}

// pass copies from one end to the other, whenever the gate is open. The end of
// the stream is passed on like its bytes; an error ends both ways.
func pass(to, from net.Conn, g *gate) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		g.wait()
		if n > 0 {
			if _, failed := to.Write(buffer[:n]); failed != nil {
				from.Close()
				return
			}
		}
		switch err {
		case nil:
		case io.EOF:
			if half, ok := to.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
			return
		default:
			to.Close()
			return
		}
	}
}

// gate is open at first.
type gate struct {
	mu     sync.Mutex
	opened chan struct{} // nil while it is open
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

// wait returns while the gate is open.
func (g *gate) wait() {
	for {
		g.mu.Lock()
		opened := g.opened
		g.mu.Unlock()
		if opened == nil {
			return
		}
		<-opened
	}
}
