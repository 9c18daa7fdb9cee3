package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrDivergent is wrapped by the error of Agree when members hold different data at the same revision: no snapshot of one of them
// can be taken for the cluster's.
var ErrDivergent = errors.New("etcd members hold different data")

// An Agreement of members on what the store holds at a revision.
type Agreement struct {
	Revision int64
	Hash     uint32
	// Members that agree, by endpoint; Silent ones did not answer, each with the reason.
	Members []string
	Silent  map[string]error
}

// answerTimeout is how long one member may take over one answer; then it is silent. It covers a stalled machine, and a large store to hash.
const answerTimeout = 30 * time.Second

// maxRounds of questions. Compactions are minutes apart: members that have caught up with each other, and whose histories begin at different
// revisions time and again, never were one store.
const maxRounds = 5

// Agree compares the members' hashes of all data at revision, and at a later one when that is compacted already. Members that do
// not answer are no disagreement, but one has to answer.
func Agree(ctx context.Context, endpoints []string, tlsConfig *tls.Config, revision int64) (Agreement, error) {
	client, err := Connect(endpoints, tlsConfig)
	if err != nil {
		return Agreement{}, err
	}
	defer client.Close()
	for round := 1; ; round++ {
		answers := make([]answer, len(endpoints))
		var wg sync.WaitGroup
		for i, endpoint := range endpoints {
			wg.Go(func() { answers[i] = ask(ctx, client, endpoint, tlsConfig, revision, round > 1) })
		}
		wg.Wait()
		if err := ctx.Err(); err != nil {
			return Agreement{}, fmt.Errorf("compare etcd members at revision %d: %w", revision, err)
		}
		agreement, settled, err := compare(revision, answers, round == maxRounds)
		if settled {
			return agreement, err
		}
		// A compaction came between: some hashed more history than others, or none.
		now, err := client.Get(ctx, "restore-drill", clientv3.WithCountOnly())
		if err != nil {
			return Agreement{}, fmt.Errorf("compare etcd members: read the current revision: %w", err)
		}
		revision = max(revision, now.Header.Revision)
	}
}

// answer of one member: its hash at a revision, and from which revision on that covers the history; or the revision at which it is, when that is
// all that it will ever have of what the members agreed on.
type answer struct {
	endpoint  string
	hash      uint32
	compacted int64
	stuck     int64
	err       error
}

// ask waits for a member that is behind: it answers a linearizable read once it has caught up, and when it still has not got there then, it
// never will. Abreast has it catch up in any case.
func ask(ctx context.Context, client *clientv3.Client, endpoint string, tlsConfig *tls.Config, revision int64, abreast bool) answer {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := reach(ctx, endpoint); err != nil {
		return answer{endpoint: endpoint, err: err}
	}
	if abreast {
		if _, err := Revision(ctx, endpoint, tlsConfig); err != nil {
			return answer{endpoint: endpoint, err: err}
		}
	}
	for {
		response, err := client.HashKV(ctx, endpoint, revision)
		if err == nil {
			return answer{endpoint: endpoint, hash: response.Hash, compacted: response.CompactRevision}
		}
		if !errors.Is(err, rpctypes.ErrFutureRev) {
			return answer{endpoint: endpoint, err: err}
		}
		seen, err := Revision(ctx, endpoint, tlsConfig)
		if err != nil {
			return answer{endpoint: endpoint, err: err}
		}
		if seen < revision {
			return answer{endpoint: endpoint, stuck: seen}
		}
	}
}

// compare is not settled when a compaction makes the answers incomparable, but for the last time.
func compare(revision int64, answers []answer, last bool) (agreement Agreement, settled bool, err error) {
	agreement = Agreement{Revision: revision, Silent: map[string]error{}}
	var first *answer
	var all []string
	differ := false
	for _, a := range answers {
		switch {
		case errors.Is(a.err, rpctypes.ErrCompacted) && !last:
			return Agreement{}, false, nil
		case errors.Is(a.err, rpctypes.ErrCompacted):
			differ = true
			all = append(all, fmt.Sprintf("%s holds no history back to it", a.endpoint))
			continue
		case a.err != nil:
			agreement.Silent[a.endpoint] = a.err
			continue
		case a.stuck > 0:
			differ = true
			all = append(all, fmt.Sprintf("%s has caught up with the others and is at revision %d", a.endpoint, a.stuck))
			continue
		case first == nil:
			first = &a
		case a.compacted != first.compacted && !last:
			return Agreement{}, false, nil
		case a.compacted != first.compacted, a.hash != first.hash:
			differ = true
		}
		agreement.Members = append(agreement.Members, a.endpoint)
		all = append(all, fmt.Sprintf("%s has %08x since revision %d", a.endpoint, a.hash, a.compacted))
	}
	if first == nil && !differ {
		var errs []error
		for endpoint, err := range agreement.Silent {
			errs = append(errs, fmt.Errorf("%s: %w", endpoint, err))
		}
		return Agreement{}, true, fmt.Errorf("compare etcd members at revision %d: none answers: %w", revision, errors.Join(errs...))
	}
	if differ {
		return Agreement{}, true, fmt.Errorf("%w at revision %d: %s", ErrDivergent, revision, strings.Join(all, ", "))
	}
	agreement.Hash = first.hash
	return agreement, true, nil
}
