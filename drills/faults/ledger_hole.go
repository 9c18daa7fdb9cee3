package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LedgerHole is a write that is missing while later ones of the same writer are there, as in a backup that is no point in time. The age of the newest
// write then says nothing of what is lost.
type LedgerHole struct{}

// Name in the catalogue.
func (*LedgerHole) Name() string { return "ledger-hole" }

// Strikes the restored cluster.
func (*LedgerHole) Strikes() Target { return Restored }

// Destroys in one sentence.
func (*LedgerHole) Destroys() string {
	return "One of the ledger's ConfigMaps, with an older and a newer one of the same writer, is deleted from the restored cluster."
}

// Inject deletes the one in the middle.
func (*LedgerHole) Inject(ctx context.Context, s *Scene) error {
	chain, err := longestChain(ctx, s)
	if err != nil {
		return err
	}
	if len(chain.written) < 3 {
		return fmt.Errorf("namespace %s holds %d writes of one writer: a hole needs three", s.LedgerNamespace, len(chain.written))
	}
	client, err := s.restored()
	if err != nil {
		return err
	}
	return client.CoreV1().ConfigMaps(s.LedgerNamespace).Delete(ctx, chain.written[len(chain.written)/2].name, metav1.DeleteOptions{})
}

// Visible when the numbers of one writer's ConfigMaps have a gap.
func (*LedgerHole) Visible(ctx context.Context, s *Scene) (Sighting, error) {
	chain, err := longestChain(ctx, s)
	if err != nil {
		return Sighting{}, err
	}
	for i := 1; i < len(chain.written); i++ {
		before, after := chain.written[i-1], chain.written[i]
		if after.seq != before.seq+1 {
			return Sighting{Visible: true, Detail: fmt.Sprintf("between %s and %s, %d are missing", before.name, after.name, after.seq-before.seq-1)}, nil
		}
	}
	return Sighting{Detail: fmt.Sprintf("the %d ConfigMaps %s… follow each other", len(chain.written), chain.prefix)}, nil
}

// A chain is what one writer wrote: names that end in consecutive numbers.
type chain struct {
	prefix  string
	written []write
}

type write struct {
	seq  int
	name string
}

// longestChain of ConfigMaps in the ledger's namespace of the restored cluster.
func longestChain(ctx context.Context, s *Scene) (longest chain, err error) {
	client, err := s.restored()
	if err != nil {
		return longest, err
	}
	if s.LedgerNamespace == "" {
		return longest, errors.New("there is no ledger")
	}
	list, err := client.CoreV1().ConfigMaps(s.LedgerNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return longest, err
	}
	chains := map[string][]write{}
	for _, o := range list.Items {
		prefix := strings.TrimRight(o.Name, "0123456789")
		if seq, err := strconv.Atoi(o.Name[len(prefix):]); err == nil {
			chains[prefix] = append(chains[prefix], write{seq, o.Name})
		}
	}
	for prefix, written := range chains {
		// The name decides among equals, so that the same state gives the same answer.
		if len(written) > len(longest.written) || len(written) == len(longest.written) && prefix < longest.prefix {
			longest = chain{prefix, written}
		}
	}
	slices.SortFunc(longest.written, func(a, b write) int { return a.seq - b.seq })
	return longest, nil
}
