// Package kubelet stands in for a cluster's nodes: it binds pods, makes them
// Running and Ready, and lets them go when they are deleted, without any
// container. What a pod would do is a function of the test.
//
// KWOK does the first half and brings 130 modules; it runs nothing, and how
// long its pods take isn't to be had as a number that a test chooses. So this
// is two hundred lines of our own, over the real API server and beside the real
// controllers.
//
// What it keeps of a real kubelet, since exclusion depends on it:
//
//   - A pod runs from before it is said to run until before it is gone: its
//     object is removed only when its work has returned.
//   - A deleted pod has its grace period, scaled, and works on meanwhile.
//   - A pod whose object vanished is stopped when that is noticed, not before;
//     while the API server is away, everything runs on.
package kubelet

import (
	"context"
	"fmt"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// Options are how its pods behave.
type Options struct {
	// Node is the name of the node that all pods are bound to.
	Node string
	// Startup is the time from the binding until a pod runs and is ready.
	Startup time.Duration
	// Grace is by what grace periods are multiplied: 0.01 makes 30 s 0.3 s.
	Grace float64
	// Run is what a pod does; it must return soon after the context ended.
	Run func(ctx context.Context, pod *core.Pod)
}

// Kubelet is a running stand-in.
type Kubelet struct {
	options Options
	client  kubernetes.Interface
	pods    listers.PodLister
	queue   workqueue.TypedRateLimitingInterface[string]

	stop    context.CancelFunc
	workers sync.WaitGroup

	mu      sync.Mutex
	running map[types.UID]*work
}

// work is what a pod does at present.
type work struct {
	key    string
	cancel context.CancelFunc
	done   chan struct{}
	began  time.Time
	// last is the end of the grace period, once the pod is deleted.
	last time.Time
}

// Start begins to run the pods of a cluster.
func Start(config *rest.Config, options Options) (*Kubelet, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 200, 200
	config.Timeout = 0 // its watches last
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory := informers.NewSharedInformerFactory(client, 2*time.Second)
	informer := factory.Core().V1().Pods().Informer()
	k := &Kubelet{
		options: options, client: client, stop: cancel, running: map[types.UID]*work{},
		pods:  factory.Core().V1().Pods().Lister(),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](20*time.Millisecond, time.Second)),
	}
	enqueue := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			k.queue.Add(key)
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: enqueue, UpdateFunc: func(_, now any) { enqueue(now) }, DeleteFunc: enqueue,
	}); err != nil {
		cancel()
		return nil, err
	}
	factory.Start(ctx.Done())
	for range 4 {
		k.workers.Go(func() { k.work(ctx) })
	}
	k.workers.Go(func() {
		<-ctx.Done()
		k.queue.ShutDown()
		factory.Shutdown()
	})
	return k, nil
}

// Stop ends the stand-in and everything that its pods do; the pods' objects stay.
func (k *Kubelet) Stop() {
	k.stop()
	k.workers.Wait()
	k.mu.Lock()
	all := k.running
	k.running = map[types.UID]*work{}
	k.mu.Unlock()
	for _, w := range all {
		w.cancel()
		<-w.done
	}
}

// Running counts the pods that work at present.
func (k *Kubelet) Running() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.running)
}

func (k *Kubelet) work(ctx context.Context) {
	for {
		key, ended := k.queue.Get()
		if ended {
			return
		}
		again, err := k.sync(ctx, key)
		switch {
		case err != nil && ctx.Err() == nil:
			k.queue.AddRateLimited(key)
		case again > 0:
			k.queue.Forget(key)
			k.queue.AddAfter(key, again)
		default:
			k.queue.Forget(key)
		}
		k.queue.Done(key)
	}
}

// sync does the next step for a pod, and says when to look again.
func (k *Kubelet) sync(ctx context.Context, key string) (again time.Duration, err error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return 0, err
	}
	pod, err := k.pods.Pods(namespace).Get(name)
	if err != nil && !errors.IsNotFound(err) {
		return 0, err
	}
	if err != nil {
		k.end(key, "")
		return 0, nil
	}
	k.end(key, pod.UID) // another of that name may have been there
	bounded, release := context.WithTimeout(ctx, 5*time.Second)
	defer release()
	switch {
	case pod.DeletionTimestamp != nil && (pod.Spec.NodeName == "" || pod.Spec.NodeName == k.options.Node):
		return k.terminate(bounded, pod)
	case pod.Spec.NodeName == "":
		return 0, k.bind(bounded, pod)
	case pod.Spec.NodeName != k.options.Node || pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed:
		return 0, nil
	}
	return k.run(bounded, pod)
}

func (k *Kubelet) bind(ctx context.Context, pod *core.Pod) error {
	err := k.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &core.Binding{
		ObjectMeta: meta.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID},
		Target:     core.ObjectReference{Kind: "Node", Name: k.options.Node},
	}, meta.CreateOptions{})
	if errors.IsConflict(err) || errors.IsNotFound(err) {
		return nil // it is bound or gone; its next event says so
	}
	return err
}

// run lets a bound pod work, and says so when it has started.
func (k *Kubelet) run(ctx context.Context, pod *core.Pod) (again time.Duration, err error) {
	k.mu.Lock()
	w := k.running[pod.UID]
	if w == nil {
		inner, cancel := context.WithCancel(context.Background())
		w = &work{key: pod.Namespace + "/" + pod.Name, cancel: cancel, done: make(chan struct{}), began: time.Now()}
		k.running[pod.UID] = w
		pod := pod.DeepCopy()
		go func() {
			defer close(w.done)
			select {
			case <-time.After(k.options.Startup):
			case <-inner.Done():
				return
			}
			if k.options.Run != nil {
				k.options.Run(inner, pod)
			}
			<-inner.Done() // a service doesn't end by itself
		}()
	}
	k.mu.Unlock()
	if rest := k.options.Startup - time.Since(w.began); rest > 0 {
		return rest, nil
	}
	if pod.Status.Phase == core.PodRunning {
		return 0, nil
	}
	now := meta.Now()
	running := pod.DeepCopy()
	running.Status.Phase = core.PodRunning
	running.Status.StartTime = &now
	running.Status.PodIP, running.Status.HostIP = "192.0.2.10", "192.0.2.1"
	running.Status.PodIPs = []core.PodIP{{IP: "192.0.2.10"}}
	running.Status.Conditions = nil
	for _, kind := range []core.PodConditionType{core.PodScheduled, core.PodInitialized, core.ContainersReady, core.PodReady} {
		running.Status.Conditions = append(running.Status.Conditions, core.PodCondition{Type: kind, Status: core.ConditionTrue, LastTransitionTime: now})
	}
	running.Status.ContainerStatuses = containersRunning(pod.Spec.Containers, now)
	_, err = k.client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, running, meta.UpdateOptions{})
	if errors.IsConflict(err) || errors.IsNotFound(err) {
		return 0, nil // a newer one comes
	}
	return 0, err
}

func containersRunning(containers []core.Container, now meta.Time) (all []core.ContainerStatus) {
	started := true
	for _, c := range containers {
		all = append(all, core.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: c.Image, ContainerID: "none://" + c.Name, Ready: true, Started: &started,
			State: core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: now}},
		})
	}
	return all
}

// terminate waits for the grace period, ends the work, and then removes the object.
func (k *Kubelet) terminate(ctx context.Context, pod *core.Pod) (again time.Duration, err error) {
	k.mu.Lock()
	w := k.running[pod.UID]
	if w != nil && w.last.IsZero() {
		grace := 30 * time.Second
		if pod.DeletionGracePeriodSeconds != nil {
			grace = time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
		}
		w.last = time.Now().Add(time.Duration(float64(grace) * k.options.Grace))
	}
	k.mu.Unlock()
	if w != nil {
		if rest := time.Until(w.last); rest > 0 {
			return rest, nil
		}
		w.cancel()
		<-w.done
		k.mu.Lock()
		delete(k.running, pod.UID)
		k.mu.Unlock()
	}
	none := int64(0)
	err = k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, meta.DeleteOptions{
		GracePeriodSeconds: &none, Preconditions: &meta.Preconditions{UID: &pod.UID},
	})
	if errors.IsNotFound(err) || errors.IsConflict(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("removing pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return 0, nil
}

// end stops the work of all pods of that name but one.
func (k *Kubelet) end(key string, except types.UID) {
	k.mu.Lock()
	var over []*work
	for uid, w := range k.running {
		if w.key == key && uid != except {
			over = append(over, w)
			delete(k.running, uid)
		}
	}
	k.mu.Unlock()
	for _, w := range over {
		w.cancel()
		<-w.done
	}
}
