package history

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"helium.dev/tests/kubernetes/trace"
)

// moved is a history in which all is well: one leads with token 10 and is paused
// at 8 s; its record runs out, and two leads with token 20. In fast mode the
// payload is in both until one wakes up; in strict mode two waits.
func moved(mode string) *Failover {
	wall := func(s float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(s * float64(second))) }
	gone, began := int64(140), int64(120) // fast: two begins, and then one wakes up
	goneAt, beganAt := 16*second, 13*second
	if mode == Strict {
		gone, began, goneAt, beganAt = 120, 140, 13*second, 16*second
	}
	wrote := func(token, at int64, outcome string, revision int64) trace.Line {
		return trace.Line{Event: trace.Wrote, Token: token, Sent: at * second, Boot: at * second, Outcome: outcome, Revision: revision}
	}
	return &Failover{
		Began: 0, Ended: 20 * second, Calm: 200,
		Faults: []Fault{{Kind: "an agent is paused", Target: "one", Disables: "one", Began: 8 * second, Ended: 15 * second}},
		Groups: []Group{{
			Name: "default/l", Mode: mode, Lease: 4 * time.Second,
			Terms: []Term{{Token: 10, Holder: "one", Cluster: "one"}, {Token: 20, Holder: "two", Cluster: "two"}},
			Leases: []LeaseState{
				{Revision: 10, At: second, Holder: "one", Address: "1", Acquired: wall(1), Renewed: wall(1), Duration: 4 * time.Second},
				{Revision: 14, At: 8 * second, Holder: "one", Address: "1", Acquired: wall(1), Renewed: wall(8), Duration: 4 * time.Second},
				{Revision: 20, At: 12 * second, Holder: "two", Address: "2", Acquired: wall(12), Renewed: wall(12), Duration: 4 * time.Second},
			},
			Records: []GroupState{
				{Revision: 5}, {Revision: 10, Leader: "one", Address: "1"}, {Revision: 12, Leader: "one", Address: "1", Token: 10},
				{Revision: 20, Leader: "two", Address: "2"},
			},
			States: []MemberState{
				{Revision: 11, At: second, Cluster: "one", State: "Leading"},
				{Revision: 23, At: 17 * second, Cluster: "one", State: "Candidate", Stopped: 10, Host: 150},
			},
			Lives: []Life{
				{Cluster: "one", Object: "deployments/default/d", UID: "a", Token: 10, Began: 100, Ended: gone, Seen: 2 * second, Gone: goneAt},
				{Cluster: "one", Object: "pods/default/d-1", UID: "b", Token: 10, Derived: true, Began: 101, Ended: gone + 5, Seen: 2 * second, Gone: goneAt + second/2},
				{Cluster: "two", Object: "deployments/default/d", UID: "c", Token: 20, Began: began, Seen: beganAt},
				{Cluster: "two", Object: "pods/default/d-2", UID: "d", Token: 20, Derived: true, Began: began + 1, Seen: beganAt},
			},
			Workers: []Run{
				{Program: "payload", Cluster: "one", Lease: "default/l", Identity: "d-1", Lines: []trace.Line{
					{Event: trace.Renewed, Leader: "one"}, wrote(10, 3, trace.Accepted, 13), wrote(10, 13, trace.Refused, 0),
				}},
				{Program: "payload", Cluster: "two", Lease: "default/l", Identity: "d-2", Lines: []trace.Line{
					{Event: trace.Renewed, Leader: "two"}, wrote(20, 17, trace.Accepted, 24),
				}},
			},
			Writes: []Write{{Revision: 13, Token: 10, Holder: "d-1", At: 3 * second}, {Revision: 24, Token: 20, Holder: "d-2", At: 17 * second}},
		}},
	}
}

// rulesOf are the rules that a judgement names, each once.
func rulesOf(found []Finding) (rules []string) {
	for _, f := range found {
		if !slices.Contains(rules, f.Rule) {
			rules = append(rules, f.Rule)
		}
	}
	slices.Sort(rules)
	return rules
}

func TestJudgeOfFailoverFindsWhatMustNotBe(t *testing.T) {
	group := func(spoil func(g *Group)) func(f *Failover) { return func(f *Failover) { spoil(&f.Groups[0]) } }
	for name, test := range map[string]struct {
		mode  string
		spoil func(f *Failover)
		want  []string
	}{
		"nothing, fast":   {Fast, func(*Failover) {}, nil},
		"nothing, strict": {Strict, func(*Failover) {}, nil},
		"two at once, with an agent that could have stopped": {Fast, func(f *Failover) { f.Faults = nil }, []string{NeverTwo}},
		"two at once, with another's agent paused":           {Fast, func(f *Failover) { f.Faults[0].Disables = "three" }, []string{NeverTwo}},
		"two at once, with a pause that was over long before": {Fast, func(f *Failover) {
			f.Faults[0].Began, f.Faults[0].Ended = 1*second, 2*second
		}, []string{NeverTwo}},
		"two at once, and strict excuses no pause": {Fast, group(func(g *Group) { g.Mode = Strict }), []string{NeverTwo}},
		"a pod that outlives a fast term": {Fast, group(func(g *Group) {
			g.Lives[0].Ended, g.Lives[0].Gone = 119, 12*second
		}), nil},
		"a pod that outlives a strict term": {Strict, group(func(g *Group) { g.Lives[1].Ended, g.Lives[1].Gone = 141, 16*second }), []string{NeverTwo}},
		"a pod that outlives a strict term that a person had declared over": {Strict, group(func(g *Group) {
			g.Lives[1].Ended, g.Lives[1].Gone = 141, 16*second
			g.Records[2].Forced = 10
		}), nil},
		"one term declared over excuses no other": {Strict, group(func(g *Group) {
			g.Lives[1].Ended, g.Lives[1].Gone = 141, 16*second
			g.Records[2].Forced = 9
		}), []string{NeverTwo}},
		"a late create in strict mode": {Strict, group(func(g *Group) {
			g.Lives = append(g.Lives, Life{Cluster: "one", Object: "configmaps/default/late", Token: 10, Began: 160, Ended: 161, Seen: 17 * second, Gone: 17 * second})
		}), []string{NeverTwo, StoppedIsGone}},
		"an early takeover":  {Fast, group(func(g *Group) { g.Leases[2].Acquired = g.Leases[2].Acquired.Add(-time.Second) }), []string{NotEarly}},
		"a forced takeover":  {Fast, group(func(g *Group) { g.Leases[2].Acquired = g.Leases[0].Acquired; g.Records[2].Forced = 10 }), nil},
		"equal tokens":       {Fast, group(func(g *Group) { g.Terms = append(g.Terms, Term{Token: 20, Holder: "two"}) }), []string{GrowingTokens}},
		"a lie about an end": {Strict, group(func(g *Group) { g.States[1].Host = 115 }), []string{StoppedIsGone}},
		"a lie about an end, by the lease": {Fast, group(func(g *Group) {
			g.Leases = slices.Insert(g.Leases, 2, LeaseState{Revision: 15, Stopped: 10, Host: 130})
			g.Records = slices.Insert(g.Records, 3, GroupState{Revision: 15})
		}), []string{StoppedIsGone}},
		"an end of what never was": {Fast, group(func(g *Group) {
			g.Leases = slices.Insert(g.Leases, 2, LeaseState{Revision: 15, Stopped: 9, Host: 130})
			g.Records = slices.Insert(g.Records, 3, GroupState{Revision: 15})
		}), []string{NothingForged}},
		"an end that nobody could check":        {Fast, group(func(g *Group) { g.States[1].Host = 0 }), []string{NothingUnseen}},
		"a record one revision behind":          {Fast, group(func(g *Group) { g.Records[3].Revision = 21 }), []string{RecordIsLease}},
		"a record with another's address":       {Fast, group(func(g *Group) { g.Records[3].Address = "1" }), []string{RecordIsLease}},
		"a record with the last term's token":   {Fast, group(func(g *Group) { g.Records[3].Token = 10 }), []string{RecordIsLease}},
		"a record of a lease that was given up": {Fast, group(func(g *Group) { g.Leases = append(g.Leases, LeaseState{Revision: 30}); g.Lives = g.Lives[:2] }), []string{OneInTheEnd, RecordIsLease}},
		"a payload with a token of another":     {Fast, group(func(g *Group) { g.Lives[2].Token, g.Lives[3].Token = 10, 10 }), []string{OneInTheEnd, TokenOfATerm}},
		"a stale write":                         {Fast, group(func(g *Group) { g.Writes = append(g.Writes, Write{Revision: 25, Token: 10, Holder: "d-1", At: 1}) }), []string{FencesHold}},
		"a refused write that happened":         {Fast, group(func(g *Group) { g.Workers[0].Lines[1].Outcome = trace.Refused }), []string{NothingHidden}},
		"an acknowledged write that is missing": {Fast, group(func(g *Group) { g.Writes = g.Writes[:1] }), []string{NothingLost}},
		"what passed unseen": {Fast, func(f *Failover) {
			f.Gaps = []Gap{{After: 19, Until: 22}}
			g := &f.Groups[0]
			g.Records[3].Revision = 21
			g.Terms = g.Terms[:1]
			g.Writes[1].Token, g.Workers[1].Lines[1].Token = 10, 10
			g.Workers[1].Lines = g.Workers[1].Lines[:1]
		}, []string{OneInTheEnd}},
		"a payload that is still there in the end": {Strict, func(f *Failover) { f.Calm = 110 }, []string{OneInTheEnd}},
		"a leader without a payload":               {Strict, func(f *Failover) { f.Calm = 139 }, []string{OneInTheEnd}},
	} {
		t.Run(name, func(t *testing.T) {
			f := moved(test.mode)
			test.spoil(f)
			found := JudgeFailover(f)
			slices.Sort(test.want)
			if rules := rulesOf(found); !slices.Equal(rules, test.want) {
				t.Errorf("found %v, not %v: %v", rules, test.want, found)
			}
		})
	}
}

// An overlap that is excused isn't hidden.
func TestFailoverReportSaysWhatHappened(t *testing.T) {
	f := moved(Fast)
	f.Title = "40 faults"
	var kept, text, picture bytes.Buffer
	if err := f.Write(&kept); err != nil {
		t.Fatal(err)
	}
	f, err := ReadFailover(&kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := FailoverReport(&text, f, "picture.svg"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"picture.svg", "No rule was broken", "| an agent is paused | 1 |", "| default/l | Fast | 2 | 1 |", "its agent could do nothing"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &text)
		}
	}
	if err := FailoverTimeline(&picture, f); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "default/l", "</svg>", "token 20"} {
		if !strings.Contains(picture.String(), want) {
			t.Errorf("the picture lacks %q:\n%s", want, &picture)
		}
	}
	f.Faults = nil
	text.Reset()
	if err := FailoverReport(&text, f, "picture.svg"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), NeverTwo) || strings.Contains(text.String(), "No rule was broken") {
		t.Errorf("the report hides what was found:\n%s", &text)
	}
}
