package history

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// Failover is all that is known of a run of failover groups.
//
// # What is judged
//
// There are two stores, and each puts what happens in it into one order: that
// of the fleet (leases, groups, fenced writes), and the one below the kube-apiservers
// of all clusters (payloads and their pods). No clock is needed to tell what
// came first within one. Between them there is a bridge: for some events of the fleet's
// store the other one was asked for its revision *after* the event was seen, so what
// exists at that revision existed after the event.
//
//   - Strict: of a group's payload nothing, pods included, exists in two clusters at
//     one time, unless a person had declared the older term to be over.
//   - Fast: nothing but what the garbage collector and the nodes are still ending exists in two clusters,
//     unless the older one's agent was kept from doing anything about it
//     by a fault; such times are reported.
//   - Early takeovers: nobody takes a lease that wasn't given up before its holder's last
//     record was a whole duration old.
//   - Stopped is gone: when a term is said to be over, nothing with its token is left, nor comes later.
//   - The record is the lease: who leads by the group, at which address and token, is at each revision
//     what the lease says at that revision.
//   - Tokens grow, fences hold, and no answer lied, as with all leases.
//   - In the end one leads, and the payload is there and nowhere else.
type Failover struct {
	Title string    `json:"title"`
	Seed  int64     `json:"seed"`
	Wall  time.Time `json:"wall"`
	Began int64     `json:"began"`
	Ended int64     `json:"ended"`
	// Calm is the revision of the clusters' store in the end, with everything whole again.
	Calm   int64   `json:"calm"`
	Groups []Group `json:"groups"`
	Faults []Fault `json:"faults"`
	// Gaps are revisions of the fleet's store of which only the last state was
	// seen: after a failover of its database it refuses to tell more.
	Gaps []Gap `json:"gaps,omitempty"`
}

// Gap is what lies behind a revision, up to another.
type Gap struct {
	After int64 `json:"after"`
	Until int64 `json:"until"`
}

// unseen says whether a revision of the fleet's store may have passed unseen.
func (f *Failover) unseen(revision int64) bool {
	return slices.ContainsFunc(f.Gaps, func(g Gap) bool { return g.After < revision && revision <= g.Until })
}

// Group is what happened to one group.
type Group struct {
	Name  string        `json:"name"` // namespace/callsign
	Mode  string        `json:"mode"` // Fast, Strict
	Lease time.Duration `json:"lease"`
	// Terms, Leases, Records and Writes are in the order of the fleet's store.
	Terms   []Term        `json:"terms"`
	Leases  []LeaseState  `json:"leases"`
	Records []GroupState  `json:"records"`
	Writes  []Write       `json:"writes"`
	Lives   []Life        `json:"lives"`
	Workers []Run         `json:"workers"`
	States  []MemberState `json:"states"`
}

// The modes of a group.
const (
	Fast   = "Fast"
	Strict = "Strict"
)

// LeaseState is one version of a group's Lease.
type LeaseState struct {
	Revision int64 `json:"revision"`
	At       int64 `json:"at"`             // when it was seen
	Host     int64 `json:"host,omitempty"` // see [Failover]; with those that say that a term is over
	Deleted  bool  `json:"deleted,omitempty"`
	// Holder is the cluster that leads, or empty.
	Holder  string `json:"holder,omitempty"`
	Address string `json:"address,omitempty"`
	// Acquired and Renewed are what the holder wrote, by the wall clock of the one machine of all.
	Acquired time.Time     `json:"acquired"`
	Renewed  time.Time     `json:"renewed"`
	Duration time.Duration `json:"duration"`
	// Stopped is the token of a term that is over, as the release says.
	Stopped int64  `json:"stopped,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// GroupState is one version of a FailoverGroup.
type GroupState struct {
	Revision int64  `json:"revision"`
	At       int64  `json:"at"`
	Deleted  bool   `json:"deleted,omitempty"`
	Leader   string `json:"leader,omitempty"`
	Address  string `json:"address,omitempty"`
	Token    int64  `json:"token,omitempty"` // 0 as long as reading fills it in
	// Forced is the last term that a person has declared to be over.
	Forced int64 `json:"forced,omitempty"`
}

// MemberState is what a cluster said of itself in the group, when it said something new.
type MemberState struct {
	Revision int64  `json:"revision"`
	At       int64  `json:"at"`
	Host     int64  `json:"host,omitempty"` // with a new Stopped
	Cluster  string `json:"cluster"`
	State    string `json:"state"`
	Reason   string `json:"reason,omitempty"`
	Stopped  int64  `json:"stopped,omitempty"`
}

// Life is the time in which an object of the payload existed with a token.
type Life struct {
	Cluster string `json:"cluster"`
	Object  string `json:"object"` // its key in the store, below the cluster
	UID     string `json:"uid"`
	Token   int64  `json:"token"`
	// Derived says that controllers made it: a pod, a ReplicaSet.
	Derived bool `json:"derived,omitempty"`
	// Began and Ended are revisions of the clusters' store; Ended is 0 for what is still there.
	Began int64 `json:"began"`
	Ended int64 `json:"ended,omitempty"`
	// Seen and Gone are when that was seen.
	Seen int64 `json:"seen"`
	Gone int64 `json:"gone,omitempty"`
}

// until is the end of a life, for comparisons.
func (l *Life) until() int64 {
	if l.Ended == 0 {
		return 1 << 62
	}
	return l.Ended
}

// ReadFailover reads a history that Write wrote.
func ReadFailover(r io.Reader) (*Failover, error) {
	var f Failover
	if err := json.NewDecoder(r).Decode(&f); err != nil {
		return nil, fmt.Errorf("reading a history of failovers: %w", err)
	}
	return &f, nil
}

// Write writes the history, from which it can be judged again.
func (f *Failover) Write(w io.Writer) error { return json.NewEncoder(w).Encode(f) }

// presence is the time in which anything of a group's payload was in a cluster,
// without a gap, of one token.
type presence struct {
	Cluster      string
	Token        int64
	Began, Ended int64 // revisions
	Seen, Gone   int64 // times; Gone is 0 if it is still there
	Objects      []string
}

// presences joins the lives of a term. What is derived counts only if asked for.
func (g *Group) presences(derived bool) (all []presence) {
	lives := slices.Clone(g.Lives)
	slices.SortFunc(lives, func(a, b Life) int { return cmp.Compare(a.Began, b.Began) })
	for i := range lives {
		life := &lives[i]
		if life.Derived && !derived {
			continue
		}
		last := -1
		for k := range all {
			if all[k].Cluster == life.Cluster && all[k].Token == life.Token && life.Began <= all[k].Ended {
				last = k
			}
		}
		if last < 0 {
			all = append(all, presence{life.Cluster, life.Token, life.Began, life.until(), life.Seen, life.Gone, []string{life.Object}})
			continue
		}
		p := &all[last]
		p.Objects = append(p.Objects, life.Object)
		if life.until() > p.Ended {
			p.Ended, p.Gone = life.until(), life.Gone
		}
	}
	return all
}
