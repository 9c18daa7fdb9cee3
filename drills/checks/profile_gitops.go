package checks

import "slices"

// builtIn are the resources whose status Kubernetes' own controllers write, whoever applied the object.
var builtIn = []string{
	"namespaces", "nodes", "pods", "services", "persistentvolumes", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas",
	"apps/deployments", "apps/statefulsets", "apps/daemonsets", "apps/replicasets", "batch/jobs", "batch/cronjobs",
	"autoscaling/horizontalpodautoscalers", "policy/poddisruptionbudgets", "networking.k8s.io/ingresses",
	"apiextensions.k8s.io/customresourcedefinitions", "apiregistration.k8s.io/apiservices", "flowcontrol.apiserver.k8s.io/flowschemas",
	"flowcontrol.apiserver.k8s.io/prioritylevelconfigurations", "admissionregistration.k8s.io/validatingadmissionpolicies",
	"networking.k8s.io/servicecidrs",
}

// gitopsProfile allows what no manifest holds and controllers work out again. What else is not in Git is a difference: the status of a custom
// resource, an object that somebody made by hand, a change that nobody committed.
var gitopsProfile = profile{
	name: "gitops",
	rules: slices.Concat(etcdProfile.rules, []rule{
		{
			name: "made-anew", because: "every object is made anew, with a UID and a time of its own",
			source:  "Kubernetes, API conventions: metadata",
			classes: []string{changedClass}, loss: true,
			fields: []string{"/metadata/uid", "/metadata/creationTimestamp", "/metadata/generation", "/metadata/generateName"},
		},
		{
			name: "owner-references", because: "an owner has another UID, and who names it another reference",
			source:  "Kubernetes, Owners and Dependents",
			classes: []string{changedClass}, fields: []string{"/metadata/ownerReferences/*"},
		},
		{
			name: "status", because: "controllers of Kubernetes write it anew",
			source:    "Kubernetes, API conventions: spec and status",
			resources: builtIn, classes: []string{changedClass}, fields: []string{"/status", "/status/**"},
		},
		{
			name: "cluster-ip", because: "a Service gets another cluster IP, unless its manifest asks for one",
			source:    "Kubernetes, Service ClusterIP allocation",
			resources: []string{"services"}, classes: []string{changedClass}, loss: true, fields: []string{"/spec/clusterIP", "/spec/clusterIPs/**"},
		},
		{
			name: "cluster-ip", because: "an IPAddress stands for each Service's cluster IP",
			source:    "Kubernetes, IPAddress: one for each Service's cluster IP",
			resources: []string{"networking.k8s.io/ipaddresses"}, classes: []string{lostClass, extraClass},
		},
		{
			name: "node-ports", because: "node ports are given out anew, unless the manifest asks for them by number",
			source:    "Kubernetes, Service: type NodePort",
			resources: []string{"services"}, classes: []string{changedClass}, loss: true, fields: []string{"/spec/ports/*/nodePort", "/spec/healthCheckNodePort"},
		},
		{
			name: "pvc-rebound", because: "claims and volumes are bound to each other anew",
			source:    "Kubernetes, Persistent Volumes: binding",
			resources: []string{"persistentvolumeclaims", "persistentvolumes"}, classes: []string{changedClass}, loss: true,
			fields: []string{"/spec/volumeName", "/spec/claimRef", "/spec/claimRef/**", "/metadata/annotations/pv.kubernetes.io~1bind-completed",
				"/metadata/annotations/pv.kubernetes.io~1bound-by-controller"},
		},
		{
			name: "made-by-controller", because: "its controller makes what it needs, under other names perhaps",
			source:    "Kubernetes, Controllers",
			resources: []string{"pods", "batch/jobs", "apps/replicasets", "apps/controllerrevisions", "discovery.k8s.io/endpointslices"},
			when:      isControlled, classes: []string{lostClass, extraClass, changedClass},
		},
		{
			name: "job-anew", because: "the label by which a job finds its pods holds the job's UID",
			source:    "Kubernetes, Jobs: pod selector",
			resources: []string{"batch/jobs"}, classes: []string{changedClass},
			fields: []string{
				"/spec/selector/matchLabels/batch.kubernetes.io~1controller-uid",
				"/metadata/labels/controller-uid", "/metadata/labels/batch.kubernetes.io~1controller-uid", "/spec/template/metadata/labels/controller-uid", "/spec/template/metadata/labels/batch.kubernetes.io~1controller-uid",
			},
		},
	}, veleroProfile.only("cluster-authorities", "endpoints", "service-account-token")),
}

// only the rules of these names.
func (p *profile) only(names ...string) []rule {
	var some []rule
	for _, r := range p.rules {
		if slices.Contains(names, r.name) {
			some = append(some, r)
		}
	}
	return some
}
