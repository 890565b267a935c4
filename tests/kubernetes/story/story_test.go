package story

import (
	"strings"
	"testing"
	"time"
)

func TestStoriesAreReadAndTold(t *testing.T) {
	text := "# Title\n\nWords.\n\n```console\n$ echo one; echo two\none\n2\n$ true\n```\n\n<!-- test: wave -->\n\n```console\n$ echo three\n```\nEnd\n"
	s, err := Read(text)
	if err != nil {
		t.Fatal(err)
	}
	waved := 0
	if err := s.Run(t.TempDir(), nil, func(string) error { waved++; return nil }); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(strings.Replace(text, "one\n2\n", "one\ntwo\n", 1), "$ echo three\n", "$ echo three\nthree\n", 1)
	if told := s.Told(); told != want || waved != 1 || s.Title != "Title" {
		t.Errorf("%q, waved %d times", told, waved)
	}
	cast, err := s.Cast(100, 30, time.Unix(0, 0))
	if err != nil || !strings.HasPrefix(string(cast), `{"env":`) || !strings.Contains(string(cast), `"one\r\ntwo\r\n"`) {
		t.Errorf("%s, %v", cast, err)
	}
	if err := (&Story{Steps: []*Step{{Command: "exit 3"}}}).Run(t.TempDir(), nil, nil); err == nil {
		t.Error("a command that fails must end the story")
	}
	if _, err := Read("# T\n```console\nno command\n```\n"); err == nil {
		t.Error("output without a command was accepted")
	}
}

func TestShapesOfOutput(t *testing.T) {
	a := "NAME       LEADER     TOKEN   AGE\nwebfront   cluster2   1234    3m12s\nwebfront-5d8c7d4f6b-abcde  Running\n"
	b := "NAME       LEADER     TOKEN   AGE\nwebfront   cluster2   98    5s\nwebfront-7bb9c7d9c5-zz2xy    Running\n"
	if Shape(a) != Shape(b) {
		t.Errorf("%q\n%q", Shape(a), Shape(b))
	}
	if Shape("done (after 4.6 s)\nWaiting for deployment x\nend 12s\n") != Shape("Warning: y\ndone (after 10.1 s)\nend 1m2s\n") {
		t.Errorf("%q", Shape("done (after 4.6 s)\nWaiting for deployment x\nend 12s\n"))
	}
	if Shape(a) == Shape(strings.Replace(a, "cluster2", "cluster1", 1)) {
		t.Error("another leader must be another shape")
	}
}
