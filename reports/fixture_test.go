package reports

import (
	"fmt"
	"math"
	"strings"
	"time"
)

func ptr[T any](v T) *T { return &v }

var began = time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)

func at(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }

func phase(name string, onTrial bool, v Verdict, start, end float64, err string) Phase {
	return Phase{Name: name, OnTrial: onTrial, Verdict: v, Start: &start, End: &end, Error: err}
}

func mark(name string, seconds float64, how string, resolution float64) Mark {
	return Mark{Name: name, At: seconds, Wall: at(seconds), How: how, Resolution: resolution}
}

const fixtureScenario = `# yaml-language-server: $schema=https://restoredrill.io/schemas/scenario-v1alpha1.json
apiVersion: restoredrill.io/v1alpha1
kind: Scenario
metadata:
  name: etcd-data-lost
  labels: {tier: gold, cadence: weekly}
spec:
  description: The only etcd member loses its data directory. The newest snapshot comes back in a fresh cluster.
  objectives:
    rto: 10s
    rpo: 2s
    lostWrites: 40
    fidelity: etcd
  backup:
    method: etcd
    count: 2
    every: 1s
  faults:
    - name: etcd-data-lost
  probes:
    - name: shop-is-up
      cel:
        apiVersion: apps/v1
        kind: Deployment
        namespace: shop
        name: checkout
        expression: object.status.readyReplicas == object.spec.replicas
    - name: api-answers
      get: {path: /readyz}
`

// passedReport is a whole drill as it comes out when all is well.
func passedReport() *Report {
	r := &Report{
		Schema:  SchemaVersion,
		Verdict: Passed,
		Reason:  "The snapshot taken 1.2 s before the failure came back in 5.9 s: 21 acknowledged writes were lost, and 752 objects came back as they were.",
		Declared: Declared{Tool: "completed", Verdict: Passed,
			AsDeclared: true},
		Drill: Drill{
			ID: "20261120-093000-7f3a", Scenario: "etcd-data-lost",
			Description: "The only etcd member loses its data directory. The newest snapshot comes back in a fresh cluster.",
			Labels:      map[string]string{"tier": "gold", "cadence": "weekly"},
			Provider:    "process", Method: "etcd", Faults: []string{"etcd-data-lost"},
			Started: began, Seconds: 17.84, RunBy: "v0.1.0", JudgedBy: "v0.1.0",
		},
		Objectives: []Objective{
			{Name: "rto", Unit: "s", Target: ptr(10.0), Measured: ptr(5.912), Verdict: Passed, Resolution: ptr(0.021),
				Method: "service restored - struck, on one monotonic clock"},
			{Name: "rpo", Unit: "s", Target: ptr(2.0), Measured: ptr(1.204), Verdict: Passed, Resolution: ptr(0.05),
				Method: "struck - the acknowledgement of the newest write up to which nothing is missing"},
			{Name: "lost writes", Unit: "writes", Target: ptr(40.0), Measured: ptr(21.0), Verdict: Passed, Resolution: ptr(0.0),
				Method: "acknowledged writes that are not there; acknowledged writes above the snapshot's revision agree"},
			{Name: "fidelity", Unit: "profile", Target: ptr(0.0), Measured: ptr(0.0), Verdict: Passed,
				Method: "census at the snapshot's revision against a census after the restore, profile etcd"},
		},
		Phases: []Phase{
			phase("provision", false, Passed, 0, 3.31, ""),
			phase("seed", false, Passed, 3.31, 6.02, ""),
			phase("backup", true, Passed, 7.05, 8.71, ""),
			phase("inject", false, Passed, 9.72, 9.86, ""),
			phase("restore", true, Passed, 9.86, 15.77, ""),
			phase("survey", false, Passed, 15.77, 17.84, ""),
		},
		Steps: []Step{
			{Phase: "provision", Name: "start etcd-0", Start: 0.12, End: ptr(0.61)},
			{Phase: "provision", Name: "start kube-apiserver", Start: 0.61, End: ptr(3.1)},
			{Phase: "seed", Name: "workload standard", Start: 3.31, End: ptr(4.4), Detail: "61 objects"},
			{Phase: "seed", Name: "generate objects", Start: 4.4, End: ptr(5.1), Detail: "500 objects, 1 KiB each"},
			{Phase: "backup", Name: "snapshot 1", Start: 7.05, End: ptr(7.3)},
			{Phase: "backup", Name: "snapshot 2", Start: 8.05, End: ptr(8.66)},
			{Phase: "inject", Name: "etcd-data-lost", Start: 9.72, End: ptr(9.86), Detail: "etcd-0 killed, its data directory removed"},
			{Phase: "restore", Name: "verify artifact", Start: 9.87, End: ptr(9.95)},
			{Phase: "restore", Name: "restore store", Start: 9.95, End: ptr(10.42)},
			{Phase: "restore", Name: "start restored control plane", Start: 10.42, End: ptr(14.1)},
			{Phase: "survey", Name: "census", Start: 15.77, End: ptr(16.6)},
		},
		Marks: []Mark{
			mark("ledger started", 6.02, "every writer had one write acknowledged", 0.001),
			mark("ledger ended", 9.72, "the writers were stopped", 0.001),
			mark("injected", 9.84, "the fault's last call returned", 0.001),
			mark("struck", 9.86, "a linearizable read of etcd-0 was refused", 0.011),
			mark("restore started", 9.862, "the restore was called", 0.001),
			mark("artifact verified", 9.951, "SHA-256 of the file equals the one recorded at backup", 0.001),
			mark("store restored", 10.42, "data directory renamed into place", 0.001),
			mark("store serving", 10.93, "first linearizable read answered", 0.01),
			mark("api serving", 12.04, "first authorised answer", 0.01),
			mark("api ready", 13.38, "readyz", 0.01),
			mark("write accepted", 13.4, "a create was acknowledged and read back", 0.004),
			mark("controllers converged", 14.61, "watch event", 0.002),
			mark("workloads ready", 15.2, "watch event", 0.002),
			mark("identity works", 15.21, "a token minted before the failure was reviewed", 0.004),
			mark("service restored", 15.772, "every probe passed", 0.01),
		},
		RTO: &RTO{Seconds: 5.912, Split: []Interval{
			{From: "struck", To: "restore started", Seconds: 0.002},
			{From: "restore started", To: "artifact verified", Seconds: 0.089},
			{From: "artifact verified", To: "store restored", Seconds: 0.469},
			{From: "store restored", To: "store serving", Seconds: 0.51},
			{From: "store serving", To: "api serving", Seconds: 1.11},
			{From: "api serving", To: "api ready", Seconds: 1.34},
			{From: "api ready", To: "controllers converged", Seconds: 1.23},
			{From: "controllers converged", To: "workloads ready", Seconds: 0.59},
			{From: "workloads ready", To: "service restored", Seconds: 0.572},
		}},
		Fidelity: &Fidelity{
			Profile: "etcd",
			Before:  CensusInfo{Objects: 760, Revision: "1874", How: "the API at the snapshot's revision", Complete: true},
			After:   CensusInfo{Objects: 763, How: "the API, one list a resource", Complete: true},
			Kinds: []KindRow{
				{Resource: "v1 configmaps", Before: 231, After: 231, Equal: 231},
				{Resource: "v1 secrets", Before: 178, After: 178, Equal: 178},
				{Resource: "v1 serviceaccounts", Before: 143, After: 143, Equal: 143},
				{Resource: "v1 nodes", Before: 3, After: 3, Expected: 3},
				{Resource: "v1 pods", Before: 34, After: 34, Equal: 34},
				{Resource: "v1 events", Before: 12, After: 15, Equal: 12, Expected: 3},
				{Resource: "apps/v1 deployments", Before: 4, After: 4, Equal: 4},
				{Resource: "coordination.k8s.io/v1 leases", Before: 6, After: 6, Equal: 1, Expected: 5},
				{Resource: "rbac.authorization.k8s.io/v1 rolebindings", Before: 19, After: 19, Equal: 19},
				{Resource: "widgets.example.restoredrill.io/v1 widgets", Before: 130, After: 130, Equal: 130},
			},
			Differences: []Difference{
				{Class: "expected", Resource: "coordination.k8s.io/v1 leases", Namespace: "kube-system", Name: "kube-controller-manager",
					Rule: "leases", Because: "a lease is renewed by whoever holds it now",
					Fields: []FieldChange{
						{Path: "/spec/holderIdentity", Before: "drill_1f0a", After: "drill_9c44", Class: "changed", Rule: "leases"},
						{Path: "/spec/renewTime", Before: "2026-11-20T09:30:08.1Z", After: "2026-11-20T09:30:15.9Z", Class: "changed", Rule: "leases"},
					}},
				{Class: "expected", Resource: "coordination.k8s.io/v1 leases", Namespace: "kube-system", Name: "kube-scheduler",
					Rule: "leases", Because: "a lease is renewed by whoever holds it now",
					Fields: []FieldChange{{Path: "/spec/holderIdentity", Before: "drill_88a1", After: "drill_0b7d", Class: "changed", Rule: "leases"}}},
				{Class: "expected", Resource: "coordination.k8s.io/v1 leases", Namespace: "kube-node-lease", Name: "node-0",
					Rule: "leases", Because: "a lease is renewed by whoever holds it now",
					Fields: []FieldChange{{Path: "/spec/renewTime", Before: "2026-11-20T09:30:08.4Z", After: "2026-11-20T09:30:16.2Z", Class: "changed", Rule: "leases"}}},
				{Class: "expected", Resource: "v1 nodes", Name: "node-0", Rule: "heartbeats", Because: "a node reports anew when it comes back",
					Fields: []FieldChange{{Path: "/status/conditions/0/lastHeartbeatTime", Before: "2026-11-20T09:30:07Z", After: "2026-11-20T09:30:15Z", Class: "changed", Rule: "heartbeats"}}},
				{Class: "expected", Resource: "v1 events", Namespace: "default", Name: "node-0.18a2", Rule: "events", Because: "events are a log, not state"},
			},
		},
		Probes: []Probe{
			{Name: "shop-is-up", Verdict: Passed, Detail: "object.status.readyReplicas == object.spec.replicas is true", At: ptr(15.2), Attempts: 9, History: []ProbeAnswer{
				{Cluster: "source", Passed: true, Detail: "object.status.readyReplicas == object.spec.replicas is true", From: 4.4, To: 9.7, Attempts: 11},
				{Cluster: "restored", Detail: "connection refused", From: 9.9, To: 12.9, Attempts: 5},
				{Cluster: "restored", Detail: "object.status.readyReplicas == object.spec.replicas is false", From: 13.4, To: 14.9, Attempts: 3},
				{Cluster: "restored", Passed: true, Detail: "object.status.readyReplicas == object.spec.replicas is true", From: 15.2, To: 15.2, Attempts: 1},
			}},
			{Name: "api-answers", Verdict: Passed, Detail: "HTTP 200", At: ptr(13.38), Attempts: 4},
		},
		Artifacts: []Artifact{
			{Name: "snapshot-1", Method: "etcd", Taken: at(7.3), Seconds: 0.25, Bytes: 3_182_624, SHA256: strings.Repeat("5b1fe0c2", 8),
				Facts: map[string]string{"revision": "1732", "cluster ID": "a3f0c1d2e4b59687", "keys": "701"}},
			{Name: "snapshot-2", Method: "etcd", Taken: at(8.66), Seconds: 0.61, Bytes: 3_346_464, SHA256: strings.Repeat("90ce3d47", 8), Restored: true,
				Facts: map[string]string{"revision": "1874", "cluster ID": "a3f0c1d2e4b59687", "keys": "812"},
				Files: []ArtifactFile{{"pki/ca.crt", 583, strings.Repeat("daf6f65c", 8)}, {"snapshot.db", 3_345_881, strings.Repeat("90ce3d47", 8)}}},
		},
		Environment: Environment{
			Versions: map[string]string{"etcd": "3.6.16", "kube-apiserver": "v1.36.3", "kube-controller-manager": "v1.36.3", "kube-scheduler": "v1.36.3", "kwok": "v0.8.0"},
			OS:       "linux", Arch: "amd64", CPUs: 2, MemoryBytes: 25_276_502_016,
			Facts: map[string]string{"state directory": "ext4", "etcd fsync": "on"},
		},
		Limits: []string{
			"No kubelet ran: that containers start, and what they do, was not tried. Nodes are simulated by kwok.",
			"No volume holds data: PersistentVolumes came back as objects only.",
			"Everything ran on one host: the figures hold no network, no image pulls and no waiting for machines.",
		},
		Runbook: []RunbookStep{
			{Title: "verify artifact", Detail: "compare the digests with those recorded when it was taken", Start: 9.87, End: ptr(9.95), Commands: []Command{{"node-0", "sha256sum --check /var/lib/restore-drill/snapshot-2/MANIFEST.sha256"}}},
			{Title: "restore store", Start: 9.95, End: ptr(10.42), Commands: []Command{{"node-0", "etcdutl snapshot restore snapshot.db \\\n  --name etcd-0 --data-dir /var/lib/etcd \\\n  --bump-revision 1000000000 --mark-compacted"}}},
			{Title: "start restored control plane", Start: 10.42, End: ptr(14.1)},
		},
		Scenario: fixtureScenario,
	}
	r.Ledger = fixtureLedger(1.204, 21)
	r.Dependencies = fixtureDependencies()
	r.Checks = []Check{
		{Name: "freshness", Title: "Is the restored cluster another one than the source?", Verdict: Passed,
			Reason: "Cluster ID, member IDs, certificate, place and processes all differ from the source's.", Evidence: []string{"freshness.json"}},
		{Name: "rto", Title: "Was the service back in time?", Verdict: Passed,
			Reason: "5.91 s of 10 s.", Evidence: []string{"timeline.jsonl"}},
		{Name: "rpo", Title: "How much acknowledged work was lost?", Verdict: Passed,
			Reason: "21 of 73 acknowledged writes, all of the last 1.20 s; the store's revisions name the same 21.", Evidence: []string{"ledger.jsonl", "survivors.jsonl"}},
		{Name: "fidelity", Title: "Did everything come back as it was?", Verdict: Passed,
			Reason: "752 objects are equal, 11 differ as the profile etcd allows.", Evidence: []string{"census-before.jsonl.zst", "census-after.jsonl.zst", "store.json"}},
		{Name: "readiness", Title: "Are the workloads as ready as before?", Verdict: Passed,
			Reason: "4 Deployments, 2 StatefulSets, 1 DaemonSet and 2 Jobs are as ready as before.", Evidence: []string{"census-before.jsonl.zst", "census-after.jsonl.zst"}},
		{Name: "access", Title: "May everybody do what they could do before, and nothing more?", Verdict: Passed,
			Reason: "412 rules of 31 subjects are the same.", Evidence: []string{"access-before.jsonl", "access-after.jsonl"}},
		{Name: "stale-clients", Title: "Do clients that were connected before the failure see what is there now?", Verdict: Passed,
			Reason: "An informer opened at revision 1889 converged in 0.4 s: 231 objects held, 231 listed.", Evidence: []string{"informer.json"}},
		{Name: "probes", Title: "Do the scenario's own probes pass?", Verdict: Passed, Reason: "2 of 2 probes pass.", Evidence: []string{"probes.jsonl"}},
	}
	return r
}

// fixtureDependencies is a shop in two namespaces.
func fixtureDependencies() *Dependencies {
	return &Dependencies{Objects: 763, References: 912, Optional: 2, MissingBefore: 1,
		Missing: []MissingObject{{Object: Object{"ServiceAccount", "kube-system", "kube-dns"}, State: "absent", Since: "before", Referrers: 1,
			By: []Referrer{{Object{"ClusterRoleBinding", "", "system:kube-dns"}, "subjects"}}}},
		Kinds: []KindPair{
			{From: "ClusterRoleBinding", To: "ServiceAccount", References: 38, MissingBefore: 1},
			{From: "ConfigMap", To: "Namespace", References: 231},
			{From: "Deployment", To: "ConfigMap", References: 4, Optional: 2},
			{From: "Deployment", To: "Secret", References: 3},
		},
		Waves: []RestoreWave{
			{Objects: 131, Kinds: map[string]int{"ClusterRole": 71, "Namespace": 6, "StorageClass": 1, "CustomResourceDefinition": 53}},
			{Objects: 560, Kinds: map[string]int{"ConfigMap": 231, "Secret": 178, "ServiceAccount": 143, "PersistentVolume": 8}},
			{Objects: 72, Kinds: map[string]int{"ClusterRoleBinding": 38, "Deployment": 4, "Pod": 30}},
		},
		Cycles: []Cycle{{Objects: []Object{{"PersistentVolumeClaim", "shop", "data-orders-0"}, {"StatefulSet", "shop", "orders"}}}},
		Groups: []DependencyGroup{
			{Kind: "ClusterRole", Objects: 71, Wave: 1}, {Kind: "ClusterRoleBinding", Objects: 38, Wave: 3},
			{Kind: "ConfigMap", Namespace: "shop", Objects: 12, Wave: 2}, {Kind: "Secret", Namespace: "shop", Objects: 6, Wave: 2},
			{Kind: "ServiceAccount", Namespace: "shop", Objects: 3, Wave: 2}, {Kind: "Deployment", Namespace: "shop", Objects: 4, Wave: 3},
		},
		Links: []DependencyLink{{From: 1, To: 0, References: 38}, {From: 5, To: 2, References: 4}, {From: 5, To: 3, References: 3}, {From: 1, To: 4, References: 2}},
	}
}

// fixtureLedger writes 20 a second from 6.02 s to 9.72 s; the last lost ones are those after the backup.
func fixtureLedger(rpo float64, lost int) *Ledger {
	l := &Ledger{RPO: &rpo, ByRevision: &lost}
	const start, end, width = 6.02, 9.72, 0.1
	durable := 9.86 - rpo
	for i := 0; i < int(math.Round((end-start)/width)); i++ {
		b := LedgerBucket{Start: start + float64(i)*width, Seconds: width, Kept: 2}
		if b.Start > durable {
			b.Kept, b.Lost = 0, 2
		}
		l.Series = append(l.Series, b)
	}
	l.Series[len(l.Series)-1].InDoubt = 1
	for i, class := range []string{"core", "custom", "secret", "update", "delete", "finalizer"} {
		share := lost / 6
		if i < lost%6 {
			share++
		}
		w := Writer{Class: class, Attempted: 13, Acknowledged: 12, Lost: share, RatePerSecond: 3.3, WantPerSecond: 3.33, RPO: ptr(rpo - 0.02*float64(i))}
		if i > 1 {
			w.Attempted, w.Acknowledged = 12, 12
		}
		if class == "core" {
			w.InDoubt = 1
		}
		if class == "custom" {
			w.Acknowledged = 13
		}
		l.Writers = append(l.Writers, w)
		l.Total.Attempted += w.Attempted
		l.Total.Acknowledged += w.Acknowledged
		l.Total.InDoubt += w.InDoubt
		l.Total.Lost += w.Lost
		l.Total.RatePerSecond += w.RatePerSecond
		l.Total.WantPerSecond += w.WantPerSecond
	}
	l.Total.Class = "all"
	l.Total.RPO = &rpo
	return l
}

// failedReport is a stale snapshot: the tool said completed, and it is not so.
func failedReport() *Report {
	r := passedReport()
	r.Verdict = Failed
	r.Reason = "The restore tool said completed, but 43 acknowledged writes are gone (2.81 s of work, over the objective of 2 s), and 5 objects did not come back as they were."
	r.Declared = Declared{Tool: "completed", Verdict: Passed, AsDeclared: false, Mismatches: []string{
		"The verdict is failed, and the scenario declares passed.",
		"The check rpo failed, and the scenario declares nothing of it.",
		"The check fidelity failed, and the scenario declares nothing of it.",
	}}
	r.Drill.ID, r.Drill.Faults = "20261120-094100-c21e", []string{"etcd-data-lost", "snapshot-stale"}
	r.Objectives[1].Measured, r.Objectives[1].Verdict = ptr(2.81), Failed
	r.Objectives[2].Measured, r.Objectives[2].Verdict = ptr(43.0), Failed
	r.Objectives[3].Measured, r.Objectives[3].Verdict = ptr(5.0), Failed
	r.Ledger = fixtureLedger(2.81, 43)
	r.Ledger.Writers[4].Resurrected, r.Ledger.Total.Resurrected, r.Ledger.ByRevision = 2, 2, ptr(45)
	r.Ledger.Series[12].Resurrected, r.Ledger.Series[19].Resurrected = 1, 1
	f := r.Fidelity
	f.After.Objects = 762
	f.Kinds[0] = KindRow{Resource: "v1 configmaps", Before: 231, After: 229, Equal: 228, Lost: 2, Changed: 1}
	f.Kinds[1] = KindRow{Resource: "v1 secrets", Before: 178, After: 178, Equal: 177, Changed: 1}
	f.Kinds[8] = KindRow{Resource: "rbac.authorization.k8s.io/v1 rolebindings", Before: 19, After: 20, Equal: 19, Extra: 1}
	f.Differences = append([]Difference{
		{Class: "lost", Resource: "v1 configmaps", Namespace: "shop", Name: "prices-2026-11"},
		{Class: "lost", Resource: "v1 configmaps", Namespace: "shop", Name: "feature-flags"},
		{Class: "changed", Resource: "v1 configmaps", Namespace: "shop", Name: "checkout", Fields: []FieldChange{
			{Path: "/data/currency", Before: "EUR", After: "DEM", Class: "changed"},
			{Path: "/data/tax.yaml", Before: "rates:\n  - country: de\n    percent: 19\n", Class: "lost"},
			{Path: "/metadata/annotations/deploy.example.org~1commit", After: "0cc1b24", Class: "extra"},
			{Path: "/metadata/resourceVersion", Before: "1720", After: "1000001720", Class: "changed", Rule: "resource versions"},
		}},
		{Class: "changed", Resource: "v1 secrets", Namespace: "shop", Name: "payment-gateway", Fields: []FieldChange{
			{Path: "/data/token", Before: "hmac:6c1f22a09be07f11", After: "hmac:d40ab2c7715e9003", Class: "changed"},
		}},
		{Class: "extra", Resource: "rbac.authorization.k8s.io/v1 rolebindings", Namespace: "shop", Name: "debug-everyone"},
	}, f.Differences...)
	d := r.Dependencies
	d.Missing = append([]MissingObject{{Object: Object{"ConfigMap", "shop", "feature-flags"}, State: "absent", Since: "lost", Referrers: 4,
		By: []Referrer{{Object{"Deployment", "shop", "checkout"}, "spec.template.spec.containers[].envFrom[].configMapRef"}, {Object{"Pod", "shop", "checkout-7d9f-x2x"}, "spec.containers[].envFrom[].configMapRef"}}}}, d.Missing...)
	d.Kinds[2].Missing, d.Kinds[2].Optional = 1, 0
	r.Access = []AccessDifference{
		{Subject: "Group:system:authenticated", Namespace: "shop", Change: "gained", Rule: "get,list,watch secrets"},
		{Subject: "ServiceAccount:shop/checkout", Namespace: "shop", Change: "lost", Rule: "get configmaps [feature-flags]"},
	}
	c := r.Checks
	c[2].Verdict, c[2].Reason = Failed, "43 of 73 acknowledged writes are missing, the oldest acknowledged 2.81 s before the failure: over the objective of 2 s and of 40 writes."
	c[2].Findings = []Finding{
		{Verdict: Failed, Subject: "rpo", Message: "2.81 s of acknowledged work is gone; the objective is 2 s.", Next: "Take snapshots at least every 1.5 s, or make sure that the newest one is restored: the artifact's revision is 1732, and the newest backup's is 1874."},
		{Verdict: Failed, Subject: "writer delete", Message: "2 objects whose delete was acknowledged are there again.", Next: "Delete them by hand after a restore, or replay deletes from the audit log."},
		{Verdict: Passed, Subject: "second method", Message: "45 acknowledged writes lie above the artifact's revision: both methods name the same writes."},
	}
	c[3].Verdict, c[3].Reason = Failed, "2 objects are lost, 1 is there that was not, 2 changed in 4 fields that the profile etcd does not allow."
	c[3].Findings = []Finding{
		{Verdict: Failed, Subject: "v1 configmaps shop/prices-2026-11", Message: "is lost.", Next: "Compare the artifact's revision with the census: the object was written after revision 1732."},
		{Verdict: Failed, Subject: "v1 secrets shop/payment-gateway", Message: "changed in /data/token.", Next: "Rotate the credential: what came back is not what was in use."},
		{Verdict: Failed, Subject: "rolebindings shop/debug-everyone", Message: "is there and was not before.", Next: "Remove it, and find out which backup still holds it."},
	}
	c[5].Verdict, c[5].Reason = Failed, "1 privilege was gained and 1 lost."
	c[5].Findings = []Finding{
		{Verdict: Failed, Subject: "Group:system:authenticated", Message: "may now get,list,watch secrets in shop.", Next: "Remove the RoleBinding shop/debug-everyone before the cluster takes traffic."},
	}
	c[6].Verdict, c[6].Reason = Skipped, "The scenario opened no informer before the failure."
	c[6].Evidence = nil
	return r
}

func fixtureControls() []Control {
	return []Control{{ID: "cis:11.5", Framework: "CIS Controls", Source: "version 8.1", Title: "Test data recovery",
		Supports:     []ControlStatement{{ID: "cis:11.5/1", Says: "backed up data is restored and compared with what was there", Checks: []string{"fidelity", "rpo"}}},
		NotSupported: []ControlStatement{{ID: "cis:11.5/2", Says: "backups are what they were when they were taken", Checks: []string{"artifact"}, Because: "the check artifact was not made"}},
		DoesNotShow:  []string{"that recovery is tested each quarter, or more often"}}}
}

// unknownReport is a drill in which the API server was killed from outside during the restore.
func unknownReport() *Report {
	r := passedReport()
	r.Verdict = Unknown
	r.Reason = "Nothing can be said of the backup: kube-apiserver of the restored cluster was killed from outside 2.2 s into the restore, and no census of it was taken."
	r.Declared.AsDeclared = false
	r.Declared.Mismatches = []string{"The verdict is unknown, and the scenario declares passed."}
	r.Drill.ID, r.Drill.Seconds = "20261120-095200-03bd", 12.63
	r.Objectives[0].Measured, r.Objectives[0].Verdict, r.Objectives[0].Resolution = nil, Unknown, nil
	r.Objectives[1].Measured, r.Objectives[1].Verdict, r.Objectives[1].Resolution = nil, Unknown, nil
	r.Objectives[2].Measured, r.Objectives[2].Verdict, r.Objectives[2].Resolution = nil, Unknown, nil
	r.Objectives[3].Measured, r.Objectives[3].Verdict = nil, Unknown
	r.Phases[4] = phase("restore", true, Unknown, 9.86, 12.08, "kube-apiserver ended with signal: killed, and nobody here killed it")
	r.Phases[5] = Phase{Name: "survey", Verdict: Skipped}
	r.Steps = r.Steps[:10]
	r.Steps[9].End, r.Steps[9].Error = nil, "kube-apiserver: signal: killed"
	r.Marks = r.Marks[:9]
	r.Controls = fixtureControls()
	r.Controls[0].Supports[0].Because = "the drill could not tell"
	r.Controls[0].Supports, r.Controls[0].NotSupported = []ControlStatement{}, append(r.Controls[0].Supports, r.Controls[0].NotSupported...)
	r.RTO, r.Ledger, r.Fidelity, r.Dependencies, r.Probes = nil, nil, nil, nil, nil
	for i := range r.Checks {
		c := &r.Checks[i]
		if c.Name == "freshness" {
			continue
		}
		c.Verdict, c.Reason = Unknown, "Not observed: "+c.Evidence[len(c.Evidence)-1]+" is missing."
		c.Evidence = c.Evidence[:len(c.Evidence)-1]
	}
	r.Checks[1].Evidence = []string{"timeline.jsonl"}
	r.Checks[1].Reason = "The service was not seen restored."
	r.Checks[1].Findings = []Finding{{Verdict: Unknown, Subject: "restore", Message: "kube-apiserver ended with signal: killed, and nobody here killed it.",
		Next: "Look for the OOM killer in the host's log (dmesg), then run the drill again."}}
	r.Logs = []LogExcerpt{{Component: "restored/kube-apiserver", Lines: []string{
		`I1120 09:30:11.213412   48213 handler.go:143] kube-apiserver: GET "/api/v1/namespaces" satisfied by gorestful`,
		`I1120 09:30:11.870021   48213 secure_serving.go:213] Serving securely on 127.0.0.1:39443`,
		`W1120 09:30:12.018113   48213 storage_rbac.go:321] unable to initialize clusterroles: timed out waiting for RBAC`,
	}}}
	return r
}

// volumesReport is a drill on nodes, in which one volume came back empty, and the tool said completed.
func volumesReport() *Report {
	r := passedReport()
	r.Verdict, r.Reason = Failed, "volumes: volumes/data-journal-1: the volume is empty, and held 20 files; the tool says of the restore: completed"
	r.Declared = Declared{Tool: "completed", Verdict: Failed, Checks: map[string]string{"volumes": "failed"}, AsDeclared: true}
	r.Drill.ID, r.Drill.Scenario, r.Drill.Provider = "20261120-100300-5d0e", "etcd-volume-emptied", "kind"
	r.Drill.Faults = append(r.Drill.Faults, "volume-emptied")
	r.Objectives = append(r.Objectives,
		Objective{Name: "volume rpo", Unit: "s", Target: ptr(2.0), Measured: ptr(1.31), Verdict: Passed, Resolution: ptr(0.98),
			Method: "struck - the acknowledgement of the newest record of the volume ledger up to which nothing is missing"},
		Objective{Name: "lost records", Unit: "records", Measured: ptr(1.0), Verdict: Skipped, Resolution: ptr(0.0), Method: "acknowledged records of the volume ledger that are not in its volume"})
	r.Volumes = &Volumes{Restored: 2, Empty: 1, Files: &VolumeFiles{Before: 60, After: 39, Lost: 21, Changed: 1}, Records: &VolumeRecords{Acknowledged: 4, Lost: 1, RPO: ptr(1.31)},
		Claims: []VolumeClaim{
			{Namespace: "volumes", Name: "data-journal-0", Verdict: Passed, Reason: "20 files as they were", Files: &VolumeFiles{Before: 20, After: 20}},
			{Namespace: "volumes", Name: "data-journal-1", Verdict: Failed, Reason: "the volume is empty, and held 20 files", Empty: true, Files: &VolumeFiles{Before: 20, Lost: 20}},
			{Namespace: "volumes", Name: "data-journal-2", Verdict: Failed, Reason: "1 file of 20 missing, first file-003; 1 file of 20 with other bytes, first file-007", Files: &VolumeFiles{Before: 20, After: 19, Lost: 1, Changed: 1}},
			{Namespace: "volumes", Name: "volume-ledger", Verdict: Passed, Reason: "1 acknowledged record of 4 missing, the newest up to which nothing is missing was written 1.31s before the failure"},
		}}
	r.Checks = append(r.Checks, Check{Name: "volumes", Title: "Did every volume come back with the bytes that were in it?", Verdict: Failed,
		Reason: "volumes/data-journal-1: the volume is empty, and held 20 files; the tool says of the restore: completed", Evidence: []string{"volumes-before.json", "volumes-after.json", "volume-ledger.jsonl"},
		Findings: []Finding{
			{Verdict: Failed, Subject: "volumes/data-journal-1", Message: "the volume is empty, and held 20 files"},
			{Verdict: Failed, Subject: "volumes/data-journal-2", Message: "1 file of 20 missing, first file-003; 1 file of 20 with other bytes, first file-007"},
		}})
	r.Limits = r.Limits[2:]
	return r
}

// hostileReport holds in every text what would break a page, a terminal or an XML file.
func hostileReport() *Report {
	const evil = "</script></style><script>alert(1)</script>\x1b[31mred\x1b[0m\x00\x0b\ufffe ]]> \u202eabc <img src=x onerror=alert(1)> & \" ' \xff"
	r := failedReport()
	r.Reason, r.Scenario = evil, evil+"\n"+r.Scenario
	r.Drill.Scenario, r.Drill.Description = evil, evil
	r.Drill.Labels = map[string]string{evil: evil}
	r.Objectives[0].Method, r.Objectives[0].Name = evil, evil
	r.Checks[2].Name, r.Checks[2].Title = evil, evil
	r.Checks[2].Findings[0] = Finding{Verdict: Failed, Subject: evil, Message: evil, Next: "javascript:alert(1) " + evil}
	r.Fidelity.Differences[2].Name, r.Fidelity.Differences[2].Resource = evil, evil
	r.Fidelity.Differences[2].Fields[0] = FieldChange{Path: evil, Before: evil, After: evil, Class: "changed"}
	r.Fidelity.Differences[5].Because = evil
	d := r.Dependencies
	d.Missing[0].Object, d.Missing[0].By[0] = Object{evil, evil, evil}, Referrer{Object{evil, evil, evil}, evil}
	d.Kinds[0].From, d.Waves[0].Kinds[evil], d.Cycles[0].Objects[0].Name, d.Groups[0].Kind = evil, 1, evil, evil
	d.Groups[1].Namespace, d.Groups[1].Wave, d.Groups[2].Wave = evil, -1, 1<<40
	d.Links = append(d.Links, DependencyLink{From: -1, To: 1 << 40, References: -7}, DependencyLink{From: 2, To: 2})
	r.Access[0].Subject = evil
	r.Phases[0].Name, r.Phases[0].Error = evil, evil
	r.Marks[0].Name = evil
	r.Limits = append(r.Limits, evil)
	r.Logs = []LogExcerpt{{Component: evil, Lines: []string{evil}}}
	r.Artifacts[0].Facts[evil] = evil
	r.Environment.Versions[evil] = evil
	r.Runbook[0] = RunbookStep{Title: evil, Detail: evil, Error: evil, Commands: []Command{{evil, evil}}}
	r.Controls = fixtureControls()
	r.Controls[0].Title, r.Controls[0].Supports[0].Says = evil, evil
	r.Probes[0].Name, r.Probes[0].History[0].Detail = evil, evil
	r.Volumes = &Volumes{Empty: 1, Claims: []VolumeClaim{{Namespace: evil, Name: evil, Reason: evil, Empty: true}}}
	return r
}

// largeReport is of a big cluster with many differences.
func largeReport(objects, differences int) *Report {
	r := failedReport()
	f := r.Fidelity
	f.Before.Objects, f.After.Objects = objects, objects
	f.Kinds, f.Differences = nil, nil
	const kinds = 40
	for i := range kinds {
		f.Kinds = append(f.Kinds, KindRow{Resource: fmt.Sprintf("group%d.example.org/v1 things%d", i, i), Before: objects / kinds, After: objects / kinds,
			Equal: (objects - differences) / kinds, Changed: differences / 2 / kinds, Expected: differences / 2 / kinds})
	}
	d := r.Dependencies
	for i := range objects / 50 {
		namespace := fmt.Sprintf("namespace-%d", i%200)
		d.Missing = append(d.Missing, MissingObject{Object: Object{"ConfigMap", namespace, fmt.Sprintf("settings-%d", i)}, State: "absent", Since: "lost", Referrers: 3,
			By: []Referrer{{Object{"Deployment", namespace, fmt.Sprintf("web-%d", i)}, "spec.template.spec.volumes[].configMap"}}})
		d.Groups = append(d.Groups, DependencyGroup{Kind: fmt.Sprintf("Kind%d", i%40), Namespace: namespace, Objects: 12, Wave: 1 + i%30})
		d.Links = append(d.Links, DependencyLink{From: len(d.Groups) - 1, To: i / 2, References: i})
		d.Kinds = append(d.Kinds, KindPair{From: fmt.Sprintf("Kind%d", i), To: "ConfigMap", References: 3, Missing: 1})
		d.Waves = append(d.Waves, RestoreWave{Objects: 1, Kinds: map[string]int{"ConfigMap": 1}})
		d.Cycles = append(d.Cycles, d.Cycles[0])
	}
	for i := range differences {
		d := Difference{Class: "changed", Resource: f.Kinds[i%kinds].Resource, Namespace: fmt.Sprintf("namespace-%d", i%200), Name: fmt.Sprintf("thing-%06d", i)}
		if i >= differences/2 {
			d.Class, d.Rule, d.Because = "expected", "heartbeats", "a node reports anew when it comes back"
		}
		for j := range 4 {
			d.Fields = append(d.Fields, FieldChange{Path: fmt.Sprintf("/spec/template/field%d", j), Before: strings.Repeat("before ", 20), After: strings.Repeat("after ", 20), Class: "changed", Rule: d.Rule})
		}
		f.Differences = append(f.Differences, d)
	}
	return r
}
