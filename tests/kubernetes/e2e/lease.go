package e2e

import (
	"fmt"
	"time"

	coordination "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// leaseSpec is what a Lease says of its holder.
type leaseSpec struct {
	Holder      string
	Transitions int32
	Acquired    time.Time
	Renewed     time.Time
	Duration    time.Duration
}

func parseLease(object *unstructured.Unstructured) (leaseSpec, error) {
	var lease coordination.Lease
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &lease); err != nil {
		return leaseSpec{}, fmt.Errorf("lease %s: %w", object.GetName(), err)
	}
	var s leaseSpec
	if lease.Spec.HolderIdentity != nil {
		s.Holder = *lease.Spec.HolderIdentity
	}
	if lease.Spec.LeaseTransitions != nil {
		s.Transitions = *lease.Spec.LeaseTransitions
	}
	if lease.Spec.AcquireTime != nil {
		s.Acquired = lease.Spec.AcquireTime.UTC()
	}
	if lease.Spec.RenewTime != nil {
		s.Renewed = lease.Spec.RenewTime.UTC()
	}
	if lease.Spec.LeaseDurationSeconds != nil {
		s.Duration = time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
	}
	return s, nil
}

// seenFrom tells since when a candidate may count a renewal. client-go's
// candidates compare records whose times are written in whole seconds: a
// renewal in the second of one that they have seen is no news to them, and
// the duration counts from there, up to a second early.
func seenFrom(renewed time.Time) time.Time { return renewed.Truncate(time.Second) }

// checkTerms judges the history of one Lease, as watches showed it, by the
// rules of client-go's candidates: who holds it keeps it until it gives it up
// or a whole duration has passed since its last renewal, and every change of
// hands is counted. All times are of one machine.
func checkTerms(events []seen) error {
	for i := 1; i < len(events); i++ {
		before, now := events[i-1].Lease, events[i].Lease
		switch {
		case now.Holder == before.Holder || now.Holder == "":
		case before.Holder != "" && now.Acquired.Before(seenFrom(before.Renewed).Add(before.Duration)):
			return fmt.Errorf("@%d: %s took the lease at %v from %s, who had renewed it for %v at %v",
				events[i].Revision, now.Holder, now.Acquired, before.Holder, before.Duration, before.Renewed)
		case now.Transitions != before.Transitions+1:
			return fmt.Errorf("@%d: %s took the lease with leaseTransitions %d behind %d",
				events[i].Revision, now.Holder, now.Transitions, before.Transitions)
		}
	}
	return nil
}
