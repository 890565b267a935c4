package harness

import (
	"bufio"
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
