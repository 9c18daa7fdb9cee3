package etcd

import (
	"context"
	"crypto/tls"
	"fmt"
	"strconv"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// NoSpace is the type of the alarm of a store that has used up its quota and takes no more writes.
var NoSpace = etcdserverpb.AlarmType_NOSPACE.String()

// Condition is what a store says of itself.
type Condition struct {
	// ClusterID and the members' IDs are in hex.
	ClusterID string
	// Members in the order of the endpoints.
	Members []MemberCondition
	Alarms  []Alarm
}

// A MemberCondition is what one member says of itself; Error is why it says nothing.
type MemberCondition struct {
	Endpoint string
	ID       string
	// Bytes of the database's file, and those of them that hold data.
	Bytes, BytesInUse int64
	// Complaints are its own words, an alarm or the lack of a leader.
	Complaints []string
	Error      string
}

// An Alarm stays raised until somebody disarms it.
type Alarm struct {
	Type string
	// Member that raised it, which may be one of another cluster: a snapshot holds the alarms too.
	Member string
}

// Health asks every member, and all together for their alarms. A member that is silent is part of the answer; the error is that there is no answer.
func Health(ctx context.Context, endpoints []string, tlsConfig *tls.Config) (h Condition, err error) {
	client, err := Connect(endpoints, tlsConfig)
	if err != nil {
		return h, err
	}
	defer client.Close()
	h.Members = make([]MemberCondition, len(endpoints))
	var wg sync.WaitGroup
	for i, endpoint := range endpoints {
		wg.Go(func() { h.Members[i] = askCondition(ctx, client, endpoint) })
	}
	alarms, err := client.AlarmList(ctx)
	wg.Wait()
	if err != nil {
		return h, fmt.Errorf("list the alarms of etcd at %v: %w", endpoints, err)
	}
	h.ClusterID = hexID(alarms.Header.ClusterId)
	for _, a := range alarms.Alarms {
		h.Alarms = append(h.Alarms, Alarm{Type: a.Alarm.String(), Member: hexID(a.MemberID)})
	}
	return h, nil
}

func hexID(id uint64) string { return strconv.FormatUint(id, 16) }

func askCondition(ctx context.Context, client *clientv3.Client, endpoint string) MemberCondition {
	m := MemberCondition{Endpoint: endpoint}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := reach(ctx, endpoint); err != nil {
		m.Error = err.Error()
		return m
	}
	status, err := client.Status(ctx, endpoint)
	if err != nil {
		m.Error = err.Error()
		return m
	}
	m.ID, m.Bytes, m.BytesInUse, m.Complaints = hexID(status.Header.MemberId), status.DbSize, status.DbSizeInUse, status.Errors
	return m
}
