package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"helium.dev/tests/harness"
	"helium.dev/tests/kubernetes/history"
	"helium.dev/tests/kubernetes/trace"
)

// Names that failover writes into objects; crates/failover has them.
const (
	groupLabel      = "helium.dev/failover-group"
	tokenAnnotation = "helium.dev/failover-token"
	addressOfLeader = "helium.dev/failover-address"
	reasonOfTerm    = "helium.dev/failover-reason"
	stoppedTerm     = "helium.dev/failover-stopped"
)

// The prefixes under which helium-apiservers keep what failover is judged by.
const (
	leaseKeys = "/helium/coordination.helium.dev/leases/"
	groupKeys = "/helium/helium.dev/failovergroups/"
	allTerms  = "/helium/helium.dev/terms/"
)

// witness reads both stores below all API servers: that of the fleet, through
// an observer's own kine-shim which no fault touches, and that of the three
// kube-apiservers, which is one etcd: its revisions order what happens in all three.
type witness struct {
	fleet, hosts *side
	stop         context.CancelFunc
	watches      sync.WaitGroup

	mu     sync.Mutex
	groups map[string]*witnessed // by namespace/callsign
	gaps   []history.Gap
	broken error
}

// witnessed is what was seen of a group.
type witnessed struct {
	history.Group
	open    map[string]int                 // index of the life of a key in the clusters' store
	members map[string]history.MemberState // the last of each cluster
}

// startWitness watches from now on.
func startWitness(fleet, hosts string) (*witness, error) {
	w := &witness{groups: map[string]*witnessed{}}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	begin := func(side *side) error {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{side.endpoint}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			return err
		}
		side.client = client
		next, err := w.read(ctx, side)
		if err != nil {
			client.Close()
			return err
		}
		w.watches.Go(func() { w.watch(ctx, side, next) })
		return nil
	}
	var err error
	w.hosts = &side{endpoint: hosts, prefix: "/cluster", take: w.host, last: map[string]int64{}}
	w.fleet = &side{endpoint: fleet, prefix: "/helium/", take: w.shared, last: map[string]int64{}}
	if err = begin(w.hosts); err == nil {
		err = begin(w.fleet)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// side is one of the two stores.
type side struct {
	endpoint, prefix string
	take             func(*clientv3.Event) error
	client           *clientv3.Client
	last             map[string]int64 // the newest revision that was seen of each key; below 0 once it is gone
}

// read takes what is there, as far as it wasn't seen, and returns the revision behind it.
func (w *witness) read(ctx context.Context, s *side) (next int64, err error) {
	bounded, release := context.WithTimeout(ctx, 30*time.Second)
	defer release()
	now, err := s.client.Get(bounded, s.prefix, clientv3.WithPrefix())
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", s.endpoint, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortFunc(now.Kvs, func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.ModRevision, b.ModRevision) })
	there := map[string]bool{}
	for _, kv := range now.Kvs {
		there[string(kv.Key)] = true
		if s.last[string(kv.Key)] != kv.ModRevision {
			w.event(s, &clientv3.Event{Type: clientv3.EventTypePut, Kv: kv})
		}
	}
	for key, revision := range s.last {
		if revision > 0 && !there[key] {
			w.event(s, &clientv3.Event{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: now.Header.Revision}})
		}
	}
	return now.Header.Revision + 1, nil
}

// event takes one event.
func (w *witness) event(s *side, event *clientv3.Event) {
	s.last[string(event.Kv.Key)] = event.Kv.ModRevision
	if event.Type != clientv3.EventTypePut {
		s.last[string(event.Kv.Key)] = -event.Kv.ModRevision
	}
	w.note(s.take(event), string(event.Kv.Key), event.Kv.ModRevision)
}

// watch takes events from a revision on. Where the fleet's store refuses to go on, since its
// database was failed over, what is there then is read, and the gap remembered.
func (w *witness) watch(ctx context.Context, s *side, next int64) {
	for ctx.Err() == nil {
		for answer := range s.client.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithRev(next)) {
			w.mu.Lock()
			if err := answer.Err(); err != nil && (answer.CompactRevision == 0 || s != w.fleet) {
				w.note(err, s.endpoint, next)
			}
			for _, event := range answer.Events {
				w.event(s, event)
				next = event.Kv.ModRevision + 1
			}
			w.mu.Unlock()
		}
		if ctx.Err() != nil {
			return
		}
		again, err := w.read(ctx, s)
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		w.mu.Lock()
		w.gaps = append(w.gaps, history.Gap{After: next - 1, Until: again - 1})
		w.mu.Unlock()
		next = again
	}
}

func (w *witness) close() {
	w.stop()
	w.watches.Wait()
	for _, s := range []*side{w.fleet, w.hosts} {
		if s.client != nil {
			s.client.Close()
		}
	}
}

// note keeps the first error: behind a gap nothing can be judged.
func (w *witness) note(err error, where string, revision int64) {
	if err != nil && w.broken == nil {
		w.broken = fmt.Errorf("%s @%d: %w", where, revision, err)
	}
}

func (w *witness) group(name string) *witnessed {
	g := w.groups[name]
	if g == nil {
		g = &witnessed{open: map[string]int{}, members: map[string]history.MemberState{}}
		g.Name = name
		w.groups[name] = g
	}
	return g
}

// shared takes an event of the fleet's store.
func (w *witness) shared(event *clientv3.Event) error {
	key, at := string(event.Kv.Key), trace.Now()
	if rest, ok := strings.CutPrefix(key, leaseKeys); ok {
		if namespace, callsign, ok := failoverLease(rest); ok {
			return w.lease(w.group(namespace+"/"+callsign), event, at)
		}
	}
	if rest, ok := strings.CutPrefix(key, allTerms); ok && event.Type == clientv3.EventTypePut {
		if namespace, callsign, ok := failoverLease(rest); ok {
			term := history.Term{}
			if err := json.Unmarshal(event.Kv.Value, &term); err != nil {
				return err
			}
			term.Token = event.Kv.ModRevision
			g := w.group(namespace + "/" + callsign)
			g.Terms = append(g.Terms, term)
		}
	}
	if rest, ok := strings.CutPrefix(key, groupKeys); ok {
		return w.record(w.group(rest), event, at)
	}
	if name, ok := strings.CutPrefix(key, festivalKeys); ok && event.Type == clientv3.EventTypePut {
		return w.write(w.group("default/"+name), event.Kv.ModRevision, event.Kv.Value)
	}
	return nil
}

// failoverLease takes namespace and callsign from the key of a group's Lease.
func failoverLease(rest string) (namespace, callsign string, ok bool) {
	namespace, name, _ := strings.Cut(rest, "/")
	callsign, ok = strings.CutPrefix(name, "failover-")
	return namespace, callsign, ok
}

func (w *witness) lease(g *witnessed, event *clientv3.Event, at int64) error {
	state := history.LeaseState{Revision: event.Kv.ModRevision, At: at}
	if event.Type != clientv3.EventTypePut {
		state.Deleted = true
		g.Leases = append(g.Leases, state)
		return nil
	}
	var lease struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Spec     struct {
			Holder   string    `json:"holderIdentity"`
			Duration int64     `json:"leaseDurationSeconds"`
			Acquired time.Time `json:"acquireTime"`
			Renewed  time.Time `json:"renewTime"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(event.Kv.Value, &lease); err != nil {
		return err
	}
	notes := lease.Metadata.Annotations
	state.Holder, state.Duration = lease.Spec.Holder, time.Duration(lease.Spec.Duration)*time.Second
	state.Acquired, state.Renewed = lease.Spec.Acquired, lease.Spec.Renewed
	state.Address, state.Reason = notes[addressOfLeader], notes[reasonOfTerm]
	if text := notes[stoppedTerm]; text != "" && state.Holder == "" {
		var err error
		if state.Stopped, err = strconv.ParseInt(text, 10, 64); err != nil {
			return err
		}
		if n := len(g.Leases); n == 0 || g.Leases[n-1].Stopped != state.Stopped {
			if state.Host, err = w.hostRevision(); err != nil {
				return err
			}
		} else {
			state.Host = g.Leases[n-1].Host
		}
	}
	g.Leases = append(g.Leases, state)
	return nil
}

func (w *witness) record(g *witnessed, event *clientv3.Event, at int64) error {
	state := history.GroupState{Revision: event.Kv.ModRevision, At: at}
	if event.Type != clientv3.EventTypePut {
		state.Deleted = true
		g.Records = append(g.Records, state)
		return nil
	}
	var group struct {
		Spec struct {
			Mode     string `json:"mode"`
			Duration int64  `json:"leaseDurationSeconds"`
			Force    struct {
				Token int64 `json:"token"`
			} `json:"force"`
		} `json:"spec"`
		Status struct {
			Leader  string                `json:"leader"`
			Address string                `json:"leaderAddress"`
			Token   int64                 `json:"token"`
			Members []history.MemberState `json:"members"`
		} `json:"status"`
	}
	if err := json.Unmarshal(event.Kv.Value, &group); err != nil {
		return err
	}
	g.Mode, g.Lease = group.Spec.Mode, time.Duration(group.Spec.Duration)*time.Second
	state.Leader, state.Address, state.Token, state.Forced = group.Status.Leader, group.Status.Address, group.Status.Token, group.Spec.Force.Token
	g.Records = append(g.Records, state)
	for _, member := range group.Status.Members {
		before := g.members[member.Cluster]
		if before.State == member.State && before.Reason == member.Reason && before.Stopped == member.Stopped {
			continue
		}
		member.Revision, member.At = state.Revision, at
		if member.Stopped != 0 {
			member.Host = before.Host
			if member.Stopped != before.Stopped {
				var err error
				if member.Host, err = w.hostRevision(); err != nil {
					return err
				}
			}
		}
		g.members[member.Cluster] = member
		g.States = append(g.States, member)
	}
	return nil
}

func (w *witness) write(g *witnessed, revision int64, value []byte) error {
	var object struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(value, &object); err != nil {
		return err
	}
	annotations := object.Metadata.Annotations
	if annotations["example.com/at"] == "" {
		return nil // as it was created
	}
	token, err1 := strconv.ParseInt(annotations["example.com/token"], 10, 64)
	at, err2 := strconv.ParseInt(annotations["example.com/at"], 10, 64)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("a payload's write without token or time: %v", annotations)
	}
	g.Writes = append(g.Writes, history.Write{Revision: revision, Token: token, Holder: annotations["example.com/holder"], At: at})
	return nil
}

// hostRevision asks the clusters' store for its revision, now.
func (w *witness) hostRevision() (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	now, err := w.hosts.client.Get(ctx, "/health")
	if err != nil {
		return 0, fmt.Errorf("the revision of the clusters' store: %w", err)
	}
	return now.Header.Revision, nil
}

// host takes an event of the clusters' store.
func (w *witness) host(event *clientv3.Event) error {
	key := string(event.Kv.Key)
	end := func(g *witnessed) {
		if i, ok := g.open[key]; ok {
			g.Lives[i].Ended, g.Lives[i].Gone = event.Kv.ModRevision, trace.Now()
			delete(g.open, key)
		}
	}
	if event.Type != clientv3.EventTypePut {
		for _, g := range w.groups {
			end(g)
		}
		return nil
	}
	if !bytes.Contains(event.Kv.Value, []byte(groupLabel)) {
		return nil // most events
	}
	object, err := decode(event.Kv.Value)
	if err != nil {
		return err
	}
	namespace, callsign, ok := strings.Cut(object.GetLabels()[groupLabel], ".")
	text := object.GetAnnotations()[tokenAnnotation]
	if !ok || text == "" {
		return nil // the agent's notes
	}
	token, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return err
	}
	g := w.group(namespace + "/" + callsign)
	if i, ok := g.open[key]; ok && g.Lives[i].Token == token && g.Lives[i].UID == string(object.GetUID()) {
		return nil
	}
	end(g)
	cluster, path, _ := strings.Cut(strings.TrimPrefix(key, "/"), "/")
	g.open[key] = len(g.Lives)
	g.Lives = append(g.Lives, history.Life{
		Cluster: cluster, Object: path, UID: string(object.GetUID()), Token: token, Derived: len(object.GetOwnerReferences()) > 0,
		Began: event.Kv.ModRevision, Seen: trace.Now(),
	})
	return nil
}

// decode reads what a kube-apiserver stored: protobuf, or the JSON of a custom resource.
func decode(value []byte) (metav1.Object, error) {
	if bytes.HasPrefix(value, []byte("{")) {
		var object struct {
			metav1.ObjectMeta `json:"metadata"`
		}
		err := json.Unmarshal(value, &object)
		return &object.ObjectMeta, err
	}
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(value, nil, nil)
	if err != nil {
		return nil, err
	}
	return meta.Accessor(object)
}

// look calls a function with what was seen of a group so far.
func (w *witness) look(name string, see func(g *witnessed)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	see(w.group(name))
}

// holder is the cluster that has a group's lease, and the term's token.
func (w *witness) holder(name string) (cluster string, token int64) {
	w.look(name, func(g *witnessed) {
		if n := len(g.Leases); n > 0 {
			cluster = g.Leases[n-1].Holder
		}
		if n := len(g.Terms); n > 0 && cluster != "" {
			token = g.Terms[n-1].Token
		}
	})
	return cluster, token
}

// complete waits until everything that both stores have by now was seen, and
// returns the revision of the clusters' store.
func (w *witness) complete(bound time.Duration) (calm int64, err error) {
	if calm, err = w.hostRevision(); err != nil {
		return 0, err
	}
	return calm, harness.WaitFor("everything that was written is seen", bound, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		for _, side := range []*side{w.fleet, w.hosts} {
			now, err := side.client.Get(ctx, side.prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
			if err != nil {
				return err
			}
			w.mu.Lock()
			broken := w.broken
			for _, kv := range now.Kvs {
				if seen := side.last[string(kv.Key)]; seen < kv.ModRevision {
					err = fmt.Errorf("%s is @%d, and was seen @%d", kv.Key, kv.ModRevision, seen)
				}
			}
			w.mu.Unlock()
			if broken != nil {
				return &harness.FinalError{Err: broken}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// groupsSeen returns what was seen of some groups.
func (w *witness) groupsSeen(names []string) (all []history.Group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range names {
		g := w.group(name).Group
		g.Terms, g.Leases, g.Records = slices.Clone(g.Terms), slices.Clone(g.Leases), slices.Clone(g.Records)
		g.Writes, g.Lives, g.States = slices.Clone(g.Writes), slices.Clone(g.Lives), slices.Clone(g.States)
		all = append(all, g)
	}
	return all
}
