package checks

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// upgraded tells whether the restored cluster runs another version of Kubernetes than the source.
func (run *Run) upgraded() bool {
	return run.Scenario.Spec.Restore.Version != run.Scenario.Spec.Cluster.Version
}

// apisCheck tells, from what was known before the restore began, which APIs the restored cluster's version has done away with, and whether
// anything was to be had only there.
var apisCheck = Check{
	Name:      "apis",
	Title:     "Does the new version of Kubernetes still serve every API through which there were objects?",
	IfFailed:  "convert the objects to a version that the new cluster serves before it is upgraded",
	IfUnknown: "find out by hand whether the new cluster serves what the old one held",
	Needs:     []string{evidence.APIsFile, evidence.CensusBeforeFile},
	Applies: func(run *Run) string {
		if !run.upgraded() {
			return "the restored cluster runs the same version of Kubernetes"
		}
		return ""
	},
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		apis, err := evidence.ReadJSON[evidence.APIs](run.Dir, evidence.APIsFile)
		if err != nil {
			unknown(c, "%s", unread(evidence.APIsFile, err))
			return
		}
		spec := run.Scenario.Spec
		if apis.To != spec.Restore.Version || apis.From != spec.Cluster.Version {
			unknown(c, "the APIs of %s and %s were compared, not those of %s and %s", apis.From, apis.To, spec.Cluster.Version, spec.Restore.Version)
			return
		}
		before := run.survey(evidence.CensusBeforeFile)
		lost, first, doubt := 0, "", ""
		for _, api := range apis.Removed {
			group, version, _ := strings.Cut(api.GroupVersion, "/")
			if version == "" {
				group, version = "", group
			}
			// The census names a resource by the version that the source preferred: an API beside that one had no objects of its own.
			objects := 0
			if n := before.resources[group+"/"+api.Resource]; n != nil && n.label == strings.TrimPrefix(group+"/"+version, "/")+" "+api.Resource {
				objects = n.objects
			}
			finding := reports.Finding{Verdict: reports.Passed, Subject: api.GroupVersion + " " + api.Resource,
				Message: fmt.Sprintf("is gone since %s", api.Removed), Next: "have its clients use " + orNothing(api.Replacement)}
			if objects > 0 {
				finding.Verdict = reports.Failed
				finding.Message += fmt.Sprintf(", and was the way to %s", counted(objects, "object"))
				lost++
				first = cmp.Or(first, summary(finding))
			}
			if why, unread := before.tail.Unreadable[group+"/"+api.Resource]; unread {
				finding.Verdict, doubt = reports.Unknown, fmt.Sprintf("%s could not be read in the census before: %s", finding.Subject, firstLine(why))
			}
			find(c, finding)
		}
		switch {
		case lost > 0:
			failed(c, "%s that %s does not serve held objects, first %s", counted(lost, "API"), apis.To, first)
		case doubt != "":
			unknown(c, "%s", doubt)
		default:
			passed(c, "%s of %s no longer served by %s, and no object was to be had there alone", counted(len(apis.Removed), "API"), apis.From, apis.To)
		}
	},
}

// versionRules hold where the restored cluster runs another version of Kubernetes: what a control plane makes of its own when it starts is its
// version's.
var versionRules = []rule{
	{
		name: "version-roles", because: "an API server brings the roles of its version with it, and extends those that are there",
		source:    "Kubernetes, RBAC: auto-reconciliation",
		resources: []string{"rbac.authorization.k8s.io/clusterroles", "rbac.authorization.k8s.io/roles"},
		label:     "kubernetes.io/bootstrapping", classes: []string{extraClass, changedClass}, fields: []string{"/rules/**"},
	},
	{
		name: "version-roles", because: "an API server brings the bindings of its version with it",
		source:    "Kubernetes, RBAC: auto-reconciliation",
		resources: []string{"rbac.authorization.k8s.io/clusterrolebindings", "rbac.authorization.k8s.io/rolebindings"},
		label:     "kubernetes.io/bootstrapping", classes: []string{extraClass},
	},
	{
		name: "version-accounts", because: "each controller of the new version has an account of its own",
		source:    "Kubernetes, kube-controller-manager --use-service-account-credentials",
		resources: []string{"serviceaccounts"}, namespace: "kube-system", classes: []string{extraClass},
	},
	{
		name: "version-apis", because: "the new version serves APIs that the old one did not",
		source:    "Kubernetes, API aggregation: local APIServices",
		resources: []string{"apiregistration.k8s.io/apiservices"}, label: "kube-aggregator.kubernetes.io/automanaged", classes: []string{extraClass},
	},
	{
		name: "version-trust", because: "the new version publishes the authorities of its API server",
		source:    "Kubernetes, ClusterTrustBundles",
		resources: []string{"certificates.k8s.io/clustertrustbundles"}, names: []string{"kubernetes.io:*"}, classes: []string{extraClass},
	},
}
