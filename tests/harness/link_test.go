package harness

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"
)

// echo is a server that answers each line with itself.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					if _, err := c.Write(append(lines.Bytes(), '\n')); err != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func TestLinkWithholdsWhatIsCutAndDeliversItWhenHealed(t *testing.T) {
	for _, cut := range []Direction{Requests, Answers, Both} {
		link, err := NewLink(echo(t))
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", link.Address())
		if err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewReader(c)
		ask := func(line string, bound time.Duration) (string, error) {
			if line != "" {
				if _, err := c.Write([]byte(line)); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.SetReadDeadline(time.Now().Add(bound)); err != nil {
				t.Fatal(err)
			}
			return answers.ReadString('\n')
		}
		if got, err := ask("one\n", 5*time.Second); got != "one\n" {
			t.Errorf("%v: before: %q, %v", cut, got, err)
		}
		link.Cut(cut)
		if got, err := ask("two\n", 100*time.Millisecond); err == nil {
			t.Errorf("%v: while it was cut: %q", cut, got)
		}
		link.Heal()
		if got, err := ask("", 5*time.Second); got != "two\n" {
			t.Errorf("%v: after: %q, %v", cut, got, err)
		}
		link.Reset()
		if got, err := ask("", 5*time.Second); err == nil {
			t.Errorf("%v: after a reset: %q", cut, got)
		}
		c.Close()
		if err := link.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLinkLeadsToAnotherServerWhenItsAddressMoves(t *testing.T) {
	answer := func(text string) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, text)
				go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
			}
		}()
		return listener.Addr().String()
	}
	link, err := NewLink(answer("old"))
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	ask := func() (net.Conn, string) {
		c, err := net.Dial("tcp", link.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		buffer := make([]byte, 3)
		if _, err := io.ReadFull(c, buffer); err != nil {
			t.Fatal(err)
		}
		return c, string(buffer)
	}
	before, text := ask()
	if text != "old" {
		t.Errorf("before: %s", text)
	}
	link.Retarget(answer("new"))
	if _, text := ask(); text != "new" {
		t.Errorf("after: %s", text)
	}
	if _, err := before.Read(make([]byte, 1)); err == nil {
		t.Error("the old connection is still open")
	}
}
