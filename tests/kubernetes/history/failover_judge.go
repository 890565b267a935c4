package history

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"helium.dev/tests/kubernetes/trace"
)

// The rules of failover; [Failover] explains them.
const (
	NeverTwo       = "a payload in two clusters at once"
	NotEarly       = "a lease was taken before it ran out"
	StoppedIsGone  = "a term was said to be over, and its payload was there"
	RecordIsLease  = "the group's record isn't its lease"
	TokenOfATerm   = "a payload with a token that its cluster wasn't given"
	OneInTheEnd    = "in the end not exactly one leads with its payload"
	NothingUnseen  = "the history can't tell"
	unknownHolder  = "(nobody)"
	earlyTolerance = 2 * time.Millisecond // times in a Lease are microseconds, and of two readings
)

// JudgeFailover returns everything in a history that must not be.
func JudgeFailover(f *Failover) (found []Finding) {
	for i := range f.Groups {
		g := &f.Groups[i]
		report := func(rule, format string, arguments ...any) {
			found = append(found, Finding{rule, g.Name, fmt.Sprintf(format, arguments...)})
		}
		for _, overlap := range f.Overlaps(g) {
			if overlap.Excuse == "" {
				report(NeverTwo, "%s", overlap)
			}
		}
		judgeTerms(g.Terms, report)
		judgeTakeovers(g, report)
		judgeStops(g, report)
		judgeRecord(g, f.unseen, report)
		judgeTokens(g, f.unseen, report)
		judgeWrites(g.Writes, g.Terms, report)
		for _, worker := range g.Workers {
			// What passed unseen is no proof of anything.
			worker.Lines = slices.DeleteFunc(slices.Clone(worker.Lines), func(l trace.Line) bool { return f.unseen(l.Revision) || f.unseen(l.Token) })
			judgeAnswers(&worker, g.Writes, g.Terms, report)
		}
		if f.Calm != 0 {
			judgeEnd(g, f.Calm, report)
		}
	}
	return found
}

// Overlap is a time in which a payload existed in two clusters.
type Overlap struct {
	Older, Newer               string // clusters
	OlderToken, NewerToken     int64
	From, To                   int64 // revisions of the clusters' store; To is 0 if it lasts
	Lasted                     time.Duration
	Excuse                     string
	OlderObjects, NewerObjects []string
}

func (o Overlap) String() string {
	text := fmt.Sprintf("%s (token %d) had %s until @%d, %s (token %d) had %s from @%d: %v together", o.Older, o.OlderToken,
		strings.Join(o.OlderObjects, " "), o.To, o.Newer, o.NewerToken, strings.Join(o.NewerObjects, " "), o.From, o.Lasted.Round(time.Millisecond))
	if o.Excuse != "" {
		text += "; " + o.Excuse
	}
	return text
}

// Overlaps are the times in which a group's payload was in two clusters, with
// why it may have been, if it may.
func (f *Failover) Overlaps(g *Group) (all []Overlap) {
	strict := g.Mode == Strict
	presences := g.presences(strict)
	for i := range presences {
		for k := i + 1; k < len(presences); k++ {
			older, newer := &presences[i], &presences[k] // in the order in which they began
			if older.Cluster == newer.Cluster || newer.Began >= older.Ended {
				continue
			}
			// Who stays longer than he may is the one of the lower token, whoever came first.
			if older.Token > newer.Token {
				older, newer = newer, older
			}
			o := Overlap{
				Older: older.Cluster, Newer: newer.Cluster, OlderToken: older.Token, NewerToken: newer.Token,
				From: max(older.Began, newer.Began), To: min(older.Ended, newer.Ended),
				OlderObjects: older.Objects, NewerObjects: newer.Objects,
			}
			from, to := max(older.Seen, newer.Seen), f.Ended
			for _, gone := range []int64{older.Gone, newer.Gone} {
				if gone != 0 {
					to = min(to, gone)
				}
			}
			if o.To == 1<<62 {
				o.To = 0
			}
			o.Lasted = time.Duration(max(0, to-from))
			o.Excuse = f.excuse(g, o, from)
			all = append(all, o)
		}
	}
	return all
}

// excuse says why an overlap that began at a time isn't a mistake.
func (f *Failover) excuse(g *Group, o Overlap, from int64) string {
	for _, record := range g.Records {
		if record.Forced >= o.OlderToken && record.At <= from {
			return fmt.Sprintf("a person had declared term %d to be over", record.Forced)
		}
	}
	if g.Mode == Strict {
		return ""
	}
	// Whatever kept the older one's agent from stopping must have done so between the last record of its term and the overlap.
	renewed := f.Began
	for i, state := range g.Leases {
		if state.Holder == o.Older && g.tokenAt(state.Revision) == o.OlderToken {
			renewed = g.Leases[i].At
		}
	}
	// A renewal is sent up to a duration before it is seen.
	renewed -= int64(g.Lease)
	for _, fault := range f.Faults {
		if fault.Disables == o.Older && fault.Began <= from && fault.Ended >= renewed {
			return "its agent could do nothing: " + fault.Kind
		}
	}
	return ""
}

// tokenAt is the token of the term at a revision of the fleet's store, or 0.
func (g *Group) tokenAt(revision int64) (token int64) {
	for _, term := range g.Terms {
		if term.Token <= revision {
			token = term.Token
		}
	}
	return token
}

// judgeTakeovers looks at each change of the holder.
func judgeTakeovers(g *Group, report reporter) {
	forced := func(token, revision int64) bool {
		return slices.ContainsFunc(g.Records, func(r GroupState) bool { return r.Forced >= token && r.Revision <= revision })
	}
	for i := 1; i < len(g.Leases); i++ {
		before, now := &g.Leases[i-1], &g.Leases[i]
		if before.Holder == "" || now.Holder == "" || before.Deleted || now.Deleted || before.Holder == now.Holder {
			continue
		}
		early := before.Renewed.Add(before.Duration).Sub(now.Acquired)
		if early > earlyTolerance && !forced(g.tokenAt(before.Revision), now.Revision) {
			report(NotEarly, "@%d: %s took it %v too early from %s, who had renewed it for %v", now.Revision, now.Holder, early, before.Holder, before.Duration)
		}
	}
}

// judgeStops looks at everything that says that a term is over.
func judgeStops(g *Group, report reporter) {
	holders := map[int64]string{}
	for _, term := range g.Terms {
		holders[term.Token] = term.Holder
	}
	judge := func(cluster string, token, revision, host int64) {
		if host == 0 {
			report(NothingUnseen, "@%d: %s says that term %d is over, and nobody looked at its cluster", revision, cluster, token)
			return
		}
		for i := range g.Lives {
			life := &g.Lives[i]
			if life.Cluster == cluster && life.Token <= token && life.until() > host && (g.Mode == Strict || !life.Derived) {
				report(StoppedIsGone, "@%d: %s says that term %d is over; later (@%d of the clusters' store) there was %s of term %d", revision, cluster, token, host, life.Object, life.Token)
			}
		}
	}
	said := map[string]int64{}
	for _, state := range g.Leases {
		if state.Stopped == 0 || state.Holder != "" {
			continue
		}
		if cluster, ok := holders[state.Stopped]; ok && said["lease "+cluster] != state.Stopped {
			said["lease "+cluster] = state.Stopped
			judge(cluster, state.Stopped, state.Revision, state.Host)
		} else if !ok {
			report(NothingForged, "@%d: term %d is said to be over, and never was", state.Revision, state.Stopped)
		}
	}
	for _, state := range g.States {
		if state.Stopped != 0 && said[state.Cluster] != state.Stopped {
			said[state.Cluster] = state.Stopped
			judge(state.Cluster, state.Stopped, state.Revision, state.Host)
		}
	}
}

// judgeRecord compares the group with its lease at every revision of either.
func judgeRecord(g *Group, unseen func(int64) bool, report reporter) {
	var lease, record int
	current := func() (LeaseState, GroupState) {
		var l LeaseState
		var r GroupState
		if lease > 0 {
			l = g.Leases[lease-1]
		}
		if record > 0 {
			r = g.Records[record-1]
		}
		return l, r
	}
	for lease < len(g.Leases) || record < len(g.Records) {
		revision := int64(1 << 62)
		if lease < len(g.Leases) {
			revision = g.Leases[lease].Revision
		}
		if record < len(g.Records) {
			revision = min(revision, g.Records[record].Revision)
		}
		for lease < len(g.Leases) && g.Leases[lease].Revision == revision {
			lease++
		}
		for record < len(g.Records) && g.Records[record].Revision == revision {
			record++
		}
		l, r := current()
		if r.Deleted || unseen(revision) {
			continue // the next write of the lease makes it anew
		}
		holder, token := l.Holder, g.tokenAt(revision)
		if l.Deleted || holder == "" {
			holder, token = "", 0
		}
		switch {
		case r.Leader != holder:
			report(RecordIsLease, "@%d: the group says that %q leads, the lease %q", revision, r.Leader, holder)
		case holder != "" && r.Token != 0 && r.Token != token:
			report(RecordIsLease, "@%d: the group says that %s leads with token %d, the lease has %d", revision, holder, r.Token, token)
		case holder != "" && r.Address != l.Address && r.Revision == l.Revision:
			report(RecordIsLease, "@%d: the group says that %s is reached at %q, the lease %q", revision, holder, r.Address, l.Address)
		}
	}
}

// judgeTokens looks for payloads that no term of their cluster explains.
func judgeTokens(g *Group, unseen func(int64) bool, report reporter) {
	reported := map[string]bool{}
	for _, life := range g.Lives {
		if unseen(life.Token) {
			continue
		}
		at := slices.IndexFunc(g.Terms, func(t Term) bool { return t.Token == life.Token })
		holder := unknownHolder
		if at >= 0 {
			holder = g.Terms[at].Holder
		}
		text := fmt.Sprintf("%s has objects with token %d, which the store gave to %s", life.Cluster, life.Token, holder)
		if holder != life.Cluster && !reported[text] {
			reported[text] = true
			report(TokenOfATerm, "%s: %s", text, life.Object)
		}
	}
}

// judgeEnd looks at what is left when everything is whole again.
func judgeEnd(g *Group, calm int64, report reporter) {
	var leader string
	if n := len(g.Leases); n > 0 && !g.Leases[n-1].Deleted {
		leader = g.Leases[n-1].Holder
	}
	if leader == "" {
		report(OneInTheEnd, "nobody leads")
	}
	token := g.tokenAt(1 << 62)
	there := false
	for i := range g.Lives {
		life := &g.Lives[i]
		switch {
		case life.Ended != 0 && life.Ended <= calm || life.Began > calm:
		case life.Cluster != leader || life.Token != token:
			report(OneInTheEnd, "%s leads with token %d, and %s has %s of term %d", leader, token, life.Cluster, life.Object, life.Token)
		default:
			there = true
		}
	}
	if leader != "" && !there {
		report(OneInTheEnd, "%s leads with token %d, without its payload", leader, token)
	}
}
