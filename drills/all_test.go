package drills

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/restore-drill/restore-drill/scenarios"
)

// lanes keeps which drills ran at the same time, and when each began.
type lanes struct {
	mu                 sync.Mutex
	running, most      int
	memory, mostMemory int64
	began              []string
	start              time.Time
	weights            []int64
}

func (l *lanes) run(i int, takes time.Duration) {
	l.mu.Lock()
	l.running++
	l.memory += l.weights[i]
	l.most, l.mostMemory = max(l.most, l.running), max(l.mostMemory, l.memory)
	l.began = append(l.began, fmt.Sprintf("%d at %s", i, time.Since(l.start)))
	l.mu.Unlock()
	time.Sleep(takes)
	l.mu.Lock()
	l.running--
	l.memory -= l.weights[i]
	l.mu.Unlock()
}

func TestEach(t *testing.T) {
	const s = time.Second
	for name, test := range map[string]struct {
		memory   int64
		parallel int
		weights  []int64
		takes    []time.Duration
		began    []string
		wall     time.Duration
		most     int
	}{
		"one at a time, in order": {1000, 1, []int64{100, 300, 200}, []time.Duration{3 * s, s, s}, []string{"0 at 0s", "1 at 3s", "2 at 4s"}, 5 * s, 1},
		"two at a time, the heaviest first": {1000, 2, []int64{100, 300, 200, 100}, []time.Duration{2 * s, 3 * s, 2 * s, s},
			[]string{"0 at 2s", "1 at 0s", "2 at 0s", "3 at 3s"}, 4 * s, 2},
		"no more than fit":               {500, 3, []int64{300, 300, 200}, []time.Duration{2 * s, 2 * s, s}, []string{"0 at 0s", "1 at 2s", "2 at 2s"}, 4 * s, 2},
		"what never fits runs alone":     {500, 3, []int64{9000, 100}, []time.Duration{2 * s, s}, []string{"0 at 0s", "1 at 2s"}, 3 * s, 1},
		"nobody knows the memory":        {1, 3, []int64{400, 400}, []time.Duration{2 * s, s}, []string{"0 at 0s", "1 at 2s"}, 3 * s, 1},
		"more lanes than drills":         {9000, 64, []int64{400, 400}, []time.Duration{2 * s, s}, []string{"0 at 0s", "1 at 0s"}, 2 * s, 2},
		"none":                           {9000, 2, nil, nil, nil, 0, 0},
		"a light one waits for its turn": {500, 3, []int64{450, 400, 50}, []time.Duration{2 * s, s, s}, []string{"0 at 0s", "1 at 2s", "2 at 2s"}, 3 * s, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lanes{start: time.Now(), weights: test.weights}
				errs := newBudget(test.memory).each(t.Context(), test.weights, test.parallel, func(i int) error {
					l.run(i, test.takes[i])
					return nil
				})
				require.Equal(t, make([]error, len(test.weights)), errs)
				require.Equal(t, test.wall, time.Since(l.start))
				slices.Sort(l.began)
				require.Equal(t, test.began, l.began)
				require.Equal(t, test.most, l.most)
				if l.most > 1 {
					require.LessOrEqual(t, l.mostMemory, test.memory)
				}
			})
		})
	}
}

func TestOneDrillsTroubleIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		ended := make([]bool, 4)
		errs := newBudget(1000).each(t.Context(), []int64{400, 400, 400, 400}, 2, func(i int) error {
			time.Sleep(time.Duration(i+1) * time.Second)
			switch i {
			case 0:
				panic("at the disco")
			case 1:
				return boom
			}
			ended[i] = true
			return nil
		})
		require.ErrorContains(t, errs[0], "panic: at the disco")
		require.ErrorIs(t, errs[1], boom)
		require.NoError(t, errors.Join(errs[2:]...))
		require.Equal(t, []bool{false, false, true, true}, ended)
	})
}

func TestAnInterruptStopsAllAndBeginsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("interrupted")) })
		var begun sync.Map
		// The third waits for memory, the fourth for its turn.
		errs := newBudget(800).each(ctx, []int64{400, 400, 400, 400}, 3, func(i int) error {
			begun.Store(i, true)
			<-ctx.Done()
			time.Sleep(10 * time.Second) // its teardown
			return nil
		})
		said := []string{}
		for i, err := range errs {
			_, yes := begun.Load(i)
			said = append(said, fmt.Sprint(yes, " ", err))
		}
		slices.Sort(said)
		const not = "false the drill was not begun: interrupted"
		require.Equal(t, []string{not, not, "true <nil>", "true <nil>"}, said)
	})
}

func TestWeightFollowsTheScenario(t *testing.T) {
	of := func(spec string) int64 {
		s, err := scenarios.Parse("weight.yaml", []byte("apiVersion: restoredrill.io/v1alpha1\nkind: Scenario\nmetadata: {name: weight}\nspec:\n"+
			"  objectives: {rto: 30s}\n  faults: [{name: etcd-data-lost}]\n"+spec), Vocabulary())
		require.NoError(t, err)
		return weight(s)
	}
	const etcd = "  backup: {method: etcd}\n"
	usual := of(etcd)
	require.Greater(t, of(etcd+"  cluster: {etcdMembers: 3}\n"), usual)
	require.Equal(t, of(etcd+"  cluster: {etcdMembers: 3}\n"), of(etcd+"  restore: {etcdMembers: 3}\n"))
	require.Greater(t, of("  backup: {method: velero}\n"), usual)
	require.Equal(t, of("  backup: {method: velero}\n"), of(etcd+"  layers: [{backup: {method: velero}}]\n"))
	many := of(etcd + "  seed: {objects: 10000}\n")
	require.Greater(t, many, usual+200)
	require.Greater(t, of(etcd+"  seed: {objects: 10000, size: 4Ki}\n"), many+200)
	require.Positive(t, machine().total)
}

func TestAllStandsForEveryEmbeddedScenario(t *testing.T) {
	all, err := LoadAll([]string{All})
	require.NoError(t, err)
	require.Len(t, all, len(scenarios.Embedded()))
	_, clash := scenarios.Find(All)
	require.False(t, clash, "no scenario may be named so")

	_, err = LoadAll([]string{"etcd-data-los", "no-such-thing-at-all"})
	require.ErrorContains(t, err, `unknown scenario or file "etcd-data-los" (did you mean etcd-data-lost?); known: all, `)
	require.ErrorContains(t, err, `unknown scenario or file "no-such-thing-at-all"; known: all, `)
	require.Len(t, strings.Split(err.Error(), "\n"), 2)
}
